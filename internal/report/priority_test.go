package report

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPriorityOf(t *testing.T) {
	vendor := func(level string) Finding { return Finding{Severity: level, SeverityFrom: "vendor", Score: 9.9} }
	for _, tc := range []struct {
		name    string
		f       Finding
		running bool
		want    Priority
	}{
		{"nothing known", Finding{Severity: SeverityUnknown}, false, Priority{Severity: 18, Total: 18}},
		{"the vendor before CVSS", vendor(SeverityLow), false, Priority{Severity: 10, Total: 10}},
		{"CVSS", Finding{Severity: SeverityHigh, SeverityFrom: "cvss", Score: 7.5}, false, Priority{Severity: 38, Total: 38}},
		{"a score of nobody's", Finding{SeverityFrom: "cvss", Score: 99}, false, Priority{Severity: 50, Total: 50}},
		{"everything", Finding{Severity: SeverityCritical, SeverityFrom: "vendor", Exploited: true, EPSS: 1, FixState: FixAvailable}, true,
			Priority{Severity: 50, Exploited: 25, EPSS: 10, Running: 10, Fix: 5, Total: 100}},
		{"a little likely", Finding{Severity: SeverityMedium, EPSS: 0.05, FixState: FixDeferred}, false, Priority{Severity: 28, EPSS: 2, Total: 30}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, PriorityOf(tc.f, tc.running)); diff != "" {
				t.Error(diff)
			}
		})
	}
	exploited := vendor(SeverityMedium)
	exploited.Exploited = true
	if PriorityOf(exploited, false).Total <= PriorityOf(vendor(SeverityCritical), false).Total {
		t.Error("a medium vulnerability that is exploited goes before a critical one of which nothing is heard")
	}
}
