package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

// maxMessageBytes bounds what is kept of an agent's message about a failure.
const maxMessageBytes = 1024

// failures that an agent may name.
var failures = []string{
	fleet.FailureUnknown, fleet.FailureNoAgent, fleet.FailureEngineOffline, fleet.FailureNoRoot,
	fleet.FailureImageGone, fleet.FailureTooLarge, fleet.FailureNFS, fleet.FailureTimeout,
}

// jobState is a job as Finish finds it.
type jobState struct {
	id, task       string
	content        int64
	state, agentID string
	attempts       int64
	refusedBy      string // see passOn
	config         image.Digest
	project        string
}

// open reports whether the result of an agent still counts. A success counts
// as well if the lease has lapsed and nobody has taken the job again.
func (j jobState) open(agentID string, success bool) bool {
	return j.state == jobLeased && j.agentID == agentID || success && j.state == jobWaiting
}

// Finish implements fleet.Work.
func (s *Store) Finish(ctx context.Context, agent auth.Key, jobID string, req fleet.FinishRequest, nowMS int64) error {
	var job jobState
	err := s.inView(ctx, func(tx *sql.Tx) (err error) {
		job, err = readJob(ctx, tx, jobID, agent.ProjectID)
		return err
	})
	if err != nil || !job.open(agent.AgentID, req.Failure == "") {
		return err
	}
	if req.Failure != "" {
		return s.finishFailed(ctx, agent, jobID, req, nowMS)
	}
	if req.Image == nil {
		return fault.New(fault.Invalid, "finish job: neither a failure nor an image")
	}
	out, err := s.conclude(ctx, job, req.Image)
	if err != nil {
		return err
	}
	return s.inTx(ctx, func(tx *sql.Tx) error {
		job, err := readJob(ctx, tx, jobID, agent.ProjectID)
		if err != nil || !job.open(agent.AgentID, true) {
			return err // someone was faster: the first result stands
		}
		if !out.inventory.Complete {
			return s.finishPartial(ctx, tx, job, out, nowMS)
		}
		if err := putOutcome(ctx, tx, job, out, nowMS); err != nil {
			return err
		}
		return endJob(ctx, tx, job.id, job.task, jobDone, "", "", out.vulNum > 0, nowMS)
	})
}

// finishPartial ends a job of which not every layer could be read to its end.
// What was read counts until a whole scan succeeds, and what a whole scan has
// found stays; but the scan has failed, or the part would look like the whole.
func (s *Store) finishPartial(ctx context.Context, tx *sql.Tx, job jobState, out *outcome, nowMS int64) error {
	var scanned int64
	if err := tx.QueryRowContext(ctx, sqlScanTime, job.content).Scan(&scanned); err != nil {
		return fmt.Errorf("read scan time: %w", err)
	}
	if scanned == 0 {
		out.severity = "" // only a success has one
		if err := putOutcome(ctx, tx, job, out, nowMS); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, sqlNeverScanned, job.content); err != nil {
			return fmt.Errorf("reset scan time: %w", err)
		}
	}
	return s.failContent(ctx, tx, job.content, fleet.FailureUnknown, "not every layer could be read to its end", nowMS)
}

func (s *Store) finishFailed(ctx context.Context, agent auth.Key, jobID string, req fleet.FinishRequest, nowMS int64) error {
	failure := req.Failure
	if !slices.Contains(failures, failure) {
		failure = fleet.FailureUnknown
	}
	var wake []string
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		wake = nil
		job, err := readJob(ctx, tx, jobID, agent.ProjectID)
		if err != nil || !job.open(agent.AgentID, false) {
			return err
		}
		wake, err = passOn(ctx, tx, job, agent.AgentID, failure, req.Message, nowMS)
		if err != nil || len(wake) > 0 {
			return err
		}
		return s.failContent(ctx, tx, job.content, failure, req.Message, nowMS)
	})
	if err != nil {
		return err
	}
	s.wake.wakeAll(wake)
	return nil
}

func readJob(ctx context.Context, tx *sql.Tx, id, project string) (jobState, error) {
	j := jobState{id: id}
	err := tx.QueryRowContext(ctx, sqlJob, id, project).Scan(&j.task, &j.content, &j.state, &j.agentID, &j.attempts, &j.refusedBy, &j.config, &j.project)
	if errors.Is(err, sql.ErrNoRows) {
		return j, fault.New(fault.NotFound, "there is no job %s", id)
	}
	if err != nil {
		return j, fmt.Errorf("read job: %w", err)
	}
	return j, nil
}

