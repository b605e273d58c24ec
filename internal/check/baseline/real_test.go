package baseline

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onceover/onceover/test/shareddata"
)

// The real root file systems of Alpine: their files parse, every rule that can
// be asked is answered, and what a plain Alpine is known to pass passes.
func TestRealAlpine(t *testing.T) {
	roots, err := filepath.Glob(filepath.Join(shareddata.Dir(t), "images", "alpine-minirootfs-*.tar.gz"))
	if err != nil || len(roots) == 0 {
		t.Fatalf("no root file systems: %v", err)
	}
	set := builtin(t)
	for _, root := range roots {
		t.Run(filepath.Base(root), func(t *testing.T) {
			im := Image{Distribution: Distribution{ID: "alpine"}}
			readRoot(t, root, func(p string, st Stat, content []byte) {
				f, err := Facts(p, st, content)
				if err != nil {
					t.Errorf("%s: %v", p, err)
				}
				if f != nil {
					im.Files = append(im.Files, f)
				}
			})
			if len(im.Files) < 10 {
				t.Fatalf("facts of %d files", len(im.Files))
			}
			count := map[Status]int{}
			results := byRule(Evaluate(set, im))
			for _, r := range results {
				count[r.Status]++
				if r.Status == Failed {
					t.Logf("%s %s: %+v", r.RuleID, r.Name, r.Cases)
				}
				if r.Status == Unverified {
					t.Errorf("%s: %s", r.RuleID, r.Reason)
				}
			}
			t.Log(count)
			for _, id := range []string{"ACC-01", "ACC-02", "ACC-03", "ACC-04", "ACC-05", "ACC-06", "ACC-07", "ACC-11", "ACC-16", "ACC-18", "ACC-20",
				"ACC-21", "ACC-22", "ACC-24", "FILE-01", "FILE-02", "FILE-06", "FILE-17", "FILE-19", "FILE-22", "FILE-23", "FILE-24", "FILE-25"} {
				if r := results[id]; r.Status != Pass {
					t.Errorf("%s of a plain Alpine: %s %s %+v", id, r.Status, r.Reason, r.Cases)
				}
			}
			for _, id := range []string{"SSH-01", "NGINX-01", "REDIS-01", "MYSQL-01", "TOMCAT-01", "DOCKER-01", "SUDO-01", "LOG-01"} {
				if r := results[id]; r.Status != NotApplicable {
					t.Errorf("%s of a plain Alpine: %s %+v", id, r.Status, r.Cases)
				}
			}
		})
	}
}

// readRoot calls f for each directory and wanted file of a root file system.
func readRoot(t testing.TB, root string, f func(p string, st Stat, content []byte)) {
	t.Helper()
	file, err := os.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	gz, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	tr := tar.NewReader(gz)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		p := path.Clean("/" + strings.TrimPrefix(h.Name, "./"))
		st := Stat{Mode: h.FileInfo().Mode(), UID: h.Uid, GID: h.Gid, Size: h.Size}
		if !Wants(p, st.Mode) {
			continue
		}
		var content []byte
		if Reads(p) && st.Mode.IsRegular() {
			if content, err = io.ReadAll(io.LimitReader(tr, MaxFileBytes+1)); err != nil {
				t.Fatal(err)
			}
		}
		f(p, st, content)
	}
}
