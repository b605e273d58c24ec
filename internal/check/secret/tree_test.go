package secret

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
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

// trees are the directories that ONCEOVER_SECRET_TREES names, with colons
// between them: what distributions and registries publish.
func trees(t testing.TB) []string {
	t.Helper()
	list := filepath.SplitList(os.Getenv("ONCEOVER_SECRET_TREES"))
	if len(list) == 0 {
		t.Skip("ONCEOVER_SECRET_TREES names no directories")
	}
	return list
}

// TestCleanTrees counts what is found where nothing is.
func TestCleanTrees(t *testing.T) {
	e := engine(t)
	total := 0
	for _, root := range trees(t) {
		found, size := scanTree(t, e, root, root)
		total += len(found)
		t.Logf("%s: %d findings in %d MB", root, len(found), size>>20)
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

// TestThroughputBesideGitleaks reads the same trees with both, first with the
// engine, and compares the processor time that each takes. gitleaks leaves
// node_modules out: give it a tree with another name.
func TestThroughputBesideGitleaks(t *testing.T) {
	if os.Getenv("ONCEOVER_GITLEAKS") == "" {
		t.Skip("ONCEOVER_GITLEAKS does not name the program gitleaks")
	}
	for _, root := range trees(t) {
		// Once to fill the page cache, so that neither waits for the disk.
		scanTree(t, engine(t), root, root)
		own, start := usage(t, syscall.RUSAGE_SELF), time.Now()
		_, size := scanTree(t, engine(t), root, root)
		own, wall := usage(t, syscall.RUSAGE_SELF)-own, time.Since(start)
		theirs, start := usage(t, syscall.RUSAGE_CHILDREN), time.Now()
		gitleaks(t, root)
		theirs, theirWall := usage(t, syscall.RUSAGE_CHILDREN)-theirs, time.Since(start)
		mb := float64(size) / 1e6
		ratio := theirs.Seconds() / own.Seconds()
		t.Logf("%s, %.0f MB: %.2f s of processor time (%.0f MB/s; %.2f s by the clock), gitleaks %.2f s (%.2f MB/s; %.2f s by the clock): %.0f times", root, mb,
			own.Seconds(), mb/own.Seconds(), wall.Seconds(), theirs.Seconds(), mb/theirs.Seconds(), theirWall.Seconds(), ratio)
		if ratio < 20 {
			t.Errorf("%s: %.1f times the throughput of gitleaks, want 20", root, ratio)
		}
	}
}

// usage is the processor time of this process or of its ended children.
func usage(t testing.TB, who int) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