// outcome is what a finished job says, ready to be stored.
type outcome struct {
	inventory  report.Inventory
	findings   []report.Finding
	cves       map[string]CVE
	analyzers  string
	generation string
	config     []byte
	diffIDs    []image.Digest
	components int64
	vulNum     int64
	severity   string
}

// conclude merges and matches. It writes nothing.
func (s *Store) conclude(ctx context.Context, job jobState, img *fleet.ImageReport) (*outcome, error) {
	if img.ConfigDigest != job.config {
		return nil, fault.New(fault.Invalid, "finish job: the report is about %s, the job about %s", img.ConfigDigest.Short(), job.config.Short())
	}
	if len(img.DiffIDs) > maxAsked {
		return nil, fault.New(fault.TooLarge, "finish job: %d layers: the limit is %d", len(img.DiffIDs), maxAsked)
	}
	cfg, err := image.ParseConfig(img.Config)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "finish job")
	}
	if !slices.Equal(cfg.DiffIDs, img.DiffIDs) {
		return nil, fault.New(fault.Invalid, "finish job: the layers are not those of the image configuration")
	}
	layers, missing, err := s.layerReports(ctx, img)
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		return nil, fault.New(fault.Conflict, "finish job: %d of %d layer reports are missing, first %s", len(missing), len(img.DiffIDs), missing[0])
	}
	out := &outcome{
		inventory: report.Merge(layers),
		analyzers: img.Analyzers,
		config:    img.Config,
		diffIDs:   img.DiffIDs,
	}
	if s.cfg.Generation != nil {
		out.generation = s.cfg.Generation()
	}
	commands := map[string]string{}
	for i, c := range cfg.BuildCommands() {
		if d := string(cfg.DiffIDs[i]); commands[d] == "" {
			commands[d] = c
		}
	}
	return out, s.match(ctx, out, commands)
}

// match fills in the findings of an outcome and what is counted from them.
func (s *Store) match(ctx context.Context, out *outcome, commands map[string]string) error {
	findings, warnings, err := s.cfg.Match(ctx, out.inventory, commands)
	if err != nil {
		return fmt.Errorf("match inventory: %w", err)
	}
	for _, w := range warnings {
		s.log.WarnContext(ctx, "advisories do not cover everything", "warning", w)
	}
	out.findings = findings
	out.cves = map[string]CVE{}
	ids := map[string]bool{}
	worst := -1
	for _, f := range findings {
		ids[f.ID] = true
		worst = max(worst, report.SeverityRank(f.Severity))
		for _, id := range f.CVEs {
			if _, ok := out.cves[id]; !ok {
				out.cves[id] = s.cve(ctx, id, f)
			}
		}
	}
	out.vulNum = int64(len(ids))
	out.severity = imageLevel(worst, len(warnings) > 0 || unread(out.inventory.Problems))
	out.components = countComponents(out.inventory.Packages)
	return nil
}

// cve is what is known of a CVE; what its advisory says stands in, its score
// only if the advisory is about that CVE alone.
func (s *Store) cve(ctx context.Context, id string, f report.Finding) CVE {
	if s.cfg.CVE != nil {
		if c, ok := s.cfg.CVE(ctx, id); ok {
			return c
		}
	}
	c := CVE{Published: f.Published, Description: f.Summary}
	if len(f.CVEs) == 1 {
		c.Score = f.Score
	}
	return c
}

// systemAnalyzers read the package databases of distributions. What one of them
// could not read may be most of the image.
var systemAnalyzers = []string{"dpkg", "apk", "rpm", "pacman", "portage"}

// unread reports whether software may be in the image that no report tells of:
// a package database is damaged, or a file was left out because of a limit or
// took the analyser down with it. HSS has no field for what could not be read,
// so the image is only not called safe. A damaged file of an application does
// not count: tests of libraries are full of them.
func unread(problems []report.Problem) bool {
	return slices.ContainsFunc(problems, func(p report.Problem) bool {
		name, _, _ := strings.Cut(p.Analyzer, "/")
		return p.Reason != "" || slices.Contains(systemAnalyzers, name)
	})
}

