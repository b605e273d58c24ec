package storage

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onceover/onceover/internal/fault"
)

const (
	// maxRecordsBytes bounds one of the JSON files: 20,000 images take
	// about 40 MiB.
	maxRecordsBytes = 128 << 20
	// maxRecords bounds the records in one of them.
	maxRecords = 200_000
	// readAttempts is how often a file is read anew that makes no sense,
	// because it may be changing.
	readAttempts = 5
	readPause    = 20 * time.Millisecond
)

// readFile reads a regular file of at most limit bytes, which is no link. In a
// store of somebody else than root it must belong to its owner.
func readFile(path string, limit int64, owner *uint32) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fault.New(fault.Invalid, "%s is no regular file", path)
	}
	if owner != nil && st.Uid != *owner {
		return nil, fault.New(fault.Forbidden, "%s belongs to user %d in a store of user %d", path, st.Uid, *owner)
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fault.New(fault.TooLarge, "%s is larger than %d bytes", path, limit)
	}
	return b, nil
}

// readRecords reads a list of records; an absent file is an empty list.
func readRecords[T any](path string, owner *uint32) ([]T, error) {
	var last error
	for range readAttempts {
		b, err := readFile(path, maxRecordsBytes, owner)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		var out []T
		if err := json.Unmarshal(b, &out); err == nil {
			if len(out) > maxRecords {
				return nil, fault.New(fault.TooLarge, "%s has %d records: the limit is %d", path, len(out), maxRecords)
			}
			return out, nil
		} else {
			last = fault.New(fault.Unavailable, "%s: %w", path, err)
		}
		time.Sleep(readPause)
	}
	return nil, last
}

// imageRecord is an element of images.json.
type imageRecord struct {
	ID           string   `json:"id"`
	Digest       string   `json:"digest"`
	Names        []string `json:"names"`
	Layer        string   `json:"layer"`
	BigDataNames []string `json:"big-data-names"`
}

// layerRecord is an element of layers.json.
type layerRecord struct {
	ID         string         `json:"id"`
	Parent     string         `json:"parent"`
	DiffDigest string         `json:"diff-digest"`
	DiffSize   int64          `json:"diff-size"`
	TOCDigest  string         `json:"toc-digest"`
	Flags      map[string]any `json:"flags"`
}

// incomplete reports whether the layer is still being written, or was when
// its writer died.
func (l layerRecord) incomplete() bool { return l.Flags["incomplete"] == true }

// containerRecord is an element of containers.json.
type containerRecord struct {
	ID    string   `json:"id"`
	Names []string `json:"names"`
	Image string   `json:"image"`
	Layer string   `json:"layer"`
	// Metadata is what the engine keeps: JSON, of podman and of CRI-O.
	Metadata string `json:"metadata"`
}

// A store is one graph root with one driver.
type store struct {
	root   string
	driver string
	owner  *uint32 // set if it is not to be trusted
}

func (s store) path(kind string, parts ...string) string {
	return filepath.Join(append([]string{s.root, s.driver + "-" + kind}, parts...)...)
}

func (s store) images() ([]imageRecord, error) {
	return readRecords[imageRecord](s.path("images", "images.json"), s.owner)
}

// layers are the layers by ID.
func (s store) layers() (map[string]layerRecord, error) {
	out := map[string]layerRecord{}
	for _, name := range []string{"layers.json", "volatile-layers.json"} {
		list, err := readRecords[layerRecord](s.path("layers", name), s.owner)
		if err != nil {
			return nil, err
		}
		for _, l := range list {
			out[l.ID] = l
		}
	}
	return out, nil
}

func (s store) containers() ([]containerRecord, error) {
	var out []containerRecord
	for _, name := range []string{"containers.json", "volatile-containers.json"} {
		list, err := readRecords[containerRecord](s.path("containers", name), s.owner)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	return out, nil
}

// bigData reads an item that is kept with an image.
func (s store) bigData(id, key string, limit int64) ([]byte, error) {
	if !validID(id) {
		return nil, fault.New(fault.Invalid, "image ID %q is none", id)
	}
	return readFile(s.path("images", id, dataName(key)), limit, s.owner)
}

// layerDir is where the driver keeps a layer.
func (s store) layerDir(id string) string {
	switch s.driver {
	case driverVFS:
		return filepath.Join(s.root, "vfs", "dir", id)
	case driverBtrfs:
		return filepath.Join(s.root, "btrfs", "subvolumes", id)
	}
	return filepath.Join(s.root, s.driver, id, "diff")
}

// dataName is the file name of an item. The library takes a key as it is if it
// has nothing but small letters, digits and dots (containers/storage,
// makeBigDataBaseName).
func dataName(key string) string {
	if strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789.") == "" {
		return key
	}
	return "=" + base64Std.EncodeToString([]byte(key))
}

// validID reports whether s can be an ID and so a part of a path: the library
// makes 64 hexadecimal digits.
func validID(s string) bool {
	return len(s) == idLen && strings.Trim(s, "0123456789abcdef") == ""
}

// describe makes an error of a file helpful.
func describe(err error, root string) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fault.New(fault.Unavailable, "%s: permission denied: run as root or as its owner", root)
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.Unavailable, "%s: no store of podman, CRI-O or buildah is there", root)
	}
	return fmt.Errorf("%s: %w", root, err)
}
