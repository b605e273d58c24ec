package inotify

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// event is a struct inotify_event.
func event(wd int32, mask uint32, name string) []byte {
	size := (len(name) + 16) / 16 * 16
	if name == "" {
		size = 0
	}
	b := binary.NativeEndian.AppendUint32(nil, uint32(wd))
	b = binary.NativeEndian.AppendUint32(b, mask)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = binary.NativeEndian.AppendUint32(b, uint32(size))
	return append(append(b, name...), make([]byte, size-len(name))...)
}

func FuzzRead(f *testing.F) {
	f.Add(event(1, unix.IN_CREATE, "images.json"))
	f.Add(append(event(2, unix.IN_CREATE|unix.IN_ISDIR, "a"), event(1, unix.IN_DELETE_SELF, "")...))
	f.Add(event(-1, unix.IN_Q_OVERFLOW, ""))
	f.Add([]byte{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := state{
			Watch: Watch{Relevant: func(_, name string) bool { return name == "images.json" }}, fd: -1,
			dirs: map[int]dir{1: {path: "/a", wanted: true}, 2: {path: "/", next: map[string]bool{"a": true}}},
		}
		s.read(b)
	})
}
