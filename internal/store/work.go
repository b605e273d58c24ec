package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
)

var _ fleet.Work = (*Store)(nil)

const (
	// LeaseTime is how long a job is given out without renewal.
	LeaseTime = 60 * time.Second
	// OnlineTime is how long after its last sync an agent counts as
	// online. A parked poll lasts up to 60 s.
	OnlineTime = 90 * time.Second
	// maxAttempts is how often a job is given out. An image that kills
	// its agent each time is not tried for ever.
	maxAttempts = 5
	// maxLease is how many jobs one sync can take, maxHolds how many it
	// can renew.
	maxLease = 16
	maxHolds = 256
)

// States of a job.
const (
	jobWaiting = "waiting"
	jobLeased  = "leased"
	jobDone    = "done"
	jobFailed  = "failed"
	jobStopped = "stopped"
)

const (
	sqlAgentHash = `SELECT images_hash, poll FROM agent WHERE id = $1 AND project_id = $2`
	sqlAgentJobs = `SELECT id, content_id, attempts FROM scan_job WHERE agent_id = $1 AND state = 'leased'`
	sqlRenew     = `UPDATE scan_job SET lease_until = $1 WHERE id = $2`
	sqlLapsed    = `SELECT id, content_id, attempts FROM scan_job WHERE state = 'leased' AND lease_until < $1 ORDER BY lease_until LIMIT 1000`
	sqlRelease   = `UPDATE scan_job SET state = 'waiting', agent_id = '', lease_until = 0 WHERE id = $1`
	sqlNextJobs  = `SELECT j.id, j.task_id, j.content_id, c.config_digest, st.scan_scope FROM scan_job j JOIN content c ON c.id = j.content_id JOIN scan_task st ON st.id = j.task_id
WHERE {where} ORDER BY j.created_at, j.id LIMIT ?`
	sqlLease          = `UPDATE scan_job SET state = 'leased', agent_id = $1, lease_until = $2, attempts = attempts + 1 WHERE id = $3`
	sqlContentStatus  = `UPDATE content SET scan_status = $1 WHERE id = $2`
	sqlContentHolders = `SELECT DISTINCT h.agent_id FROM image i JOIN image_host h ON h.image_id = i.id WHERE i.content_id = $1`
	sqlJob            = `SELECT j.task_id, j.content_id, j.state, j.agent_id, j.attempts, j.refused_by, c.config_digest, c.project_id FROM scan_job j JOIN content c ON c.id = j.content_id WHERE j.id = $1 AND j.project_id = $2`
	sqlEndJob         = `UPDATE scan_job SET state = $1, failure = $2, message = $3, agent_id = '', lease_until = 0, ended_at = $4 WHERE id = $5`
	sqlContentFailed  = `UPDATE content SET scan_status = 'failed', prior_status = 'failed', scan_failed_desc = $1 WHERE id = $2`
	sqlContentJobs    = `SELECT id, task_id, agent_id FROM scan_job WHERE content_id = $1 AND state IN ('waiting', 'leased')`
	sqlJobImages      = `SELECT COUNT(*) FROM task_image WHERE job_id = $1`
	sqlTaskCount      = `UPDATE scan_task SET success_num = success_num + $1, failed_num = failed_num + $2, risky_num = risky_num + $3 WHERE id = $4`
	sqlJobNumber      = `UPDATE scan_job SET done_num = (SELECT success_num + failed_num FROM scan_task WHERE id = $1) WHERE id = $2`
	sqlTaskDone       = `UPDATE scan_task SET ended_at = $1, state = CASE WHEN success_num > 0 THEN 'finished' WHEN NOT EXISTS (
SELECT 1 FROM scan_job j WHERE j.task_id = scan_task.id AND j.failure NOT IN ('response_timed_out', 'failed_to_match_agent')) THEN 'timed_out' ELSE 'error' END
WHERE id = $2 AND state = 'running' AND success_num + failed_num >= total_num`
)

// jobRow is a job as the queue sees it.
type jobRow struct {
	id       string
	content  int64
	attempts int64
}

// Changed implements fleet.Work.
func (s *Store) Changed(agentID string) <-chan struct{} { return s.wake.wait(agentID) }