// imageLevel is the severity_level of an image with a worst finding of rank;
// -1 for one without findings, which is called safe only if there is no doubt
// about the advisories and the reading. A finding of unknown severity counts as
// low.
func imageLevel(rank int, doubt bool) string {
	switch {
	case rank < 0 && doubt:
		return ""
	case rank < 0:
		return "Security"
	case rank >= report.SeverityRank(report.SeverityHigh):
		return report.SeverityHigh
	case rank == report.SeverityRank(report.SeverityMedium):
		return report.SeverityMedium
	default:
		return report.SeverityLow
	}
}

// countComponents counts installed software: distinct type, name and version.
func countComponents(packages []report.Package) int64 {
	type component struct{ typ, name, version string }
	seen := map[component]bool{}
	for _, p := range packages {
		if !p.Declared {
			seen[component{p.Type, p.Name, p.Version}] = true
		}
	}
	return int64(len(seen))
}

const (
	sqlFirstSeen    = `SELECT vul_id, MIN(first_seen) FROM finding WHERE content_id = $1 GROUP BY vul_id`
	sqlDropFindings = `DELETE FROM finding WHERE content_id = $1`
	sqlDropPackages = `DELETE FROM content_package WHERE content_id = $1`
	sqlPutPackage   = `INSERT INTO package (id, type, name, version, arch, source, source_version, module, vendor, distro) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING`
	sqlPutHas       = `INSERT INTO content_package (content_id, package_id, path, layer, owned_by, declared, licenses) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (content_id, package_id, path, layer) DO NOTHING`
	sqlPutVul       = `INSERT INTO vulnerability (id, severity_from, score, vector, summary, url, published, aliases) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (id) DO UPDATE SET severity_from = excluded.severity_from, score = excluded.score, vector = excluded.vector, summary = excluded.summary, url = excluded.url, published = excluded.published, aliases = excluded.aliases`
	sqlPutCVE = `INSERT INTO vulnerability_cve (vul_id, cve_id, score, published, description) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (vul_id, cve_id) DO UPDATE SET score = excluded.score, published = excluded.published, description = excluded.description`
	sqlPutFinding = `INSERT INTO finding (content_id, vul_id, package_id, path, layer, project_id, vul_type, severity, fix_state, fixed_version, evidence, first_seen) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (content_id, vul_id, package_id, path, layer) DO NOTHING`
	sqlScanTime     = `SELECT latest_scan_time FROM content WHERE id = $1`
	sqlNeverScanned = `UPDATE content SET latest_scan_time = 0 WHERE id = $1`
	sqlContentDone  = `UPDATE content SET scan_status = 'success', prior_status = 'success', scan_failed_desc = '', latest_scan_time = $1, vul_num = $2, component_num = $3, severity_level = $4, analyzers = $5, generation = $6, diff_ids = $7, config = $8, distro = $9 WHERE id = $10`
)

// putOutcome replaces what is known of the job's content.
func putOutcome(ctx context.Context, tx *sql.Tx, job jobState, out *outcome, nowMS int64) error {
	firstSeen := map[string]int64{}
	err := each(ctx, tx, sqlFirstSeen, []any{job.content}, func(r *sql.Rows) error {
		var id string
		var t int64
		err := r.Scan(&id, &t)
		firstSeen[id] = t
		return err
	})
	if err != nil {
		return fmt.Errorf("read findings: %w", err)
	}
	for _, q := range []string{sqlDropFindings, sqlDropPackages} {
		if _, err := tx.ExecContext(ctx, q, job.content); err != nil {
			return fmt.Errorf("drop old results: %w", err)
		}
	}
	if err := putPackages(ctx, tx, job.content, out); err != nil {
		return err
	}
	if err := putFindings(ctx, tx, job, out, firstSeen, nowMS); err != nil {
		return err
	}
	diffIDs, err := json.Marshal(out.diffIDs)
	if err != nil {
		return fmt.Errorf("encode diff IDs: %w", err)
	}
	distro, err := json.Marshal(out.inventory.Distro)
	if err != nil {
		return fmt.Errorf("encode distribution: %w", err)
	}
	_, err = tx.ExecContext(ctx, sqlContentDone, nowMS, out.vulNum, out.components, out.severity, out.analyzers,
		out.generation, string(diffIDs), out.config, string(distro), job.content)
	if err != nil {
		return fmt.Errorf("store result: %w", err)
	}
	return nil
}

