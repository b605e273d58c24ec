package password

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-crypt/crypt/algorithm/shacrypt"
	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/all"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/sandbox"
	"github.com/onceover/onceover/internal/scan"
)

// TestMain makes the test program one that reads layers in a sandbox.
func TestMain(m *testing.M) {
	if sandbox.IsChild(os.Args) {
		os.Exit(scan.Child(func(key string, setup json.RawMessage) (*analyze.Set, error) {
			switch report.CheckOf(key) {
			case report.CheckPasswords:
				return accountSet(string(setup) == "true"), nil
			case report.CheckBaseline:
				return analyze.NewSet(report.CheckBaseline, NewRulesAnalyzer()), nil
			}
			return all.Set(), nil
		}))
	}
	os.Exit(m.Run())
}

// accountSet guesses few words, with all of the budget or a part of it.
func accountSet(whole bool) *analyze.Set {
	a := analyzer{fewWords(), fileBudget / 20}
	if whole {
		a.budget = fileBudget
	}
	return analyze.NewSet(report.CheckPasswords, a)
}

// scannedLayers reads layers in the sandbox and merges them.
func scannedLayers(t *testing.T, whole bool, layers ...image.Layer) report.Inventory {
	t.Helper()
	setup, err := json.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	s := scan.New(scan.Config{
		Set: all.Set(), Checks: []*analyze.Set{analyze.NewSet(report.CheckBaseline, NewRulesAnalyzer()), accountSet(whole)},
		Setup: setup, Isolate: &scan.Isolation{},
	})
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
	return report.Merge(reports)
}

// streamOf and directoryOf are the two forms of a layer.
func streamOf(t *testing.T, files map[string]string) image.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, p := range slices.Sorted(maps.Keys(files)) {
		if err := w.WriteHeader(&tar.Header{Name: p[1:], Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(files[p]))}); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, files[p])
	}
	w.Close()
	return image.Layer{DiffID: image.DigestOf(b.Bytes()), Blob: func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b.Bytes())), nil
	}}
}

func directoryOf(t *testing.T, files map[string]string) image.Layer {
	t.Helper()
	root := t.TempDir()
	for p, content := range files {
		p = filepath.Join(root, p)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return image.Layer{DiffID: streamOf(t, files).DiffID, Dir: root}
}

// Each kind of hash with a weak and a strong password is told apart, in scans of
// both forms of a layer, which give one answer; a later layer changes passwd
// alone. No hash leaves the child.
func TestScans(t *testing.T) {
	var passwd, shadow strings.Builder
	want := map[string]string{}
	var secrets []string
	for _, m := range makers() {
		for _, word := range []string{"admin@123", strong} {
			name := m.kind + "-weak"
			want[name] = StatusWeak + " common-password a****3 true"
			if word == strong {
				name = m.kind + "-strong"
				want[name] = StatusStrong + "   true"
			}
			hash := m.hash(t, word)
			secrets = append(secrets, hash, hash[len(hash)-20:])
			fmt.Fprintf(&passwd, "%s:x:1000:1000::/:/bin/sh\n", name)
			fmt.Fprintf(&shadow, "%s:%s:19000::::::\n", name, hash)
		}
	}
	md5 := makers()[0].hash(t, "root")
	secrets = append(secrets, md5, strong)
	base := map[string]string{
		"/etc/passwd":                  "root:" + md5 + ":0:0::/root:/bin/sh\n" + passwd.String() + "gone:x:2000:1::/:/bin/sh\n",
		"/etc/shadow":                  "root:!:1::::::\n" + shadow.String() + "gone::1::::::\nnever::1::::::\n",
		"/etc/redis/redis.conf":        "requirepass admin@123\n",
		"/etc/pam.d/common-password":   "# " + strong + "\npassword required pam_mysql.so passwd=" + strong + "\npassword requisite pam_pwquality.so minlen=12 authtok_type=" + strong + "\n",
		"/etc/security/pwquality.conf": "ucredit = -1\nbadwords = " + strong + "\n",
	}
	want["root"] = StatusWeak + " user-name **** true"
	want["default"] = StatusWeak + " common-password a****3 true"
	above := map[string]string{"/etc/passwd": "root:" + md5 + ":0:0::/root:/bin/sh\n" + strings.ReplaceAll(passwd.String(), "/bin/sh", "/sbin/nologin")}

	var first []byte
	for name, form := range map[string]func(*testing.T, map[string]string) image.Layer{"stream": streamOf, "directory": directoryOf} {
		t.Run(name, func(t *testing.T) {
			inv := scannedLayers(t, true, form(t, base))
			all, err := json.Marshal(inv)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range secrets {
				if bytes.Contains(all, []byte(s)) {
					t.Errorf("%q left the child", s)
				}
			}
			if len(inv.Problems) > 0 {
				t.Errorf("problems: %+v", inv.Problems)
			}
			found := func(inv report.Inventory) map[string]string {
				accounts, unverified, err := Results(inv)
				if err != nil || len(unverified) > 0 {
					t.Fatalf("%v, unverified: %v", err, unverified)
				}
				out := map[string]string{}
				for _, a := range accounts {
					out[a.User] = fmt.Sprintf("%s %s %s %v", a.Status, a.Rule, a.Masked, a.Login)
					if (a.Suggestion != "") != (a.Status != StatusStrong) || a.Layer == "" || a.Line == 0 {
						t.Errorf("%+v", a)
					}
				}
				return out
			}
			got := found(inv)
			if diff := cmp.Diff("empty empty  true", got["gone"]); diff != "" {
				t.Error(diff)
			}
			delete(got, "gone")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			c, ok, err := ComplexityOf(inv)
			if err != nil || !ok || c.Length != 12 || !c.Upper || c.Lower || c.Source != "pam_pwquality" {
				t.Errorf("complexity: %+v, %v, %v", c, ok, err)
			}

			got = found(scannedLayers(t, true, form(t, base), form(t, above)))
			if got["root"] != want["root"] || got["gone"] != "" || got[KindMD5+"-weak"] != "weak common-password a****3 false" {
				t.Errorf("a later passwd: %v", got)
			}
			inv.Ledger.Bytes = 0
			b, err := json.Marshal(inv.Settings)
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = b
			}
			if diff := cmp.Diff(string(first), string(b)); diff != "" {
				t.Errorf("the forms differ: %s", diff)
			}
		})
	}
}

