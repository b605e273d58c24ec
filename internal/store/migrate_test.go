package store

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/test/postgres"
)

// before is a database of version 2 with two images that share their packages,
// one of them scanned later, and one that was never scanned.
const before = `
INSERT INTO project (id, name, created_at) VALUES ('p', 'default', 1);
INSERT INTO agent (id, project_id, host_id, host_name, private_ip, public_ip, os, arch, version, engines, analyzers, images_hash, last_seen, created_at) VALUES ('a', 'p', 'h', 'host', '', '', '', '', '', '[]', '', '', 1, 1);
INSERT INTO content (id, project_id, config_digest, scan_status, prior_status, scan_failed_desc, latest_scan_time, vul_num, component_num, severity_level, analyzers, generation, diff_ids, config, distro, gone_at) VALUES
(1, 'p', 'sha256:01', 'success', 'success', '', 1000, 2, 3, 'High', 'set', 'test', '["sha256:aa"]', NULL, '{"id":"debian","version_id":"12"}', 0),
(2, 'p', 'sha256:02', 'success', 'success', '', 2000, 1, 2, 'Medium', 'set', 'test', '["sha256:aa"]', NULL, '{"id":"debian","version_id":"12"}', 0),
(3, 'p', 'sha256:03', 'unscan', 'unscan', '', 0, 0, 0, '', '', '', '[]', NULL, '{}', 0),
(4, 'p', 'sha256:04', 'success', 'success', '', 2000, 0, 0, '', 'set', 'test', '[]', NULL, '{"id":"haiku"}', 0),
(5, 'p', 'sha256:05', 'success', 'success', '', 2000, 0, 0, 'Security', 'set', 'test', '[]', NULL, '{"id":"debian","version_id":"12"}', 0);
INSERT INTO image (id, project_id, content_id, name, version, local_type, size, updated_at, non_scan_reason) VALUES
('i1', 'p', 1, 'web', '1', 'other_image', 1, 1, ''), ('i2', 'p', 2, 'web', '2', 'other_image', 1, 1, ''), ('i3', 'p', 3, 'web', '3', 'other_image', 1, 1, ''),
('i4', 'p', 4, 'web', '4', 'other_image', 1, 1, ''), ('i5', 'p', 5, 'web', '5', 'other_image', 1, 1, '');
INSERT INTO image_host (image_id, agent_id, engine, project_id, non_scan_reason) VALUES ('i1', 'a', 'docker', 'p', ''), ('i2', 'a', 'docker', 'p', '');
INSERT INTO package (id, type, name, version, arch, source, source_version, module, vendor, distro) VALUES
(11, 'deb', 'openssl', '3.0.9-1', 'amd64', '', '', '', '', 'debian:12'), (12, 'pypi', 'requests', '2.28.1', '', '', '', '', '', ''), (13, 'pypi', 'wanted', '1', '', '', '', '', '', '');
INSERT INTO content_package (content_id, package_id, path, layer, owned_by, declared, licenses) VALUES
(1, 11, '/var/lib/dpkg/status', 'sha256:aa', '', 0, 'null'), (1, 12, '/a/METADATA', 'sha256:bb', '', 0, '["Apache-2.0"]'), (1, 12, '/b/METADATA', 'sha256:bb', '', 0, 'null'),
(1, 13, '/r.txt', 'sha256:bb', '', 1, 'null'), (2, 11, '/var/lib/dpkg/status', 'sha256:aa', '', 0, 'null'), (2, 12, '/usr/METADATA', 'sha256:aa', 'deb:python3-requests', 0, 'null');
INSERT INTO vulnerability (id, severity_from, score, vector, summary, url, published, aliases) VALUES
('DEBIAN-CVE-2023-5363', 'vendor', 75, '', 'about openssl', 'u', 5, '[]'), ('GHSA-9wx4-h78v-vm56', 'cvss', 56, '', 'about requests', 'u', 5, '[]');
INSERT INTO vulnerability_cve (vul_id, cve_id, score, published, description) VALUES ('DEBIAN-CVE-2023-5363', 'CVE-2023-5363', 75, 5, 'd'), ('GHSA-9wx4-h78v-vm56', 'CVE-2024-35195', 56, 5, 'd');
INSERT INTO finding (content_id, vul_id, package_id, path, layer, project_id, vul_type, severity, fix_state, fixed_version, evidence, first_seen) VALUES
(1, 'DEBIAN-CVE-2023-5363', 11, '/var/lib/dpkg/status', 'sha256:aa', 'p', 'linux_vul', 3, 'fixed', '3.0.11-1~deb12u2', '{"name":"openssl","build_command":"RUN apt"}', 900),
(1, 'GHSA-9wx4-h78v-vm56', 12, '/a/METADATA', 'sha256:bb', 'p', 'app_vul', 2, 'fixed', '2.32.0', '{"name":"requests"}', 1000),
(1, 'GHSA-9wx4-h78v-vm56', 12, '/b/METADATA', 'sha256:bb', 'p', 'app_vul', 2, 'fixed', '2.32.0', '{"name":"requests"}', 1000),
(2, 'DEBIAN-CVE-2023-5363', 11, '/var/lib/dpkg/status', 'sha256:aa', 'p', 'linux_vul', 3, 'fixed', '3.0.11-1~deb12u2', '{"name":"openssl"}', 2000);
`

