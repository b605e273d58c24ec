package store

import (
	"context"
	"database/sql"
	"sync"
)

// A use is by how many images something is shared, and when the latest of them
// was scanned.
type use struct{ images, scanned int64 }

// usesOf are the uses of things that contents share, over the selected images: of
// tells the numbers of those that a content has.
func usesOf[T comparable](x *index, things *numbering[T], of func(*slot) []int32, projects []string, revision int64, f ImageSelector) (map[T]use, error) {
	var sums []use
	err := x.view(revision, func() {
		sums = make([]use, len(things.all()))
		for _, project := range projects {
			x.walk(project, f, func(_ int32, _ *picture, s *slot) {
				for _, n := range of(s) {
					u := &sums[n]
					u.images, u.scanned = u.images+1, max(u.scanned, s.scanned)
				}
			})
		}
	})
	out := map[T]use{}
	for n, thing := range things.all()[:len(sums)] {
		if sums[n].images > 0 {
			out[thing] = sums[n]
		}
	}
	return out, err
}

// The answers of a baseline never change: its id is made from them.
const sqlAnswers = `SELECT r.baseline_id, b.check_name, b.standard, r.rule_id, r.failed, r.severity FROM baseline b CROSS JOIN baseline_rule r WHERE r.baseline_id = b.id AND b.id IN {in}`

// maxAnswers is how many baselines are kept in memory: some kilobytes each.
const maxAnswers = 10_000

// answersOf are the answers of some baselines, of which most are known already.
func (s *Store) answersOf(ctx context.Context, tx *sql.Tx, ids []int64) (map[int64]*answers, error) {
	k := &s.knownAnswers
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byID == nil || len(k.byID) > maxAnswers {
		k.byID = map[int64]*answers{}
	}
	out := make(map[int64]*answers, len(ids))
	var missing []int64
	for _, id := range ids {
		if a := k.byID[id]; a != nil {
			out[id] = a
		} else {
			missing = append(missing, id)
		}
	}
	err := eachIn(ctx, tx, sqlAnswers, missing, func(r *sql.Rows) error {
		var id int64
		var a answers
		var rule ruleAnswer
		err := r.Scan(&id, &a.checkName, &a.standard, &rule.rule, &rule.failed, &rule.severity)
		if out[id] == nil {
			out[id] = &a
		}
		out[id].rules = append(out[id].rules, rule)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, id := range missing {
		if out[id] != nil {
			k.byID[id] = out[id]
		}
	}
	return out, nil
}

// knownAnswers are baselines that were read; the zero value has none.
type knownAnswers struct {
	mu   sync.Mutex
	byID map[int64]*answers
}

// What a content answers to a rule.
const (
	notAsked int8 = iota
	rulePassed
	ruleFailed
)

const sqlRuleBaselines = `SELECT r.baseline_id, r.failed FROM baseline_rule r CROSS JOIN baseline b WHERE b.id = r.baseline_id AND r.rule_id = $1 AND b.check_name = $2 AND b.standard = $3`

// answersTo are what the sets of answers of the index say to a rule, by number;
// only those that failed or passed if that is asked, the others as if they were
// not asked.
func (s *Store) answersTo(ctx context.Context, tx *sql.Tx, k RuleKey, failed *bool) ([]int8, error) {
	answers := make([]int8, len(s.index.baselines.all()))
	err := each(ctx, tx, sqlRuleBaselines, []any{text(k.Rule), text(k.CheckName), k.Standard}, func(r *sql.Rows) error {
		var id int64
		var is bool
		err := r.Scan(&id, &is)
		if n := s.index.baselines.find(id); n >= 0 && int(n) < len(answers) && (failed == nil || *failed == is) {
			answers[n] = rulePassed + int8(boolInt(is))
		}
		return err
	})
	return answers, err
}

// answerOf is what a content answers. It has one set of answers for each baseline
// and standard.
func answerOf(s *slot, answers []int8) int8 {
	for _, n := range s.baselines {
		if int(n) < len(answers) && answers[n] != notAsked {
			return answers[n]
		}
	}
	return notAsked
}

// askedIn are the places of the images of a project that give one of some answers.
func (s *Store) askedIn(project string, revision int64, answers []int8) (bitmap, error) {
	given, err := remember(&s.remembered, revision, "given "+project, func() (g givenAnswers, err error) {
		err = s.index.view(revision, func() { g = s.index.given(project) })
		return g, err
	})
	if err != nil {
		return nil, err
	}
	set := newBitmap(given.images)
	for n, a := range answers {
		if a != notAsked && n < len(given.by) {
			for _, at := range given.by[n] {
				set.set(at)
			}
		}
	}
	return set, nil
}

// givenAnswers are the places of images that give each set of answers, by its
// number.
type givenAnswers struct {
	images int
	by     [][]int32
}

func (x *index) given(project string) givenAnswers {
	g := givenAnswers{by: make([][]int32, len(x.baselines.all()))}
	x.walk(project, ImageSelector{}, func(_ int32, _ *picture, s *slot) {
		for _, n := range s.baselines {
			g.by[n] = append(g.by[n], int32(g.images))
		}
		g.images++
	})
	return g
}

// unsafe is Store.Unsafe of the selected images.
func (x *index) unsafe(project string, revision int64, f ImageSelector) (out Unsafe, err error) {
	var rules, weak, complexity int64
	baselines, passwords := false, false
	err = x.view(revision, func() {
		x.walk(project, f, func(_ int32, _ *picture, s *slot) {
			baselines, passwords = baselines || s.unsafe >= 0, passwords || s.weakNum >= 0
			rules += int64(max(s.unsafe, 0))
			weak += int64(max(s.weakNum, 0))
			complexity += boolInt(s.rules == 0)
		})
	})
	if baselines {
		out.Rules, out.Complexity = &rules, &complexity
	}
	if passwords {
		out.WeakPasswords = &weak
	}
	return out, err
}
