package layer

import (
	"archive/tar"
	"io/fs"
	"math"

	"golang.org/x/sys/unix"
)

// unknownID stands for an owner or group that the layer does not tell.
const unknownID = -1

// An owner is who a file belongs to within the image.
type owner struct{ uid, gid int }

// owners numbers the owners of a layer, so that a node needs two bytes for its
// own: layers have few. 0 is an unknown one, as are those beyond the last number.
// The zero value is ready.
type owners struct {
	list  []owner
	index map[owner]uint16
}

// of is the number of the owner of an entry.
func (o *owners) of(h *tar.Header) uint16 {
	who := owner{id(h.Uid), id(h.Gid)}
	if n, ok := o.index[who]; ok {
		return n
	}
	if o.index == nil {
		o.index, o.list = map[owner]uint16{}, []owner{{unknownID, unknownID}}
	}
	if len(o.list) > math.MaxUint16 {
		return 0
	}
	n := uint16(len(o.list))
	o.index[who], o.list = n, append(o.list, who)
	return n
}

func (o *owners) get(n uint16) owner {
	if n == 0 {
		return owner{unknownID, unknownID}
	}
	return o.list[n]
}

// id is a number of a header if it can be one.
func id(n int) int {
	if n < 0 || n > math.MaxUint32 {
		return unknownID
	}
	return n
}

// modeOf is the mode of an entry without its type, of which a header may say
// two things.
func modeOf(h *tar.Header) fs.FileMode { return h.FileInfo().Mode() &^ fs.ModeType }

// A rootID says which owner on this host is the superuser within images, whose
// own numbers then count from another place. The zero value maps nothing.
type rootID struct{ uid, gid uint32 }

const (
	// subordinate is where ranges of numbers for users begin at the
	// earliest (login.defs(5), SUB_UID_MIN is 100000). What begins there is
	// one range for all: docker's userns-remap. A superuser below is a plain
	// user with a range elsewhere that the layer does not tell.
	subordinate = 65536
	// ranged is how long such a range is (SUB_UID_COUNT).
	ranged = 65536
)

// rootOf finds out by the top of a layer: an engine without privileges owns it,
// and the directory that it lies in. An image may say itself that its top
// belongs to someone; it cannot say so of that directory.
func rootOf(top int) rootID {
	var own, above unix.Stat_t
	if unix.Fstat(top, &own) != nil || unix.Fstatat(top, "..", &above, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return rootID{}
	}
	if own.Uid == 0 || own.Uid != above.Uid && (own.Gid == 0 || own.Gid != above.Gid) {
		return rootID{}
	}
	return rootID{own.Uid, own.Gid}
}

func (r rootID) owner(st *unix.Stat_t) owner {
	if r.uid == 0 {
		return owner{int(st.Uid), int(st.Gid)}
	}
	return owner{inRange(st.Uid, r.uid), inRange(st.Gid, r.gid)}
}

// inRange is what the number n of this host is where root is 0.
func inRange(n, root uint32) int {
	switch {
	case n == root:
		return 0
	case root >= subordinate && n > root && n-root < ranged:
		return int(n - root)
	default:
		return unknownID
	}
}
