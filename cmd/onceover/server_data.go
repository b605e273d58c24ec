package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/store"
)

// What lies in a data directory, beside the database of package store.
const (
	lockFile        = "lock"
	sealKeyFile     = "seal.key"
	credentialsFile = "credentials.env"
	enrollFile      = "enroll.env"
	agentDir        = "agent"
	cacheDir        = "cache"
	sampleDir       = "sample"
)

const (
	sealKeyBytes = 32
	// maxSmallFile bounds what is read of the files above.
	maxSmallFile = 64 << 10
)

// Names in credentials.env and enroll.env. The first three are what Huawei's
// SDKs read.
const (
	envAK       = "HUAWEICLOUD_SDK_AK"
	envSK       = "HUAWEICLOUD_SDK_SK"
	envProject  = "HUAWEICLOUD_SDK_PROJECT_ID"
	envEndpoint = "ONCEOVER_ENDPOINT"
	envEnroll   = "ONCEOVER_ENROLL_KEY"
)

// defaultStateDir is where a server or an agent keeps its data: /var/lib for
// root, the XDG state directory for anyone else.
func defaultStateDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/onceover", nil
	}
	if d := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "onceover"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find data directory: %w: say --data DIR", err)
	}
	return filepath.Join(home, ".local", "state", "onceover"), nil
}

// prepareDir creates dir for its owner alone and takes its lock.
func prepareDir(dir, what string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create data directory: %w", err)
	}
	unlock, err = lock(filepath.Join(dir, lockFile))
	if errors.Is(err, errLocked) {
		return nil, fmt.Errorf("another onceover %s uses %s: stop it, or say --data with another directory", what, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
	}
	return unlock, nil
}

// checkDatabase checks the URL of a database; "" is the file in the data
// directory.
func checkDatabase(url string) error {
	if url == "" || strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://") {
		return nil
	}
	return errors.New("--database: want postgres://USER@HOST/NAME; leave it out for a file in the data directory")
}

// sealFlag is where servers of one database find the key that they share.
type sealFlag struct {
	SealKey string `name:"seal-key" help:"Read the key that secrets in the database are sealed with from FILE. Default: seal.key in the data directory, made at the first start. Servers of one database need the same." placeholder:"FILE" type:"path" env:"ONCEOVER_SEAL_KEY_FILE"`
}

// A seal is the key that the secrets in the database are sealed with.
type seal struct {
	key  []byte
	path string
	made bool // by this start
}

// read reads the key, and makes it at the first start. A key made anew could
// open nothing, and one that somebody names must be there.
func (f sealFlag) read(dir string) (seal, error) {
	s := seal{path: cmp.Or(f.SealKey, filepath.Join(dir, sealKeyFile))}
	b, err := readSmallFile(s.path)
	switch {
	case err == nil:
		s.key, err = hex.DecodeString(strings.TrimSpace(string(b)))
		if err != nil || len(s.key) != sealKeyBytes {
			return s, fmt.Errorf("%s is damaged: want %d hexadecimal digits", s.path, 2*sealKeyBytes)
		}
		return s, nil
	case !errors.Is(err, fs.ErrNotExist) || f.SealKey != "":
		return s, fmt.Errorf("read seal key: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, store.FileName)); err == nil {
		return s, fmt.Errorf("%s is missing, and with it the secrets in the database: restore it", s.path)
	}
	s.key, s.made = make([]byte, sealKeyBytes), true
	if _, err := rand.Read(s.key); err != nil {
		return s, fmt.Errorf("make seal key: %w", err)
	}
	return s, writeSecretFile(s.path, hex.EncodeToString(s.key)+"\n")
}

// check makes sure that it is the key of this database.
func (s seal) check(ctx context.Context, st *store.Store) error {
	err := st.CheckSeal(ctx)
	switch {
	case err == nil:
		return nil
	case !s.made:
		return fmt.Errorf("%w: restore %s", err, s.path)
	}
	// Left where it is, it would be taken for the right one.
	err = fmt.Errorf("%w: another server made it; copy its seal.key to %s, or say --seal-key FILE", err, s.path)
	return errors.Join(err, os.Remove(s.path))
}

// credentials are the key pair that credentials.env holds.
type credentials struct{ ak, sk, project string }

// prepareCredentials makes the project and its keys at the first start, and
// sees to it that credentials.env is there and names the endpoint of today.
func prepareCredentials(ctx context.Context, st *store.Store, seal seal, dir, endpoint string) (c credentials, created bool, err error) {
	created, first, err := st.Bootstrap(ctx)
	if err != nil {
		return c, false, err
	}
	// Two servers that start on an empty database at once have a key each.
	if err := seal.check(ctx, st); err != nil {
		return c, false, err
	}
	path := filepath.Join(dir, credentialsFile)
	if created {
		c = credentials{first.Key.AK, first.Key.Secret, first.Project.ID}
		if err := writeSecretFile(filepath.Join(dir, enrollFile), envEnroll+"="+first.EnrollKey+"\n"); err != nil {
			return c, false, err
		}
	} else if c, err = readCredentials(path); errors.Is(err, fs.ErrNotExist) {
		// The file was lost, or a first start was cut short. Secrets in
		// the database are not read back: a new pair is made.
		var p auth.Project
		if p, err = st.FirstProject(ctx); err != nil {
			return c, false, err
		}
		key, err := st.CreateAccessKey(ctx, p.ID)
		if err != nil {
			return c, false, err
		}
		c, created = credentials{key.AK, key.Secret, p.ID}, true
	} else if err != nil {
		return c, false, err
	}
	text := fmt.Sprintf("%s=%s\n%s=%s\n%s=%s\n%s=%s\n",
		envAK, c.ak, envSK, c.sk, envProject, c.project, envEndpoint, endpoint)
	return c, created, writeSecretFile(path, text)
}

func readCredentials(path string) (credentials, error) {
	values, err := readEnvFile(path)
	if err != nil {
		return credentials{}, fmt.Errorf("read credentials: %w", err)
	}
	c := credentials{values[envAK], values[envSK], values[envProject]}
	if c.ak == "" || c.sk == "" || c.project == "" {
		return credentials{}, fmt.Errorf("%s is damaged: remove it, and the next start makes a new key pair", path)
	}
	return c, nil
}

// readEnvFile reads lines of NAME=value.
func readEnvFile(path string) (map[string]string, error) {
	b, err := readSmallFile(path)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for s := bufio.NewScanner(strings.NewReader(string(b))); s.Scan(); {
		if name, value, ok := strings.Cut(strings.TrimSpace(s.Text()), "="); ok {
			values[name] = value
		}
	}
	return values, nil
}

func readSmallFile(path string) ([]byte, error) { return readLimited(path, maxSmallFile) }

// readLimited reads a file of at most limit bytes.
func readLimited(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return b, err
}

// writeSecretFile replaces a file as a whole, readable by its owner alone.
func writeSecretFile(path, content string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.WriteString(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
	}
	return nil
}

// firstWord is the first word of s.
func firstWord(s string) string {
	if fields := strings.Fields(s); len(fields) > 0 {
		return fields[0]
	}
	return ""
}
