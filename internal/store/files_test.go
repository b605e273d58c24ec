package store

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

func sha(n int) (s report.SHA256) {
	s[0], s[7], s[8], s[31] = 0xff, byte(n), byte(n), byte(n)
	return s
}

// fileImage is an image of two layers: layer 100, which all of them share, and one
// of its own.
func fileImage(n int) (config []byte, img *fleet.ImageReport) {
	config = fmt.Appendf(nil, `{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[%q,%q]}}`, digest(100), digest(n))
	return config, &fleet.ImageReport{
		ConfigDigest: image.DigestOf(config), Analyzers: testAnalyzers, DiffIDs: []image.Digest{digest(100), digest(n)}, Config: config,
	}
}

func fileState(n int, tag string) fleet.ImageState {
	config, _ := fileImage(n)
	s := state(n, ref("web", tag))
	s.ConfigDigest = image.DigestOf(config)
	return s
}

// fileLayer is layer n with some files.
func fileLayer(n int, files ...report.File) *report.LayerReport {
	r := layer(n)
	r.FilesRead = true
	for i := range files {
		r.Hides = append(r.Hides, report.PathHash(files[i].Path))
	}
	r.Files = files
	r.Normalize()
	return r
}

func file(p string, n int) report.File {
	return report.File{Path: p, Size: int64(n), Mode: 0o755, Kind: report.KindELF, SHA256: sha(n), Owned: n%2 == 1}
}

