package erlang

import (
	"archive/zip"
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/report"
)

const (
	p   = "/app/lib/recon-2.5.2/ebin/recon.app"
	hex = "/app/deps/plug/hex_metadata.config"
)

// real is a resource file of Debian's rabbitmq-server, erlang-base or elixir.
func real(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const fetched = `{<<"app">>,<<"plug">>}.
{<<"build_tools">>,[<<"mix">>]}.
{<<"description">>,<<"A specification, \"modules\" >> and /connections"/utf8>>}.
{<<"files">>,
 [<<"lib/plug.ex">>,<<"mix.exs">>]}.
{<<"licenses">>,[<<"Apache-2.0">>]}.
{<<"links">>,[{<<"name">>,<<"version">>}]}.
{<<"name">>,<<"plug">>}.
{<<"requirements">>,
 [{<<"mime">>,
   [{<<"name">>,<<"mime">>},{<<"optional">>,false},{<<"requirement">>,<<"~> 1.0 or ~> 2.0">>}]}]}.
{<<"version">>,<<"1.15.3">>}.
`

func TestSuite(t *testing.T) {
	t.Run("app", func(t *testing.T) { analyzetest.Suite(t, New(), p, []byte(real(t, "recon.app"))) })
	t.Run("hex", func(t *testing.T) { analyzetest.Suite(t, New(), hex, []byte(fetched)) })
}

func TestAnalyze(t *testing.T) {
	for _, tc := range []struct {
		name, path, text string
		want             report.Package
	}{
		{"contributed", p, real(t, "recon.app"), report.Package{Type: report.TypeHex, Name: "recon", Version: "2.5.2", Licenses: []string{"BSD"}}},
		{"of OTP", p, real(t, "sasl.app"), report.Package{Type: report.TypeOTP, Name: "sasl", Version: "4.2"}},
		{"of Elixir", p, real(t, "logger.app"), report.Package{Type: report.TypeOTP, Name: "logger", Version: "1.14.0"}},
		{"quoted name", p, `{application,'My.App',[{vsn,"0.1"}]}.`, report.Package{Type: report.TypeHex, Name: "My.App", Version: "0.1"}},
		{"version elsewhere", p, "%% {vsn,\"9\"}\n{application,a,[{env,[{vsn,\"8\"},{c,$\"}]},{vsn,\"0.1\"}]}.", report.Package{Type: report.TypeHex, Name: "a", Version: "0.1"}},
		{"no version", p, `{application,a,[{vsn,[]}]}.`, report.Package{Type: report.TypeHex, Name: "a"}},
		{"fetched", hex, fetched, report.Package{Type: report.TypeHex, Name: "plug", Version: "1.15.3", Licenses: []string{"Apache-2.0"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.want.Path = tc.path
			got := analyzetest.Facts(t, New(), analyzetest.File(tc.path, []byte(tc.text)))
			if diff := cmp.Diff(&report.Facts{Packages: []report.Package{tc.want}}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// packed is an archive of files and their contents, in order.
func packed(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		f, err := w.Create(files[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const plugin = "/opt/rabbitmq/plugins/recon-2.5.2.ez"

func TestArchives(t *testing.T) {
	b := packed(t, "recon-2.5.2/ebin/recon.beam", "", "recon-2.5.2/ebin/recon.app", real(t, "recon.app"), "recon-2.5.2/priv/x.app", "{")
	t.Run("suite", func(t *testing.T) { analyzetest.Suite(t, New(), plugin, b) })
	want := &report.Facts{Packages: []report.Package{
		{Type: report.TypeHex, Name: "recon", Version: "2.5.2", Licenses: []string{"BSD"}, Path: plugin + "!recon-2.5.2/ebin/recon.app"},
	}}
	if diff := cmp.Diff(want, analyzetest.Facts(t, New(), analyzetest.File(plugin, b))); diff != "" {
		t.Error(diff)
	}
	for name, b := range map[string][]byte{"no archive": []byte("text"), "no application": packed(t, "a/src/a.app", "")} {
		if facts, err := New().Analyze(t.Context(), analyzetest.File(plugin, b)); facts != nil || err != nil {
			t.Errorf("%s: got %v, %v", name, facts, err)
		}
	}
	for name, text := range map[string]string{"damaged": "{", "bomb": strings.Repeat(" ", maxArchivedBytes+1)} {
		facts := analyzetest.Facts(t, New(), analyzetest.File(plugin, packed(t, "a/ebin/a.app", text)))
		if len(facts.Packages) != 0 || len(facts.Problems) != 1 {
			t.Errorf("%s: got %+v", name, facts)
		}
	}
	many := packed(t, slices.Repeat([]string{"a/ebin/a.app", `{application,a,[{vsn,"1"}]}.`}, maxArchived+1)...)
	if facts, err := New().Analyze(t.Context(), analyzetest.File(plugin, many)); !errors.Is(err, analyze.ErrLimit) || len(facts.Packages) != maxArchived {
		t.Errorf("applications: got %v", err)
	}
}

func TestWants(t *testing.T) {
	for path, want := range map[string]bool{
		p: true, hex: true, plugin: true, "/app/src/recon.app.src": false, "/Applications/X.app": false, "/x.app": false, "/app/config": false,
	} {
		if got := New().Wants(path, nil); got != want {
			t.Errorf("%s: got %v", path, got)
		}
	}
}

func TestDamaged(t *testing.T) {
	for _, tc := range []struct{ path, text string }{
		{p, ""}, {p, "{application"}, {p, `{application,a,[{vsn,"1`}, {p, "}"}, {p, `{app,a,[]}.`}, {p, `{application,'a b',[]}.`},
		{p, `{application,a,[{vsn,"1 2"}]}.`}, {hex, `{<<"name">>,<<"a`}, {hex, `{<<"version">>,<<"1">>}.`},
		{p, `{application,` + strings.Repeat("a", maxTextBytes+1) + `,[]}.`},
	} {
		if facts, err := New().Analyze(t.Context(), analyzetest.File(tc.path, []byte(tc.text))); facts != nil || err == nil {
			t.Errorf("%q: got %v, %v", tc.text, facts, err)
		}
	}
}

func TestLimits(t *testing.T) {
	f := analyzetest.File(p, nil)
	f.Size = maxFileBytes + 1
	if _, err := New().Analyze(t.Context(), f); !errors.Is(err, analyze.ErrLimit) {
		t.Errorf("bytes: got %v", err)
	}
	deep := `{application,a,` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + `}.`
	if _, err := New().Analyze(t.Context(), analyzetest.File(p, []byte(deep))); !errors.Is(err, analyze.ErrLimit) {
		t.Errorf("levels: got %v", err)
	}
	many := `{application,a,[{licenses,["` + strings.Repeat("x", maxTextBytes+1) + `"` + strings.Repeat(`,"MIT"`, maxLicenses+1) + `]}]}.`
	if n := len(analyzetest.Facts(t, New(), analyzetest.File(p, []byte(many))).Packages[0].Licenses); n != maxLicenses {
		t.Errorf("licences: got %d", n)
	}
}

func FuzzApplication(f *testing.F) {
	f.Add([]byte(real(f, "recon.app")), true)
	f.Add([]byte(fetched), false)
	f.Add(packed(f, "a/ebin/a.app", `{application,a,[{vsn,"1"}]}.`), false)
	f.Fuzz(func(t *testing.T, b []byte, app bool) {
		if facts, err := New().Analyze(t.Context(), analyzetest.File(plugin, b)); err == nil && facts != nil {
			for _, pkg := range facts.Packages {
				if !plain(pkg.Name) || !strings.HasPrefix(pkg.Path, plugin+"!") {
					t.Errorf("unusable package %+v", pkg)
				}
			}
		}
		path := hex
		if app {
			path = p
		}
		facts, err := New().Analyze(t.Context(), analyzetest.File(path, b))
		if err == nil && (!plain(facts.Packages[0].Name) || len(facts.Packages[0].Version) > maxTextBytes) {
			t.Errorf("unusable package %+v", facts.Packages[0])
		}
	})
}
