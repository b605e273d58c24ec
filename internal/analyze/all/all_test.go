package all

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onceover/onceover/test/shareddata"
)

// Every folder of analysers is in the set and in the table of the
// documentation, under the name in its key.
func TestEveryAnalyserIsListed(t *testing.T) {
	keys := map[string]bool{}
	for _, a := range Set().Analyzers() {
		name, _, _ := strings.Cut(a.Key(), "/")
		if keys[name] {
			t.Errorf("%s is listed twice", name)
		}
		keys[name] = true
	}
	dirs, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.Join(shareddata.Root(), "docs", "analysers.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		switch d.Name() {
		case "all", "analyzetest", "lines":
			continue
		}
		if !d.IsDir() {
			continue
		}
		if !keys[d.Name()] {
			t.Errorf("%s is not in the set", d.Name())
		}
		if !strings.Contains(string(doc), "\n| `"+d.Name()+"` |") {
			t.Errorf("%s is not in the table of docs/analysers.md", d.Name())
		}
		delete(keys, d.Name())
	}
	for name := range keys {
		t.Errorf("the key %s names no folder", name)
	}
}
