package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/onceover/onceover/internal/report"
)

// A vulFact is what is known of a vulnerability that some packages have.
type vulFact struct {
	id           int64
	advisory     string
	severityFrom string
	score        float64
	summary, url string
	aliases      []string
	cves         []string
	exploits     Exploits // worst of the CVEs
	findings     []findingFact
}

// A findingFact is the finding of one package.
type findingFact struct {
	pkg      int64
	severity int64 // report.SeverityRank
	seen     int64 // first_seen, Unix milliseconds
	fixed    bool
	app      bool // VulApp, not VulLinux
}

// finding is v without a package.
func (v *vulFact) finding() report.Finding {
	return report.Finding{ID: v.advisory, CVEs: v.cves, Aliases: v.aliases, SeverityFrom: v.severityFrom, Score: v.score,
		Exploited: v.exploits.Known, ExploitedSince: v.exploits.Since, EPSS: v.exploits.EPSS, EPSSPercentile: v.exploits.Percentile}
}

// priority is report.PriorityOf the finding of one package.
func (v *vulFact) priority(f findingFact, running bool) int {
	out := v.finding()
	out.Severity, out.FixState = report.SeverityName(f.severity), report.FixUnknown
	if f.fixed {
		out.FixState = report.FixAvailable
	}
	return report.PriorityOf(out, running).Total
}

// enrich looks the CVEs up in a generation.
func (v *vulFact) enrich(g Generation) {
	v.exploits = Exploits{}
	if g.Exploits == nil {
		return
	}
	for _, id := range v.cves {
		v.exploits = v.exploits.orWorse(g.Exploits(id))
	}
}

const (
	sqlVulFacts     = `SELECT v.id, v.advisory, v.severity_from, v.score, v.summary, v.url, v.aliases FROM vulnerability v {which}`
	sqlVulFactCVEs  = `SELECT e.vul_id, e.cve_id FROM vulnerability_cve e {which}`
	sqlFindingFacts = `SELECT f.vul_id, f.package_id, f.severity, f.fix_state, f.vul_type, f.first_seen FROM finding f {which}`
)

// readVulFacts reads vulnerabilities with their CVEs and findings: some, or all
// if ids is nil.
func readVulFacts(ctx context.Context, tx *sql.Tx, ids []int64, g Generation) (map[int64]*vulFact, error) {
	out := map[int64]*vulFact{}
	read := func(query, column string, scan func(*sql.Rows) error) error {
		if ids == nil {
			return each(ctx, tx, which(query, ""), nil, scan)
		}
		return eachIn(ctx, tx, which(query, "WHERE "+column+" IN {in}"), ids, scan)
	}
	err := read(sqlVulFacts, "v.id", func(r *sql.Rows) error {
		v := &vulFact{}
		var score int64
		var aliases string
		if err := r.Scan(&v.id, &v.advisory, &v.severityFrom, &score, &v.summary, &v.url, &aliases); err != nil {
			return err
		}
		v.score = float64(score) / 10
		if err := json.Unmarshal([]byte(aliases), &v.aliases); err != nil {
			return fmt.Errorf("aliases of %s: %w", v.advisory, err)
		}
		out[v.id] = v
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read vulnerabilities: %w", err)
	}
	err = read(sqlVulFactCVEs, "e.vul_id", func(r *sql.Rows) error {
		var vul int64
		var cve string
		err := r.Scan(&vul, &cve)
		if v := out[vul]; v != nil {
			v.cves = append(v.cves, cve)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read CVEs: %w", err)
	}
	err = read(sqlFindingFacts, "f.vul_id", func(r *sql.Rows) error {
		vul, f, err := scanFindingFact(r)
		if v := out[vul]; v != nil {
			v.findings = append(v.findings, f)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read findings: %w", err)
	}
	for v := range maps.Values(out) {
		slices.Sort(v.cves)
		slices.SortFunc(v.findings, func(a, b findingFact) int { return cmp.Compare(a.pkg, b.pkg) })
		v.enrich(g)
	}
	return out, nil
}

func scanFindingFact(r *sql.Rows) (vul int64, f findingFact, err error) {
	var state, typ string
	err = r.Scan(&vul, &f.pkg, &f.severity, &state, &typ, &f.seen)
	f.fixed, f.app = state == report.FixAvailable, typ == VulApp
	return vul, f, err
}
