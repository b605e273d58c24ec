package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/match"
	"github.com/onceover/onceover/internal/report"
)

const (
	// rematchBatch is how many packages are matched and written at a time.
	// Large enough that most differences are one batch: an image that is
	// in two of them is written twice.
	rematchBatch = 10_000
	// maxEvents is how many events are kept.
	maxEvents = 100_000
)

// States of a re-match.
const (
	rematchDone    = "done"
	rematchRunning = "running"
	// rematchCounting is a re-match of so much that images are counted from
	// the ground up at its end, and not with every batch.
	rematchCounting = "counting"
)

const (
	// maxCounted is how many packages are matched again with counters that
	// follow every batch. Above it most images are touched by most batches.
	maxCounted = 30_000
	// countBatch is how many images are counted in one transaction.
	countBatch = 5_000
)

// Kinds of an event.
const (
	EventNew     = "new"
	EventGone    = "gone"
	EventChanged = "changed"
)

// A Rematched says what a re-match did.
type Rematched struct {
	From, To string // generations
	// Packages that were matched again, and findings that came, went or
	// are rated anew.
	Packages, Changes int64
	// Whole says that every package was matched, because the difference
	// was not known.
	Whole   bool
	Elapsed time.Duration
}

const (
	sqlQueueKeys    = `INSERT INTO rematch_queue (package_id) SELECT DISTINCT k.package_id FROM package_key k JOIN package p ON p.id = k.package_id AND p.matched = 1 WHERE k.name IN {in} ON CONFLICT (package_id) DO NOTHING`
	sqlQueueAll     = `INSERT INTO rematch_queue (package_id) SELECT p.id FROM package p WHERE p.matched = 1 ON CONFLICT (package_id) DO NOTHING`
	sqlQueueVuls    = `INSERT INTO rematch_queue (package_id) SELECT DISTINCT f.package_id FROM finding f WHERE f.vul_id IN {in} ON CONFLICT (package_id) DO NOTHING`
	sqlQueueLength  = `SELECT COUNT(*) FROM rematch_queue`
	sqlQueueNext    = `SELECT q.package_id, p.type, p.name, p.version, p.arch, p.source, p.source_version, p.module, p.vendor, p.distro_id FROM (SELECT package_id FROM rematch_queue ORDER BY package_id LIMIT $1) q JOIN package p ON p.id = q.package_id`
	sqlQueueDone    = `DELETE FROM rematch_queue WHERE package_id IN {in}`
	sqlBeginRematch = `UPDATE matching SET from_gen = generation, generation = $1, rules = $2, state = CASE WHEN state = 'counting' THEN state ELSE $3 END, total = $4, changed = 0, started_at = $5, ended_at = 0 WHERE id = 1`
	sqlCountChanges = `UPDATE matching SET changed = changed + $1 WHERE id = 1`
	sqlEndRematch   = `UPDATE matching SET state = 'done', ended_at = $1 WHERE id = 1`
	sqlNextContents = `SELECT id FROM content WHERE id > $1 ORDER BY id LIMIT $2`
	sqlRematched    = `SELECT from_gen, generation, total, changed FROM matching WHERE id = 1`
	sqlDistros      = `SELECT id, body FROM distro`
	sqlCoverages    = `SELECT id, inventory, warned FROM coverage`
	sqlStoredCVEs   = `SELECT vul_id, cve_id, score, published, description FROM vulnerability_cve WHERE cve_id IN {in}`

	sqlFindingsOf   = `SELECT package_id, vul_id, vul_type, severity, fix_state, fixed_version, evidence, first_seen, cves FROM finding WHERE package_id IN {in}`
	sqlDropFinding  = `DELETE FROM finding WHERE package_id = $1 AND vul_id = $2`
	sqlLastEvent    = `SELECT COALESCE(MAX(id), 0) FROM finding_event`
	sqlPutEvent     = `INSERT INTO finding_event (id, at, generation, kind, vul_id, package_id, was, is_now) VALUES`
	sqlForgetEvents = `DELETE FROM finding_event WHERE id <= $1`

	onConflictRenew = `ON CONFLICT (package_id, vul_id) DO UPDATE SET vul_type = excluded.vul_type, severity = excluded.severity, fix_state = excluded.fix_state, fixed_version = excluded.fixed_version, evidence = excluded.evidence, cves = excluded.cves`
)

