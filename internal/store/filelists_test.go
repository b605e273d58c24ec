package store

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/report"
)

// fileWorld is images 1 to 3 of a shared layer and one of their own, image 4 that
// was scanned without files, and image 5 that was not scanned.
func fileWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	states := []fleet.ImageState{fileState(1, "1"), fileState(2, "2"), fileState(3, "3"), state(4, ref("plain", "1"))}
	k := w.agent("a", states...)
	third := fileLayer(3, file("/opt/a", 5), file("/opt/b", 6))
	third.Whiteouts = []string{"/bin"}
	third.Ledger.LeaveOut("too-large", 1)
	shared := fileLayer(100, file("/bin/a", 1), file("/bin/b", 2), file("/bin/c.sh", 3), file("/etc/bin", 4))
	for _, l := range []*report.LayerReport{shared, fileLayer(1, file("/bin/c.sh", 7), file("/srv/x", 8)), fileLayer(2, file("/bin/a", 9), file("/bin/c.sh", 10)), third, layer(4)} {
		if err := w.PutLayer(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Scan(t.Context(), w.project(), ScanRequest{All: true, TaskType: TaskManual}); err != nil {
		t.Fatal(err)
	}
	for _, j := range w.sync(k, maxLease, nil, nil).Jobs {
		img := imageReport(4)
		for n := 1; n <= 3; n++ {
			if _, of := fileImage(n); of.ConfigDigest == j.ConfigDigest {
				img = of
			}
		}
		if err := w.Finish(t.Context(), k, j.ID, fleet.FinishRequest{Image: img}, w.ms()); err != nil {
			t.Fatal(err)
		}
	}
	w.sync(k, 0, nil, append(states, state(5, ref("new", "1"))))
	return w
}

func shown(files []ImageFile, total int64) []string {
	out := []string{fmt.Sprint("of ", total)}
	for _, f := range files {
		out = append(out, fmt.Sprint(f.Path, " ", f.Size))
	}
	return out
}

func TestFileLists(t *testing.T) { onEngines(t, testFileLists) }

func testFileLists(t *testing.T) {
	w := fileWorld(t)
	images := w.images()
	list := func(image, name string, p Page) []string {
		t.Helper()
		files, total, err := w.Files(t.Context(), w.project(), images[image].ID, name, p)
		if err != nil {
			t.Fatal(err)
		}
		return shown(files, total)
	}
	page := Page{Limit: 10}
	one := []string{"of 5", "/bin/a 1", "/bin/b 2", "/etc/bin 4", "/bin/c.sh 7", "/srv/x 8"}
	for _, tc := range []struct {
		image, name string
		p           Page
		want        []string
	}{
		{"web:1", "", page, one},
		{"web:2", "", page, []string{"of 4", "/bin/b 2", "/etc/bin 4", "/bin/a 9", "/bin/c.sh 10"}},
		{"web:3", "", page, []string{"of 3", "/etc/bin 4", "/opt/a 5", "/opt/b 6"}},
		{"web:1", "", Page{Limit: 2}, []string{"of 5", "/bin/a 1", "/bin/b 2"}},
		{"web:1", "", Page{Offset: 2, Limit: 2}, []string{"of 5", "/etc/bin 4", "/bin/c.sh 7"}},
		{"web:2", "", Page{Offset: 1, Limit: 2}, []string{"of 4", "/etc/bin 4", "/bin/a 9"}},
		{"web:1", "", Page{Offset: 5, Limit: 2}, []string{"of 5"}},
		{"web:1", "c.sh", page, []string{"of 1", "/bin/c.sh 7"}},
		{"web:1", "bin", page, []string{"of 1", "/etc/bin 4"}}, // no directory
		{"web:1", "/bin/a", page, []string{"of 0"}},
		{"web:3", "a", page, []string{"of 1", "/opt/a 5"}},
		{"web:1", "b", Page{Offset: 1, Limit: 1}, []string{"of 2", "/etc/bin 4"}},
		{"new:1", "", page, []string{"of 0"}},
	} {
		if d := cmp.Diff(tc.want, list(tc.image, tc.name, tc.p)); d != "" {
			t.Errorf("%s %q %+v: %s", tc.image, tc.name, tc.p, d)
		}
	}
	for name, want := range map[string]*FilesStat{"web:1": {5, 22, true}, "web:2": {4, 25, true}, "web:3": {3, 15, false}, "new:1": nil} {
		got, err := w.FilesStat(t.Context(), w.project(), images[name].ID)
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("%s: %v: %s", name, err, d)
		}
	}
	// A list that nobody made does not look empty.
	for what, f := range map[string]func(project, id string) error{
		"list": func(project, id string) error { _, _, err := w.Files(t.Context(), project, id, "", page); return err },
		"stat": func(project, id string) error { _, err := w.FilesStat(t.Context(), project, id); return err },
	} {
		if err := f(w.project(), images["plain:1"].ID); fault.CodeOf(err) != fault.Conflict || !strings.Contains(err.Error(), "--no-files") {
			t.Errorf("%s without files: %v", what, err)
		}
		if err := f(w.project(), "nope"); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%s of an unknown image: %v", what, err)
		}
		if err := f("other", images["web:1"].ID); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%s of another project's image: %v", what, err)
		}
	}

	// /bin/c.sh of the shared layer is hidden in all images, /bin/a in some.
	all := func(name string, p Page) map[string]bool {
		t.Helper()
		files, total, err := w.AllFiles(t.Context(), w.project(), name, p)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]bool{}
		for _, f := range shown(files, total) {
			out[f] = true
		}
		return out
	}
	set := func(words ...string) map[string]bool {
		out := map[string]bool{}
		for _, w := range words {
			out[w] = true
		}
		return out
	}
	whole := set("of 9", "/bin/a 1", "/bin/b 2", "/etc/bin 4", "/bin/c.sh 7", "/srv/x 8", "/bin/a 9", "/bin/c.sh 10", "/opt/a 5", "/opt/b 6")
	if d := cmp.Diff(whole, all("", page)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(set("of 3", "/bin/a 1", "/bin/a 9", "/opt/a 5"), all("a", page)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(set("of 0"), all("nope", page)); d != "" {
		t.Error(d)
	}
	got := set("of 9")
	for at := int64(0); at < 9; at += 2 {
		for f := range all("", Page{Offset: at, Limit: 2}) {
			got[f] = true
		}
	}
	if d := cmp.Diff(whole, got); d != "" {
		t.Errorf("in pages: %s", d)
	}
	if files, total, err := w.AllFiles(t.Context(), "other", "", page); err != nil || total != 0 || len(files) != 0 {
		t.Errorf("another project: %v, %v", files, err)
	}

	// A store of the version before this one.
	if _, err := w.write.ExecContext(t.Context(), `UPDATE file_part SET num = -1, size = -1`); err != nil {
		t.Fatal(err)
	}
	w.reopen()
	if _, err := w.FilesStat(t.Context(), w.project(), images["web:1"].ID); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("before files are counted: %v", err)
	}
	if _, _, err := w.AllFiles(t.Context(), w.project(), "", page); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("all before files are counted: %v", err)
	}
	if _, err := w.fillIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(one, list("web:1", "", page)); d != "" {
		t.Errorf("counted: %s", d)
	}
	if stat, err := w.FilesStat(t.Context(), w.project(), images["web:2"].ID); err != nil || *stat != (FilesStat{4, 25, true}) {
		t.Errorf("counted: %+v, %v", stat, err)
	}
	if d := cmp.Diff(whole, all("", page)); d != "" {
		t.Errorf("all counted: %s", d)
	}

	// A host that lets go of an image takes its files out of the list.
	var agent string
	if err := w.read.QueryRowContext(t.Context(), `SELECT ak FROM access_key WHERE agent_id <> ''`).Scan(&agent); err != nil {
		t.Fatal(err)
	}
	k, err := w.Key(t.Context(), agent)
	if err != nil {
		t.Fatal(err)
	}
	w.sync(k, 0, nil, []fleet.ImageState{fileState(3, "3")})
	if d := cmp.Diff(set("of 3", "/etc/bin 4", "/opt/a 5", "/opt/b 6"), all("", page)); d != "" {
		t.Errorf("one image: %s", d)
	}
	w.sync(k, 0, nil, []fleet.ImageState{state(4, ref("plain", "1"))})
	if _, _, err := w.AllFiles(t.Context(), w.project(), "", page); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("without files: %v", err)
	}
}
