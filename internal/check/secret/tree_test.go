package secret

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// scanTree scans all regular files below root as an image with them at root
// itself, and returns what it finds and how many bytes the files hold.
func scanTree(t testing.TB, e *Engine, root, at string) (found []Secret, size int64) {
	t.Helper()
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		size += info.Size()
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		path := filepath.Join(at, rel)
		if !e.Wants(path, info.Size()) {
			return nil
		}
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		defer f.Close()
		s, err := e.Scan(t.Context(), path, f, info.Size())
		if err != nil {
			t.Logf("%s: %v", p, err)
		}
		found = append(found, s...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found, size
}

// TestCleanTrees counts what is found where nothing is: in what a distribution
// and a registry publish. ONCEOVER_NODE_MODULES is a tree of some 500 packages.
func TestCleanTrees(t *testing.T) {
	if testing.Short() {
		t.Skip("reads some hundred megabytes")
	}
	e := engine(t)
	total := 0
	for _, tree := range []struct{ root, at string }{
		{"/usr/share", "/usr/share"}, {"/usr/lib/python3", "/usr/lib/python3"}, {os.Getenv("ONCEOVER_NODE_MODULES"), "/app/node_modules"},
	} {
		if _, err := os.Stat(tree.root); err != nil {
			t.Logf("not here: %q", tree.root)
			continue
		}
		found, size := scanTree(t, e, tree.root, tree.at)
		total += len(found)
		t.Logf("%s: %d findings in %d MB", tree.root, len(found), size>>20)
		for i, f := range found {
			if i < 100 {
				t.Logf("  %s %s:%d %s", f.Rule, f.Path, f.Line, f.Context)
			}
		}
	}
	if total > 10 {
		t.Errorf("%d findings, want at most 10", total)
	}
}
