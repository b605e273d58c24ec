package buildcmd

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onceover/onceover/test/shareddata"
)

var update = flag.Bool("update", false, "write the table of rules into docs/build-commands.md")

// The table of rules in the documentation is the rules.
func TestDocumentation(t *testing.T) {
	const begin, end = "<!-- rules -->\n", "<!-- end of rules -->\n"
	file := filepath.Join(shareddata.Root(), "docs", "build-commands.md")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no table of rules", file)
	}
	var want strings.Builder
	fmt.Fprintf(&want, "\n%d rules:\n\n| Rule | Level | Risk |\n| --- | --- | --- |\n", len(Rules()))
	for _, r := range Rules() {
		fmt.Fprintf(&want, "| `%s` | %s | %s |\n", r.ID, r.Severity, r.Title)
	}
	want.WriteByte('\n')
	if *update {
		if err := os.WriteFile(file, []byte(before+begin+want.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want.String() {
		t.Errorf("the table of rules in %s is not that of the rules: run with -update", file)
	}
}
