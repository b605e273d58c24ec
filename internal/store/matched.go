package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/match"
	"github.com/onceover/onceover/internal/report"
)

// matched is what one generation says of one distinct package.
type matched struct {
	*distinct
	names    []string // under which it is looked up, sorted
	findings []report.Finding
	rows     []findingRow // of findings, in their order
}

// matchPackage asks a generation about one package.
func matchPackage(g Generation, d *distinct) (matched, error) {
	out := matched{distinct: d}
	for _, k := range g.Matcher.Keys(d.distro, d.pkg) {
		out.names = append(out.names, k.Name)
	}
	slices.Sort(out.names)
	out.names = slices.Compact(out.names)
	var err error
	if out.findings, err = g.Matcher.Package(d.distro, d.pkg); err != nil {
		return out, fmt.Errorf("match package %s: %w", d.pkg.Name, err)
	}
	out.rows = make([]findingRow, len(out.findings))
	for i, f := range out.findings {
		if out.rows[i], err = newFindingRow(d, f); err != nil {
			return out, err
		}
	}
	return out, nil
}

// vulID is the key of an advisory's row.
func vulID(advisory string) int64 { return rowID("vulnerability", advisory) }

// vulType is the type of vulnerability, as HSS names them, of a package.
func vulType(p report.Package) string {
	if report.OSType(p.Type) {
		return VulLinux
	}
	return VulApp
}

// findingRow is a finding as its row says it.
type findingRow struct {
	vulType                          string
	severity                         int64
	fixState, fixedVersion, evidence string
	firstSeen                        int64
	cves                             string // with commas between them
}

func newFindingRow(d *distinct, f report.Finding) (findingRow, error) {
	f.Evidence.BuildCommand = ""
	b, err := json.Marshal(f.Evidence)
	if err != nil {
		return findingRow{}, fmt.Errorf("encode evidence: %w", err)
	}
	return findingRow{
		vulType: vulType(d.pkg), severity: int64(report.SeverityRank(f.Severity)),
		fixState: f.FixState, fixedVersion: text(f.FixedVersion), evidence: text(string(b)),
		cves: text(strings.Join(f.CVEs, ",")),
	}, nil
}

const (
	sqlMatchedOf     = `SELECT id FROM package WHERE matched = 1 AND id IN {in}`
	sqlSetMatched    = `UPDATE package SET matched = 1 WHERE id IN {in}`
	sqlPutKey        = `INSERT INTO package_key (name, package_id) VALUES`
	sqlPutFinding    = `INSERT INTO finding (package_id, vul_id, vul_type, severity, fix_state, fixed_version, evidence, first_seen, cves) VALUES`
	sqlQueuePackages = `INSERT INTO rematch_queue (package_id) SELECT p.id FROM package p WHERE p.id IN {in} ON CONFLICT (package_id) DO NOTHING`
	sqlMoreToMatch   = `UPDATE matching SET state = 'running' WHERE id = 1 AND state = 'done'`
	sqlMatching      = `SELECT generation, rules, state FROM matching WHERE id = 1`

	onConflictKey     = `ON CONFLICT (name, package_id) DO NOTHING`
	onConflictFinding = `ON CONFLICT (package_id, vul_id) DO NOTHING`
)

