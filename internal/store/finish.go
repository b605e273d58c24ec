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
	"github.com/onceover/onceover/internal/check/baseimage"
	"github.com/onceover/onceover/internal/check/password"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

const (
	// maxMessageBytes bounds what is kept of an agent's message about a
	// failure.
	maxMessageBytes = 1024
	// maxConclusions is how often a job is concluded anew because the
	// advisories were replaced meanwhile. That takes seconds to minutes;
	// concluding takes less.
	maxConclusions = 3
)

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
	for range maxConclusions {
		err = s.finishDone(ctx, agent, job, req.Image, nowMS)
		if !errors.Is(err, errMoved) {
			return err
		}
	}
	return fault.Wrap(fault.Unavailable, err, "finish job")
}

// finishDone concludes what a job that was done says, and stores it.
func (s *Store) finishDone(ctx context.Context, agent auth.Key, job jobState, img *fleet.ImageReport, nowMS int64) error {
	g, err := s.acquire()
	if err != nil {
		return err
	}
	defer g.Release()
	out, err := s.conclude(ctx, g, job, img)
	if err != nil {
		return err
	}
	defer s.recheckSoonIf(out)
	return s.inTx(ctx, func(tx *sql.Tx) error {
		job, err := readJob(ctx, tx, job.id, agent.ProjectID)
		if err != nil || !job.open(agent.AgentID, true) {
			return err // someone was faster: the first result stands
		}
		if err := s.inUse(g.ID); err != nil {
			return err
		}
		if out.partial() {
			return s.finishPartial(ctx, tx, g, job, out, nowMS)
		}
		vulNum, err := s.putOutcome(ctx, tx, g, job, out, nowMS)
		if err != nil {
			return err
		}
		if err := logSucceeded(ctx, tx, job, agent.AgentID, vulNum, nowMS); err != nil {
			return err
		}
		return endJob(ctx, tx, job.id, job.task, jobDone, "", "", vulNum > 0, nowMS)
	})
}

// finishPartial ends a job of which not every layer could be read to its end.
// What was read counts until a whole scan succeeds, and what a whole scan has
// found stays; but the scan has failed, or the part would look like the whole.
func (s *Store) finishPartial(ctx context.Context, tx *sql.Tx, g Generation, job jobState, out *outcome, nowMS int64) error {
	var scanned int64
	if err := tx.QueryRowContext(ctx, sqlScanTime, job.content).Scan(&scanned); err != nil {
		return fmt.Errorf("read scan time: %w", err)
	}
	if scanned == 0 {
		if _, err := s.putOutcome(ctx, tx, g, job, out, nowMS); err != nil {
			return err
		}
	}
	return s.failContent(ctx, tx, job.content, fleet.FailureUnknown, "not every layer could be read to its end", nowMS)
}

func (s *Store) finishFailed(ctx context.Context, agent auth.Key, jobID string, req fleet.FinishRequest, nowMS int64) error {
	failure := req.Failure
	if !slices.Contains(failures, failure) {
		failure = fleet.FailureUnknown
	}
	return s.inTxAndWake(ctx, func(tx *sql.Tx) ([]string, error) {
		job, err := readJob(ctx, tx, jobID, agent.ProjectID)
		if err != nil || !job.open(agent.AgentID, false) {
			return nil, err
		}
		wake, err := passOn(ctx, tx, job, agent.AgentID, failure, req.Message, nowMS)
		if err != nil || len(wake) > 0 {
			return wake, err
		}
		return nil, s.failContent(ctx, tx, job.content, failure, req.Message, nowMS)
	})
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
	packages   map[int64]*distinct
	parts      []part
	files      []filePart
	filesKnown int64     // content.files
	matched    []matched // packages that are new to the fleet
	warned     bool
	analyzers  string
	config     []byte // as it came
	build      []brokenRule
	judgement  *judgement // nil if baselines were not looked at
	passwords  *passwords // likewise
	complexity *password.Complexity
	diffIDs    []image.Digest
	components int64
	inConfig   []report.Secret // of the image configuration
	scannedMS  int64
	apps       int64 // places of installed software
	// systemLayer is the layer that brought the distribution.
	systemLayer image.Digest
}

// partial reports whether not every layer was read to its end for packages.
// Another check that was not done to its end is no reason for a scan to fail: it
// says so itself.
func (o *outcome) partial() bool {
	return slices.Contains(o.inventory.Partial, report.CheckPackages)
}