// Sync implements fleet.Work.
func (s *Store) Sync(ctx context.Context, agent auth.Key, req fleet.SyncRequest, nowMS int64) (fleet.SyncResponse, error) {
	if len(req.Holds) > maxHolds {
		return fleet.SyncResponse{}, fault.New(fault.TooLarge, "%d leases held: the limit is %d", len(req.Holds), maxHolds)
	}
	var resp fleet.SyncResponse
	err := s.inTxAndWake(ctx, func(tx *sql.Tx) ([]string, error) {
		resp = fleet.SyncResponse{}
		var hash, poll string
		err := tx.QueryRowContext(ctx, sqlAgentHash, agent.AgentID, agent.ProjectID).Scan(&hash, &poll)
		if errors.Is(err, sql.ErrNoRows) {
			return nil, fault.New(fault.NotFound, "there is no agent %s", agent.AgentID)
		}
		if err != nil {
			return nil, fmt.Errorf("read agent: %w", err)
		}
		if req.Parked && req.Poll != poll {
			// What it holds is out of date: it has asked at another server.
			resp.Superseded = true
			return nil, nil
		}
		if err := updateAgent(ctx, tx, agent.AgentID, req.Host, req.Analyzers, req.Poll, nowMS); err != nil {
			return nil, err
		}
		switch {
		case req.Images != nil:
			if err := s.reconcile(ctx, tx, agent.AgentID, agent.ProjectID, *req.Images, nowMS); err != nil {
				return nil, err
			}
			if _, err := tx.ExecContext(ctx, sqlSetImagesHash, req.ImagesHash, agent.AgentID); err != nil {
				return nil, fmt.Errorf("store images' hash: %w", err)
			}
		case hash == "" || hash != req.ImagesHash:
			resp.SendImages = true
		}
		freed, err := s.keepLeases(ctx, tx, agent.AgentID, req.Holds, &resp, nowMS)
		if err != nil {
			return nil, err
		}
		lapsed, err := s.freeLapsed(ctx, tx, nowMS)
		if err != nil {
			return nil, err
		}
		if err := sayWords(ctx, tx, agent.ProjectID, req.WordsVersion, &resp); err != nil {
			return nil, err
		}
		wake := slices.DeleteFunc(append(freed, lapsed...), func(id string) bool { return id == agent.AgentID })
		return wake, leaseJobs(ctx, tx, agent, min(req.Want, maxLease), &resp, nowMS)
	})
	if err != nil {
		return fleet.SyncResponse{}, err
	}
	return resp, nil
}

// keepLeases renews the leases in holds, frees the others of the agent, and
// tells it which of holds it has lost. It returns who may take the freed ones.
func (s *Store) keepLeases(ctx context.Context, tx *sql.Tx, agentID string, holds []string, resp *fleet.SyncResponse, nowMS int64) ([]string, error) {
	jobs, err := readJobs(ctx, tx, sqlAgentJobs, agentID)
	if err != nil {
		return nil, err
	}
	var freed []jobRow
	held := map[string]bool{}
	for _, j := range jobs {
		if !slices.Contains(holds, j.id) {
			freed = append(freed, j)
			continue
		}
		held[j.id] = true
		if _, err := tx.ExecContext(ctx, sqlRenew, nowMS+LeaseTime.Milliseconds(), j.id); err != nil {
			return nil, fmt.Errorf("renew lease: %w", err)
		}
	}
	for _, id := range holds {
		if !held[id] {
			resp.Stop = append(resp.Stop, id)
		}
	}
	return s.freeJobs(ctx, tx, freed, nowMS)
}

// freeLapsed frees the leases, of any agent, that were not renewed in time.
func (s *Store) freeLapsed(ctx context.Context, tx *sql.Tx, nowMS int64) ([]string, error) {
	jobs, err := readJobs(ctx, tx, sqlLapsed, nowMS)
	if err != nil {
		return nil, err
	}
	return s.freeJobs(ctx, tx, jobs, nowMS)
}

// freeJobs puts leased jobs back into the queue, or ends those that were tried
// too often. It returns the agents that can take them.
func (s *Store) freeJobs(ctx context.Context, tx *sql.Tx, jobs []jobRow, nowMS int64) ([]string, error) {
	var wake []string
	for _, j := range jobs {
		if j.attempts >= maxAttempts {
			if err := s.failContent(ctx, tx, j.content, fleet.FailureUnknown,
				fmt.Sprintf("given up after %d attempts that did not come back", j.attempts), nowMS); err != nil {
				return nil, err
			}
			continue
		}
		if _, err := tx.ExecContext(ctx, sqlRelease, j.id); err != nil {
			return nil, fmt.Errorf("free lease: %w", err)
		}
		if _, err := tx.ExecContext(ctx, sqlContentStatus, StatusWaiting, j.content); err != nil {
			return nil, fmt.Errorf("set scan status: %w", err)
		}
		holders, err := readStrings(ctx, tx, sqlContentHolders, j.content)
		if err != nil {
			return nil, err
		}
		wake = append(wake, holders...)
	}
	return wake, nil
}

