package binary

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/onceover/onceover/test/shareddata"
)

// table is the table of programs for docs/analysers.md.
func table(t *testing.T) string {
	type row struct{ files, tried []string }
	rows := map[string]*row{}
	at := func(name string) *row {
		if rows[name] == nil {
			rows[name] = &row{}
		}
		return rows[name]
	}
	for _, p := range programs {
		for _, e := range p.evidence {
			r := at(e.name)
			for _, f := range p.files {
				if !slices.Contains(r.files, f) {
					r.files = append(r.files, f)
				}
			}
		}
	}
	for _, e := range excerpts(t) {
		name, version, _ := strings.Cut(e.want, " ")
		if r := at(name); !slices.Contains(r.tried, version) {
			r.tried = append(r.tried, version)
		}
	}
	var names []string
	for n := range rows {
		names = append(names, n)
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString("| Package | Files, without version | Proved by pieces of |\n| --- | --- | --- |\n")
	for _, n := range names {
		tried := strings.Join(rows[n].tried, ", ")
		if tried == "" {
			tried = "–"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", n, strings.Join(rows[n].files, "`, `"), tried)
	}
	var goNames []string
	for _, n := range goPrograms {
		goNames = append(goNames, n)
	}
	slices.Sort(goNames)
	fmt.Fprintf(&b, "\nGo programs, where they were built without modules: %s.\n", strings.Join(slices.Compact(goNames), ", "))
	return b.String()
}

// The documentation has the table of programs as it is.
func TestProgramsAreDocumented(t *testing.T) {
	const begin, end = "<!-- programs: written by go test ./internal/analyze/binary -run Documented -update -->\n", "<!-- end of programs -->"
	name := filepath.Join(shareddata.Root(), "docs", "analysers.md")
	doc, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(doc), begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", name)
	}
	want := "\n" + table(t) + "\n"
	if *update {
		if err := os.WriteFile(name, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Errorf("the table of programs in %s is not the one of the code: run with -update", name)
	}
}