// conclude merges and matches. It writes nothing.
func (s *Store) conclude(ctx context.Context, g Generation, job jobState, img *fleet.ImageReport) (*outcome, error) {
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
		build:     s.checkBuild(ctx, img.Config),
		diffIDs:   img.DiffIDs,
		inConfig:  s.configSecrets(ctx, img.Analyzers, cfg),
	}
	for _, w := range g.Matcher.Warnings(out.inventory) {
		out.warned = true
		s.log.WarnContext(ctx, "advisories do not cover everything", "warning", w)
	}
	out.components = countComponents(out.inventory.Packages)
	if out.packages, out.parts, err = split(out.inventory); err != nil {
		return nil, err
	}
	for _, p := range out.parts {
		for _, r := range p.rows {
			out.apps += 1 - boolInt(r.declared)
		}
	}
	out.files, out.filesKnown = splitFiles(layers)
	if out.judgement, err = s.checkBaseline(ctx, out); err != nil {
		return nil, err
	}
	if out.passwords, err = checkPasswords(out); err != nil {
		return nil, err
	}
	if out.complexity, err = checkComplexity(out); err != nil {
		return nil, err
	}
	out.systemLayer = baseimage.SystemLayer(layers, out.inventory.Distro)
	out.matched, err = s.matchNew(ctx, g, out.packages)
	return out, err
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
	sqlScanTime = `SELECT latest_scan_time FROM content WHERE id = $1`
	// A partial report is no scan: it has no time.
	sqlContentDone = `UPDATE content SET scan_status = 'success', prior_status = 'success', scan_failed_desc = '', latest_scan_time = $1,
first_scan_time = CASE first_scan_time WHEN 0 THEN $2 ELSE first_scan_time END, component_num = $3, unread = $4, coverage_id = $5, files = $6, app_num = $7 WHERE id = $8`
	sqlPutDetail = `INSERT INTO content_detail (content_id, analyzers, generation, diff_ids, config, distro, chain, steps, system_layer) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (content_id) DO UPDATE SET analyzers = excluded.analyzers, generation = excluded.generation, diff_ids = excluded.diff_ids, config = excluded.config,
distro = excluded.distro, chain = excluded.chain, steps = excluded.steps, system_layer = excluded.system_layer`
)

// putOutcome replaces what is known of the job's content. It returns how many
// advisories are open in it.
func (s *Store) putOutcome(ctx context.Context, tx *sql.Tx, g Generation, job jobState, out *outcome, nowMS int64) (vulNum int64, err error) {
	if err := putInventory(ctx, tx, job.project, job.content, out.packages, out.parts, out.files); err != nil {
		return 0, err
	}
	if err := putMatched(ctx, tx, g, out.matched, nowMS); err != nil {
		return 0, err
	}
	coverage, err := putCoverage(ctx, tx, out.inventory, out.warned)
	if err != nil {
		return 0, err
	}
	diffIDs, err := json.Marshal(out.diffIDs)
	if err != nil {
		return 0, fmt.Errorf("encode diff IDs: %w", err)
	}
	distro, err := encodeDistro(out.inventory.Distro)
	if err != nil {
		return 0, err
	}
	analyzers, err := allAnalyzers(ctx, tx, job.content, out.analyzers)
	if err != nil {
		return 0, err
	}
	chain, steps := chainOf(out.diffIDs, out.config)
	_, err = tx.ExecContext(ctx, sqlPutDetail, job.content, analyzers, g.ID, string(diffIDs), s.sealConfig(job.content, out.config), distro, chain, steps, text(string(out.systemLayer)))
	if err != nil {
		return 0, fmt.Errorf("store what the result was made from: %w", err)
	}
	if err := putBuild(ctx, tx, job.content, out.build); err != nil {
		return 0, err
	}
	if err := s.judgeParts(ctx, tx, out); err != nil {
		return 0, err
	}
	if err := putChecks(ctx, tx, job, out, nowMS); err != nil {
		return 0, err
	}
	scanned := nowMS
	if out.partial() {
		scanned = 0
	}
	_, err = tx.ExecContext(ctx, sqlContentDone, scanned, nowMS, out.components, boolInt(unread(out.inventory.Problems)), coverage, out.filesKnown, out.apps, job.content)
	if err != nil {
		return 0, fmt.Errorf("store result: %w", err)
	}
	return countContent(ctx, tx, job.content)
}
