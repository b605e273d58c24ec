package baseline

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/all"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/sandbox"
	"github.com/onceover/onceover/internal/scan"
)

// TestMain makes the test program one that reads layers in a sandbox.
func TestMain(m *testing.M) {
	if sandbox.IsChild(os.Args) {
		os.Exit(scan.Child(func(key string, _ json.RawMessage) (*analyze.Set, error) {
			if report.CheckOf(key) == report.CheckBaseline {
				return factSet(), nil
			}
			return all.Set(), nil
		}))
	}
	os.Exit(m.Run())
}

func factSet() *analyze.Set { return analyze.NewSet(report.CheckBaseline, NewAnalyzer()) }

// A form makes a layer of files.
type form struct {
	name  string
	layer func(t testing.TB, files []testFile, gone []string) image.Layer
}

var forms = []form{{"stream", streamOf}, {"directory", directoryOf}}

// streamOf is a tar stream in which a later file takes the place of an earlier
// one.
func streamOf(t testing.TB, files []testFile, gone []string) image.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	write := func(h *tar.Header, content string) {
		err := w.WriteHeader(h)
		if err == nil {
			_, err = io.WriteString(w, content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range files {
		h := &tar.Header{Name: f.path[1:], Typeflag: tar.TypeReg, Mode: int64(unixMode(f.mode)), Uid: f.uid, Gid: f.gid, Size: int64(len(f.content))}
		if f.mode.IsDir() {
			h.Typeflag, h.Size = tar.TypeDir, 0
		}
		write(h, f.content)
	}
	for _, p := range gone {
		write(&tar.Header{Name: filepath.Join(filepath.Dir(p), ".wh."+filepath.Base(p))[1:], Typeflag: tar.TypeReg}, "")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return image.Layer{DiffID: image.DigestOf(b.Bytes()), Blob: func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b.Bytes())), nil
	}}
}

