package layer

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// The extended attributes by which a layer directory says what its file modes
// cannot (kernel documentation, filesystems/overlayfs; fuse-overlayfs(1)).
const (
	trustedPrefix = "trusted.overlay."
	userPrefix    = "user.overlay."
	fusePrefix    = "user.fuseoverlayfs."
)

// maxAttrList is the most that a list of attribute names can take, and
// maxAttrValue the most that one value can: XATTR_LIST_MAX and XATTR_SIZE_MAX
// of Linux.
const (
	maxAttrList  = 64 << 10
	maxAttrValue = 64 << 10
)

// attrs are the overlay attributes of one file or directory.
type attrs struct {
	// opaque is 'y' for an opaque directory, 'x' for one whose whiteouts
	// may be regular files with an attribute.
	opaque byte
	// redirect is where the lower content of the entry is, "" for the same
	// place: "name" beside it, "/a/b" from the top.
	redirect string
	// metacopy marks a file whose data is in a lower layer.
	metacopy bool
	// whiteout marks an empty regular file that is a whiteout.
	whiteout bool
}

// prefixes are the attributes that the engine's mount obeys. A mount of the
// host's root obeys "trusted" names alone: "user" names in its layers are
// content of the image, and would let an image hide files from us that its
// containers see. Rootless engines cannot set the former and use the latter.
// Who made the directory that holds the layer tells which of them it is; the
// layer's own owner is the image's to choose.
func prefixes(root string) []string {
	var st unix.Stat_t
	if err := unix.Stat(filepath.Dir(filepath.Clean(root)), &st); err == nil && st.Uid == 0 && !inUserNamespace() {
		return []string{trustedPrefix}
	}
	return []string{trustedPrefix, userPrefix, fusePrefix}
}

// inUserNamespace reports whether uid 0 is only the root of a user namespace,
// as far as can be seen: a sandbox may hide the map, and then the owner of the
// file system's root, which is nobody in a namespace of some user, has to do.
func inUserNamespace() bool {
	if b, err := os.ReadFile("/proc/self/uid_map"); err == nil {
		f := strings.Fields(string(b))
		return len(f) != 3 || f[0] != "0" || f[1] != "0" || f[2] != "4294967295"
	}
	var st unix.Stat_t
	return unix.Stat("/", &st) == nil && st.Uid != 0
}

// attributes reads the overlay attributes of an open file. Most have none,
// and cost one system call.
func (w *dirWalker) attributes(fd int) (attrs, error) {
	n, err := unix.Flistxattr(fd, w.attrList)
	if errors.Is(err, unix.ERANGE) {
		w.attrList = make([]byte, maxAttrList)
		n, err = unix.Flistxattr(fd, w.attrList)
	}
	switch {
	case errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOSYS):
		return attrs{}, nil // a file system without attributes
	case err != nil:
		return attrs{}, fmt.Errorf("list attributes: %w", err)
	}
	var a attrs
	for list := w.attrList[:n]; len(list) > 0; {
		name, rest, _ := bytes.Cut(list, []byte{0})
		list = rest
		for _, prefix := range w.prefixes {
			if !bytes.HasPrefix(name, []byte(prefix)) {
				continue
			}
			if err := w.attribute(fd, string(name), prefix, &a); err != nil {
				return attrs{}, err
			}
		}
	}
	return a, nil
}

// attribute reads one attribute into a.
func (w *dirWalker) attribute(fd int, name, prefix string, a *attrs) error {
	key := strings.TrimPrefix(name, prefix)
	switch key {
	case "opaque", "redirect", "metacopy", "whiteout":
	default:
		return nil // origin, impure, uuid and others say nothing about content
	}
	value := make([]byte, 256)
	n, err := unix.Fgetxattr(fd, name, value)
	if errors.Is(err, unix.ERANGE) {
		value = make([]byte, maxAttrValue)
		n, err = unix.Fgetxattr(fd, name, value)
	}
	if err != nil {
		return fmt.Errorf("read attribute %s: %w", name, err)
	}
	value = value[:n]
	switch key {
	case "opaque":
		if len(value) == 1 && (value[0] == 'y' || value[0] == 'x' && prefix != fusePrefix) {
			a.opaque = value[0]
		}
	case "redirect":
		if !validRedirect(string(value)) {
			return fmt.Errorf("%w: overlay redirect to %q", ErrUnsupported, value)
		}
		a.redirect = string(value)
	case "metacopy":
		// The value is empty, or holds the fs-verity digest of the data
		// behind a header of four bytes: version, length, flags,
		// algorithm. Whether the digest is enforced is the mount's choice;
		// the content is the same.
		if len(value) > 0 && (len(value) < 4 || value[0] != 0 || int(value[1]) != len(value)) {
			return fmt.Errorf("%w: overlay metacopy of an unknown form", ErrUnsupported)
		}
		a.metacopy = true
	case "whiteout":
		a.whiteout = true
	}
	return nil
}

// validRedirect reports whether s is a name, or an absolute path without
// empty, "." or ".." elements.
func validRedirect(s string) bool {
	rest, abs := strings.CutPrefix(s, "/")
	if !abs && strings.Contains(s, "/") || len(s) > maxPath {
		return false
	}
	for part := range strings.SplitSeq(rest, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return true
}
