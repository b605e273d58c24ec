package agent

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/onceover/onceover/internal/fleet"
)

const (
	identityFile = "agent.json"
	hostIDFile   = "host-id"
	// machineIDFile names the machine (machine-id(5)). The manual page asks
	// not to show it to others, so it is hashed.
	machineIDFile = "/etc/machine-id"
	// maxStateBytes bounds what is read of either file.
	maxStateBytes = 64 << 10
)

// loadIdentity is the key pair of an earlier enrolment; ok is false if there
// is none.
func loadIdentity(dir string) (id fleet.EnrollResponse, ok bool, err error) {
	b, err := readSmall(filepath.Join(dir, identityFile))
	if errors.Is(err, fs.ErrNotExist) {
		return id, false, nil
	}
	if err != nil {
		return id, false, fmt.Errorf("read agent identity: %w", err)
	}
	if err := json.Unmarshal(b, &id); err != nil {
		return id, false, fmt.Errorf("read agent identity %s: %w", filepath.Join(dir, identityFile), err)
	}
	return id, id.AgentID != "" && id.AccessKey != "" && id.SecretKey != "", nil
}

func saveIdentity(dir string, id fleet.EnrollResponse) error {
	b, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return fmt.Errorf("encode agent identity: %w", err)
	}
	return writePrivate(filepath.Join(dir, identityFile), append(b, '\n'))
}

// hostID is stable for the machine. Where it has no machine-id, as in many
// containers, a random one is kept in the state directory.
func hostID(machineID, dir string) (string, error) {
	if b, err := readSmall(machineID); err == nil {
		if s := strings.TrimSpace(string(b)); s != "" && s != "uninitialized" {
			return hashHost(s), nil
		}
	}
	path := filepath.Join(dir, hostIDFile)
	if b, err := readSmall(path); err == nil {
		if s := strings.TrimSpace(string(b)); s != "" {
			return hashHost(s), nil
		}
	}
	s := rand.Text()
	if err := writePrivate(path, []byte(s+"\n")); err != nil {
		return "", err
	}
	return hashHost(s), nil
}

// hashHost makes an id of 32 hexadecimal digits that does not give away s.
func hashHost(s string) string {
	sum := sha256.Sum256([]byte("onceover host id\x00" + s))
	return hex.EncodeToString(sum[:16])
}

func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxStateBytes))
}

// writePrivate replaces a file as a whole, readable by its owner alone.
func writePrivate(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", filepath.Base(path), err), os.Remove(f.Name()))
	}
	return nil
}
