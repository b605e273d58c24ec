package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/onceover/onceover/test/planted"
)

// keyPlants are private keys and key stores, fresh ones.
func keyPlants(t testing.TB) map[string][]byte {
	t.Helper()
	keys, err := planted.Keys()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// TestPlantedKinds plants each kind in a tree, finds them, and looks for the
// values in all that is told of them. With ONCEOVER_GITLEAKS it also holds that nothing is missed that gitleaks finds in the same tree.
func TestPlantedKinds(t *testing.T) {
	e := engine(t)
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(7, 8))
	content, values := map[string][]byte{}, []string{}
	kinds := map[string]string{}
	for _, p := range planted.Secrets {
		text, vs := p.Grow(r)
		if _, twice := content[p.Path]; twice {
			t.Fatalf("two plants at %s", p.Path)
		}
		content[p.Path], kinds[p.Path] = []byte(text), p.Kind
		values = append(values, vs...)
	}
	for path, b := range keyPlants(t) {
		content[path], kinds[path] = b, "key "+path
		if block, _ := pem.Decode(b); block != nil {
			values = append(values, base64.StdEncoding.EncodeToString(block.Bytes)[20:60])
		}
	}
	if len(kinds) < 60 {
		t.Fatalf("%d kinds, want at least 60", len(kinds))
	}
	seen := map[string]bool{}
	for path, b := range content {
		at := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if !e.Wants(path, int64(len(b))) {
			t.Errorf("%s is not wanted", path)
		}
	}
	found, _ := scanTree(t, e, dir, "/")
	for _, f := range found {
		seen[f.Path] = true
		told, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			if len(v) > 6 && bytes.Contains(told, []byte(v)) {
				t.Errorf("%s: the value itself is told: %s", kinds[f.Path], told)
			}
		}
	}
	missed := []string{}
	for path, kind := range kinds {
		if !seen[path] {
			missed = append(missed, kind)
		}
	}
	slices.Sort(missed)
	t.Logf("%d of %d kinds found, %d findings", len(kinds)-len(missed), len(kinds), len(found))
	if len(missed) > 0 {
		t.Errorf("missed: %s", strings.Join(missed, ", "))
	}

	t.Run("gitleaks", func(t *testing.T) {
		theirs := gitleaks(t, dir)
		t.Logf("gitleaks finds %d of them", len(theirs))
		for rel, rules := range theirs {
			if path := "/" + rel; !seen[path] {
				t.Errorf("gitleaks finds %s (%s)", kinds[path], strings.Join(rules, ", "))
			}
		}
	})
}