// TestMigrationCarriesOver opens a database of the version before packages were
// matched once.
func TestMigrationCarriesOver(t *testing.T) { onEngines(t, testMigrationCarriesOver) }

func testMigrationCarriesOver(t *testing.T) {
	w := &world{t: t, clk: &clock{time.UnixMilli(5000)}, table: newTable()}
	old := &Store{log: slog.New(slog.DiscardHandler), now: w.clk.now, engine: sqliteEngine}
	if strings.Contains(t.Name(), "/postgres") {
		w.url = postgres.Database(t)
		old.engine, old.cfg.URL = postgresEngine, w.url
		if err := old.openPostgres(t.Context()); err != nil {
			t.Fatal(err)
		}
	} else {
		w.path = filepath.Join(t.TempDir(), FileName)
		old.cfg.Path = w.path
		if err := old.openSQLite(); err != nil {
			t.Fatal(err)
		}
	}
	p, err := old.migrator()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	for statement := range strings.SplitSeq(before, ";\n") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		if _, err := old.write.ExecContext(context.WithoutCancel(t.Context()), statement); err != nil {
			t.Fatalf("%v: %s", err, statement)
		}
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}

	w.open()
	t.Cleanup(func() { _ = w.Store.Close() })
	w.first.Project.ID = "p"
	levels := func() string {
		var out []string
		for n := range 5 {
			i := w.images()[fmt.Sprint("web:", n+1)]
			out = append(out, fmt.Sprint(i.VulNum, i.SeverityLevel))
		}
		return strings.Join(out, " ")
	}
	// Image 2 was called Medium by whoever wrote its row: the counters are
	// made from the findings. Image 4 is not called safe before it is
	// scanned again.
	if got := levels(); got != "2High 1High 0 0 0Security" {
		t.Errorf("got %q", got)
	}
	findings, total, err := w.Findings(t.Context(), "p", "i1", VulFilter{}, Page{Limit: 10})
	if err != nil || total != 3 {
		t.Fatalf("%d findings, %v", total, err)
	}
	want := Finding{rules[1].id, 3, "about openssl", "u", "sha256:aa", "openssl", "3.0.9-1", "/var/lib/dpkg/status", VulLinux, report.FixAvailable, rules[1].fixed}
	if d := cmp.Diff(want, findings[0]); d != "" {
		t.Error(d)
	}
	rows, _, err := w.Affected(t.Context(), "p", rules[1].id, AffectedFilter{}, Page{Limit: 10})
	if err != nil || len(rows) != 2 || rows[0].FirstSeen != 900 || rows[1].FirstSeen != 2000 {
		t.Errorf("%+v, %v", rows, err)
	}
	if apps, total, err := w.Apps(t.Context(), "p", "i1", "", Page{Limit: 10}); err != nil || total != 2 || apps[1].VulNum != 1 {
		t.Errorf("%+v, %v", apps, err)
	}
	if got := w.who("p", rules[1].cve, WhoseImages, Page{Limit: 10}); got.Images != 2 || got.Hosts != 1 {
		t.Errorf("%+v", got)
	}
	// The first re-match concerns everything, and finds what the rules say
	// beyond what was carried over.
	if r := w.rematch(); !r.Whole || r.Packages != 2 || r.Changes != 1 {
		t.Errorf("%+v", r)
	}
	if got := levels(); got != "3High 2High 0 0 0Security" {
		t.Errorf("after the re-match %q", got)
	}
}
