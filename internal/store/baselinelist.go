package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/check/baseline"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/report"
)

// A BaselineRule is a rule of one baseline and standard with its answer over
// the images that were selected.
type BaselineRule struct {
	Rule                *baseline.Rule
	CheckName, Standard string
	// About says what the baseline is about.
	About string
	// Severity is the rule's, failed or not: baseline.SeverityHigh …
	Severity string
	// Failed says that one of the images does not keep the rule. ImageNum
	// counts those that do not; if there is none, those that do.
	Failed   bool
	ImageNum int64
	ScanTime int64 // of the latest scan of these images, Unix milliseconds
}

// BaselineFilter selects rules; the zero value selects all.
type BaselineFilter struct {
	Images ImageSelector
	// CheckName, Standard and Severity are exact.
	CheckName, Standard, Severity string
	Name                          string // substring of the rule's
	Failed                        *bool
}

const (
	// Cross joins as in findings.go.
	// Sums are made of narrow rows.
	sqlBaselineUse = `SELECT b.id, b.check_name, b.standard, t.images, t.scanned FROM (
SELECT h.baseline_id, COUNT(*) AS images, MAX(c.latest_scan_time) AS scanned
FROM image i CROSS JOIN content c CROSS JOIN content_baseline h
WHERE c.id = i.content_id AND h.content_id = i.content_id AND {where} GROUP BY h.baseline_id) t CROSS JOIN baseline b WHERE b.id = t.baseline_id`
	sqlAnswers       = `SELECT baseline_id, rule_id, failed, severity FROM baseline_rule WHERE baseline_id IN {in}`
	sqlKnownBaseline = `SELECT 1 FROM baseline WHERE check_name = $1 LIMIT 1`
	sqlCountCovered  = `SELECT COUNT(*) FROM baseline_rule r CROSS JOIN baseline b CROSS JOIN content_baseline h CROSS JOIN image i
WHERE b.id = r.baseline_id AND h.baseline_id = b.id AND i.content_id = h.content_id AND {where}`
	// An image has one set of answers for each baseline and standard.
	sqlListCovered = `SELECT i.id, i.name, i.version, c.config_digest, i.size, c.latest_scan_time, r.failed
FROM baseline_rule r CROSS JOIN baseline b CROSS JOIN content_baseline h CROSS JOIN image i CROSS JOIN content c
WHERE b.id = r.baseline_id AND h.baseline_id = b.id AND i.content_id = h.content_id AND c.id = i.content_id AND {where}
ORDER BY i.name, i.version, i.id LIMIT ? OFFSET ?`
	sqlFailedFirst = `SELECT i.content_id
FROM baseline_rule r CROSS JOIN baseline b CROSS JOIN content_baseline h CROSS JOIN image i
WHERE b.id = r.baseline_id AND h.baseline_id = b.id AND i.content_id = h.content_id AND {where}
ORDER BY r.failed DESC, i.name, i.version, i.id LIMIT 1`
	sqlUnsafe = `SELECT k.name, CAST(SUM(k.num) AS BIGINT) FROM image i CROSS JOIN content_check k
WHERE k.content_id = i.content_id AND k.name IN ('baseline', 'passwords') AND {where} GROUP BY k.name`
)

