package inotify

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onceover/onceover/internal/fault"
)

const (
	// maxDirs bounds the directories of one Watch. What is beyond is not
	// watched: its changes are found by the caller's own look now and then.
	maxDirs = 4096
	// pause is the shortest time between two looks at what has happened,
	// so that a directory in which much happens costs little.
	pause = 100 * time.Millisecond
	// armTries is how often a directory is looked for that comes and goes.
	armTries = 4
	// readBytes holds some hundred events.
	readBytes = 16 << 10
)

// A Watch says what to look at.
type Watch struct {
	// Dirs are the directories. In place of one that is not there its
	// nearest parent is watched until it is. Dirs is called again after
	// directories have come or gone.
	Dirs func() []string
	// Relevant reports whether a change of this entry of a directory
	// matters. An entry of a parent that stands in for a directory matters
	// if it is on the way there.
	Relevant func(dir, name string) bool
	// Contents asks for changes of the contents of files too.
	Contents bool
}

// Run calls changed once when it has begun, and after each change that
// matters. It returns nil when ctx is done, and a fault.Unavailable error where
// the kernel does not let us watch.
func (w Watch) Run(ctx context.Context, changed func()) error {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return fault.New(fault.Unavailable, "watch directories: %w", err)
	}
	// Non-blocking, it is read by way of the runtime's poller.
	f := os.NewFile(uintptr(fd), "inotify")
	defer f.Close()
	defer context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })()

	s := state{Watch: w, fd: fd, dirs: map[int]dir{}}
	if err := s.arm(); err != nil {
		return err
	}
	changed()
	buf := make([]byte, readBytes)
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for {
		n, err := f.Read(buf)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fault.New(fault.Unavailable, "watch directories: %w", err)
		}
		matters, rearm := s.read(buf[:n])
		if rearm {
			if err := s.arm(); err != nil {
				return err
			}
		}
		if matters {
			changed()
		}
		timer.Reset(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// state is a Watch at work.
type state struct {
	Watch
	fd   int
	dirs map[int]dir // by watch descriptor
}

// dir is one directory that is watched.
type dir struct {
	path string
	// next are the names that lead on to a directory that is not there.
	next map[string]bool
	// wanted says that it is one of Dirs, and not only a parent.
	wanted bool
}

// arm watches what is to be watched now and no more.
func (s *state) arm() error {
	dirs := map[int]dir{}
	for i, want := range s.Dirs() {
		if i == maxDirs {
			break
		}
		if err := s.add(dirs, filepath.Clean(want)); err != nil {
			return err
		}
	}
	for wd := range s.dirs {
		if _, ok := dirs[wd]; !ok {
			_, _ = unix.InotifyRmWatch(s.fd, uint32(wd)) // it may be gone already
		}
	}
	s.dirs = dirs
	return nil
}

// add watches one directory or its nearest parent.
func (s *state) add(dirs map[int]dir, want string) error {
	for range armTries {
		at, next, err := s.nearest(dirs, want)
		if err != nil || next == "" {
			return err
		}
		if _, err := os.Lstat(filepath.Join(at, next)); err != nil {
			return nil
		}
		// It has come while we looked, or is no directory.
	}
	return nil
}

// nearest watches a directory, or the nearest parent that there is; next is the
// name that leads on from there, "" from the directory itself.
func (s *state) nearest(dirs map[int]dir, want string) (at, next string, err error) {
	for at = want; ; at, next = filepath.Dir(at), filepath.Base(at) {
		wd, err := unix.InotifyAddWatch(s.fd, at, s.mask())
		switch {
		case err == nil:
			d, ok := dirs[wd]
			if !ok {
				d = dir{path: at, next: map[string]bool{}}
			}
			if next == "" {
				d.path, d.wanted = at, true
			} else {
				d.next[next] = true
			}
			dirs[wd] = d
			return at, next, nil
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR), errors.Is(err, fs.ErrPermission), errors.Is(err, unix.ELOOP):
			if at == "/" || at == "." {
				return at, "", nil
			}
		default:
			return at, next, fault.New(fault.Unavailable, "watch %s: %w", at, err)
		}
	}
}

func (s *state) mask() uint32 {
	m := uint32(unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR)
	if s.Contents {
		m |= unix.IN_MODIFY
	}
	return m
}

// read takes events apart (struct inotify_event). matters says that one is
// relevant, rearm that directories have come or gone.
func (s *state) read(b []byte) (matters, rearm bool) {
	for len(b) >= unix.SizeofInotifyEvent {
		wd := int(int32(binary.NativeEndian.Uint32(b)))
		mask := binary.NativeEndian.Uint32(b[4:])
		size := int(binary.NativeEndian.Uint32(b[12:]))
		b = b[unix.SizeofInotifyEvent:]
		if size > len(b) {
			return true, true // never, says the manual page
		}
		name := string(bytes.TrimRight(b[:size], "\x00"))
		b = b[size:]
		if mask&unix.IN_Q_OVERFLOW != 0 {
			return true, true
		}
		d, ok := s.dirs[wd]
		if !ok {
			continue // of a directory that is not watched any more
		}
		switch {
		case mask&(unix.IN_DELETE_SELF|unix.IN_MOVE_SELF|unix.IN_IGNORED|unix.IN_UNMOUNT) != 0:
			delete(s.dirs, wd)
			if mask&unix.IN_MOVE_SELF != 0 {
				_, _ = unix.InotifyRmWatch(s.fd, uint32(wd))
			}
			matters, rearm = matters || d.wanted, true
		case d.next[name]:
			matters, rearm = true, true
		case d.wanted:
			rearm = rearm || mask&unix.IN_ISDIR != 0
			matters = matters || s.Relevant(d.path, name)
		}
	}
	return matters, rearm
}
