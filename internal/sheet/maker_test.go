package sheet

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/store"
)

const packagesKey = "packages-0123456789abcdef"

// world is a store with one project, one host, and images with some software.
type world struct {
	t testing.TB
	*store.Store
	project string
	now     time.Time
}

// nothing is advisories that know nothing.
type nothing struct{}

func (nothing) Acquire() (store.Generation, error) {
	return store.Generation{ID: "none", Matcher: nothing{}, Release: func() {}}, nil
}
func (nothing) Diff(context.Context, string, string) (*advisory.Diff, error)    { return nil, nil }
func (nothing) Package(report.Distro, report.Package) ([]report.Finding, error) { return nil, nil }
func (nothing) Keys(report.Distro, report.Package) []advisory.Key               { return nil }
func (nothing) Warnings(report.Inventory) []string                              { return nil }

// newWorld has some images, each with the packages of its layer.
func newWorld(t *testing.T, images int) *world {
	t.Helper()
	var names [][]image.Ref
	var layers []*report.LayerReport
	for n := range images {
		names, layers = append(names, []image.Ref{{Name: "=web", Tag: fmt.Sprint(n)}}), append(layers, layer(n))
	}
	return newWorldOf(t, nothing{}, names, layers)
}

func newWorldOf(t testing.TB, advisories store.Advisories, names [][]image.Ref, layers []*report.LayerReport) *world {
	t.Helper()
	w := &world{t: t, now: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)}
	var err error
	w.Store, err = store.Open(t.Context(), store.Config{
		DataDir: t.TempDir(), SealKey: bytes.Repeat([]byte("k"), store.SealKeyBytes), Log: slog.New(slog.DiscardHandler),
		Advisories: advisories, Now: func() time.Time { return w.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	_, first, err := w.Bootstrap(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.project = first.Project.ID
	resp, err := w.Enroll(t.Context(), fleet.EnrollRequest{EnrollKey: first.EnrollKey, Host: fleet.Host{ID: "h", Name: "node"}}, w.now.UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	agent, err := w.Key(t.Context(), resp.AccessKey)
	if err != nil {
		t.Fatal(err)
	}
	var states []fleet.ImageState
	for n := range names {
		states = append(states, fleet.ImageState{Engine: "docker", ConfigDigest: image.DigestOf(config(n)), Names: names[n], Size: 1})
	}
	sync := func() []fleet.Job {
		resp, err := w.Sync(t.Context(), agent, fleet.SyncRequest{Host: fleet.Host{ID: "h", Name: "node", Engines: []fleet.Engine{{Name: "docker", Version: "1"}}},
			Analyzers: packagesKey, ImagesHash: "h", Images: &states, Want: 10}, w.now.UnixMilli())
		if err != nil {
			t.Fatal(err)
		}
		return resp.Jobs
	}
	sync()
	if _, err := w.Scan(t.Context(), w.project, store.ScanRequest{All: true, TaskType: store.TaskManual}); err != nil {
		t.Fatal(err)
	}
	for _, j := range sync() {
		for n := range names {
			if image.DigestOf(config(n)) != j.ConfigDigest {
				continue
			}
			if err := w.PutLayer(t.Context(), layers[n]); err != nil {
				t.Fatal(err)
			}
			if err := w.Finish(t.Context(), agent, j.ID, fleet.FinishRequest{Image: &fleet.ImageReport{
				ConfigDigest: j.ConfigDigest, Analyzers: packagesKey, DiffIDs: []image.Digest{diffID(n)}, Config: config(n)}}, w.now.UnixMilli()); err != nil {
				t.Fatal(err)
			}
		}
	}
	return w
}

func diffID(n int) image.Digest { return image.Digest(fmt.Sprintf("sha256:%064x", n+1)) }

func config(n int) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[%q]}}`, diffID(n)))
}

// layer has as many packages as its number, and one more.
func layer(n int) *report.LayerReport {
	l := &report.LayerReport{DiffID: string(diffID(n)), Analyzers: packagesKey, Complete: true}
	for i := range n + 1 {
		l.Packages = append(l.Packages, report.Package{Type: report.TypePython, Name: fmt.Sprint("p", i), Version: "1", Path: "/opt/" + fmt.Sprint(i)})
	}
	return l
}

func (w *world) add(format string, maxRecords int64, tenants ...string) string {
	w.t.Helper()
	id, err := w.AddExport(w.t.Context(), store.Export{Tenants: tenants, Query: store.ReportQuery{Kind: store.ReportApps}, Format: format, MaxRecords: maxRecords})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// file is what was made for a task.
func (w *world) file(id string, tenants ...string) (store.Export, []byte) {
	w.t.Helper()
	e, err := w.Export(w.t.Context(), tenants, id)
	if err != nil || e.State != store.ExportSuccess {
		w.t.Fatalf("%+v, %v", e, err)
	}
	var out []byte
	for n := int64(0); int64(len(out)) < e.Size; n++ {
		b, err := w.ExportChunk(w.t.Context(), e.FileID, n)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, b...)
	}
	if sum := sha256.Sum256(out); int64(len(out)) != e.Size || hex.EncodeToString(sum[:]) != e.Digest {
		w.t.Errorf("%d bytes of %d, digest %s", len(out), e.Size, e.Digest)
	}
	return e, out
}

func TestMaker(t *testing.T) {
	w := newWorld(t, 3)
	m := New(w.Store, slog.New(slog.DiscardHandler))
	if made, err := m.Next(t.Context()); made || err != nil {
		t.Fatalf("without a task: %v, %v", made, err)
	}
	for _, tc := range []struct {
		name    string
		max     int64
		tenants []string
		want    []string
	}{
		{"all", 100, []string{w.project}, []string{"0 p0", "1 p0", "1 p1", "2 p0", "2 p1", "2 p2"}},
		{"some", 2, []string{w.project}, []string{"0 p0", "1 p0"}},
		{"as many as there are", 6, []string{w.project}, []string{"0 p0", "1 p0", "1 p1", "2 p0", "2 p1", "2 p2"}},
		{"none", 0, []string{w.project}, nil},
		{"of a tenant that has none", 100, []string{"other"}, nil},
		{"of two tenants", 7, []string{"other", w.project}, []string{"0 p0", "1 p0", "1 p1", "2 p0", "2 p1", "2 p2"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			id, again := w.add(store.FormatCSV, tc.max, tc.tenants...), w.add(store.FormatCSV, tc.max, tc.tenants...)
			for range 2 {
				if made, err := m.Next(t.Context()); !made || err != nil {
					t.Fatal(made, err)
				}
			}
			e, body := w.file(id, tc.tenants...)
			if e.FileName != "onceover-apps-20261128T120000Z.zip" {
				t.Error(e.FileName)
			}
			if _, second := w.file(again, tc.tenants...); !bytes.Equal(body, second) {
				t.Error("the same state gave other bytes")
			}
			_, files := unzip(t, body)
			var got []string
			for _, r := range readCSV(t, files["apps.csv"])[1:] {
				if r[1] != "'=web" {
					t.Errorf("a formula for a name: %q", r[1])
				}
				got = append(got, r[2]+" "+r[4])
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	id := w.add(store.FormatXLSX, 100, w.project)
	if made, err := m.Next(t.Context()); !made || err != nil {
		t.Fatal(made, err)
	}
	e, body := w.file(id, w.project)
	_, files := unzip(t, body)
	rows := cells(t, files["xl/worksheets/sheet1.xml"])
	if len(rows) != 7 || rows[1][1] != "text =web" || !strings.HasSuffix(e.FileName, ".xlsx") {
		t.Errorf("%s: %q", e.FileName, rows)
	}
}

// A server that ends gives the task back; one that was killed has it taken by the
// next.
func TestMakerEnds(t *testing.T) {
	w := newWorld(t, 1)
	m := New(w.Store, slog.New(slog.DiscardHandler))
	id := w.add(store.FormatCSV, 10, w.project)
	killed, err := w.LeaseExport(t.Context())
	if err != nil || killed == nil {
		t.Fatal(err)
	}
	if made, err := m.Next(t.Context()); made || err != nil {
		t.Fatalf("made while another has the lease: %v", err)
	}
	w.now = w.now.Add(store.ExportLease + time.Second)
	ended, end := context.WithCancel(t.Context())
	e, err := w.LeaseExport(t.Context())
	if err != nil || e == nil {
		t.Fatal(err)
	}
	end()
	if _, err := m.make(ended, e); !errors.Is(err, context.Canceled) {
		t.Fatalf("made by a server that ends: %v", err)
	}
	if err := w.ReleaseExport(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if made, err := m.Next(t.Context()); !made || err != nil {
		t.Fatal(made, err)
	}
	w.file(id, w.project)
	if err := w.PutExportChunk(t.Context(), killed, 0, nil); !errors.Is(err, store.ErrLeaseLost) || fault.CodeOf(err) != fault.Conflict {
		t.Errorf("a server that was taken for dead writes: %v", err)
	}
}

// Run makes what is accepted while it runs, and at once what a server of SQLite made
// when it was killed.
func TestMakerRuns(t *testing.T) {
	w := newWorld(t, 1)
	left := w.add(store.FormatCSV, 10, w.project)
	if killed, err := w.LeaseExport(t.Context()); err != nil || killed == nil {
		t.Fatal(killed, err)
	}
	ctx, end := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		New(w.Store, slog.New(slog.DiscardHandler)).Run(ctx)
	}()
	id := w.add(store.FormatCSV, 10, w.project)
	for _, task := range []string{left, id} { // in an order that is not theirs: the clock stands
		for range 500 {
			if e, err := w.Export(t.Context(), []string{w.project}, task); err != nil || e.State == store.ExportSuccess {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	end()
	<-done
	w.file(id, w.project)
	w.file(left, w.project)
}
