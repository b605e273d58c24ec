package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/onceover/onceover/internal/fault"
)

// MaxHandled is how many pairs of images and vulnerabilities one call acts on. What
// is done to them is one transaction, while which no other writes.
const MaxHandled = 1_000_000

// errTooMany tells how to ask for less.
func errTooMany() error {
	return fault.New(fault.TooLarge, "this is about more than %d pairs of images and vulnerabilities: name images or vulnerabilities, and call several times", MaxHandled)
}

// An occurrence is an advisory in a content, and what was said of it there.
type occurrence struct {
	place
	severity int64  // the worst
	pkg      int64  // one of the packages
	types    string // of its findings: VulLinux, VulApp, or both with a comma
	decision string // VulIgnore, VulRepaired or ""
	listed   bool   // on a whitelist
}

func (o occurrence) handled() bool { return o.decision != "" || o.listed }

const (
	occurrenceColumns = `SELECT cp.content_id, f.vul_id, MAX(f.severity), MIN(f.package_id), MIN(f.vul_type), MAX(f.vul_type),
COALESCE((SELECT d.action FROM vul_handled d WHERE d.content_id = cp.content_id AND d.vul_id = f.vul_id AND d.rule_id = 0), ''),
CASE WHEN EXISTS (SELECT 1 FROM vul_handled d WHERE d.content_id = cp.content_id AND d.vul_id = f.vul_id AND d.rule_id > 0) OR ` + handledAll + `c.project_id) THEN 1 ELSE 0 END `
	// From the contents to what they have, and from an advisory to what has it.
	sqlOccurrencesIn = occurrenceColumns + `FROM content c CROSS JOIN content_part cp CROSS JOIN part_package pp CROSS JOIN finding f
WHERE c.id IN {in} AND cp.content_id = c.id AND pp.part_id = cp.part_id AND pp.counted = 1 AND f.package_id = pp.package_id GROUP BY cp.content_id, f.vul_id, c.project_id`
	sqlOccurrencesOf = occurrenceColumns + `FROM finding f CROSS JOIN part_package pp CROSS JOIN content_part cp CROSS JOIN content c
WHERE f.vul_id = $1 AND pp.package_id = f.package_id AND pp.counted = 1 AND cp.part_id = pp.part_id AND c.id = cp.content_id AND c.project_id = $2 GROUP BY cp.content_id, f.vul_id, c.project_id`
)

// occurrencesIn reads what contents have, as far as keep lets it pass; more than
// MaxHandled is fault.TooLarge.
func occurrencesIn(ctx context.Context, tx *sql.Tx, contents []int64, keep func(occurrence) bool) (out []occurrence, err error) {
	err = eachIn(ctx, tx, sqlOccurrencesIn, contents, func(r *sql.Rows) error {
		return addOccurrence(r, keep, &out)
	})
	if err != nil {
		return nil, fmt.Errorf("read findings of images: %w", err)
	}
	return out, nil
}

// occurrencesOf reads where in a project advisories are, likewise.
func occurrencesOf(ctx context.Context, tx *sql.Tx, project string, vuls []int64, keep func(occurrence) bool) (out []occurrence, err error) {
	for _, v := range vuls {
		err := each(ctx, tx, sqlOccurrencesOf, []any{v, project}, func(r *sql.Rows) error {
			return addOccurrence(r, keep, &out)
		})
		if err != nil {
			return nil, fmt.Errorf("read images of vulnerability: %w", err)
		}
	}
	return out, nil
}

func addOccurrence(r *sql.Rows, keep func(occurrence) bool, out *[]occurrence) error {
	var o occurrence
	var other string
	var listed int64
	if err := r.Scan(&o.content, &o.vul, &o.severity, &o.pkg, &o.types, &other, &o.decision, &listed); err != nil {
		return err
	}
	o.listed = listed != 0
	if other != o.types {
		o.types += "," + other
	}
	if !keep(o) {
		return nil
	}
	if *out = append(*out, o); len(*out) > MaxHandled {
		return errTooMany()
	}
	return nil
}

// fewContents are so few that reading all they have is cheaper than asking where
// each advisory is.
const fewContents = 100

// aroundRules changes rules about some advisories, and the counters with them.
// contents are those that can be concerned, nil for all of the project.
func (s *Store) aroundRules(ctx context.Context, tx *sql.Tx, project string, vuls, contents []int64, change func() error) error {
	read := func() ([]occurrence, error) {
		in := func(list []int64) func(int64) bool {
			known := map[int64]bool{}
			for _, id := range list {
				known[id] = true
			}
			return func(id int64) bool { return known[id] }
		}
		isVul, isContent := in(vuls), in(contents)
		if contents != nil && len(contents) <= fewContents {
			return occurrencesIn(ctx, tx, contents, func(o occurrence) bool { return isVul(o.vul) })
		}
		return occurrencesOf(ctx, tx, project, vuls, func(o occurrence) bool { return contents == nil || isContent(o.content) })
	}
	before, err := read()
	if err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	after, err := read()
	if err != nil {
		return err
	}
	was := map[place]bool{}
	for _, o := range before {
		was[o.place] = o.handled()
	}
	var closed, opened []occurrence
	for _, o := range after {
		switch is := o.handled(); {
		case is && !was[o.place]:
			closed = append(closed, o)
		case !is && was[o.place]:
			opened = append(opened, o)
		}
	}
	return s.shiftHandled(ctx, tx, closed, opened)
}

// shiftHandled makes the counters follow what was closed, which no longer counts,
// and what was opened again. Every change of what is handled ends here.
func (s *Store) shiftHandled(ctx context.Context, tx *sql.Tx, closed, opened []occurrence) error {
	by := map[int64]*shift{}
	at := func(content int64) *shift {
		if by[content] == nil {
			by[content] = &shift{content: content}
		}
		return by[content]
	}
	for _, o := range closed {
		at(o.content).by[o.severity]--
	}
	for _, o := range opened {
		at(o.content).by[o.severity]++
	}
	var shifts []shift
	for _, sh := range by {
		if sh.by != [5]int64{} {
			shifts = append(shifts, *sh)
		}
	}
	slices.SortFunc(shifts, func(a, b shift) int {
		if a.content < b.content {
			return -1
		}
		return 1
	})
	if err := s.putShifts(ctx, tx, shifts); err != nil {
		return fmt.Errorf("store counters: %w", err)
	}
	if _, err := tx.ExecContext(ctx, sqlHandledNext); err != nil {
		return fmt.Errorf("count revisions: %w", err)
	}
	return nil
}