func leaseJobs(ctx context.Context, tx *sql.Tx, agent auth.Key, want int, resp *fleet.SyncResponse, nowMS int64) error {
	if want <= 0 {
		return nil
	}
	limits, err := readLimits(ctx, tx, agent.ProjectID, nowMS)
	if err != nil {
		return err
	}
	type next struct {
		jobRow
		task, digest string
		scope        int64
	}
	var jobs []next
	q, args := nextJobs(agent, limits.spent(), nowMS).query(sqlNextJobs, want)
	err = each(ctx, tx, q, args, func(r *sql.Rows) error {
		var n next
		err := r.Scan(&n.id, &n.task, &n.content, &n.digest, &n.scope)
		jobs = append(jobs, n)
		return err
	})
	if err != nil {
		return fmt.Errorf("read queue: %w", err)
	}
	for _, j := range jobs {
		if ok, err := limits.begin(ctx, tx, j.task, j.id, nowMS); err != nil {
			return err
		} else if !ok {
			continue
		}
		if _, err := tx.ExecContext(ctx, sqlLease, agent.AgentID, nowMS+LeaseTime.Milliseconds(), j.id); err != nil {
			return fmt.Errorf("lease job: %w", err)
		}
		if _, err := tx.ExecContext(ctx, sqlContentStatus, StatusScanning, j.content); err != nil {
			return fmt.Errorf("set scan status: %w", err)
		}
		resp.Jobs = append(resp.Jobs, fleet.Job{ID: j.id, ConfigDigest: image.Digest(j.digest), Checks: checksOf(j.scope), LeaseMS: LeaseTime.Milliseconds()})
	}
	return nil
}

// nextJobs selects the jobs that an agent can take, of all tasks but those.
func nextJobs(agent auth.Key, but []any, nowMS int64) *where {
	w := &where{}
	w.add("j.project_id = ? AND j.state = 'waiting' AND j.not_before <= ? AND j.refused_by NOT LIKE '%' || ? || ' %'", agent.ProjectID, nowMS, agent.AgentID)
	w.add("EXISTS (SELECT 1 FROM image i JOIN image_host h ON h.image_id = i.id WHERE i.content_id = j.content_id AND h.agent_id = ? AND h.non_scan_reason = '')", agent.AgentID)
	if len(but) > 0 {
		w.add("j.task_id NOT IN (?"+strings.Repeat(", ?", len(but)-1)+")", but...)
	}
	return w
}

// failContent ends every job that still waits for or works on a content.
func (s *Store) failContent(ctx context.Context, tx *sql.Tx, content int64, failure, message string, nowMS int64) error {
	type active struct{ id, task, agent string }
	var jobs []active
	err := each(ctx, tx, sqlContentJobs, []any{content}, func(r *sql.Rows) error {
		var a active
		err := r.Scan(&a.id, &a.task, &a.agent)
		jobs = append(jobs, a)
		return err
	})
	if err != nil {
		return fmt.Errorf("read content's jobs: %w", err)
	}
	for _, j := range jobs {
		if err := endJob(ctx, tx, j.id, j.task, jobFailed, failure, message, false, nowMS); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, sqlContentFailed, failure, content); err != nil {
			return fmt.Errorf("set scan status: %w", err)
		}
		if err := logFailed(ctx, tx, content, j.id, j.agent, failure, nowMS); err != nil {
			return err
		}
	}
	return nil
}

// endJob closes a job and counts it in its task, once for each image that
// waited for it; the last one closes the task.
func endJob(ctx context.Context, tx *sql.Tx, job, task, state, failure, message string, risky bool, nowMS int64) error {
	if len(message) > maxMessageBytes {
		message = message[:maxMessageBytes]
	}
	if _, err := tx.ExecContext(ctx, sqlEndJob, state, failure, message, nowMS, job); err != nil {
		return fmt.Errorf("end job: %w", err)
	}
	var n int64
	if err := tx.QueryRowContext(ctx, sqlJobImages, job).Scan(&n); err != nil {
		return fmt.Errorf("count job's images: %w", err)
	}
	var success, failed, atRisk int64
	switch state {
	case jobDone:
		success = n
		if risky {
			atRisk = n
		}
	case jobFailed:
		failed = n
	}
	if _, err := tx.ExecContext(ctx, sqlTaskCount, success, failed, atRisk, task); err != nil {
		return fmt.Errorf("count job: %w", err)
	}
	if success+failed > 0 {
		if _, err := tx.ExecContext(ctx, sqlJobNumber, task, job); err != nil {
			return fmt.Errorf("number job: %w", err)
		}
	}
	if _, err := tx.ExecContext(ctx, sqlTaskDone, nowMS, task); err != nil {
		return fmt.Errorf("end task: %w", err)
	}
	return nil
}

func readJobs(ctx context.Context, tx *sql.Tx, query string, args ...any) ([]jobRow, error) {
	var out []jobRow
	err := each(ctx, tx, query, args, func(r *sql.Rows) error {
		var j jobRow
		err := r.Scan(&j.id, &j.content, &j.attempts)
		out = append(out, j)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read jobs: %w", err)
	}
	return out, nil
}

func readStrings(ctx context.Context, tx *sql.Tx, query string, args ...any) ([]string, error) {
	var out []string
	err := each(ctx, tx, query, args, func(r *sql.Rows) error {
		var v string
		err := r.Scan(&v)
		out = append(out, v)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	return out, nil
}
