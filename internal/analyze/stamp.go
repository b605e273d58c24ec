package analyze

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
)

// Limits of LinkedVersion.
const (
	// maxStampBytes is how much read-only data is searched. The largest Go
	// programs met have 80 MB of it.
	maxStampBytes = 256 << 20
	stampChunk    = 256 << 10
	// maxStamp is the longest version that is recognised.
	maxStamp = 80
)

// LinkedVersion is the release number that Go's linker was told to store in a Go
// program ("-X main.version=v1.2.3"), where the build information does not tell:
// with -trimpath it leaves the flags out, and before Go 1.18 it had none. It is
// "1.2.3", or "1.2.3-rc.1"; "" if there is none or more than one.
//
// The linker ends such a string with a zero byte, which it does with no other
// text of a Go program; C code that is linked in does it with all of its own, so
// the answer is to be believed for programs without cgo only, or for one whose
// versions are known not to be mistaken.
func LinkedVersion(ctx context.Context, r io.ReaderAt) (string, error) {
	s, _ := FindSection(r, ".rodata")
	if s == nil {
		return "", nil
	}
	found := ""
	buf := make([]byte, stampChunk+2*maxStamp)
	for off := int64(0); off < min(s.Size(), maxStampBytes); off += stampChunk {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := s.ReadAt(buf, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		b := buf[:n]
		for at := 0; ; at++ {
			i := bytes.IndexByte(b[at:], '.')
			if i < 0 {
				break
			}
			at += i
			text, ok := zeroBounded(b, at)
			if !ok {
				continue
			}
			v, ok := release(text)
			if !ok {
				continue
			}
			if v == "" || found != "" && found != v {
				return "", nil
			}
			found = v
		}
	}
	return found, nil
}

// zeroBounded is the text between two zero bytes whose first full stop is b[at].
func zeroBounded(b []byte, at int) (string, bool) {
	from := at
	for from > 0 && at-from < 5 && (isDigit(b[from-1]) || b[from-1] == 'v') {
		from--
	}
	if from == at || from == 0 || b[from-1] != 0 {
		return "", false
	}
	n := bytes.IndexByte(b[at:min(len(b), at+maxStamp)], 0)
	if n < 0 {
		return "", false
	}
	return string(b[from : at+n]), true
}

// release is the number of the release that s names: "1.2.3" of "v1.2.3+ds1-4".
// It is empty if s is a version and names none: "1.2.3-14-gdeadbee" is some
// commit after 1.2.3. ok is false if s is no version.
func release(s string) (v string, ok bool) {
	s = strings.TrimPrefix(s, "v")
	end := 0
	for part := range 3 {
		if part > 0 {
			if end == len(s) || s[end] != '.' {
				return "", false
			}
			end++
		}
		from := end
		for end < len(s) && isDigit(s[end]) {
			end++
		}
		if n := end - from; n == 0 || n > 4 || n > 1 && s[from] == '0' {
			return "", false
		}
	}
	v, rest := s[:end], s[end:]
	if strings.Trim(v, "0.") == "" {
		return "", false
	}
	if rest == "" {
		return v, true
	}
	for _, c := range []byte(rest) {
		if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'z') && strings.IndexByte("+-~._", c) < 0 {
			return "", false
		}
	}
	switch rest[0] {
	case '+', '~':
		if rest[0] == '~' && preRelease(rest[1:]) {
			return v + "-" + rest[1:], true
		}
		return v, true
	case '-':
		if preRelease(rest[1:]) {
			pre, _, _ := strings.Cut(rest, "+")
			return v + pre, true
		}
		if isDigit(rest[1%len(rest)]) && !strings.Contains(rest, "-g") {
			return v, true // the number of a package: 1.2.3-1
		}
		return "", true
	}
	return "", false
}

func preRelease(s string) bool {
	for _, p := range [...]string{"alpha", "beta", "rc", "pre", "preview"} {
		if strings.HasPrefix(strings.ToLower(s), p) {
			return true
		}
	}
	return false
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
