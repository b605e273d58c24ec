package scan

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/image"
)

// What a report shows of the history has no passwords.
func TestBuildCommands(t *testing.T) {
	const secret = "Zx81" + "-Spectrum"
	a, b := image.DigestOf([]byte("a")), image.DigestOf([]byte("b"))
	r := &Result{Config: image.Config{DiffIDs: []image.Digest{a, b}, Env: []string{"DB_PASSWORD=" + secret}, History: []image.History{
		{CreatedBy: "/bin/sh -c #(nop) ADD file:1 in / "}, {CreatedBy: "/bin/sh -c ./setup " + secret},
	}}}
	if d := cmp.Diff(map[string]string{string(a): "ADD file:1 in /", string(b): "RUN ./setup ***"}, r.BuildCommands()); d != "" {
		t.Error(d)
	}
}