// baselineRules are the rules that images of some projects were asked, by
// baseline and standard. Of the filter, severity, name and result are left to the
// caller.
func (s *Store) baselineRules(ctx context.Context, projects []string, f BaselineFilter) ([]BaselineRule, error) {
	if err := s.known(ctx, projects, f.Images); err != nil {
		return nil, err
	}
	set, err := s.BaselineRules()
	if err != nil {
		return nil, err
	}
	type use struct {
		checkName, standard string
		images, time        int64
	}
	type key struct{ checkName, standard, rule string }
	type sum struct {
		passed, failed, severity, passedTime, failedTime int64
	}
	sums := map[key]*sum{}
	err = s.inView(ctx, func(tx *sql.Tx) error {
		uses := map[int64]use{}
		var ids []int64
		for _, project := range projects {
			q, args := f.Images.where(project).query(sqlBaselineUse)
			err := each(ctx, tx, q, args, func(r *sql.Rows) error {
				var id int64
				var u use
				err := r.Scan(&id, &u.checkName, &u.standard, &u.images, &u.time)
				if f.CheckName != "" && f.CheckName != u.checkName || f.Standard != "" && f.Standard != u.standard {
					return err
				}
				if have, ok := uses[id]; ok {
					u.images, u.time = u.images+have.images, max(u.time, have.time)
				} else {
					ids = append(ids, id)
				}
				uses[id] = u
				return err
			})
			if err != nil {
				return err
			}
		}
		return eachIn(ctx, tx, sqlAnswers, ids, func(r *sql.Rows) error {
			var id, failed, severity int64
			var rule string
			if err := r.Scan(&id, &rule, &failed, &severity); err != nil {
				return err
			}
			u := uses[id]
			k := key{u.checkName, u.standard, rule}
			n := sums[k]
			if n == nil {
				n = &sum{}
				sums[k] = n
			}
			n.severity = max(n.severity, severity)
			if failed == 1 {
				n.failed, n.failedTime = n.failed+u.images, max(n.failedTime, u.time)
			} else {
				n.passed, n.passedTime = n.passed+u.images, max(n.passedTime, u.time)
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list answers of baseline rules: %w", err)
	}
	var out []BaselineRule
	for k, n := range sums {
		rule := set.Rule(k.rule)
		if rule == nil {
			continue // a rule that is gone is in no answer; its rows go soon
		}
		r := BaselineRule{
			Rule: rule, CheckName: k.checkName, Standard: k.standard, About: set.Describe(k.checkName),
			Severity: report.SeverityName(n.severity), Failed: n.failed > 0, ImageNum: n.failed, ScanTime: n.failedTime,
		}
		if !r.Failed {
			r.ImageNum, r.ScanTime = n.passed, n.passedTime
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b BaselineRule) int {
		return cmp.Or(cmp.Compare(a.CheckName, b.CheckName), cmp.Compare(a.Standard, b.Standard), cmp.Compare(a.Rule.ID, b.Rule.ID))
	})
	return out, nil
}

// A Baseline is one baseline of a standard over the images that were selected.
type Baseline struct {
	CheckName, Standard, About string
	// Severity is the worst of the rules that failed in one of the images;
	// baseline.SeveritySecurity if none did.
	Severity string
	// Rules counts the rules that were asked, Failed those that failed in one
	// of the images.
	Rules, Failed int64
}

// Baselines lists the baselines of some projects' images by name and standard.
// Severity of the filter is that
// of the baseline; Name and Failed do not count. An unknown image is
// fault.NotFound; one that was not looked at has none.
func (s *Store) Baselines(ctx context.Context, projects []string, f BaselineFilter, p Page) ([]Baseline, int64, error) {
	rules, err := s.baselineRules(ctx, projects, f)
	if err != nil {
		return nil, 0, err
	}
	var all []Baseline
	for _, r := range rules {
		if n := len(all); n == 0 || all[n-1].CheckName != r.CheckName || all[n-1].Standard != r.Standard {
			all = append(all, Baseline{CheckName: r.CheckName, Standard: r.Standard, About: r.About, Severity: baseline.SeveritySecurity})
		}
		b := &all[len(all)-1]
		b.Rules++
		if r.Failed {
			b.Failed++
			b.Severity = baseline.Worst(b.Severity, r.Severity)
		}
	}
	if f.Severity != "" {
		all = slices.DeleteFunc(all, func(b Baseline) bool { return b.Severity != f.Severity })
	}
	out, total := PageOf(all, p)
	return out, total, nil
}

// BaselineRulesOf lists rules, those that failed first and the worst first among
// these. An unknown image is fault.NotFound, and so is the name of no baseline.
func (s *Store) BaselineRulesOf(ctx context.Context, projects []string, f BaselineFilter, p Page) ([]BaselineRule, int64, error) {
	if f.CheckName != "" {
		if err := s.knownBaseline(ctx, f.CheckName); err != nil {
			return nil, 0, err
		}
	}
	all, err := s.baselineRules(ctx, projects, f)
	if err != nil {
		return nil, 0, err
	}
	all = slices.DeleteFunc(all, func(r BaselineRule) bool {
		return f.Severity != "" && r.Severity != f.Severity || !strings.Contains(r.Rule.Name, f.Name) || f.Failed != nil && *f.Failed != r.Failed
	})
	slices.SortStableFunc(all, func(a, b BaselineRule) int {
		return cmp.Or(cmp.Compare(boolInt(b.Failed), boolInt(a.Failed)),
			report.SeverityRank(b.Severity)-report.SeverityRank(a.Severity))
	})
	out, total := PageOf(all, p)
	return out, total, nil
}

// PageOf is a part of a list that is made in memory, and the length of it.
func PageOf[T any](all []T, p Page) ([]T, int64) {
	n := int64(len(all))
	from := min(p.Offset, n)
	return all[from:min(from+p.Limit, n)], n
}

// knownBaseline is fault.NotFound for a name that neither a rule nor a scan
// knows: those of distributions are made from the images.
func (s *Store) knownBaseline(ctx context.Context, name string) error {
	set, err := s.BaselineRules()
	if err != nil {
		return err
	}
	if name != baseline.CheckNameOS && slices.ContainsFunc(set.Rules(), func(r *baseline.Rule) bool { return r.CheckName == name }) {
		return nil
	}
	var one int
	err = s.read.QueryRowContext(ctx, sqlKnownBaseline, text(name)).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return fault.New(fault.NotFound, "there is no baseline %s", name)
	}
	if err != nil {
		return fmt.Errorf("look for baseline: %w", err)
	}
	return nil
}

// RuleKey names a rule of a baseline and standard.
type RuleKey struct{ Rule, CheckName, Standard string }

// ruleOf finds a rule. One that no rule of the set is, or that belongs to another
// baseline or standard, is fault.NotFound.
func (s *Store) ruleOf(ctx context.Context, k RuleKey) (*baseline.Rule, error) {
	set, err := s.BaselineRules()
	if err != nil {
		return nil, err
	}
	r := set.Rule(k.Rule)
	if r == nil || r.CheckName != baseline.CheckNameOS && r.CheckName != k.CheckName || !slices.Contains(r.Standards, k.Standard) {
		return nil, fault.New(fault.NotFound, "there is no rule %s in baseline %s of %s", k.Rule, k.CheckName, k.Standard)
	}
	return r, s.knownBaseline(ctx, k.CheckName)
}

func (k RuleKey) where(project string, f ImageSelector) *where {
	w := &where{}
	w.add("r.rule_id = ?", k.Rule)
	w.add("b.check_name = ?", k.CheckName)
	w.add("b.standard = ?", k.Standard)
	of := f.where(project)
	w.add(of.text(), of.args...)
	return w
}

// A RuleImage is an image that a rule was asked about.
type RuleImage struct {
	ImageID, Name, Version string
	ConfigDigest           string
	Size                   int64
	ScanTime               int64 // Unix milliseconds
	Failed                 bool
}

// RuleImages lists the images that a rule was asked about, those that failed or
// passed if that is asked. An unknown rule is fault.NotFound.
func (s *Store) RuleImages(ctx context.Context, project string, k RuleKey, failed *bool, p Page) (out []RuleImage, total int64, err error) {
	if _, err := s.ruleOf(ctx, k); err != nil {
		return nil, 0, err
	}
	w := k.where(project, ImageSelector{})
	if failed != nil {
		w.add("r.failed = ?", boolInt(*failed))
	}
	total, err = s.list(ctx, w, sqlCountCovered, sqlListCovered, []any{p.Limit, p.Offset}, func(r *sql.Rows) error {
		var i RuleImage
		err := r.Scan(&i.ImageID, &i.Name, &i.Version, &i.ConfigDigest, &i.Size, &i.ScanTime, &i.Failed)
		out = append(out, i)
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list images of a rule: %w", err)
	}
	return out, total, nil
}

// RuleDetail is a rule with what it looked at in one image: the selected one, or
// the first of those selected that fails it, or else the first. Cases are nil if
// it was asked about none of them, if no image is selected, or if not every layer
// report of the image is kept. An unknown rule or image is fault.NotFound.
func (s *Store) RuleDetail(ctx context.Context, project string, k RuleKey, f ImageSelector) (*baseline.Rule, []baseline.Case, error) {
	rule, err := s.ruleOf(ctx, k)
	if err == nil {
		err = s.known(ctx, []string{project}, f)
	}
	if err != nil || f == (ImageSelector{}) {
		return rule, nil, err
	}
	var content int64
	q, args := k.where(project, f).query(sqlFailedFirst)
	err = s.read.QueryRowContext(ctx, q, args...).Scan(&content)
	if errors.Is(err, sql.ErrNoRows) {
		return rule, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("find image of a rule: %w", err)
	}
	im, err := s.keptBaseline(ctx, content)
	if fault.CodeOf(err) == fault.Conflict {
		return rule, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	set, err := s.BaselineRules()
	if err != nil {
		return nil, nil, err
	}
	for _, r := range baseline.Evaluate(set, *im) {
		if (RuleKey{r.RuleID, r.CheckName, r.Standard}) == k {
			return rule, r.Cases, nil
		}
	}
	return rule, nil, nil
}

// Unsafe counts what is set badly in images. What none of them was looked at for
// is nil.
type Unsafe struct {
	// Rules counts failed rules, WeakPasswords accounts, both in each image;
	// Complexity counts images that do not demand good passwords.
	Rules, WeakPasswords, Complexity *int64
}

// Unsafe counts over some images. An unknown one is fault.NotFound.
func (s *Store) Unsafe(ctx context.Context, project string, f ImageSelector) (out Unsafe, err error) {
	if err := s.known(ctx, []string{project}, f); err != nil {
		return Unsafe{}, err
	}
	err = s.inView(ctx, func(tx *sql.Tx) error {
		q, args := f.where(project).query(sqlUnsafe)
		err := each(ctx, tx, q, args, func(r *sql.Rows) error {
			var name string
			var n int64
			err := r.Scan(&name, &n)
			switch name {
			case report.CheckBaseline:
				out.Rules, out.Complexity = &n, new(int64)
			case report.CheckPasswords:
				out.WeakPasswords = &n
			}
			return err
		})
		if err != nil {
			return err
		}
		if out.Complexity == nil {
			return nil
		}
		w := f.where(project)
		w.add("r.good = 0")
		q, args = w.query(sqlCountComplexity)
		return tx.QueryRowContext(ctx, q, args...).Scan(out.Complexity)
	})
	if err != nil {
		return Unsafe{}, fmt.Errorf("count what is set badly: %w", err)
	}
	return out, nil
}
