package sheet

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"testing"

	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/store"
)

// many is advisories that know ten vulnerabilities of each package.
type many struct{ nothing }

func (m many) Acquire() (store.Generation, error) {
	return store.Generation{ID: "many", Matcher: m, Release: func() {}}, nil
}

func (many) Package(_ report.Distro, p report.Package) (out []report.Finding, err error) {
	for n := range 10 {
		id := fmt.Sprintf("CVE-2026-%s%d", p.Name[1:], n)
		out = append(out, report.Finding{ID: id, CVEs: []string{id}, Severity: report.SeverityHigh, Score: 7.5, Package: p, URL: "https://example.org/" + id,
			Summary: "A fault in " + p.Name + " lets whoever can send it a request of a certain form read what it should not, or end it.", FixState: report.FixAvailable, FixedVersion: "1.1"})
	}
	return out, nil
}

// BenchmarkExport makes files of 100,000 and of 1,000,000 findings, ten thousand in
// each image, on SQLite. peak-MB is the highest resident memory of the process while
// it did; it must be the same for both.
func BenchmarkExport(b *testing.B) {
	l := &report.LayerReport{DiffID: string(diffID(0)), Analyzers: packagesKey, Complete: true}
	for n := range 1000 {
		l.Packages = append(l.Packages, report.Package{Type: report.TypePython, Name: fmt.Sprintf("p%04d", n), Version: "1.0", Path: fmt.Sprintf("/opt/venv/lib/python3.11/site-packages/p%04d-1.0.dist-info/METADATA", n)})
	}
	names := make([]image.Ref, 100)
	for n := range names {
		names[n] = image.Ref{Name: "registry.example.org/team/web", Tag: fmt.Sprint(n)}
	}
	w := newWorldOf(b, many{}, [][]image.Ref{names}, []*report.LayerReport{l})
	m := New(w.Store, slog.New(slog.DiscardHandler))
	for _, format := range []string{store.FormatCSV, store.FormatXLSX} {
		for _, records := range []int64{100_000, 1_000_000} {
			b.Run(fmt.Sprintf("%s/%d", format, records), func(b *testing.B) {
				b.ReportAllocs()
				resetPeak()
				for b.Loop() {
					id, err := w.AddExport(b.Context(), store.Export{Tenants: []string{w.project}, Query: store.ReportQuery{Kind: store.ReportVulnerability}, Format: format, MaxRecords: records})
					if err != nil {
						b.Fatal(err)
					}
					if _, err := m.Next(b.Context()); err != nil {
						b.Fatal(err)
					}
					e, err := w.Export(b.Context(), []string{w.project}, id)
					if err != nil || e.State != store.ExportSuccess {
						b.Fatalf("%+v, %v", e, err)
					}
					b.ReportMetric(float64(e.Size)/1e6, "file-MB")
				}
				b.ReportMetric(peak(), "peak-MB")
			})
		}
	}
}

// resetPeak begins a new measurement of peak: see proc_pid_clear_refs(5).
func resetPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

// peak is the highest resident memory of the process, 0 where it is not told.
func peak() float64 {
	b, err := os.ReadFile("/proc/self/status")
	_, rest, ok := bytes.Cut(b, []byte("VmHWM:"))
	if err != nil || !ok {
		return 0
	}
	kb, err := strconv.ParseFloat(string(bytes.Fields(rest)[0]), 64)
	if err != nil {
		return 0
	}
	return kb / 1000
}
