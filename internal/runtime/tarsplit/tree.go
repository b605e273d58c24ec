package tarsplit

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onceover/onceover/internal/fault"
)

const (
	// maxLinks is how many symbolic links one name may lead through; the
	// kernel follows 40.
	maxLinks = 40
	// maxSteps bounds the directories that one name may lead through.
	maxSteps = 4096
	// noFollow are the flags for what may be a trap: a link, a pipe, a terminal.
	noFollow = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC | unix.O_NOCTTY
)

// A tree opens files beneath a directory as a process would that has it as its
// root: symbolic links are followed, and never lead out. The engine wrote the
// layer in such a process, so that a name of the layer can go through links
// of the layers below.
type tree struct {
	root  int
	owner *uint32

	// at is the directory that was opened last, which the next file is
	// usually in too.
	at   string
	atFD int
}

func openTree(dir string, owner *uint32) (*tree, error) {
	fd, err := unix.Open(dir, noFollow|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	return &tree{root: fd, owner: owner, atFD: -1}, nil
}

func (t *tree) close() {
	if t.atFD >= 0 {
		_ = unix.Close(t.atFD)
	}
	_ = unix.Close(t.root)
}

// open opens a regular file.
func (t *tree) open(name string) (*os.File, error) {
	clean := path.Clean("/" + name)
	dir, base := path.Split(clean)
	if base == "" {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if t.atFD < 0 || dir != t.at {
		fd, err := t.dir(dir)
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		if t.atFD >= 0 {
			_ = unix.Close(t.atFD)
		}
		t.at, t.atFD = dir, fd
	}
	fd, err := unix.Openat(t.atFD, base, noFollow, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	if err := regular(fd, t.owner); err != nil {
		_ = unix.Close(fd)
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// dir opens a directory, following links. The stack holds the descriptors of
// the directories from the root to where it is, so that ".." is a step back.
func (t *tree) dir(name string) (int, error) {
	var stack []int
	defer func() {
		for _, fd := range stack {
			_ = unix.Close(fd)
		}
	}()
	here := func() int {
		if len(stack) == 0 {
			return t.root
		}
		return stack[len(stack)-1]
	}
	todo := strings.Split(name, "/")
	links := 0
	for steps := 0; len(todo) > 0; steps++ {
		if steps > maxSteps {
			return 0, unix.ENAMETOOLONG
		}
		step := todo[0]
		todo = todo[1:]
		switch step {
		case "", ".":
			continue
		case "..":
			if n := len(stack); n > 0 {
				_ = unix.Close(stack[n-1])
				stack = stack[:n-1]
			}
			continue
		}
		fd, err := unix.Openat(here(), step, noFollow|unix.O_DIRECTORY, 0)
		if err == nil {
			stack = append(stack, fd)
			continue
		}
		if !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ELOOP) {
			return 0, err
		}
		var buf [maxNameBytes]byte
		n, lerr := unix.Readlinkat(here(), step, buf[:])
		if lerr != nil {
			return 0, err
		}
		if links++; links > maxLinks {
			return 0, unix.ELOOP
		}
		target := string(buf[:n])
		if strings.HasPrefix(target, "/") {
			for _, fd := range stack {
				_ = unix.Close(fd)
			}
			stack = nil
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	return unix.FcntlInt(uintptr(here()), unix.F_DUPFD_CLOEXEC, 0)
}

// regular refuses what is no regular file, and what belongs to root in a store
// that does not.
func regular(fd int, owner *uint32) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return fault.New(fault.Invalid, "no regular file")
	}
	if owner != nil && st.Uid == 0 && *owner != 0 {
		return fault.New(fault.Forbidden, "belongs to root in a store of user %d", *owner)
	}
	return nil
}