func putPackages(ctx context.Context, tx *sql.Tx, content int64, out *outcome) error {
	putPackage, err := tx.PrepareContext(ctx, sqlPutPackage)
	if err != nil {
		return fmt.Errorf("store packages: %w", err)
	}
	defer func() { _ = putPackage.Close() }()
	putHas, err := tx.PrepareContext(ctx, sqlPutHas)
	if err != nil {
		return fmt.Errorf("store packages: %w", err)
	}
	defer func() { _ = putHas.Close() }()
	for _, p := range out.inventory.Packages {
		distro := packageDistro(p, out.inventory.Distro)
		id := packageID(p, distro)
		_, err := putPackage.ExecContext(ctx, id, p.Type, p.Name, p.Version, p.Arch, p.Source, p.SourceVersion, p.Module, p.Vendor, distro)
		if err != nil {
			return fmt.Errorf("store package: %w", err)
		}
		licenses, err := json.Marshal(p.Licenses)
		if err != nil {
			return fmt.Errorf("encode licences: %w", err)
		}
		if _, err := putHas.ExecContext(ctx, content, id, p.Path, p.Layer, p.OwnedBy, boolInt(p.Declared), string(licenses)); err != nil {
			return fmt.Errorf("store package of image: %w", err)
		}
	}
	return nil
}

func putFindings(ctx context.Context, tx *sql.Tx, job jobState, out *outcome, firstSeen map[string]int64, nowMS int64) error {
	stored := map[string]bool{}
	for _, f := range out.findings {
		if !stored[f.ID] {
			stored[f.ID] = true
			if err := putVulnerability(ctx, tx, f, out.cves); err != nil {
				return err
			}
		}
		distro := packageDistro(f.Package, out.inventory.Distro)
		evidence, err := json.Marshal(f.Evidence)
		if err != nil {
			return fmt.Errorf("encode evidence: %w", err)
		}
		first, ok := firstSeen[f.ID]
		if !ok {
			first = nowMS
		}
		kind := VulApp
		if report.OSType(f.Package.Type) {
			kind = VulLinux
		}
		_, err = tx.ExecContext(ctx, sqlPutFinding, job.content, f.ID, packageID(f.Package, distro), f.Package.Path, f.Package.Layer,
			job.project, kind, report.SeverityRank(f.Severity), f.FixState, f.FixedVersion, string(evidence), first)
		if err != nil {
			return fmt.Errorf("store finding %s: %w", f.ID, err)
		}
	}
	return nil
}

func putVulnerability(ctx context.Context, tx *sql.Tx, f report.Finding, cves map[string]CVE) error {
	aliases, err := json.Marshal(f.Aliases)
	if err != nil {
		return fmt.Errorf("encode aliases: %w", err)
	}
	_, err = tx.ExecContext(ctx, sqlPutVul, f.ID, f.SeverityFrom, tenths(f.Score), f.Vector, f.Summary, f.URL, f.Published, string(aliases))
	if err != nil {
		return fmt.Errorf("store vulnerability %s: %w", f.ID, err)
	}
	for _, id := range f.CVEs {
		c := cves[id]
		if _, err := tx.ExecContext(ctx, sqlPutCVE, f.ID, id, tenths(c.Score), c.Published, c.Description); err != nil {
			return fmt.Errorf("store %s: %w", id, err)
		}
	}
	return nil
}

// tenths is a CVSS score, which has one decimal, as an integer.
func tenths(score float64) int64 { return int64(score*10 + 0.5) }

// packageDistro is the distribution that gives a package its meaning: the
// image's for a distribution's package, none for others.
func packageDistro(p report.Package, d report.Distro) string {
	if !report.OSType(p.Type) || d.ID == "" {
		return ""
	}
	return d.ID + ":" + d.VersionID
}

func packageID(p report.Package, distro string) int64 {
	return rowID("package", p.Type, p.Name, p.Version, p.Arch, p.Source, p.SourceVersion, p.Module, p.Vendor, distro)
}
