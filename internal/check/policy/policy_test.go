package policy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/report"
)

var inventory = report.Inventory{
	Distro: report.Distro{ID: "debian", VersionID: "12"},
	Packages: []report.Package{
		{Type: "deb", Name: "telnet", Version: "0.17-44", Path: "/var/lib/dpkg/status", Layer: "sha256:a"},
		{Type: "deb", Name: "openssl", Version: "3.0.15-1~deb12u1", Path: "/var/lib/dpkg/status"},
		{Type: "maven", Name: "org.apache.logging.log4j:log4j-core", Version: "2.14.1", Path: "/app/all.jar!BOOT-INF/lib/log4j-core.jar"},
		{Type: "npm", Name: "@evil/left", Version: "1.10.0", Path: "/srv/node_modules/@evil/left/package.json"},
		{Type: "npm", Name: "left", Version: "1.2.0", Path: "/srv/node_modules/left/package.json", Declared: true},
		{Type: "golang", Name: "github.com/x/miner/v2", Version: "v2.0.1", Path: "/usr/local/bin/x"},
		{Type: "alpm", Name: "odd", Version: "1.0-1", Path: "/x"},
		{Type: "pypi", Name: "requests", Version: "", Path: "/y"},
	},
}

func TestCheck(t *testing.T) {
	for _, tc := range []struct {
		name, list string
		want       []string // names of denied packages, with "?" of undecided ones
	}{
		{"name", "{id: a, reason: r, name: telnet}", []string{"telnet"}},
		{"name by pattern", "{id: a, reason: r, name: '*l*t*'}", []string{"telnet", "@evil/left"}},
		{"pattern goes over slashes", "{id: a, reason: r, name: 'github.com/*/miner*'}", []string{"github.com/x/miner/v2"}},
		{"type", "{id: a, reason: r, name: '*', type: deb}", []string{"telnet", "openssl"}},
		{"types", "{id: a, reason: r, name: '*', type: [npm, golang]}", []string{"@evil/left", "github.com/x/miner/v2"}},
		{"name and other type", "{id: a, reason: r, name: telnet, type: rpm}", nil},
		{"version below", "{id: a, reason: r, name: openssl, versions: '< 3.0.16'}", []string{"openssl"}},
		{"version not below", "{id: a, reason: r, name: openssl, versions: '< 3.0.15'}", nil},
		{"numbers are compared", "{id: a, reason: r, name: '@evil/left', versions: '>= 1.9.0, < 1.11'}", []string{"@evil/left"}},
		{"alternatives", "{id: a, reason: r, name: telnet, versions: '< 0.1 || = 0.17-44'}", []string{"telnet"}},
		{"not", "{id: a, reason: r, name: telnet, versions: '!= 0.17-44'}", nil},
		{"purl", "{id: a, reason: r, purl: pkg:maven/org.apache.logging.log4j/log4j-core, versions: '< 2.17.1'}", []string{"org.apache.logging.log4j:log4j-core"}},
		{"purl with version", "{id: a, reason: r, purl: 'pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1'}", []string{"org.apache.logging.log4j:log4j-core"}},
		{"purl with other version", "{id: a, reason: r, purl: 'pkg:maven/org.apache.logging.log4j/log4j-core@2.14.2'}", nil},
		{"purl of any distribution", "{id: a, reason: r, purl: 'pkg:deb/telnet'}", []string{"telnet"}},
		{"purl of another distribution", "{id: a, reason: r, purl: 'pkg:deb/ubuntu/telnet'}", nil},
		{"purl by pattern", "{id: a, reason: r, purl: 'pkg:npm/%40evil/*'}", []string{"@evil/left"}},
		{"purl of another namespace", "{id: a, reason: r, purl: 'pkg:npm/left'}", nil},
		{"path", "{id: a, reason: r, path: '/srv/**'}", []string{"@evil/left"}},
		{"path of the archive", "{id: a, reason: r, path: '/app/*.jar'}", []string{"org.apache.logging.log4j:log4j-core"}},
		{"path within the archive", "{id: a, reason: r, path: '**/log4j-core.jar'}", []string{"org.apache.logging.log4j:log4j-core"}},
		{"star stays in its directory", "{id: a, reason: r, path: '/srv/*'}", nil},
		{"unknown version", "{id: a, reason: r, name: requests, versions: '< 2'}", []string{"requests?"}},
		{"unknown order", "{id: a, reason: r, name: odd, versions: '< 2'}", []string{"odd?"}},
		{"equal without order", "{id: a, reason: r, name: odd, versions: '= 1.0-1'}", []string{"odd"}},
		{"JSON", `{"id": "a", "reason": "r", "name": "telnet"}`, []string{"telnet"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := Parse("list.yaml", []byte("deny:\n  - "+tc.list+"\n"))
			if err != nil {
				t.Fatal(err)
			}
			res := p.Check(inventory)
			var got []string
			for _, v := range res.Violations {
				if v.Rule != "a" || v.Reason != "r" || v.Line != 2 || v.File != "list.yaml" || len(v.ID) != 32 || v.Severity != "Medium" {
					t.Errorf("%+v", v)
				}
				got = append(got, v.Name)
			}
			for _, u := range res.Undecided {
				if u.Reason == "" {
					t.Errorf("no reason: %+v", u)
				}
				got = append(got, u.Name+"?")
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestOrderAndVersion(t *testing.T) {
	list := "deny:\n- {id: c, reason: r, name: '*net'}\n- {id: a, reason: r, name: telnet, severity: high}\n- {id: b, reason: r, path: '/var/**'}\n"
	p, err := Parse("x", []byte(list))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	v, _ := p.Judge(&inventory.Packages[0], inventory.Distro)
	for _, v := range v {
		got = append(got, v.Rule+" "+v.Severity+" "+v.Layer)
	}
	if d := cmp.Diff([]string{"c Medium sha256:a", "a High sha256:a", "b Medium sha256:a"}, got); d != "" {
		t.Error(d)
	}
	q, _ := Parse("y", []byte("\n\n"+list))
	if p.Version() != q.Version() {
		t.Error("the version depends on where rules stand")
	}
	q, _ = Parse("y", []byte(strings.Replace(list, "telnet", "telnets", 1)))
	if p.Version() == q.Version() {
		t.Error("another rule has the same version")
	}
	var none *Policy
	if r := none.Check(inventory); len(r.Violations) > 0 || r.Policy != "" {
		t.Errorf("%+v", r)
	}
}

func TestRefused(t *testing.T) {
	for _, tc := range []struct{ name, list, want string }{
		{"not YAML", "deny: [", "l:1: "},
		{"unknown field", "x: 1", "l:1: field x not found"},
		{"not a mapping", "deny:\n- a", "l:2: a rule is a mapping"},
		{"no id", "deny:\n- {reason: r, name: a}", "l:2: a rule needs an id"},
		{"no reason", "deny:\n- {id: a, name: a}", "l:2: a rule needs a reason"},
		{"no condition", "deny:\n- {id: a, reason: r, versions: '< 1'}", "l:2: a rule needs a name, purl or path"},
		{"twice", "deny:\n- id: a\n  id: b", "l:3: id stands twice"},
		{"unknown condition", "deny:\n- id: a\n  nme: b", "l:3: nme: there is no such condition"},
		{"same id", "deny:\n- {id: a, reason: r, name: a}\n- {id: a, reason: r, name: b}", `l:3: the id "a" is that of l:2`},
		{"no operator", "deny:\n- {id: a, reason: r, name: a,\n   versions: '1.0'}", `l:3: versions: "1.0": want`},
		{"no version", "deny:\n- {id: a, reason: r, name: a, versions: '<'}", "want a version after <"},
		{"no order", "deny:\n- {id: a, reason: r, name: a, type: alpm, versions: '< 1'}", `there is no order of versions of type "alpm"`},
		{"unreadable version", "deny:\n- {id: a, reason: r, name: a, type: deb, versions: '< a_b c'}", "versions:"},
		{"purl", "deny:\n- {id: a, reason: r, purl: 'deb/a'}", "l:2: purl: not a package URL"},
		{"purl and versions", "deny:\n- {id: a, reason: r, purl: 'pkg:deb/a@1', versions: '< 1'}", "purl names a version already"},
		{"severity", "deny:\n- {id: a, reason: r, name: a, severity: bad}", `severity: there is no "bad"`},
		{"relative path", "deny:\n- {id: a, reason: r, path: a/b}", "path: want an absolute path"},
		{"alias", "deny:\n- &x {id: a, reason: r, name: a}\n- *x", "l:"},
		{"list for a value", "deny:\n- {id: a, reason: r, name: [a]}", "name: want a value"},
		{"long", "deny:\n- {id: a, reason: r, name: " + strings.Repeat("a", maxPatternBytes+1) + "}", "longer than"},
		{"many bounds", "deny:\n- {id: a, reason: r, name: a, versions: '" + strings.Repeat("<1,", maxBounds) + "<1'}", "more than 50"},
		{"many rules", "deny:\n" + strings.Repeat("- {}\n", maxRules+1), "more than 10000 rules"},
		{"large", strings.Repeat(" ", maxListBytes+1), "at most"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse("l", []byte(tc.list))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error is %v, want %s", err, tc.want)
			}
			if c := fault.CodeOf(err); c != fault.Invalid && c != fault.TooLarge {
				t.Errorf("code %v", c)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one.yaml"), filepath.Join(dir, "two.json")
	os.WriteFile(one, []byte("# none\n"), 0o600)
	os.WriteFile(two, []byte("{\"deny\": [\n {\"id\": \"a\", \"reason\": \"r\", \"name\": \"telnet\"},\n {\"id\": \"b\"}\n]}"), 0o600)
	_, err := Load(one, two)
	if want := two + ":3: a rule needs a reason"; err == nil || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
	p, err := Load(one)
	if err != nil || p.Len() != 0 {
		t.Errorf("%v, %v", p, err)
	}
	if p, err := Load(); p != nil || err != nil {
		t.Errorf("%v, %v", p, err)
	}
	if _, err := Load(filepath.Join(dir, "none")); err == nil {
		t.Error("a missing list is no error")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("deny:\n- {id: a, reason: r, name: '*a?', versions: '< 1, > 2 || = 3', path: '/**/x', type: [deb], severity: low}"), "a", "1")
	f.Add([]byte("deny:\n- {id: a, reason: r, purl: 'pkg:npm/%40a/*@1'}"), "@a/b", "1:2-3")
	f.Fuzz(func(t *testing.T, list []byte, name, version string) {
		p, err := Parse("l", list)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "l:") {
				t.Errorf("no place in %v", err)
			}
			return
		}
		inv := inventory
		inv.Packages = append(append([]report.Package(nil), inv.Packages...), report.Package{Type: "deb", Name: name, Version: version, Path: "/" + name}, report.Package{Type: "npm", Name: name, Version: version})
		p.Check(inv)
	})
}

func BenchmarkCheck(b *testing.B) {
	var list strings.Builder
	list.WriteString("deny:\n")
	for i := range 1000 {
		fmt.Fprintf(&list, "- {id: r%d, reason: r, name: pkg%d, versions: '< 2'}\n", i, i)
	}
	list.WriteString("- {id: g, reason: r, path: '/opt/**/x*.jar'}\n")
	p, err := Parse("l", []byte(list.String()))
	if err != nil {
		b.Fatal(err)
	}
	inv := report.Inventory{}
	for i := range 2000 {
		inv.Packages = append(inv.Packages, report.Package{Type: "deb", Name: fmt.Sprintf("pkg%d", i), Version: "1.0-1", Path: "/var/lib/dpkg/status"})
	}
	for b.Loop() {
		if n := len(p.Check(inv).Violations); n != 1000 {
			b.Fatal(n)
		}
	}
}