func (w *world) whoFile(n int, list Whose, p Page) Who {
	w.t.Helper()
	out, err := w.WhoHasFile(w.t.Context(), w.project(), sha(n), list, p)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func TestWhoHasFile(t *testing.T) { onEngines(t, testWhoHasFile) }

func testWhoHasFile(t *testing.T) {
	w := newWorld(t)
	one, two, three := fileState(1, "1"), fileState(2, "2"), fileState(3, "3")
	one.Containers = []image.Container{{ID: "c1", Name: "front", Running: true}}
	k := w.agent("a", one, two, three, state(4, ref("plain", "1")))
	b := w.agent("b", one)
	scan := func(layers ...*report.LayerReport) {
		t.Helper()
		for _, l := range layers {
			if err := w.PutLayer(t.Context(), l); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Scan(t.Context(), w.project(), ScanRequest{All: true, TaskType: TaskManual}); err != nil {
			t.Fatal(err)
		}
		for {
			jobs := w.sync(k, maxLease, nil, nil).Jobs
			if len(jobs) == 0 {
				return
			}
			for _, j := range jobs {
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
		}
	}
	p := Page{Limit: 50}
	if got := w.whoFile(11, WhoseImages, p); got.Images != 0 || got.FilesUnknown != 4 {
		t.Errorf("before the first scan: %+v", got)
	}
	// Image 2 replaces /bin/a and image 3 deletes the directory; image 4 was
	// scanned without digests.
	third := fileLayer(3, file("/opt/a", 11), file("/opt/b", 11))
	third.Whiteouts = []string{"/bin"}
	third.Ledger.LeaveOut("too-large", 1)
	scan(fileLayer(100, file("/bin/a", 11), file("/bin/b", 12)), fileLayer(1, file("/srv/x", 13)), fileLayer(2, file("/bin/a", 14)), third, layer(4))

	names := func(n int) []string {
		var out []string
		for _, i := range w.whoFile(n, WhoseImages, p).ImageList {
			for _, f := range i.Files {
				out = append(out, i.Name+":"+i.Version+" "+f.Path+" "+image.Digest(f.Layer).Short())
			}
			if i.FileNum != int64(len(i.Files)) {
				t.Errorf("%d places of %d", len(i.Files), i.FileNum)
			}
		}
		slices.Sort(out)
		return out
	}
	base, top := digest(100).Short(), digest(3).Short()
	for n, want := range map[int][]string{
		11: {"web:1 /bin/a " + base, "web:3 /opt/a " + top, "web:3 /opt/b " + top},
		12: {"web:1 /bin/b " + base, "web:2 /bin/b " + base},
		13: {"web:1 /srv/x " + digest(1).Short()},
		14: {"web:2 /bin/a " + digest(2).Short()},
		15: nil,
	} {
		if d := cmp.Diff(want, names(n)); d != "" {
			t.Errorf("file %d: %s", n, d)
		}
	}
	got := w.whoFile(11, WhoseImages, p)
	if got.Images != 2 || got.Hosts != 2 || got.Containers != 2 || got.FilesUnknown != 1 || got.FilesLeftOut != 1 {
		t.Errorf("numbers: %+v", got)
	}
	want := WhoFile{Path: "/srv/x", Layer: string(digest(1)), Kind: report.KindELF, Size: 13, Mode: 0o755, Owned: true}
	if d := cmp.Diff(want, w.whoFile(13, WhoseImages, p).ImageList[0].Files[0]); d != "" {
		t.Error(d)
	}
	if h := w.whoFile(12, WhoseHosts, Page{Offset: 1, Limit: 5}); h.Hosts != 2 || len(h.HostList) != 1 {
		t.Errorf("hosts: %+v", h)
	}
	if c := w.whoFile(12, WhoseContainers, p); len(c.ContainerList) != 2 || c.ContainerList[0].Name != "front" {
		t.Errorf("containers: %+v", c)
	}
	seen := map[string]bool{}
	for at := range int64(2) {
		for _, i := range w.whoFile(12, WhoseImages, Page{Offset: at, Limit: 1}).ImageList {
			seen[i.Version] = true
		}
	}
	if len(seen) != 2 {
		t.Errorf("pages show %v", seen)
	}
	// The same first eight bytes do not make another file this one.
	other := sha(11)
	other[31]++
	if who, err := w.WhoHasFile(t.Context(), w.project(), other, WhoseImages, p); err != nil || who.Images != 0 {
		t.Errorf("another file with the same key: %+v, %v", who, err)
	}
	if who, err := w.WhoHasFile(t.Context(), "nobody", sha(11), WhoseImages, p); err != nil || !cmp.Equal(who, Who{}) {
		t.Errorf("another project: %+v, %v", who, err)
	}
	if _, err := w.WhoHasFile(t.Context(), w.project(), sha(11), "moons", p); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("a list of moons: %v", err)
	}
	count := func() [3]int {
		t.Helper()
		var n [3]int
		for i, table := range []string{"file_list", "file_entry", "file_part"} {
			if err := w.read.QueryRow("SELECT COUNT(*) FROM " + table).Scan(&n[i]); err != nil {
				t.Fatal(err)
			}
		}
		return n
	}
	// Four layers, one of them once for all images; of it image 1 has
	// everything, image 2 a part, and image 3 nothing.
	if got := count(); got != [3]int{4, 6, 5} {
		t.Errorf("rows: %v", got)
	}
	w.reopen()
	scan()
	if got := count(); got != [3]int{4, 6, 5} {
		t.Errorf("rows after scanning again: %v", got)
	}
	if d := cmp.Diff([]string{"web:1 /bin/b " + base, "web:2 /bin/b " + base}, names(12)); d != "" {
		t.Error(d)
	}
	w.sync(k, 0, nil, []fleet.ImageState{two})
	w.sync(b, 0, nil, []fleet.ImageState{})
	if d := cmp.Diff([]string{"web:2 /bin/b " + base}, names(12)); d != "" {
		t.Error(d)
	}
	w.sync(k, 0, nil, []fleet.ImageState{})
	w.add(keepGone + time.Hour)
	if err := w.Sweep(t.Context(), w.ms()); err != nil {
		t.Fatal(err)
	}
	if got := count(); got != [3]int{} {
		t.Errorf("rows that are left: %v", got)
	}
}

// TestManyPlaces holds that the answer stays small when one image has a file
// many times.
func TestManyPlaces(t *testing.T) {
	w := newWorld(t)
	k := w.agent("a", state(2, ref("web", "2")))
	l := layer(2)
	l.FilesRead = true
	for n := range 3 * maxPlaces {
		l.Files = append(l.Files, file(fmt.Sprintf("/opt/%04d", n), 11))
	}
	if err := w.PutLayer(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	w.scanAll(k, 2) // the first report stands
	got := w.whoFile(11, WhoseImages, Page{Limit: 10})
	if len(got.ImageList) != 1 || len(got.ImageList[0].Files) != maxPlaces || got.ImageList[0].FileNum != 3*maxPlaces {
		t.Errorf("%+v", got)
	}
}

func TestPackedNumbers(t *testing.T) {
	for _, numbers := range [][]int{nil, {0}, {0, 1, 300, 19_999}, {7}} {
		packed := packNumbers(numbers)
		for n := range 20_001 {
			if got, want := inNumbers(packed, int64(n)), slices.Contains(numbers, n); got != want {
				t.Fatalf("%v: %d in it: %v", numbers, n, got)
			}
		}
	}
	if inNumbers([]byte{0x80}, 0) {
		t.Error("damaged numbers have 0")
	}
}
