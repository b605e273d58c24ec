package feed

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// What bounds a value and an element ends a reader after exactly as much as is
// allowed, and not before; the tests of the streams read as much as they allow.
func TestLimits(t *testing.T) {
	const size = 100
	text := func() io.Reader { return strings.NewReader(strings.Repeat("x\n", size)) }
	for name, r := range map[string]io.Reader{
		"value":   &Lines{r: text(), line: 1, left: size},
		"element": &limit{text(), size},
	} {
		if b, err := io.ReadAll(r); len(b) != size || !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %d bytes of %d, %v", name, len(b), size, err)
		}
	}
	again := NewLines(text())
	for _, left := range []int64{10, 10} {
		again.left = left
		if b, err := io.ReadAll(again); len(b) != 10 || !errors.Is(err, ErrTooLarge) {
			t.Errorf("%d bytes, %v", len(b), err)
		}
	}
	if again.Allow(); again.left != MaxDocumentBytes || again.At(20) != 11 {
		t.Errorf("%d bytes are allowed, line %d", again.left, again.At(20))
	}
}