// isMatched tells which of some packages have their findings already.
func isMatched(ctx context.Context, tx *sql.Tx, ids []int64) (map[int64]bool, error) {
	out := map[int64]bool{}
	err := eachIn(ctx, tx, sqlMatchedOf, ids, func(r *sql.Rows) error {
		var id int64
		err := r.Scan(&id)
		out[id] = true
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for matched packages: %w", err)
	}
	return out, nil
}

// matchNew matches the packages of an inventory that count and that no image
// brought before.
func (s *Store) matchNew(ctx context.Context, g Generation, packages map[int64]*distinct) ([]matched, error) {
	var counted []int64
	for _, id := range slices.Sorted(maps.Keys(packages)) {
		if packages[id].counted {
			counted = append(counted, id)
		}
	}
	var known map[int64]bool
	err := s.inView(ctx, func(tx *sql.Tx) (err error) {
		known, err = isMatched(ctx, tx, counted)
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []matched
	for _, id := range counted {
		if known[id] {
			continue
		}
		m, err := matchPackage(g, packages[id])
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// putMatched stores the findings of packages that are in the fleet for the
// first time. Those that someone else has stored meanwhile are left alone.
func putMatched(ctx context.Context, tx *sql.Tx, g Generation, all []matched, nowMS int64) error {
	ids := make([]int64, len(all))
	for i, m := range all {
		ids[i] = m.id
	}
	known, err := isMatched(ctx, tx, ids)
	if err != nil {
		return err
	}
	var keys, findings [][]any
	var fresh []int64
	vuls := newVulnerabilities(g)
	for _, m := range all {
		if known[m.id] {
			continue
		}
		fresh = append(fresh, m.id)
		for _, name := range m.names {
			keys = append(keys, []any{text(name), m.id})
		}
		for i, f := range m.findings {
			vuls.add(f)
			row := m.rows[i]
			findings = append(findings, []any{m.id, vulID(f.ID), row.vulType, row.severity, row.fixState, row.fixedVersion, row.evidence, nowMS, row.cves})
		}
	}
	if err := vuls.put(ctx, tx); err != nil {
		return err
	}
	if err := putRows(ctx, tx, sqlPutKey, onConflictKey, keys); err != nil {
		return fmt.Errorf("store keys of packages: %w", err)
	}
	if err := putRows(ctx, tx, sqlPutFinding, onConflictFinding, findings); err != nil {
		return fmt.Errorf("store findings: %w", err)
	}
	if err := dropCVEs(ctx, tx, vuls.doubtful); err != nil {
		return fmt.Errorf("drop CVEs: %w", err)
	}
	if err := execIn(ctx, tx, sqlSetMatched, fresh); err != nil {
		return fmt.Errorf("mark packages: %w", err)
	}
	return queueForeign(ctx, tx, g, fresh)
}

// queueForeign has packages matched again that were matched with another
// generation than all others: this server has other advisories than the one that
// re-matches, for as long as one of them is behind.
func queueForeign(ctx context.Context, tx *sql.Tx, g Generation, packages []int64) error {
	var generation, rules, state string
	if err := tx.QueryRowContext(ctx, sqlMatching).Scan(&generation, &rules, &state); err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	if len(packages) == 0 || generation == "" || generation == g.ID && rules == rulesNow {
		return nil
	}
	if err := execIn(ctx, tx, sqlQueuePackages, packages); err != nil {
		return fmt.Errorf("queue packages: %w", err)
	}
	if _, err := tx.ExecContext(ctx, sqlMoreToMatch); err != nil {
		return fmt.Errorf("store state: %w", err)
	}
	return nil
}

// errMoved says that another generation came into use meanwhile.
var errMoved = errors.New("the advisories were replaced meanwhile")

// inUse is errMoved unless the generation is still the one in use. It is asked
// within the transaction that stores what the generation says: a re-match that
// begins later then sees the packages of it.
func (s *Store) inUse(id string) error {
	g, err := s.acquire()
	if err != nil {
		return err
	}
	defer g.Release()
	if g.ID != id {
		return errMoved
	}
	return nil
}

func (s *Store) acquire() (Generation, error) {
	if s.cfg.Advisories == nil {
		return Generation{}, fault.New(fault.Unavailable, "this process has no advisories")
	}
	return s.cfg.Advisories.Acquire()
}

// vulnerabilities collects what findings say of their advisories.
type vulnerabilities struct {
	g    Generation
	byID map[int64]report.Finding
	cves map[cveKey]CVE
	// doubtful are advisories with stored CVEs that none of the findings
	// here is about; set by put.
	doubtful map[int64]bool
}

type cveKey struct {
	vul int64
	id  string
}

func newVulnerabilities(g Generation) *vulnerabilities {
	return &vulnerabilities{g: g, byID: map[int64]report.Finding{}, cves: map[cveKey]CVE{}, doubtful: map[int64]bool{}}
}

func (v *vulnerabilities) add(f report.Finding) {
	id := vulID(f.ID)
	if _, ok := v.byID[id]; !ok {
		v.byID[id] = f
	}
	for _, cve := range f.CVEs {
		k := cveKey{id, text(cve)}
		if _, ok := v.cves[k]; !ok {
			v.cves[k] = cveOf(v.g, cve, f)
		}
	}
}

// cveOf is what is known of a CVE; where that is nothing, what its advisory says
// stands in, its score only if the advisory is about that CVE alone.
func cveOf(g Generation, id string, f report.Finding) CVE {
	var c CVE
	if g.CVE != nil {
		c, _ = g.CVE(id)
	}
	own := CVE{Published: f.Published, Description: f.Summary}
	if len(f.CVEs) == 1 {
		own.Score = f.Score
	}
	return c.or(own)
}

// or is c with what it lacks taken from o.
func (c CVE) or(o CVE) CVE {
	return CVE{cmp.Or(c.Score, o.Score), cmp.Or(c.Published, o.Published), cmp.Or(c.Description, o.Description)}
}

const (
	sqlVulsOf   = `SELECT id, severity_from, score, vector, summary, url, published, aliases FROM vulnerability WHERE id IN {in}`
	sqlPutVul   = `INSERT INTO vulnerability (id, advisory, severity_from, score, vector, summary, url, published, aliases) VALUES`
	sqlCVEsOf   = `SELECT vul_id, cve_id, score, published, description FROM vulnerability_cve WHERE vul_id IN {in}`
	sqlCVEsHeld = `SELECT DISTINCT vul_id, cves FROM finding WHERE vul_id IN {in}`
	sqlDropCVE  = `DELETE FROM vulnerability_cve WHERE vul_id = $1 AND cve_id = $2`
	sqlPutCVE   = `INSERT INTO vulnerability_cve (vul_id, cve_id, score, published, description) VALUES`

	onConflictVul = `ON CONFLICT (id) DO UPDATE SET severity_from = excluded.severity_from, score = excluded.score, vector = excluded.vector, summary = excluded.summary, url = excluded.url, published = excluded.published, aliases = excluded.aliases`
	onConflictCVE = `ON CONFLICT (vul_id, cve_id) DO UPDATE SET score = excluded.score, published = excluded.published, description = excluded.description`
)

// vulFacts are the columns of a vulnerability that may change.
type vulFacts struct {
	severityFrom         string
	score                int64
	vector, summary, url string
	published            int64
	aliases              string
}

// put stores what is not stored already.
func (v *vulnerabilities) put(ctx context.Context, tx *sql.Tx) error {
	ids := slices.Sorted(maps.Keys(v.byID))
	stored := map[int64]vulFacts{}
	err := eachIn(ctx, tx, sqlVulsOf, ids, func(r *sql.Rows) error {
		var id int64
		var f vulFacts
		err := r.Scan(&id, &f.severityFrom, &f.score, &f.vector, &f.summary, &f.url, &f.published, &f.aliases)
		stored[id] = f
		return err
	})
	if err != nil {
		return fmt.Errorf("read vulnerabilities: %w", err)
	}
	var rows [][]any
	for _, id := range ids {
		f := v.byID[id]
		aliases, err := json.Marshal(f.Aliases)
		if err != nil {
			return fmt.Errorf("encode aliases: %w", err)
		}
		now := vulFacts{f.SeverityFrom, tenths(f.Score), text(f.Vector), text(f.Summary), text(f.URL), f.Published, text(string(aliases))}
		if was, ok := stored[id]; !ok || was != now {
			rows = append(rows, []any{id, text(f.ID), now.severityFrom, now.score, now.vector, now.summary, now.url, now.published, now.aliases})
		}
	}
	if err := putRows(ctx, tx, sqlPutVul, onConflictVul, rows); err != nil {
		return fmt.Errorf("store vulnerabilities: %w", err)
	}
	return v.putCVEs(ctx, tx, ids)
}

func (v *vulnerabilities) putCVEs(ctx context.Context, tx *sql.Tx, vuls []int64) error {
	stored := map[cveKey]CVE{}
	err := eachIn(ctx, tx, sqlCVEsOf, vuls, func(r *sql.Rows) error {
		k, c, err := scanStoredCVE(r)
		stored[k] = c
		if _, ok := v.cves[k]; !ok {
			v.doubtful[k.vul] = true
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read CVEs: %w", err)
	}
	var rows [][]any
	for k, c := range v.cves {
		c = c.rounded()
		if was, ok := stored[k]; !ok || was != c {
			rows = append(rows, []any{k.vul, k.id, tenths(c.Score), c.Published, c.Description})
		}
	}
	if err := putRows(ctx, tx, sqlPutCVE, onConflictCVE, rows); err != nil {
		return fmt.Errorf("store CVEs: %w", err)
	}
	return nil
}

// dropCVEs takes from some advisories the CVEs that no finding is about any
// more. An advisory without findings keeps its own: nobody has it, and events
// name them.
func dropCVEs(ctx context.Context, tx *sql.Tx, doubtful map[int64]bool) error {
	vuls := slices.Sorted(maps.Keys(doubtful))
	held := map[int64]map[string]bool{} // what the findings of an advisory are about
	err := eachIn(ctx, tx, sqlCVEsHeld, vuls, func(r *sql.Rows) error {
		var vul int64
		var cves string
		err := r.Scan(&vul, &cves)
		if held[vul] == nil {
			held[vul] = map[string]bool{}
		}
		for id := range strings.SplitSeq(cves, ",") {
			held[vul][id] = true
		}
		return err
	})
	if err != nil {
		return err
	}
	var drop []cveKey
	err = eachIn(ctx, tx, sqlCVEsOf, vuls, func(r *sql.Rows) error {
		k, _, err := scanStoredCVE(r)
		// Findings from before the column say nothing until they are
		// matched again.
		if held[k.vul] != nil && !held[k.vul][""] && !held[k.vul][k.id] {
			drop = append(drop, k)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, k := range drop {
		if _, err := tx.ExecContext(ctx, sqlDropCVE, k.vul, k.id); err != nil {
			return err
		}
	}
	return nil
}

// rounded is c as it comes back from the database.
func (c CVE) rounded() CVE {
	return CVE{float64(tenths(c.Score)) / 10, c.Published, text(c.Description)}
}

func scanStoredCVE(r *sql.Rows) (k cveKey, c CVE, err error) {
	var score int64
	err = r.Scan(&k.vul, &k.id, &score, &c.Published, &c.Description)
	c.Score = float64(score) / 10
	return k, c, err
}

// rulesNow are the rules by which this program matches.
const rulesNow = match.Rules

// tenths is a CVSS score, which has one decimal, as an integer.
func tenths(score float64) int64 { return int64(score*10 + 0.5) }
