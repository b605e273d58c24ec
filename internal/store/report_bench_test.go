package store

import (
	"database/sql"
	"fmt"
	"testing"

	"github.com/onceover/onceover/test/postgres"
)

// BenchmarkReportNum counts the findings of 10,000 images, and of 100,000 on
// PostgreSQL: families of images that share layers, as builds do. A layer is a part;
// the lower, the more packages it has and the more images.
func BenchmarkReportNum(b *testing.B) {
	for _, tc := range []struct {
		name   string
		images int
		config Config
	}{
		{"sqlite", 10_000, Config{DataDir: b.TempDir()}},
		{"postgres", 100_000, Config{}},
	} {
		b.Run(tc.name, func(b *testing.B) {
			if tc.name == "postgres" {
				tc.config.URL = postgres.Database(b)
			}
			tc.config.SealKey = make([]byte, SealKeyBytes)
			s, err := Open(b.Context(), tc.config)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = s.Close() })
			_, first, err := s.Bootstrap(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			project := first.Project.ID
			fillFleet(b, s, project, tc.images)
			for name, f := range map[string]ReportImages{"all": {}, "named": {ImageFilter: ImageFilter{Name: "web7"}}} {
				b.Run(name, func(b *testing.B) {
					for b.Loop() {
						n, err := s.ReportNum(b.Context(), project, ReportQuery{Kind: ReportVulnerability, Images: f})
						if err != nil || n == 0 {
							b.Fatal(n, err)
						}
						b.ReportMetric(float64(n), "records")
					}
				})
			}
		})
	}
}

// fillFleet writes images, parts, packages and findings.
func fillFleet(b *testing.B, s *Store, project string, images int) {
	b.Helper()
	const packages, vuls = 20_000, 5
	layers := []struct{ parts, packages int }{{100, 200}, {500, 60}, {images / 2, 40}, {images, 3}}
	tables := map[string][][]any{}
	put := func(table string, row ...any) { tables[table] = append(tables[table], row) }
	for n := range int64(packages) {
		put("package (id, type, name, version, arch, source, source_version, module, vendor, distro_id, matched)", n, "deb", fmt.Sprint("p", n), "1", "", "", "", "", "", 0, 1)
		if n%3 != 0 {
			continue
		}
		for v := range int64(vuls) {
			put("finding (package_id, vul_id, vul_type, severity, fix_state, fixed_version, evidence, first_seen)", n, n*vuls+v, VulLinux, 3, "fixed", "2", "", 1)
		}
	}
	id := int64(0)
	var begin []int64
	for _, l := range layers {
		begin = append(begin, id)
		for range l.parts {
			put("part (id, layer)", id, fmt.Sprint("l", id))
			for n := range int64(l.packages) {
				put("part_package (part_id, n, package_id, counted, declared, owned_by, path, licenses)", id, n, (id*31+n*7)%packages, 1, 0, "", "", "")
			}
			id++
		}
	}
	for i := range images {
		put("content (id, project_id, config_digest, scan_status, prior_status, scan_failed_desc, latest_scan_time, vul_num, component_num, severity_level, gone_at)",
			i, project, fmt.Sprint("sha256:", i), "success", "success", "", 1, 1, 1, "High", 0)
		put("image (id, project_id, content_id, name, version, local_type, size, updated_at, non_scan_reason)", fmt.Sprint("i", i), project, i, fmt.Sprint("web", i%1000), fmt.Sprint(i), "other_image", 1, 1, "")
		for l, layer := range layers {
			put("content_part (content_id, part_id)", i, begin[l]+int64(i%layer.parts))
		}
	}
	err := s.inTx(b.Context(), func(tx *sql.Tx) error {
		for _, into := range []string{"package", "finding", "part", "part_package", "content", "image", "content_part"} {
			for head, rows := range tables {
				var table string
				if _, err := fmt.Sscan(head, &table); err != nil {
					return err
				}
				if table != into {
					continue
				}
				if err := putRows(b.Context(), tx, "INSERT INTO "+head+" VALUES", "", rows); err != nil {
					return fmt.Errorf("fill %s: %w", into, err)
				}
			}
		}
		return nil
	})
	if err == nil && s.engine.arrays {
		err = s.exec(b.Context(), "ANALYZE")
	}
	if err != nil {
		b.Fatal(err)
	}
}
