package match

import (
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/report"
)

func TestCompact(t *testing.T) {
	raw := "ALSA-2026:1CVE-2026-1CVE-2026-2High1.2-3" + string(make([]byte, 4096))
	f := report.Finding{ID: raw[:11], CVEs: []string{raw[11:21], raw[21:31]}, Severity: raw[31:35], FixedVersion: raw[35:40]}
	want := report.Finding{ID: "ALSA-2026:1", CVEs: []string{"CVE-2026-1", "CVE-2026-2"}, Severity: "High", FixedVersion: "1.2-3"}
	compact(&f)
	if diff := cmp.Diff(want, f); diff != "" {
		t.Error(diff)
	}
	from, to := uintptr(unsafe.Pointer(unsafe.StringData(raw))), uintptr(len(raw))
	for _, s := range []string{f.ID, f.CVEs[0], f.CVEs[1], f.Severity, f.FixedVersion} {
		if p := uintptr(unsafe.Pointer(unsafe.StringData(s))); p >= from && p < from+to {
			t.Errorf("%q is still part of the record", s)
		}
	}
	empty := report.Finding{}
	compact(&empty)
	if diff := cmp.Diff(report.Finding{}, empty); diff != "" {
		t.Error(diff)
	}
}
