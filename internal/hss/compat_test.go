package hss

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the table of operations into docs/hss-compatibility.md")

const (
	compatFile = "../../docs/hss-compatibility.md"
	tableHead  = "| Operation | Method | Path | State |\n| --- | --- | --- | --- |\n"
)

// TestDocumentedOperations holds the table in docs/hss-compatibility.md against
// what the server routes.
func TestDocumentedOperations(t *testing.T) {
	var want strings.Builder
	want.WriteString(tableHead)
	for _, op := range Operations() {
		state := "501"
		if op.Built {
			state = "works"
		}
		fmt.Fprintf(&want, "| %s | %s | `%s` | %s |\n", op.ID, op.Method, strings.TrimPrefix(op.Path, "/v5/{project_id}"), state)
	}
	b, err := os.ReadFile(compatFile)
	if err != nil {
		t.Fatal(err)
	}
	text, got, _ := strings.Cut(string(b), tableHead)
	got = tableHead + got
	if *update {
		if err := os.WriteFile(compatFile, []byte(text+want.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(want.String(), got); d != "" {
		t.Errorf("docs/hss-compatibility.md (go test ./internal/hss -update rewrites it):\n%s", d)
	}
}

// TestDocumentedErrors holds the table of errors against the codes in use.
func TestDocumentedErrors(t *testing.T) {
	b, err := os.ReadFile(compatFile)
	if err != nil {
		t.Fatal(err)
	}
	for code, a := range answers {
		if row := fmt.Sprintf("| %d | `%s` |", a.status, a.code); !strings.Contains(string(b), row) {
			t.Errorf("%v: no row that begins with %s", code, row)
		}
	}
}
