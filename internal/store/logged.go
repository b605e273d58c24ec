package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/report"
)

const (
	// maxLoggedEach is how many images that come or go in one report of a host,
	// or that one decision is about, have an entry each; more have one together:
	// a host that reports for the first time would fill the log.
	maxLoggedEach = 20
	// maxLoggedNames is how many of them that one names.
	maxLoggedNames = 5
)

const (
	sqlHostActor = `SELECT host_name, private_ip FROM agent WHERE id = $1`
	sqlNamesOf   = `SELECT i.id, i.name, i.version FROM image i WHERE i.id IN {in}`
	sqlTaskName  = `SELECT name FROM scan_task WHERE id = $1`
	sqlJobNames  = `SELECT ti.name, ti.version FROM task_image ti WHERE ti.job_id = $1 ORDER BY ti.name, ti.version LIMIT 1`
	sqlLogCounts = `SELECT k.name, k.num FROM content_check k WHERE k.content_id = $1`
	sqlProjectOf = `SELECT project_id FROM content WHERE id = $1`
)

// agentActor is the agent of a host as it stands in the log.
func agentActor(ctx context.Context, tx *sql.Tx, agentID string) (host string, by Actor, err error) {
	err = tx.QueryRowContext(ctx, sqlHostActor, agentID).Scan(&host, &by.IP)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", Actor{}, nil
	case err != nil:
		return "", Actor{}, fmt.Errorf("read host: %w", err)
	}
	by.Name = "agent " + host
	return host, by, nil
}

// imageTags are the images that an agent holds as "name:version", by their ids.
func imageTags(ctx context.Context, tx *sql.Tx, held map[imageHost]bool) (map[string]string, error) {
	ids := make([]string, 0, len(held))
	for h := range held {
		ids = append(ids, h.imageID)
	}
	out := make(map[string]string, len(ids))
	err := eachIn(ctx, tx, sqlNamesOf, ids, func(r *sql.Rows) error {
		var id, name, version string
		err := r.Scan(&id, &name, &version)
		out[id] = name + ":" + version
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read names of images: %w", err)
	}
	return out, nil
}

// A moved image came to a host, or left it.
type moved struct{ image, engine string }

// logMoved tells of the images that came to a host and left it.
func logMoved(ctx context.Context, tx *sql.Tx, agentID, project string, came, left []moved, nowMS int64) error {
	if len(came)+len(left) == 0 {
		return nil
	}
	host, by, err := agentActor(ctx, tx, agentID)
	if err != nil {
		return err
	}
	entries := movedEntries(LogAppeared, "appeared on", host, by, came)
	return putLog(ctx, tx, project, nowMS, append(entries, movedEntries(LogLeft, "left", host, by, left)...)...)
}

func movedEntries(name, verb, host string, by Actor, list []moved) []LogEntry {
	slices.SortFunc(list, func(a, b moved) int {
		return cmp.Or(strings.Compare(a.image, b.image), strings.Compare(a.engine, b.engine))
	})
	if n := len(list); n > maxLoggedEach {
		names := make([]string, n)
		for i := range names {
			names[i] = list[i].image
		}
		return []LogEntry{{Type: LogImage, Name: name, ResourceType: LogOfHost, Resource: host, By: by,
			Content: fmt.Sprintf("%d images %s host %s: %s.", n, verb, host, some(names))}}
	}
	out := make([]LogEntry, len(list))
	for i, m := range list {
		out[i] = LogEntry{Type: LogImage, Name: name, ResourceType: LogOfImage, Resource: m.image, By: by,
			Content: fmt.Sprintf("Image %s %s host %s (%s).", m.image, verb, host, m.engine)}
	}
	return out
}

// logRequested tells of a new task.
func logRequested(ctx context.Context, tx *sql.Tx, project, task string, by Actor, kind string, images []selected, nowMS int64) error {
	e := LogEntry{Type: LogScan, Name: LogRequested, ResourceType: LogOfTask, Resource: task, By: by,
		Content: fmt.Sprintf("A %s scan of %d images was requested: task %s.", kind, len(images), task)}
	if len(images) == 1 {
		e.ResourceType, e.Resource = LogOfImage, images[0].name+":"+images[0].version
		e.Content = fmt.Sprintf("A %s scan of %s was requested: task %s.", kind, e.Resource, task)
	}
	return putLog(ctx, tx, project, nowMS, e)
}

// logStopped tells that a task was stopped with some scans left.
func logStopped(ctx context.Context, tx *sql.Tx, project, taskID string, by Actor, left int, nowMS int64) error {
	var name string
	if err := tx.QueryRowContext(ctx, sqlTaskName, taskID).Scan(&name); err != nil {
		return fmt.Errorf("read name of task: %w", err)
	}
	return putLog(ctx, tx, project, nowMS, LogEntry{Type: LogScan, Name: LogStopped, ResourceType: LogOfTask, Resource: name, By: by,
		Content: fmt.Sprintf("Scan task %s was stopped; scans that had not ended: %d.", name, left)})
}

// loggedChecks are the checks that count, in the words of the log.
var loggedChecks = []struct{ name, words string }{
	{report.CheckMalware, "malicious files"}, {report.CheckSecrets, "secrets"}, {report.CheckBaseline, "failed rules of baselines"}, {report.CheckPasswords, "weak passwords"},
}

// logSucceeded tells what the scan of a job has found.
func logSucceeded(ctx context.Context, tx *sql.Tx, job jobState, agentID string, vulNum, nowMS int64) error {
	counts := map[string]int64{}
	err := each(ctx, tx, sqlLogCounts, []any{job.content}, func(r *sql.Rows) error {
		var name string
		var n int64
		err := r.Scan(&name, &n)
		counts[name] = n
		return err
	})
	if err != nil {
		return fmt.Errorf("read counts of checks: %w", err)
	}
	words := fmt.Sprintf("vulnerabilities: %d", vulNum)
	for _, c := range loggedChecks {
		if n, ok := counts[c.name]; ok {
			words += fmt.Sprintf(", %s: %d", c.words, n)
		}
	}
	return logEnded(ctx, tx, job.project, job.id, agentID, LogSucceeded, " succeeded; "+words+".", nowMS)
}

// logFailed tells that the scan of a job has failed. What an agent says of it is
// for the task alone.
func logFailed(ctx context.Context, tx *sql.Tx, content int64, job, agentID, failure string, nowMS int64) error {
	var project string
	if err := tx.QueryRowContext(ctx, sqlProjectOf, content).Scan(&project); err != nil {
		return fmt.Errorf("read project of content: %w", err)
	}
	return logEnded(ctx, tx, project, job, agentID, LogFailed, " failed: "+failure+".", nowMS)
}

// logEnded tells of the end of a job. agentID is empty if no agent had it.
func logEnded(ctx context.Context, tx *sql.Tx, project, job, agentID, name, how string, nowMS int64) error {
	e := LogEntry{Type: LogScan, Name: name, ResourceType: LogOfImage}
	var version string
	err := tx.QueryRowContext(ctx, sqlJobNames, job).Scan(&e.Resource, &version)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil // a result is not lost for want of a name to log it under
	case err != nil:
		return fmt.Errorf("read names of job: %w", err)
	}
	e.Resource += ":" + version
	if agentID != "" {
		if _, e.By, err = agentActor(ctx, tx, agentID); err != nil {
			return err
		}
	}
	e.Content = "The scan of " + e.Resource + how
	return putLog(ctx, tx, project, nowMS, e)
}
