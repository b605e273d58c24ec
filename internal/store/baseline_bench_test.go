package store

import (
	"database/sql"
	"flag"
	"fmt"
	"testing"

	"github.com/onceover/onceover/internal/check/baseline"
)

var benchImages = flag.Int("baseline-images", 10_000, "images of BenchmarkBaselineLists, each with a content of its own")

// BenchmarkBaselineLists asks for the lists over a whole fleet: eight baselines
// for each image, each with one of 50 different sets of answers.
func BenchmarkBaselineLists(b *testing.B) {
	s, err := Open(b.Context(), Config{DataDir: b.TempDir(), SealKey: make([]byte, SealKeyBytes)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	_, first, err := s.Bootstrap(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	set, err := s.BaselineRules()
	if err != nil {
		b.Fatal(err)
	}
	project, n := first.Project.ID, *benchImages
	err = s.inTx(b.Context(), func(tx *sql.Tx) error {
		for i := 1; i <= n; i++ {
			for _, q := range []string{
				fmt.Sprintf(`INSERT INTO content (id, project_id, config_digest, scan_status, prior_status, scan_failed_desc, latest_scan_time, vul_num, component_num, severity_level, gone_at) VALUES (%d, '%s', 'sha256:%064x', 'success', 'success', '', 1, 0, 0, '', 0)`, i, project, i),
				fmt.Sprintf(`INSERT INTO image (id, project_id, content_id, name, version, local_type, size, updated_at, non_scan_reason) VALUES ('i%d', '%s', %d, 'web%d', '1', 'other_image', 1, 1, '')`, i, project, i, i),
			} {
				if _, err := tx.ExecContext(b.Context(), q); err != nil {
					return err
				}
			}
			j := &judgement{rules: set.Version()}
			for _, name := range []string{"SSH", "Docker", "Redis", "Nginx"} {
				for _, standard := range []string{baseline.CNStandard, baseline.HWStandard} {
					a := answers{checkName: name, standard: standard}
					for r, rule := range set.Rules() {
						if rule.CheckName != name {
							continue
						}
						a.rules = append(a.rules, ruleAnswer{rule.ID, (i%50)>>(r%6)&1 == 1, 3})
					}
					j.answers = append(j.answers, a)
				}
			}
			if err := putJudgement(b.Context(), tx, int64(i), j); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	page := Page{Limit: 200}
	for name, ask := range map[string]func() error{
		"configs": func() error {
			_, _, err := s.Baselines(b.Context(), []string{project}, BaselineFilter{}, page)
			return err
		},
		"rules": func() error {
			_, _, err := s.BaselineRulesOf(b.Context(), []string{project}, BaselineFilter{}, page)
			return err
		},
		"rules of one image": func() error {
			_, _, err := s.BaselineRulesOf(b.Context(), []string{project}, BaselineFilter{Images: ImageSelector{ID: "i7"}}, page)
			return err
		},
		"images of a rule": func() error {
			_, _, err := s.RuleImages(b.Context(), project, RuleKey{"SSH-01", "SSH", baseline.CNStandard}, nil, page)
			return err
		},
		"statistic": func() error {
			_, err := s.Unsafe(b.Context(), project, ImageSelector{})
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := ask(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
