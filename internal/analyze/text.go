package analyze

// Plain reports whether s can be a name or a version: not empty, no blanks, no
// control characters.
func Plain(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	return s != ""
}

// maxClip is how much of a damaged text a message shows.
const maxClip = 60

// Clip is the beginning of s, to be shown in a message.
func Clip[S string | []byte](s S) S { return s[:min(len(s), maxClip)] }
