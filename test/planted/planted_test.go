package planted

import (
	"encoding/base64"
	"encoding/json"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/runtime"
)

func TestLeaks(t *testing.T) {
	const value = `Zx"9<&>\Qw!42` + "é"
	l := NewLeaks([]string{value, "other-value"})
	inJSON, err := json.Marshal(map[string]string{"a": value})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"as it is":      []byte("x " + value + " y"),
		"at the end":    []byte(value),
		"JSON":          inJSON,
		"base64":        []byte(base64.StdEncoding.EncodeToString([]byte(value))),
		"base64 of 1+":  []byte(base64.StdEncoding.EncodeToString([]byte("x" + value + "tail"))),
		"base64 of 2+":  []byte(base64.StdEncoding.EncodeToString([]byte("xy" + value))),
		"base64 of 10+": []byte(base64.URLEncoding.EncodeToString([]byte("0123456789" + value + "0"))),
	} {
		if got := l.In(text); !slices.Equal(got, []string{value}) {
			t.Errorf("%s: found %q in %q", name, got, text)
		}
	}
	if got := l.In([]byte(value[:len(value)-1] + " other-valu")); got != nil {
		t.Errorf("found %q", got)
	}
}

// TestForms holds that both forms of the images are readable and the same, and
// that each has what its Plot says.
func TestForms(t *testing.T) {
	p, err := Bad(rand.New(rand.NewPCG(1, 2)))
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Kinds) < 60 || len(p.Malware) < 30 || len(p.Users) < 5 || len(p.Values) < 100 {
		t.Fatalf("%d kinds of secrets, %d samples of malware, %d users, %d values", len(p.Kinds), len(p.Malware), len(p.Users), len(p.Values))
	}
	dir := t.TempDir()
	layout, archive := filepath.Join(dir, "oci"), filepath.Join(dir, "planted.tar")
	if err := WriteOCI(layout, p.Image, p.Base, Clean()); err != nil {
		t.Fatal(err)
	}
	if err := WriteArchive(archive, p.Image); err != nil {
		t.Fatal(err)
	}
	ids := map[string]image.Digest{}
	for _, target := range []string{"oci:" + layout, "docker-archive:" + archive} {
		src, ok, err := runtime.Open(t.Context(), target)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		defer runtime.CloseAll(src)
		list, err := src.Images(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, img := range list {
			ref := img.Names[0].String()
			if id, known := ids[ref]; known && id != img.ConfigDigest {
				t.Errorf("%s: %s in one form and %s in the other", ref, id, img.ConfigDigest)
			}
			ids[ref] = img.ConfigDigest
		}
	}
	if len(ids) != 3 {
		t.Errorf("images %v, want three", ids)
	}
}