// Rematch brings all findings and counters up to the generation in use. Only
// packages that the difference of the generations concerns are matched again;
// all of them if the difference is not known. Each batch is one transaction,
// after which findings, counters and events agree; a re-match that was cut
// short is gone on with by the next call. If nothing is to be done it is cheap
// and answers the zero Rematched.
func (s *Store) Rematch(ctx context.Context) (Rematched, error) {
	s.rematching.Lock()
	defer s.rematching.Unlock()
	begin := time.Now()
	whole := false
	for {
		g, err := s.acquire()
		if err != nil {
			return Rematched{}, err
		}
		did, w, err := s.rematch(ctx, g)
		g.Release()
		whole = whole || w
		switch {
		case errors.Is(err, errMoved):
			continue // the queue stays, and the next generation adds to it
		case err != nil:
			return Rematched{}, fmt.Errorf("re-match: %w", err)
		case !did:
			return Rematched{}, nil
		}
		out := Rematched{Whole: whole, Elapsed: time.Since(begin)}
		err = s.read.QueryRowContext(ctx, sqlRematched).Scan(&out.From, &out.To, &out.Packages, &out.Changes)
		if err != nil {
			return out, fmt.Errorf("re-match: %w", err)
		}
		return out, nil
	}
}

// rematch queues what a generation concerns and works the queue off.
func (s *Store) rematch(ctx context.Context, g Generation) (did, whole bool, err error) {
	var generation, rules, state string
	if err := s.read.QueryRowContext(ctx, sqlMatching).Scan(&generation, &rules, &state); err != nil {
		return false, false, fmt.Errorf("read state: %w", err)
	}
	if generation != g.ID || rules != rulesNow {
		var diff *advisory.Diff
		if generation != "" && rules == rulesNow {
			if diff, err = s.cfg.Advisories.Diff(ctx, generation, g.ID); err != nil {
				return false, false, fmt.Errorf("compare generations: %w", err)
			}
		}
		whole = diff == nil
		begun, err := s.beginRematch(ctx, g, generation, diff)
		if err != nil {
			return false, whole, err
		}
		if state != rematchCounting { // what was not counted before still is to be
			state = begun
		}
	} else if state == rematchDone {
		return false, false, nil
	}
	distros, err := s.distros(ctx)
	if err != nil {
		return false, whole, err
	}
	for {
		n, err := s.rematchBatch(ctx, g, distros, state == rematchCounting)
		if err != nil {
			return true, whole, err
		}
		if n == 0 {
			return true, whole, s.endRematch(ctx, g, state == rematchCounting)
		}
	}
}

// endRematch counts what was not counted on the way.
func (s *Store) endRematch(ctx context.Context, g Generation, count bool) error {
	if count {
		if err := s.countAll(ctx); err != nil {
			return err
		}
	}
	return s.inTx(ctx, func(tx *sql.Tx) error {
		if err := s.inUse(g.ID); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, sqlEndRematch, s.now().UnixMilli())
		return err
	})
}

// countAll counts every content from the ground up, some thousand at a time.
func (s *Store) countAll(ctx context.Context) error {
	last := int64(-1)
	for {
		var ids []int64
		err := s.inView(ctx, func(tx *sql.Tx) error {
			return each(ctx, tx, sqlNextContents, []any{last, countBatch}, func(r *sql.Rows) error {
				var id int64
				err := r.Scan(&id)
				ids = append(ids, id)
				return err
			})
		})
		if err != nil {
			return fmt.Errorf("read contents: %w", err)
		}
		if len(ids) == 0 {
			return nil
		}
		from := last
		last = ids[len(ids)-1]
		err = s.inTx(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, sqlCountContents, from, last, from, last, from, last, from, last)
			return err
		})
		if err != nil {
			return fmt.Errorf("count findings: %w", err)
		}
	}
}

