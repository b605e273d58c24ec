package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
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
	sqlKnownBaseline = `SELECT 1 FROM baseline WHERE check_name = $1 LIMIT 1`
	sqlPageCovered   = `SELECT i.id, i.name, i.version, c.config_digest, i.size, c.latest_scan_time FROM image i CROSS JOIN content c WHERE c.id = i.content_id AND i.id IN {in}`
)

// baselineRules are the rules that images of some projects were asked, by
// baseline and standard. Of the filter, severity, name and result are left to the
// caller.
func (s *Store) baselineRules(ctx context.Context, projects []string, f BaselineFilter) ([]BaselineRule, error) {
	selected, err := s.known(ctx, projects, f.Images)
	if err != nil {
		return nil, err
	}
	set, err := s.BaselineRules()
	if err != nil {
		return nil, err
	}
	var out []BaselineRule
	err = s.inFleet(ctx, func(tx *sql.Tx, revision int64) (err error) {
		if f.Images != (ImageSelector{}) {
			out, err = s.answered(ctx, tx, set, projects, revision, selected)
			return err
		}
		out, err = remember(&s.remembered, revision, [2]string{"baselines " + strings.Join(projects, " "), set.Version()}, func() ([]BaselineRule, error) {
			return s.answered(ctx, tx, set, projects, revision, ImageSelector{})
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list answers of baseline rules: %w", err)
	}
	return slices.DeleteFunc(slices.Clone(out), func(r BaselineRule) bool {
		return f.CheckName != "" && f.CheckName != r.CheckName || f.Standard != "" && f.Standard != r.Standard
	}), nil
}

// answered sums up the answers of the selected images.
func (s *Store) answered(ctx context.Context, tx *sql.Tx, set *baseline.RuleSet, projects []string, revision int64, f ImageSelector) ([]BaselineRule, error) {
	type key struct{ checkName, standard, rule string }
	type sum struct {
		passed, failed, severity, passedTime, failedTime int64
	}
	sums := map[key]*sum{}
	uses, err := usesOf(&s.index, &s.index.baselines, func(c *slot) []int32 { return c.baselines }, projects, revision, f)
	if err != nil {
		return nil, err
	}
	known, err := s.answersOf(ctx, tx, slices.Sorted(maps.Keys(uses)))
	if err != nil {
		return nil, err
	}
	for id, u := range uses {
		a := known[id]
		if a == nil {
			continue
		}
		for _, r := range a.rules {
			k := key{a.checkName, a.standard, r.rule}
			n := sums[k]
			if n == nil {
				n = &sum{}
				sums[k] = n
			}
			n.severity = max(n.severity, r.severity)
			if r.failed {
				n.failed, n.failedTime = n.failed+u.images, max(n.failedTime, u.scanned)
			} else {
				n.passed, n.passedTime = n.passed+u.images, max(n.passedTime, u.scanned)
			}
		}
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
	if isService(set, name) {
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

// isService says whether a baseline is that of a service, and not of a
// distribution.
func isService(set *baseline.RuleSet, name string) bool {
	return name != baseline.CheckNameOS && slices.ContainsFunc(set.Rules(), func(r *baseline.Rule) bool { return r.CheckName == name })
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
	belongs := func() bool {
		if r.CheckName == baseline.CheckNameOS {
			return !isService(set, k.CheckName)
		}
		return r.CheckName == k.CheckName
	}
	if r == nil || !belongs() || !slices.Contains(r.Standards, k.Standard) {
		return nil, fault.New(fault.NotFound, "there is no rule %s in baseline %s of %s", k.Rule, k.CheckName, k.Standard)
	}
	return r, s.knownBaseline(ctx, k.CheckName)
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
	err = s.inFleet(ctx, func(tx *sql.Tx, revision int64) error {
		answers, err := s.answersTo(ctx, tx, k, failed)
		if err != nil {
			return err
		}
		key := [2]any{project, fmt.Sprint(k, failed == nil, failed != nil && *failed)}
		page, n, err := s.imagesIn(project, revision, p, key, func() (bitmap, error) { return s.askedIn(project, revision, answers) })
		if err != nil {
			return err
		}
		total = n
		state := map[string]bool{}
		err = s.index.view(revision, func() {
			for _, m := range page {
				state[m.id] = answerOf(&s.index.slots[s.index.byID[m.content]], answers) == ruleFailed
			}
		})
		if err != nil {
			return err
		}
		out, err = inOrder(ctx, tx, sqlPageCovered, imagesOf(page), func(r *sql.Rows) (string, RuleImage, error) {
			var i RuleImage
			err := r.Scan(&i.ImageID, &i.Name, &i.Version, &i.ConfigDigest, &i.Size, &i.ScanTime)
			i.Failed = state[i.ImageID]
			return i.ImageID, i, err
		})
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
		f, err = s.known(ctx, []string{project}, f)
	}
	if err != nil || f == (ImageSelector{}) {
		return rule, nil, err
	}
	var content int64
	err = s.inFleet(ctx, func(tx *sql.Tx, revision int64) error {
		answers, err := s.answersTo(ctx, tx, k, nil)
		if err != nil {
			return err
		}
		best := notAsked
		return s.index.view(revision, func() {
			s.index.walk(project, f, func(_ int32, m *picture, s *slot) {
				if best == ruleFailed {
					return
				}
				if a := answerOf(s, answers); a > best {
					best, content = a, s.content
				}
			})
		})
	})
	if err != nil {
		return nil, nil, fmt.Errorf("find image of a rule: %w", err)
	}
	if content == 0 {
		return rule, nil, nil
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
	if f, err = s.known(ctx, []string{project}, f); err != nil {
		return Unsafe{}, err
	}
	err = s.inFleet(ctx, func(_ *sql.Tx, revision int64) (err error) {
		count := func() (Unsafe, error) { return s.index.unsafe(project, revision, f) }
		if f != (ImageSelector{}) {
			out, err = count()
			return err
		}
		out, err = remember(&s.remembered, revision, "unsafe "+project, count)
		return err
	})
	if err != nil {
		return Unsafe{}, fmt.Errorf("count what is set badly: %w", err)
	}
	return out, nil
}
