package lines

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func TestReader(t *testing.T) {
	wide := strings.Repeat("x", bufferBytes+5)
	for _, tc := range []struct {
		name string
		text string
		want []string
	}{
		{"empty", "", nil},
		{"no end", "a\nb", []string{"a", "b"}},
		{"blank lines and CRLF", "a\r\n\r\n\nb\n", []string{"a", "", "", "b"}},
		{"wider than the buffer", wide + "\nb\n", []string{wide, "b"}},
		{"wide without end", wide, []string{wide}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := New(t.Context(), strings.NewReader(tc.text))
			var got []string
			for r.Next() {
				got = append(got, string(r.Line()))
				if r.Cut() {
					t.Error("line is marked as cut")
				}
			}
			if r.Err() != nil {
				t.Fatal(r.Err())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLongLineIsCutAndTheRestIsRead(t *testing.T) {
	r := New(t.Context(), strings.NewReader(strings.Repeat("x", MaxLineBytes+3)+"\nnext\n"))
	if !r.Next() || len(r.Line()) != MaxLineBytes || !r.Cut() {
		t.Fatalf("got %d bytes, cut %v", len(r.Line()), r.Cut())
	}
	if !r.Next() || string(r.Line()) != "next" || r.Cut() {
		t.Fatalf("got %q, cut %v", r.Line(), r.Cut())
	}
}

func TestLineOfTheLimitIsWhole(t *testing.T) {
	r := New(t.Context(), strings.NewReader(strings.Repeat("x", MaxLineBytes)+"\n"))
	if !r.Next() || len(r.Line()) != MaxLineBytes || r.Cut() {
		t.Fatalf("got %d bytes, cut %v", len(r.Line()), r.Cut())
	}
}

func TestErrors(t *testing.T) {
	boom := errors.New("boom")
	r := New(t.Context(), iotest.ErrReader(boom))
	if r.Next() || !errors.Is(r.Err(), boom) {
		t.Errorf("got %v", r.Err())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r = New(ctx, strings.NewReader("a\n"))
	if r.Next() || !errors.Is(r.Err(), context.Canceled) {
		t.Errorf("got %v", r.Err())
	}
}