// beginRematch queues the packages that a difference concerns, and tells in
// which state that is.
func (s *Store) beginRematch(ctx context.Context, g Generation, from string, diff *advisory.Diff) (state string, err error) {
	now := s.now().UnixMilli()
	err = s.inTx(ctx, func(tx *sql.Tx) error {
		if err := s.inUse(g.ID); err != nil {
			return err
		}
		var err error
		if diff == nil {
			_, err = tx.ExecContext(ctx, sqlQueueAll)
		} else {
			err = queueDiff(ctx, tx, g, diff)
		}
		if err != nil {
			return fmt.Errorf("queue packages: %w", err)
		}
		var total int64
		if err := tx.QueryRowContext(ctx, sqlQueueLength).Scan(&total); err != nil {
			return fmt.Errorf("count queue: %w", err)
		}
		if err := renewCoverage(ctx, tx, g); err != nil {
			return err
		}
		state = rematchRunning
		if diff == nil || total > maxCounted {
			state = rematchCounting
		}
		if _, err := tx.ExecContext(ctx, sqlBeginRematch, g.ID, rulesNow, state, total, now); err != nil {
			return fmt.Errorf("store state: %w", err)
		}
		s.log.InfoContext(ctx, "re-match begins", "from", from, "to", g.ID, "packages", total, "whole", diff == nil)
		return nil
	})
	return state, err
}

