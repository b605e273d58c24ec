package wordpress

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/report"
)

const (
	plugin = "/var/www/html/wp-content/plugins/shibboleth/shibboleth.php"
	theme  = "/var/www/html/wp-content/themes/twentytwentythree/style.css"
	core   = "/var/www/html/wp-includes/version.php"
)

// real is a file, or the start of one, of Debian's wordpress,
// wordpress-shibboleth and wordpress-theme-twentytwentythree.
func real(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestSuite(t *testing.T) {
	t.Run("plugin", func(t *testing.T) { analyzetest.Suite(t, New(), plugin, []byte(real(t, "shibboleth.php"))) })
	t.Run("theme", func(t *testing.T) { analyzetest.Suite(t, New(), theme, []byte(real(t, "style.css"))) })
	t.Run("core", func(t *testing.T) { analyzetest.Suite(t, New(), core, []byte(real(t, "version.php"))) })
}

func TestAnalyze(t *testing.T) {
	wp := func(name, version string, licenses ...string) *report.Package {
		return &report.Package{Type: report.TypeWordPress, Name: name, Version: version, Licenses: licenses}
	}
	const single = "/srv/wp-content/plugins/hello.php"
	for _, tc := range []struct {
		name, path, text string
		want             *report.Package
	}{
		{"plugin", plugin, real(t, "shibboleth.php"), wp("shibboleth", "1.8", "Apache 2 (http://www.apache.org/licenses/LICENSE-2.0.html)")},
		{"theme", theme, real(t, "style.css"), wp("twentytwentythree", "1.0", "GNU General Public License v2 or later")},
		{"core", core, real(t, "version.php"), &report.Package{Type: report.TypeGeneric, Name: "wordpress", Version: "6.1.9"}},
		{"plugin of one file", single, "<?php /* Plugin Name: Hello */\n# Version: 1.7 ?>", wp("hello", "1.7")},
		{"plugin that must be used", "/srv/wp-content/mu-plugins/x.php", "<?php\r\n * @plugin name: X\r\n * VERSION: 2\r\n", wp("x", "2")},
		{"no version", plugin, "<?php\n// Plugin Name: X\n", wp("shibboleth", "")},
		{"first counts", plugin, "Plugin Name: X\nVersion: 1\nVersion: 2\n", wp("shibboleth", "1")},
		{"another file of a plugin", plugin, "<?php\n/* Version: 1 */\necho 'Plugin Name: X';", nil},
		{"comment too late", plugin, strings.Repeat("\n", maxHeadBytes) + "Plugin Name: X\n", nil},
		{"version computed", core, "<?php\n$wp_version = f();\n$wp_version_x = '1';\n", nil},
		{"empty", plugin, "", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := analyzetest.Facts(t, New(), analyzetest.File(tc.path, []byte(tc.text)))
			var want *report.Facts
			if tc.want != nil {
				tc.want.Path = tc.path
				want = &report.Facts{Packages: []report.Package{*tc.want}}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWants(t *testing.T) {
	for path, want := range map[string]bool{
		plugin: true, theme: true, core: true, "/x/wp-content/plugins/hello.php": true,
		"/x/wp-content/plugins/a/inc/b.php": false, "/x/wp-content/themes/style.css": false,
		"/x/wp-content/themes/a/css/style.css": false, "/x/style.css": false, "/x/version.php": false,
		"/x/wp-content/plugins/a/readme.txt": false,
	} {
		if got := New().Wants(path, nil); got != want {
			t.Errorf("%s: got %v", path, got)
		}
	}
}

func TestUnusable(t *testing.T) {
	long := strings.Repeat("1", maxTextBytes+1)
	for path, text := range map[string]string{
		plugin: "Plugin Name: X\nVersion: 1 2\n", theme: "Theme Name: X\nVersion: " + long,
		"/x/wp-content/plugins/a b/c.php": "Plugin Name: X\n", core: "$wp_version = \"" + long + "\";",
	} {
		if _, err := New().Analyze(t.Context(), analyzetest.File(path, []byte(text))); !errors.Is(err, errNoName) {
			t.Errorf("%s: got %v", path, err)
		}
	}
	facts := analyzetest.Facts(t, New(), analyzetest.File(plugin, []byte("Plugin Name: X\nLicense: "+long)))
	if len(facts.Packages[0].Licenses) != 0 {
		t.Error("a long licence is kept")
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add(real(f, "shibboleth.php"), plugin)
	f.Add(real(f, "style.css"), theme)
	f.Add(real(f, "version.php"), core)
	f.Fuzz(func(t *testing.T, text, p string) {
		facts, err := New().Analyze(t.Context(), analyzetest.File(p, []byte(text)))
		if err == nil && facts != nil && (!plain(facts.Packages[0].Name) || len(facts.Packages[0].Version) > maxTextBytes) {
			t.Errorf("unusable package %+v", facts.Packages[0])
		}
	})
}
