package export

import (
	"bytes"
	"strings"
	"testing"

	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

// The table names every file that was skipped, with the reason, and steers no
// terminal.
func TestTableLedger(t *testing.T) {
	id := image.DigestOf([]byte("layer"))
	l := report.Ledger{Files: 10, Parsed: 3, Examined: 1, Passed: 5, Owned: 4, Unowned: 1, Skipped: map[string]int64{"too-large": 1}, Bytes: 1234}
	d := &Document{Images: []Image{{
		Names: []string{"web:1"}, ConfigDigest: image.DigestOf(nil), Complete: true, Ledger: l,
		Layers: []Layer{{DiffID: id, Ledger: &l}},
		Checked: map[string]report.Ledger{
			report.CheckMalware: {Files: 10, Parsed: 2, Examined: 6, Passed: 1, Skipped: map[string]int64{"unavailable": 1}, Bytes: 42},
		},
		Problems: []report.Problem{
			{Path: "/opt/bomb\x1b[2J.jar", Analyzer: "java/1", Message: "more than 100 entries", Reason: "too-large", Layer: string(id)},
			{Path: "/read/all/the/same", Analyzer: "dpkg/1", Message: "a stanza is damaged", Layer: string(id)},
		},
	}}}
	d.Finish()
	var b bytes.Buffer
	if err := Table(&b, d, TableOptions{}); err != nil {
		t.Fatal(err)
	}
	out := b.String()
	for _, want := range []string{
		"LAYER", id.Short() + "  10     3       1         4      1        1        1.23 kB",
		"LOOKED AT FOR  FILES  TOLD OF  EXAMINED  PASSED OVER  SKIPPED  READ", "malware        10     2        6         1            1        42 B",
		"SKIPPED FILE", "/opt/bomb\uFFFD[2J.jar  too-large  " + id.Short() + "  more than 100 entries",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if strings.Contains(out[strings.Index(out, "SKIPPED FILE"):], "/read/all/the/same") {
		t.Errorf("a file that was read is listed as skipped:\n%s", out)
	}
}