// queueDiff queues the packages whose names are in a difference, and those of
// advisories whose severity may come from a CVE that is scored anew. What else
// is said of CVEs is replaced at once.
func queueDiff(ctx context.Context, tx *sql.Tx, g Generation, diff *advisory.Diff) error {
	names := make([]string, 0, len(diff.Packages))
	for _, k := range diff.Packages {
		names = append(names, text(k.Name))
	}
	slices.Sort(names)
	if err := execIn(ctx, tx, sqlQueueKeys, slices.Compact(names)); err != nil {
		return err
	}
	if g.CVE == nil {
		return nil
	}
	var rows [][]any
	rated := map[int64]bool{}
	err := eachIn(ctx, tx, sqlStoredCVEs, diff.CVEs, func(r *sql.Rows) error {
		k, was, err := scanStoredCVE(r)
		if err != nil {
			return err
		}
		now, ok := g.CVE(k.id)
		if !ok {
			return nil // the advisory's own words stand in when it is matched
		}
		now = now.rounded().or(was)
		if now == was {
			return nil
		}
		rows = append(rows, []any{k.vul, k.id, tenths(now.Score), now.Published, now.Description})
		if now.Score != was.Score {
			rated[k.vul] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := putRows(ctx, tx, sqlPutCVE, onConflictCVE, rows); err != nil {
		return err
	}
	return execIn(ctx, tx, sqlQueueVuls, slices.Sorted(maps.Keys(rated)))
}

// renewCoverage asks again which kinds of inventories the advisories cover.
func renewCoverage(ctx context.Context, tx *sql.Tx, g Generation) error {
	type row struct {
		inv    report.Inventory
		warned bool
	}
	var all []row
	err := each(ctx, tx, sqlCoverages, nil, func(r *sql.Rows) error {
		var id, warned int64
		var body []byte
		if err := r.Scan(&id, &body, &warned); err != nil {
			return err
		}
		var inv report.Inventory
		if err := json.Unmarshal(body, &inv); err != nil {
			return err
		}
		if now := len(g.Matcher.Warnings(inv)) > 0; now != (warned != 0) {
			all = append(all, row{inv, now})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read coverage: %w", err)
	}
	for _, c := range all {
		if _, err := putCoverage(ctx, tx, c.inv, c.warned); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) distros(ctx context.Context) (map[int64]report.Distro, error) {
	out := map[int64]report.Distro{0: {}}
	err := s.inView(ctx, func(tx *sql.Tx) error {
		return each(ctx, tx, sqlDistros, nil, func(r *sql.Rows) error {
			var id int64
			var body []byte
			if err := r.Scan(&id, &body); err != nil {
				return err
			}
			var d report.Distro
			if err := json.Unmarshal(body, &d); err != nil {
				return fmt.Errorf("read distribution: %w", err)
			}
			out[id] = d
			return nil
		})
	})
	return out, err
}

// rematchBatch matches the next packages of the queue and applies what is
// different. It returns how many there were.
func (s *Store) rematchBatch(ctx context.Context, g Generation, distros map[int64]report.Distro, counting bool) (int, error) {
	batch, err := s.nextBatch(ctx, distros)
	if err != nil {
		return 0, err
	}
	found, err := matchAll(ctx, g, batch)
	if err != nil || len(batch) == 0 {
		return 0, err
	}
	return len(batch), s.inTx(ctx, func(tx *sql.Tx) error {
		if err := s.inUse(g.ID); err != nil {
			return err
		}
		return s.applyBatch(ctx, tx, g, found, counting, s.now().UnixMilli())
	})
}

func (s *Store) nextBatch(ctx context.Context, distros map[int64]report.Distro) ([]*distinct, error) {
	size := s.cfg.rematchBatch
	if size == 0 {
		size = rematchBatch
	}
	var batch []*distinct
	err := s.inView(ctx, func(tx *sql.Tx) error {
		return each(ctx, tx, sqlQueueNext, []any{size}, func(r *sql.Rows) error {
			d := &distinct{}
			p := &d.pkg
			err := r.Scan(&d.id, &p.Type, &p.Name, &p.Version, &p.Arch, &p.Source, &p.SourceVersion, &p.Module, &p.Vendor, &d.distroID)
			if err != nil {
				return err
			}
			var ok bool
			if d.distro, ok = distros[d.distroID]; !ok {
				return fmt.Errorf("package %d has the unknown distribution %d", d.id, d.distroID)
			}
			batch = append(batch, d)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read queue: %w", err)
	}
	return batch, nil
}

// matchAll matches packages, as many at a time as there are processors.
func matchAll(ctx context.Context, g Generation, batch []*distinct) ([]matched, error) {
	if m, ok := g.Matcher.(*match.Matcher); ok {
		g.Matcher = m.Batch()
	}
	out := make([]matched, len(batch))
	workers, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(batch) {
					return nil
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				var err error
				if out[i], err = matchPackage(g, batch[i]); err != nil {
					return err
				}
			}
		})
	}
	return out, workers.Wait()
}

// A change is one finding that came, went, or says something else.
type change struct {
	pkg, vul   int64
	was, isNow int64 // severity, -1 for none
	kind       string
	row        findingRow
}

// applyBatch makes the findings of some packages what they are now, and the
// counters and events with them.
func (s *Store) applyBatch(ctx context.Context, tx *sql.Tx, g Generation, batch []matched, counting bool, nowMS int64) error {
	changes, vuls, err := compareBatch(ctx, tx, g, batch)
	if err != nil {
		return err
	}
	if err := vuls.put(ctx, tx); err != nil {
		return err
	}
	var keys, findings [][]any
	ids := make([]int64, len(batch))
	for i, m := range batch {
		ids[i] = m.id
		for _, name := range m.names {
			keys = append(keys, []any{text(name), m.id})
		}
	}
	for _, c := range changes {
		if c.isNow < 0 {
			if _, err := tx.ExecContext(ctx, sqlDropFinding, c.pkg, c.vul); err != nil {
				return fmt.Errorf("drop finding: %w", err)
			}
			continue
		}
		findings = append(findings, []any{c.pkg, c.vul, c.row.vulType, c.row.severity, c.row.fixState, c.row.fixedVersion, c.row.evidence, nowMS, c.row.cves})
	}
	if err := putRows(ctx, tx, sqlPutFinding, onConflictRenew, findings); err != nil {
		return fmt.Errorf("store findings: %w", err)
	}
	if err := putRows(ctx, tx, sqlPutKey, onConflictKey, keys); err != nil {
		return fmt.Errorf("store keys of packages: %w", err)
	}
	for _, c := range changes {
		if c.isNow < 0 {
			vuls.doubtful[c.vul] = true
		}
	}
	if err := dropCVEs(ctx, tx, vuls.doubtful); err != nil {
		return fmt.Errorf("drop CVEs: %w", err)
	}
	if !counting {
		if err := s.shiftCounts(ctx, tx, changes); err != nil {
			return err
		}
	}
	if err := putEvents(ctx, tx, g.ID, changes, nowMS); err != nil {
		return err
	}
	if err := execIn(ctx, tx, sqlQueueDone, ids); err != nil {
		return fmt.Errorf("shorten queue: %w", err)
	}
	if _, err := tx.ExecContext(ctx, sqlCountChanges, rated(changes)); err != nil {
		return fmt.Errorf("store state: %w", err)
	}
	return nil
}

// compareBatch compares what is stored of some packages with what is so now.
func compareBatch(ctx context.Context, tx *sql.Tx, g Generation, batch []matched) ([]change, *vulnerabilities, error) {
	ids := make([]int64, len(batch))
	for i, m := range batch {
		ids[i] = m.id
	}
	type key struct{ pkg, vul int64 }
	stored := map[key]findingRow{}
	err := eachIn(ctx, tx, sqlFindingsOf, ids, func(r *sql.Rows) error {
		var k key
		var f findingRow
		err := r.Scan(&k.pkg, &k.vul, &f.vulType, &f.severity, &f.fixState, &f.fixedVersion, &f.evidence, &f.firstSeen, &f.cves)
		stored[k] = f
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read findings: %w", err)
	}
	var changes []change
	vuls := newVulnerabilities(g)
	for _, m := range batch {
		for i, f := range m.findings {
			vuls.add(f)
			row := m.rows[i]
			k := key{m.id, vulID(f.ID)}
			was, ok := stored[k]
			delete(stored, k)
			row.firstSeen = was.firstSeen
			switch {
			case !ok:
				changes = append(changes, change{pkg: k.pkg, vul: k.vul, was: -1, isNow: row.severity, kind: EventNew, row: row})
			case row != was:
				c := change{pkg: k.pkg, vul: k.vul, was: was.severity, isNow: row.severity, row: row}
				if row.severity != was.severity || row.fixState != was.fixState || row.fixedVersion != was.fixedVersion {
					c.kind = EventChanged
				}
				changes = append(changes, c)
			}
		}
	}
	for k, was := range stored {
		changes = append(changes, change{pkg: k.pkg, vul: k.vul, was: was.severity, isNow: -1, kind: EventGone, row: was})
	}
	slices.SortFunc(changes, func(a, b change) int {
		if a.vul != b.vul {
			return cmp.Compare(a.vul, b.vul)
		}
		return cmp.Compare(a.pkg, b.pkg)
	})
	return changes, vuls, nil
}

// rated is how many findings came, went or have another severity.
func rated(changes []change) (n int64) {
	for _, c := range changes {
		if c.was != c.isNow {
			n++
		}
	}
	return n
}

func putEvents(ctx context.Context, tx *sql.Tx, generation string, changes []change, nowMS int64) error {
	var last int64
	if err := tx.QueryRowContext(ctx, sqlLastEvent).Scan(&last); err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	var rows [][]any
	for _, c := range changes {
		if c.kind == "" {
			continue
		}
		last++
		rows = append(rows, []any{last, nowMS, generation, c.kind, c.vul, c.pkg, c.was, c.isNow})
	}
	if len(rows) == 0 {
		return nil
	}
	if err := putRows(ctx, tx, sqlPutEvent, "", rows); err != nil {
		return fmt.Errorf("store events: %w", err)
	}
	if _, err := tx.ExecContext(ctx, sqlForgetEvents, last-maxEvents); err != nil {
		return fmt.Errorf("forget old events: %w", err)
	}
	return nil
}
