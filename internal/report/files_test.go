package report

import (
	"crypto/sha256"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// filesLayer is a layer of some files and of the directories that they lie in.
func filesLayer(diffID string, paths ...string) *LayerReport {
	r := &LayerReport{DiffID: diffID, Complete: true, FilesRead: true}
	for _, p := range paths {
		r.Files = append(r.Files, File{Path: p, Size: 1, SHA256: sha256.Sum256([]byte(diffID + p))})
		r.Passed = append(r.Passed, PathHash(p))
		for d := range parents(p) {
			r.Dirs = append(r.Dirs, PathHash(d))
		}
	}
	r.Normalize()
	return r
}

func TestHiddenFiles(t *testing.T) {
	base := func() *LayerReport { return filesLayer("base", "/bin/a", "/bin/b", "/opt/x/c", "/srv") }
	for _, tc := range []struct {
		name string
		top  func(r *LayerReport)
		want []string
	}{
		{"nothing", func(*LayerReport) {}, []string{"/bin/a", "/bin/b", "/opt/x/c", "/srv"}},
		{"deleted", func(r *LayerReport) { r.Whiteouts = []string{"/bin/a"} }, []string{"/bin/b", "/opt/x/c", "/srv"}},
		{"directory deleted", func(r *LayerReport) { r.Whiteouts = []string{"/opt"} }, []string{"/bin/a", "/bin/b", "/srv"}},
		{"opaque directory", func(r *LayerReport) { r.Opaques, r.Dirs = []string{"/bin"}, Hashes{PathHash("/bin")} }, []string{"/opt/x/c", "/srv"}},
		{"replaced by a symbolic link", func(r *LayerReport) {
			r.Hides, r.Symlinks = Hashes{PathHash("/bin/a")}, map[string]string{"/bin/a": "b"}
		}, []string{"/bin/b", "/opt/x/c", "/srv"}},
		{"directory replaced by a symbolic link", func(r *LayerReport) {
			r.Hides, r.Symlinks = Hashes{PathHash("/opt/x")}, map[string]string{"/opt/x": "/bin"}
		}, []string{"/bin/a", "/bin/b", "/srv"}},
		{"replaced by a device", func(r *LayerReport) { r.Hides = Hashes{PathHash("/bin/b")} }, []string{"/bin/a", "/opt/x/c", "/srv"}},
		{"replaced by a directory", func(r *LayerReport) { r.Dirs = Hashes{PathHash("/srv")} }, []string{"/bin/a", "/bin/b", "/opt/x/c"}},
		{"joined by a directory", func(r *LayerReport) { r.Dirs = Hashes{PathHash("/bin")} }, []string{"/bin/a", "/bin/b", "/opt/x/c", "/srv"}},
		{"replaced by a file without a digest", func(r *LayerReport) { r.Passed = Hashes{PathHash("/bin/a")} }, []string{"/bin/b", "/opt/x/c", "/srv"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			top := &LayerReport{DiffID: "top", Complete: true, FilesRead: true}
			tc.top(top)
			var got []string
			for _, f := range VisibleFiles([]*LayerReport{base(), top}) {
				got = append(got, f.Path)
				if f.Layer != "base" {
					t.Errorf("%s is of layer %q", f.Path, f.Layer)
				}
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	layers := []*LayerReport{base(), filesLayer("top", "/bin/b"), base()}
	layers[2].DiffID = "again"
	if d := cmp.Diff([][]int{{0, 1, 2, 3}, {0}, nil}, HiddenFiles(layers)); d != "" {
		t.Error(d)
	}
}

func TestSHA256(t *testing.T) {
	want := SHA256(sha256.Sum256([]byte("x")))
	b, err := json.Marshal(want)
	var got SHA256
	if err == nil {
		err = json.Unmarshal(b, &got)
	}
	if err != nil || got != want {
		t.Errorf("%s: %v", b, err)
	}
	for _, bad := range []string{"", "00", strings.Repeat("g", 64), strings.Repeat("0", 63), strings.Repeat("0", 66)} {
		if err := got.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
