package fault

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestCodeOf(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		want Code
	}{
		{"nil", nil, Internal},
		{"plain", errors.New("x"), Internal},
		{"coded", New(NotFound, "image %s", "a"), NotFound},
		{"wrapped by fmt", fmt.Errorf("open: %w", New(Invalid, "bad")), Invalid},
		{"outer wins", New(Unavailable, "engine: %w", New(NotFound, "x")), Unavailable},
		{"wrap", Wrap(TooLarge, io.EOF, "read body"), TooLarge},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := CodeOf(tc.err); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestCauseStaysReachable(t *testing.T) {
	for name, err := range map[string]error{
		"New":  New(Invalid, "read: %w", io.ErrUnexpectedEOF),
		"Wrap": Wrap(Invalid, io.ErrUnexpectedEOF, "read"),
	} {
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: cause lost", name)
		}
		if want := "read: unexpected EOF"; err.Error() != want {
			t.Errorf("%s: got %q, want %q", name, err.Error(), want)
		}
	}
	if Wrap(Invalid, nil, "x") != nil {
		t.Error("Wrap(nil) is not nil")
	}
}
