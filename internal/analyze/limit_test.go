package analyze

import (
	"errors"
	"strings"
	"testing"
)

func TestLimitedWrapsErrLimit(t *testing.T) {
	err := Limited("stanzas", 12, 10)
	if !errors.Is(err, ErrLimit) {
		t.Error("ErrLimit is not wrapped")
	}
	if want := "12 stanzas: limit crossed: at most 10"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
}

func TestProblemsAreCountedBeyondTheLimit(t *testing.T) {
	var p Problems
	if p.List() != nil {
		t.Error("no problems must give no list")
	}
	for range maxProblems + 7 {
		p.Add("/x", "k/1", "stanza %d", 1)
	}
	got := p.List()
	if len(got) != maxProblems+1 {
		t.Fatalf("got %d problems, want %d", len(got), maxProblems+1)
	}
	if last := got[maxProblems].Message; !strings.Contains(last, "7 more") {
		t.Errorf("got %q", last)
	}
}
