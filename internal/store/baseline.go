package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/onceover/onceover/internal/check/baseline"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/report"
)

// baselineBatch is how many contents are judged anew at a time: their layer
// reports are read, and the facts of all of them are held.
const baselineBatch = 8

// SetBaselineRules brings another set of rules into use, for scans that end
// from now on. Run judges what was judged by others anew. No host is asked: the
// facts are kept.
func (s *Store) SetBaselineRules(set *baseline.RuleSet) {
	s.rulesInUse.Store(set)
	s.recheckSoon()
}

// BaselineRules are the rules in use: those of the program unless others were
// set.
func (s *Store) BaselineRules() (*baseline.RuleSet, error) {
	if set := s.rulesInUse.Load(); set != nil {
		return set, nil
	}
	set, err := baseline.Builtin()
	if err != nil {
		return nil, fmt.Errorf("read baseline rules: %w", err)
	}
	s.rulesInUse.CompareAndSwap(nil, set)
	return s.rulesInUse.Load(), nil
}

// A judgement is what the rules say of a content.
type judgement struct {
	rules   string // their version
	answers []answers
	checked
}

// answers are those of the rules of one baseline and standard.
type answers struct {
	checkName, standard string
	rules               []ruleAnswer // by rule
}

type ruleAnswer struct {
	rule     string
	failed   bool
	severity int64 // report.SeverityRank
}

func (a answers) id() int64 {
	parts := make([]string, 0, 3+len(a.rules))
	parts = append(parts, "baseline", a.checkName, a.standard)
	for _, r := range a.rules {
		parts = append(parts, r.rule+" "+strconv.FormatBool(r.failed)+" "+strconv.FormatInt(r.severity, 10))
	}
	return rowID(parts...)
}

// judge asks the rules. Those that do not apply, or could not be asked, have no
// answer.
func judge(set *baseline.RuleSet, im *baseline.Image) *judgement {
	j := &judgement{rules: set.Version()}
	failed := map[string]bool{} // a rule of two standards is one setting
	for _, r := range baseline.Evaluate(set, *im) {
		if r.Status != baseline.Pass && r.Status != baseline.Failed {
			continue
		}
		if n := len(j.answers); n == 0 || j.answers[n-1].checkName != r.CheckName || j.answers[n-1].standard != r.Standard {
			j.answers = append(j.answers, answers{checkName: r.CheckName, standard: r.Standard})
		}
		a := &j.answers[len(j.answers)-1]
		rank := int64(report.SeverityRank(report.SeverityOf(r.Severity)))
		a.rules = append(a.rules, ruleAnswer{r.RuleID, r.Status == baseline.Failed, rank})
		if r.Status == baseline.Failed {
			failed[r.RuleID] = true
			j.severity = max(j.severity, rank)
		}
	}
	j.num = int64(len(failed))
	return j
}

// baselineImage is what the rules are asked about. Facts that no agent of ours
// makes are fault.Invalid; a configuration that cannot be checked is left out.
func (s *Store) baselineImage(ctx context.Context, inv report.Inventory, config []byte) (*baseline.Image, error) {
	im, err := baseline.ImageOf(inv, nil)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "check the baselines of an image")
	}
	if len(config) > 0 {
		if im.Config, err = baseline.ParseConfig(config); err != nil {
			s.log.WarnContext(ctx, "the configuration of an image is not checked", "err", err)
		}
	}
	return im, nil
}

// checkBaseline judges what a scan has found; nil if it did not look.
func (s *Store) checkBaseline(ctx context.Context, out *outcome) (*judgement, error) {
	if !report.Has(out.analyzers, report.CheckBaseline) {
		return nil, nil
	}
	set, err := s.BaselineRules()
	if err != nil {
		return nil, err
	}
	im, err := s.baselineImage(ctx, out.inventory, out.config)
	if err != nil {
		return nil, err
	}
	return judge(set, im), nil
}