// Show 5 of issue 5 in a scan: 10,000 accounts, hostile ones among them, end
// within the budget of the file, a part of the usual one here, and everyone that
// was not verified is counted.
func TestHostileShadowInScans(t *testing.T) {
	hash := made(shacrypt.New(shacrypt.WithSHA512(), shacrypt.WithIterations(5000)))
	var shadow strings.Builder
	shadow.WriteString("root:" + hash(t, "root") + ":1::::::\n")
	for i := range 10_000 {
		secret := "$6$rounds=999999999$salt$" + strings.Repeat("a", 86)
		if i%10 == 0 {
			secret = "$6$" + fmt.Sprint(i) + "$" + strings.Repeat("b", 86)
		}
		fmt.Fprintf(&shadow, "u%d:%s:1::::::\n", i, secret)
	}
	began := time.Now()
	inv := scannedLayers(t, false, streamOf(t, map[string]string{"/etc/shadow": shadow.String()}))
	took := time.Since(began)
	accounts, unverified, err := Results(inv)
	if err != nil {
		t.Fatal(err)
	}
	var size int
	for _, s := range inv.Settings {
		size += len(s.Body)
	}
	t.Logf("%d accounts in %s, %d bytes; unverified: %v", len(accounts), took.Round(time.Millisecond), size, unverified)
	if len(accounts) != 10_001 || accounts[0].Status != StatusWeak {
		t.Errorf("%d accounts, the first %+v", len(accounts), accounts[0])
	}
	if unverified[classCostly] != 9000 || unverified["the budget of the image is spent"] == 0 {
		t.Errorf("unverified: %v", unverified)
	}
	if took > fileBudget {
		t.Errorf("took %s", took)
	}
}

// Results that do not fit say what is left out.
func TestLargeResults(t *testing.T) {
	name := strings.Repeat("\x01", 200)
	var passwd, shadow strings.Builder
	for i := range 15_000 {
		fmt.Fprintf(&passwd, "%s%d:x:1:1::/:/bin/sh\n", name, i)
		fmt.Fprintf(&shadow, "%s%d:$6$rounds=999999999$salt$%s:1:\n", name, i, strings.Repeat("a", 40))
	}
	inv := report.Inventory{}
	for p, text := range map[string]string{passwdPath: passwd.String(), shadowPath: shadow.String()} {
		f := analyzetest.File(p, []byte(text))
		facts, err := NewAnalyzer(nil).Analyze(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range facts.Settings {
			if len(s.Body) > report.MaxSettingBytes {
				t.Errorf("%s: %d bytes", p, len(s.Body))
			}
		}
		inv.Settings = append(inv.Settings, facts.Settings...)
	}
	accounts, unverified, err := Results(inv)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, left := range unverified {
		n += left
	}
	if len(accounts) == 0 || len(accounts) >= 15_000 || n < 15_000-len(accounts) {
		t.Errorf("%d accounts, unverified: %v", len(accounts), unverified)
	}
}