// directoryOf is the same as an engine unpacks it.
func directoryOf(t testing.TB, files []testFile, gone []string) image.Layer {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	root := t.TempDir()
	for _, f := range files {
		p := filepath.Join(root, f.path)
		err := os.MkdirAll(filepath.Dir(p), 0o755)
		if f.mode.IsDir() {
			err = errors.Join(err, os.MkdirAll(p, 0o755))
		} else {
			err = errors.Join(err, os.WriteFile(p, []byte(f.content), 0o600))
		}
		if err = errors.Join(err, os.Chown(p, f.uid, f.gid), os.Chmod(p, f.mode)); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range gone {
		p = filepath.Join(root, filepath.Dir(p), ".wh."+filepath.Base(p))
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return image.Layer{DiffID: streamOf(t, files, gone).DiffID, Dir: root}
}

// scanned reads layers in the sandbox, merges them, and makes the image that
// rules are asked about.
func scanned(t testing.TB, config string, layers ...image.Layer) Image {
	t.Helper()
	s := scan.New(scan.Config{Set: all.Set(), Checks: []*analyze.Set{factSet()}, Isolate: &scan.Isolation{}})
	var reports []*report.LayerReport
	for _, l := range layers {
		r, err := s.Layer(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Complete {
			t.Fatalf("incomplete: %+v", r.Problems)
		}
		reports = append(reports, r)
	}
	inv := report.Merge(reports)
	for _, p := range inv.Problems {
		t.Errorf("problem: %+v", p)
	}
	if _, ok := inv.Checked[report.CheckBaseline]; !ok {
		t.Error("the check is not in the ledger")
	}
	im, err := ImageOf(inv, []byte(config))
	if err != nil {
		t.Fatal(err)
	}
	return *im
}

// osRelease says what the distribution is.
func osRelease(d Distribution) testFile {
	return testFile{"/etc/os-release", 0o644, 0, 0, fmt.Sprintf("ID=%q\nVERSION_ID=%q\nID_LIKE=%q\n", d.ID, d.VersionID, strings.Join(d.Like, " "))}
}

// Show 4 of issue 5: every rule that should flip flips between a hardened image
// and one that a layer on top of it loosens, as it is scanned.
func TestEveryRuleFlipsInScans(t *testing.T) {
	set := builtin(t)
	for i, form := range forms {
		for k, f := range testFamilies {
			if testing.Short() && i != k {
				continue // a family in each form: the detector of races is slow
			}
			t.Run(form.name+"/"+f.family, func(t *testing.T) {
				base := form.layer(t, append(hardened(f.family), osRelease(f.distribution)), nil)
				good := byRule(Evaluate(set, scanned(t, hardenedConfig, base)))
				bad := []map[string]Result{
					byRule(Evaluate(set, scanned(t, loosenedConfig, base, form.layer(t, loosened(f.family), nil)))),
					byRule(Evaluate(set, scanned(t, alsoLoosenedConfig, base, form.layer(t, alsoLoosened(f.family), nil)))),
				}
				flipped := 0
				for _, row := range flips {
					if !slices.Contains(row.families, f.family) {
						continue
					}
					h, l := good[row.id], bad[row.loosened-1][row.id]
					if h.Status != Pass || l.Status != Failed {
						t.Errorf("%s: hardened %s %s %+v; loosened %s %s %+v", row.id, h.Status, h.Reason, h.Cases, l.Status, l.Reason, l.Cases)
						continue
					}
					flipped++
					if f.family == row.families[0] && (firstFound(h) != row.hardened || firstFound(l) != row.failed) {
						t.Errorf("%s: found %q, then %q: want %q, then %q", row.id, firstFound(h), firstFound(l), row.hardened, row.failed)
					}
				}
				t.Logf("%d rules flipped", flipped)
				for _, r := range good {
					if r.CheckName == CheckNameOS || r.Status == "" {
						t.Errorf("%s: check name %q, %s", r.RuleID, r.CheckName, r.Status)
					}
				}
			})
		}
	}
}

// An image without files: every rule is not applicable.
func TestEmptyScanIsNotApplicable(t *testing.T) {
	set := builtin(t)
	for _, form := range forms {
		for _, f := range testFamilies {
			im := scanned(t, `{}`, form.layer(t, []testFile{osRelease(f.distribution)}, nil))
			im.Config = nil
			results := Evaluate(set, im)
			if len(results) < 50 {
				t.Fatalf("%d results", len(results))
			}
			for _, r := range results {
				if r.Status != NotApplicable {
					t.Errorf("%s: %s of an empty image of %s is %s", form.name, r.RuleID, f.family, r.Status)
				}
			}
		}
	}
}

// The merged image is asked: a later layer replaces a file, deletes one, and
// changes the mode of a directory.
func TestLaterLayersCount(t *testing.T) {
	set := builtin(t)
	const sshd = "/etc/ssh/sshd_config"
	d := testFamilies[0].distribution
	var facts []*File
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			base := form.layer(t, []testFile{
				osRelease(d),
				{sshd, 0o600, 0, 0, "PermitRootLogin yes\n"},
				{"/etc/cron.allow", 0o666, 0, 0, "root\n"},
				{"/tmp", fs.ModeDir | 0o777, 0, 0, ""},
				{"/srv/open", 0o666, 0, 0, "x"},
				{"/srv/closed", 0o666, 0, 0, "x"},
			}, nil)
			status := func(layers ...image.Layer) map[string]string {
				out := map[string]string{}
				results := byRule(Evaluate(set, scanned(t, "{}", layers...)))
				for _, id := range []string{"SSH-01", "FILE-17", "FILE-20", "FILE-25"} {
					out[id] = string(results[id].Status)
					if c := firstFound(results[id]); c != "" {
						out[id] += " " + c
					}
				}
				return out
			}
			above := form.layer(t, []testFile{
				{sshd, 0o600, 0, 0, "PermitRootLogin no\n"},
				{"/tmp", fs.ModeDir | fs.ModeSticky | 0o777, 0, 0, ""},
				{"/srv/closed", 0o644, 0, 0, "x"},
			}, []string{"/etc/cron.allow"})
			if diff := cmp.Diff(map[string]string{
				"SSH-01": "failed yes", "FILE-17": "failed 0777 root:root", "FILE-20": "failed 0666 root:root", "FILE-25": "failed /srv/closed 0666, /srv/open 0666",
			}, status(base)); diff != "" {
				t.Errorf("before: %s", diff)
			}
			if diff := cmp.Diff(map[string]string{
				"SSH-01": "pass no", "FILE-17": "pass 1777 root:root", "FILE-20": "not_applicable", "FILE-25": "failed /srv/open 0666",
			}, status(base, above)); diff != "" {
				t.Errorf("after: %s", diff)
			}
			// A layer says the same in both forms.
			files := scanned(t, "{}", base, above).Files
			if facts == nil {
				facts = files
			}
			if diff := cmp.Diff(facts, files); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Each name of a file with several tells its mode, also where the content of a
// link comes later and where another check reads the file.
func TestHardLinksTellModes(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	program := "\x7fELF" + strings.Repeat("x", 20<<20) // more than is remembered for links to come
	for _, h := range []*tar.Header{
		{Name: "usr/bin/su", Typeflag: tar.TypeReg, Mode: 0o4755, Uid: 0, Gid: 5, Size: int64(len(program))},
		{Name: "usr/bin/su2", Typeflag: tar.TypeLink, Linkname: "usr/bin/su"},
		{Name: "etc/ssh/sshd_config", Typeflag: tar.TypeReg, Mode: 0o666, Size: 18},
		{Name: "etc/ssh/sshd_config.d/a.conf", Typeflag: tar.TypeLink, Linkname: "etc/ssh/sshd_config"},
		{Name: "srv/gone", Typeflag: tar.TypeReg, Mode: 0o4755, Size: 0},
		{Name: "srv/gone", Typeflag: tar.TypeReg, Mode: 0o755, Size: 0},
	} {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		switch h.Size {
		case int64(len(program)):
			io.WriteString(w, program)
		case 18:
			io.WriteString(w, "PermitRootLogin no")
		}
	}
	w.Close()
	im := scanned(t, "{}", image.Layer{DiffID: image.DigestOf(b.Bytes()), Blob: func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b.Bytes())), nil
	}})
	got := map[string]string{}
	for _, f := range im.Files {
		got[f.Path] = fmt.Sprintf("%04o %d:%d %d", f.Mode, f.UID, f.GID, len(f.Directives))
	}
	if diff := cmp.Diff(map[string]string{
		"/usr/bin/su": "4755 0:5 0", "/usr/bin/su2": "4755 0:5 0", "/etc/ssh/sshd_config": "0666 0:0 1", "/etc/ssh/sshd_config.d/a.conf": "0666 0:0 1",
	}, got); diff != "" {
		t.Error(diff)
	}
}