const (
	// Baselines go with their last content.
	lonelyBaselines = `SELECT c.baseline_id FROM content_baseline c WHERE c.content_id = $1
AND NOT EXISTS (SELECT 1 FROM content_baseline o WHERE o.baseline_id = c.baseline_id AND o.content_id <> c.content_id)`
	sqlDropAnswers      = `DELETE FROM baseline_rule WHERE baseline_id IN (` + lonelyBaselines + `)`
	sqlDropBaselines    = `DELETE FROM baseline WHERE id IN (` + lonelyBaselines + `)`
	sqlDropHasBaselines = `DELETE FROM content_baseline WHERE content_id = $1`
	sqlDropJudged       = `DELETE FROM baseline_check WHERE content_id = $1`

	sqlPutBaseline    = `INSERT INTO baseline (id, check_name, standard) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING`
	sqlPutAnswers     = `INSERT INTO baseline_rule (baseline_id, rule_id, failed, severity) VALUES`
	sqlPutHasBaseline = `INSERT INTO content_baseline (content_id, baseline_id) VALUES`
	sqlPutJudged      = `INSERT INTO baseline_check (content_id, rules) VALUES ($1, $2) ON CONFLICT (content_id) DO UPDATE SET rules = excluded.rules`
	sqlJudgedBy       = `SELECT rules FROM baseline_check WHERE content_id = $1`
	// Two ranges, for an index has no way to look for what is not equal.
	sqlOldJudged = `SELECT content_id FROM baseline_check WHERE (rules < $1 OR rules > $2) LIMIT $3`
)

// dropBaselines forget what the rules say of a content ($1), in this order.
var dropBaselines = []string{sqlDropAnswers, sqlDropBaselines, sqlDropHasBaselines, sqlDropJudged}

// putJudgement replaces what the rules say of a content.
func putJudgement(ctx context.Context, tx *sql.Tx, content int64, j *judgement) error {
	for _, q := range dropBaselines {
		if _, err := tx.ExecContext(ctx, q, content); err != nil {
			return fmt.Errorf("drop baselines: %w", err)
		}
	}
	has := make([][]any, len(j.answers))
	for i, a := range j.answers {
		id := a.id()
		has[i] = []any{content, id}
		done, err := tx.ExecContext(ctx, sqlPutBaseline, id, text(a.checkName), a.standard)
		if err != nil {
			return fmt.Errorf("store baseline: %w", err)
		}
		n, err := done.RowsAffected()
		if err != nil {
			return fmt.Errorf("store baseline: %w", err)
		}
		if n == 0 {
			continue // another content has given the same answers
		}
		rows := make([][]any, len(a.rules))
		for k, r := range a.rules {
			rows[k] = []any{id, r.rule, boolInt(r.failed), r.severity}
		}
		if err := putRows(ctx, tx, sqlPutAnswers, "", rows); err != nil {
			return fmt.Errorf("store answers of rules: %w", err)
		}
	}
	if err := putRows(ctx, tx, sqlPutHasBaseline, "", has); err != nil {
		return fmt.Errorf("store baselines of content: %w", err)
	}
	if _, err := tx.ExecContext(ctx, sqlPutJudged, content, j.rules); err != nil {
		return fmt.Errorf("store version of baseline rules: %w", err)
	}
	return nil
}

func putBaseline(ctx context.Context, tx *sql.Tx, job jobState, out *outcome) (checked, error) {
	if out.judgement == nil {
		return checked{}, errors.New("the rules were not asked")
	}
	if err := putComplexity(ctx, tx, job.content, out.complexity); err != nil {
		return checked{}, err
	}
	return out.judgement.checked, putJudgement(ctx, tx, job.content, out.judgement)
}

// RecheckBaseline judges contents anew that were judged by other rules than
// those in use. It returns how many they were. No host is asked: the facts are
// kept with the layer reports. A content of which not all are kept stays as it
// is until it is scanned again.
func (s *Store) RecheckBaseline(ctx context.Context) (int, error) {
	return inBatches("check baselines anew", func() (int, error) { return s.recheckBaselineBatch(ctx) })
}

