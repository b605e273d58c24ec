package main

import (
	"archive/zip"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory"
)

// The larger set has to be ten times as large where it counts: in records, in
// packages, and in vulnerabilities after folding by aliases.
func TestTenfold(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "ten")
	f, err := os.Create(filepath.Join(from, "npm.zip"))
	if err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(f)
	for name, text := range map[string]string{
		"a.json": `{"id":"GHSA-aaaa-bbbb-cccc","modified":"2026-01-02T03:04:05Z","aliases":["CVE-2026-1001"],"affected":[{"package":{"ecosystem":"npm","name":"a"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.0.0"}]}]}]}`,
		"b.json": `{"id":"GHSA-aaaa-bbbb-ccc2","modified":"2026-01-02T03:04:05Z","aliases":["CVE-2026-1002"],"affected":[{"package":{"ecosystem":"npm","name":"b"},"versions":["1.0.0"]}]}`,
	} {
		e, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := tenfold(t.Context(), from, to); err != nil {
		t.Fatal(err)
	}
	db := filepath.Join(t.TempDir(), "ten.db")
	meta, err := advisory.Build(t.Context(), advisory.BuildOptions{From: to, To: db, Problem: func(p advisory.Problem) { t.Error(p.Err) }})
	if err != nil {
		t.Fatal(err)
	}
	if meta.Records != 20 || meta.Packages != 20 {
		t.Errorf("%d records, %d packages, want 20 each", meta.Records, meta.Packages)
	}
	d, err := advisory.Open(db)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	as, err := d.Affected("npm", "a-x7")
	if err != nil || len(as) != 1 {
		t.Fatalf("%d entries of copy 7: %v", len(as), err)
	}
	v, err := d.Vuln(as[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"CVE-2026-10017"}, v.CVEs); diff != "" {
		t.Error(diff)
	}
}

// A list without packages is still one that grype reads: all but the packages
// stays.
func TestEmptied(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	if err := os.WriteFile(from, []byte(`{"artifacts":[{"name":"a"}],"distro":{"id":"debian"},"schema":{"version":"16"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := emptied(from, to); err != nil {
		t.Fatal(err)
	}
	var got map[string]json.RawMessage
	if err := readJSON(to, &got); err != nil {
		t.Fatal(err)
	}
	if string(got["artifacts"]) != "[]" || string(got["distro"]) != `{"id":"debian"}` || string(got["schema"]) != `{"version":"16"}` {
		t.Errorf("%s", got)
	}
}
