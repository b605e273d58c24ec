package baseline

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/test/shareddata"
)

var update = flag.Bool("update", false, "write docs/baseline-rules.md and the paths of docs/baseline.md")

// docs/baseline-rules.md lists the rules as they are.
func TestRulesDocument(t *testing.T) {
	set := builtin(t)
	byName := map[string][]*Rule{}
	var names []string
	for _, r := range set.Rules() {
		if byName[r.CheckName] == nil {
			names = append(names, r.CheckName)
		}
		byName[r.CheckName] = append(byName[r.CheckName], r)
	}
	slices.Sort(names)
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Rules of baselines\n\nWritten by `go test ./internal/check/baseline -run TestRulesDocument -update`. [baseline.md](baseline.md) says how rules work and how to add some.\n\n"+
		"%d rules. Standard: cn is `cn_standard`, hw is `hw_standard`.\n", set.Len())
	for _, name := range names {
		title, about := name, set.Describe(name)
		if name == CheckNameOS {
			title, about = "The distribution", strings.ReplaceAll(about, "{name}", "the distribution")+" They appear under its name: `Debian 12`, `CentOS 7` …"
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| Rule | Severity | Standard | What is checked | Wanted | For |\n| --- | --- | --- | --- | --- | --- |\n", title, about)
		for _, r := range byName[name] {
			var wanted []string
			for _, c := range r.cases {
				wanted = append(wanted, c.wanted)
			}
			families := strings.Join(r.Families, ", ")
			if families == "" {
				families = "all"
			}
			standards := strings.ReplaceAll(strings.Join(r.Standards, ", "), "_standard", "")
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", r.ID, r.Severity, standards, cell(r.Name), cell(strings.Join(wanted, "; ")), families)
		}
	}
	golden(t, "baseline-rules.md", b.Bytes())
}

func cell(s string) string { return strings.NewReplacer("|", `\|`, "\n", " ", "*", `\*`).Replace(s) }

// docs/baseline.md names every fact with its fields, every function and every
// path.
func TestFactsDocument(t *testing.T) {
	name := filepath.Join(shareddata.Root(), "docs", "baseline.md")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	const mark = "is kept by mode, owner and size.\n\n"
	i := strings.Index(text, mark)
	if i < 0 {
		t.Fatalf("%s has no list of paths", name)
	}
	var paths strings.Builder
	for _, w := range watched {
		fmt.Fprintf(&paths, "* `%s`\n", w.pattern)
	}
	fmt.Fprintf(&paths, "* %s in a directory named `conf` or `tomcat…`\n", "`"+strings.Join(tomcatFiles, "`, `")+"`")
	golden(t, "baseline.md", []byte(text[:i+len(mark)]+paths.String()))

	for _, v := range variables {
		if !strings.Contains(text, "`"+v.name+"`") {
			t.Errorf("the fact %s is not described", v.name)
		}
	}
	for _, f := range []string{"opt(", "number(", "within(", "lower(", "words(", "has_word("} {
		if !strings.Contains(text, "."+f) {
			t.Errorf("the function %s…) is not described", f)
		}
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[Account](), reflect.TypeFor[Password](), reflect.TypeFor[Group](), reflect.TypeFor[Config](), reflect.TypeFor[Variable](),
		reflect.TypeFor[Node](), reflect.TypeFor[SSHD](), reflect.TypeFor[PAM](), reflect.TypeFor[PAMRule](), reflect.TypeFor[Limit](), reflect.TypeFor[Profile](),
		reflect.TypeFor[Sudo](), reflect.TypeFor[Banner](), reflect.TypeFor[Yum](), reflect.TypeFor[Repo](), reflect.TypeFor[APT](), reflect.TypeFor[Source](),
		reflect.TypeFor[Nginx](), reflect.TypeFor[Server](), reflect.TypeFor[Redis](), reflect.TypeFor[RedisUser](), reflect.TypeFor[MySQL](), reflect.TypeFor[Element](),
		reflect.TypeFor[TomcatWeb](), reflect.TypeFor[System]()} {
		for i := range typ.NumField() {
			field := typ.Field(i).Tag.Get("json")
			if field == "" || !strings.Contains(text, "`"+field+"`") {
				t.Errorf("%s.%s is not described", typ, field)
			}
		}
	}
}

func TestEveryWatchedPathIsFound(t *testing.T) {
	for _, w := range watched {
		p := strings.NewReplacer("*", "x").Replace(w.pattern)
		if kindOf(p) == kindNone || !watchedPattern(w.pattern) {
			t.Errorf("%s is watched and not wanted", w.pattern)
		}
	}
}

func golden(t *testing.T, name string, want []byte) {
	t.Helper()
	name = filepath.Join(shareddata.Root(), "docs", name)
	if *update {
		if err := os.WriteFile(name, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is out of date, run with -update: %s", name, diff)
	}
}
