package containerd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
)

const (
	// maxMetadataBytes bounds the snapshotter's database. 100,000
	// snapshots take about 60 MiB.
	maxMetadataBytes = 256 << 20
	// copyAttempts is how often a database is copied anew because a
	// transaction ended meanwhile.
	copyAttempts = 20
	// kindCommitted is how the database writes the kind of a snapshot that
	// can no longer change (containerd, core/snapshots/storage).
	kindCommitted = 3
)

// snapshots remembers what the snapshotter's database said last.
type snapshots struct {
	mu    sync.Mutex
	state []byte // the meta pages that the index was read under
	index snapshotIndex
}

// A snapshotIndex leads from chain IDs to unpacked layers.
type snapshotIndex struct {
	root string
	by   map[image.Digest]snapshot
}

type snapshot struct {
	id   uint64
	size int64
}

// dir is the directory of the layer on top of the chain, if it is unpacked.
func (x snapshotIndex) dir(chain image.Digest) (string, bool) {
	s, ok := x.by[chain]
	if !ok {
		return "", false
	}
	dir := filepath.Join(x.root, "snapshots", strconv.FormatUint(s.id, 10), "fs")
	fi, err := os.Lstat(dir)
	return dir, err == nil && fi.IsDir()
}

// unpacked is the index of what is unpacked now. It is empty if the database
// cannot be read: then blobs have to do.
func (s *Source) unpacked(rs roots) snapshotIndex {
	if rs.overlayfs == "" {
		return snapshotIndex{}
	}
	s.snaps.mu.Lock()
	defer s.snaps.mu.Unlock()
	// No error is lost that matters: without an index the layers are read
	// from blobs, and where those are missing too the image says so.
	_ = s.snaps.refresh(rs.overlayfs)
	return s.snaps.index
}

// checkSnapshot is the Check of a layer that is read as a directory.
// containerd deletes a snapshot from the database before it removes files.
func (s *Source) checkSnapshot(rs roots, chain image.Digest, dir string) error {
	s.snaps.mu.Lock()
	defer s.snaps.mu.Unlock()
	if err := s.snaps.refresh(rs.overlayfs); err != nil {
		return fmt.Errorf("check whether snapshot %s is still there: %w", chain, err)
	}
	if now, ok := s.snaps.index.dir(chain); !ok || now != dir {
		return fault.New(fault.NotFound, "snapshot %s was deleted while it was read", chain)
	}
	return nil
}

// refresh reads the database if it has changed. After an error nothing is
// known to be unpacked.
func (s *snapshots) refresh(root string) (err error) {
	defer func() {
		if err != nil {
			s.state, s.index = nil, snapshotIndex{}
		}
	}()
	f, err := os.Open(filepath.Join(root, "metadata.db"))
	if err != nil {
		return err
	}
	defer f.Close()
	for range copyAttempts {
		before, err := metaPages(f)
		if err != nil {
			return err
		}
		if bytes.Equal(before, s.state) {
			return nil
		}
		mem, err := copyToMemory(f)
		if err != nil {
			return err
		}
		after, err := metaPages(f)
		if err != nil {
			mem.Close()
			return err
		}
		// bbolt writes a transaction to pages that no reader of the one
		// before can reach, and its meta page last. Equal meta pages
		// around the copy make it one whole state.
		if !bytes.Equal(before, after) {
			mem.Close()
			continue
		}
		by, err := readIndex(mem)
		if err != nil {
			return fmt.Errorf("read %s: %w", f.Name(), err)
		}
		s.state, s.index = before, snapshotIndex{root: root, by: by}
		return nil
	}
	return fault.New(fault.Unavailable, "%s changes faster than it can be read", f.Name())
}

// metaPages are the first two pages of a bbolt database, where the root of
// each of the last two transactions is.
func metaPages(f *os.File) ([]byte, error) {
	const (
		pageSizeAt = 16 + 8 // page header, magic, version
		minPage    = 1 << 10
		maxPage    = 64 << 10
	)
	var head [pageSizeAt + 4]byte
	if _, err := f.ReadAt(head[:], 0); err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	size := binary.NativeEndian.Uint32(head[pageSizeAt:])
	if size < minPage || size > maxPage {
		return nil, fault.New(fault.Invalid, "%s: page size %d", f.Name(), size)
	}
	pages := make([]byte, 2*size)
	if _, err := f.ReadAt(pages, 0); err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	return pages, nil
}

// copyToMemory copies f to an anonymous file in memory: bbolt wants a file to
// map and lock, and nothing may be written to disk.
func copyToMemory(f *os.File) (*os.File, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if fi.Size() > maxMetadataBytes {
		return nil, fault.New(fault.TooLarge, "%s has %d bytes: the limit is %d", f.Name(), fi.Size(), maxMetadataBytes)
	}
	fd, err := unix.MemfdCreate("snapshots", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	mem := os.NewFile(uintptr(fd), "copy of "+f.Name())
	if _, err := io.Copy(mem, io.NewSectionReader(f, 0, fi.Size())); err != nil {
		mem.Close()
		return nil, err
	}
	return mem, nil
}

// readIndex reads a copy of the database and closes it. The layout is that of
// containerd's package core/snapshots/storage: v1/snapshots/KEY/{id,kind,size},
// numbers as varints; KEY is "namespace/sequence/name", and the name of an
// unpacked layer is its chain ID.
func readIndex(mem *os.File) (by map[image.Digest]snapshot, err error) {
	// bbolt panics on pages that make no sense, and follows page numbers
	// out of the file.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fault.New(fault.Invalid, "damaged database: %v", p)
		}
	}()
	db, err := bolt.Open(mem.Name(), 0, &bolt.Options{
		ReadOnly: true,
		OpenFile: func(string, int, os.FileMode) (*os.File, error) { return mem, nil },
	})
	if err != nil {
		mem.Close()
		return nil, err
	}
	defer db.Close()
	by = map[image.Digest]snapshot{}
	return by, db.View(func(tx *bolt.Tx) error {
		v1 := tx.Bucket([]byte("v1"))
		if v1 == nil {
			return nil
		}
		all := v1.Bucket([]byte("snapshots"))
		if all == nil {
			return nil
		}
		return all.ForEachBucket(func(k []byte) error {
			parts := strings.SplitN(string(k), "/", 3)
			if len(parts) != 3 {
				return nil
			}
			chain, err := image.ParseDigest(parts[2])
			if err != nil || string(chain) != parts[2] {
				return nil // a container's layer, or one that is being unpacked
			}
			b := all.Bucket(k)
			if kind := b.Get([]byte("kind")); len(kind) != 1 || kind[0] != kindCommitted {
				return nil
			}
			id, n := binary.Uvarint(b.Get([]byte("id")))
			if n <= 0 {
				return nil
			}
			size, _ := binary.Uvarint(b.Get([]byte("size")))
			// Two namespaces may each have unpacked the same layer.
			if old, ok := by[chain]; !ok || id < old.id {
				by[chain] = snapshot{id: id, size: int64(min(size, 1<<62))}
			}
			return nil
		})
	})
}

// denied reports whether the data root is there and closed to us.
func (rs roots) denied() bool {
	for _, dir := range []string{rs.content, rs.overlayfs} {
		if dir == "" {
			continue
		}
		if _, err := os.ReadDir(dir); errors.Is(err, fs.ErrPermission) {
			return true
		}
	}
	return false
}