func (s *Store) recheckBaselineBatch(ctx context.Context) (int, error) {
	set, err := s.BaselineRules()
	if err != nil {
		return 0, err
	}
	var contents []int64
	err = s.inView(ctx, func(tx *sql.Tx) (err error) {
		contents, err = readInts(ctx, tx, sqlOldJudged, set.Version(), set.Version(), baselineBatch)
		return err
	})
	if err != nil || len(contents) == 0 {
		return 0, err
	}
	judged := make([]*judgement, len(contents))
	for i, c := range contents {
		im, err := s.keptBaseline(ctx, c)
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case err != nil && (fault.CodeOf(err) == fault.Conflict || fault.CodeOf(err) == fault.Invalid):
			s.log.WarnContext(ctx, "baselines are not checked anew", "content", c, "err", err)
		case err != nil:
			return 0, err
		default:
			judged[i] = judge(set, im)
		}
	}
	return len(contents), s.inTx(ctx, func(tx *sql.Tx) error {
		for i, c := range contents {
			var rules string
			err := tx.QueryRowContext(ctx, sqlJudgedBy, c).Scan(&rules)
			if errors.Is(err, sql.ErrNoRows) || err == nil && rules == set.Version() {
				continue // gone, or scanned meanwhile
			}
			if err != nil {
				return fmt.Errorf("read version of baseline rules: %w", err)
			}
			j := judged[i]
			if j == nil {
				if _, err := tx.ExecContext(ctx, sqlPutJudged, c, set.Version()); err != nil {
					return fmt.Errorf("store version of baseline rules: %w", err)
				}
				continue
			}
			if err := putJudgement(ctx, tx, c, j); err != nil {
				return err
			}
			if err := setChecked(ctx, tx, c, report.CheckBaseline, j.checked); err != nil {
				return err
			}
		}
		return nil
	})
}

// keptBaseline makes what the rules are asked about from the layer reports
// that are kept of a content. If one is missing that is fault.Conflict.
func (s *Store) keptBaseline(ctx context.Context, content int64) (*baseline.Image, error) {
	img, config, err := s.lastScan(ctx, content)
	if err != nil {
		return nil, err
	}
	if img == nil || !report.Has(img.Analyzers, report.CheckBaseline) {
		return nil, fault.New(fault.Conflict, "the baselines of the image have not been checked yet")
	}
	img.Analyzers = report.JoinKeys(slices.DeleteFunc(report.SplitKeys(img.Analyzers), func(key string) bool {
		check := report.CheckOf(key)
		return check != report.CheckPackages && check != report.CheckBaseline
	}))
	layers, missing, err := s.layerReports(ctx, img)
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		return nil, fault.New(fault.Conflict, "%d of %d layer reports are not kept: scan the image again", len(missing), len(img.DiffIDs))
	}
	for _, l := range layers {
		// Rules do not ask for software, and joining it takes time.
		l.Packages, l.Databases, l.Files = nil, nil, nil
	}
	return s.baselineImage(ctx, report.Merge(layers), config)
}

// An ImageSelector selects images; the zero value selects all.
type ImageSelector struct {
	// ID is an image, exactly; the rest is ignored if it is given.
	ID string
	// Name is a substring, Version exact and only together with Name.
	Name, Version string

	content int64 // of ID; see known
}

// known is a selector as the index is asked by it. The id of no image is
// fault.NotFound.
func (s *Store) known(ctx context.Context, projects []string, f ImageSelector) (_ ImageSelector, err error) {
	switch {
	case f.ID == "" && f.Name == "":
		return ImageSelector{}, nil
	case f.ID == "":
		return ImageSelector{Name: text(f.Name), Version: text(f.Version)}, nil
	}
	for _, project := range projects {
		if f.content, err = s.contentOf(ctx, project, f.ID); fault.CodeOf(err) != fault.NotFound {
			break
		}
	}
	return ImageSelector{ID: f.ID, content: f.content}, err
}
