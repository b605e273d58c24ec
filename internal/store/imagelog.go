package store

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
)

// keepLog is how many entries of the image log are kept of a project.
const keepLog = 20_000

// What the image log tells of.
const (
	LogImage     = "image" // types of events
	LogScan      = "scan"
	LogVul       = "vulnerability"
	LogSensitive = "sensitive_info"
	LogWhitelist = "whitelist"

	LogAppeared  = "image_appeared" // names of events
	LogLeft      = "image_left"
	LogRequested = "scan_requested"
	LogStopped   = "scan_stopped"
	LogSucceeded = "scan_succeeded"
	LogFailed    = "scan_failed"

	LogVulIgnored    = "vul_ignored"
	LogVulNotIgnored = "vul_not_ignored"
	LogVulListed     = "vul_whitelisted"
	LogVulRepaired   = "vul_repaired"
	LogSecIgnored    = "sensitive_info_ignored"
	LogSecNotIgnored = "sensitive_info_not_ignored"
	LogListAdded     = "whitelist_added"
	LogListChanged   = "whitelist_changed"
	LogListDeleted   = "whitelist_deleted"

	LogOfImage  = "image" // types of resources
	LogOfHost   = "host"
	LogOfTask   = "scan_task"
	LogOfVul    = "vulnerability"
	LogOfSecret = "sensitive_info"
	LogOfRule   = "whitelist_rule"
	LogOfPaths  = "path_whitelist"
)

// An Actor is who does something: an access key and the address it came from. The
// zero value is the server itself.
type Actor struct{ Name, IP string }

// serverName stands for the zero Actor.
const serverName = "onceover"

// A LogEntry is something that happened to images of a project.
type LogEntry struct {
	// ID is unique over all projects, N grows within one.
	ID string
	N  int64
	At int64 // Unix milliseconds
	By Actor
	// Type, Name, ResourceType are of the Log constants. Resource is
	// "name:version", the name of a host or a task, an advisory (of a
	// vulnerability or a rule), or an id.
	Type, Name, ResourceType, Resource string
	// Content is a sentence for people. It never repeats what an agent or a
	// client wrote, but for names.
	Content string
}

// LogFilter selects entries; the zero value selects all. Texts are exact,
// Resource is a substring.
type LogFilter struct {
	Type, Name, ResourceType, Resource string
	IP, User                           string
	From, To                           *int64 // inclusive, Unix milliseconds
}

const (
	sqlCountLog = `SELECT COUNT(*) FROM image_log l WHERE {where}`
	// The index of filters says which entries a page has, the table what is in
	// them.
	sqlListLog = `SELECT o.project_id, o.id, o.at, o.event_type, o.event_name, o.resource_type, o.resource_name, o.source_ip, o.user_name, o.content
FROM (SELECT l.project_id, l.id FROM image_log l WHERE {where} ORDER BY l.id DESC LIMIT ? OFFSET ?) t CROSS JOIN image_log o
WHERE o.project_id = t.project_id AND o.id = t.id ORDER BY o.id DESC`
	sqlFirstLog  = `SELECT COALESCE(MIN(id), 1) FROM image_log WHERE project_id = $1`
	sqlLastLog   = `SELECT COALESCE(MAX(id), 0) FROM image_log WHERE project_id = $1`
	sqlPutLog    = `INSERT INTO image_log (project_id, id, at, event_type, event_name, resource_type, resource_name, source_ip, user_name, content) VALUES`
	sqlForgetLog = `DELETE FROM image_log WHERE project_id = $1 AND id <= $2`
)

// ImageLog lists what happened to the images of a project, newest first.
func (s *Store) ImageLog(ctx context.Context, project string, f LogFilter, p Page) (out []LogEntry, total int64, err error) {
	err = s.inView(ctx, func(tx *sql.Tx) (err error) {
		var last int64
		if total, last, err = s.logCounts.of(ctx, tx, project, f); err != nil {
			return err
		}
		w, skip := f.where(project), p.Offset
		if f == (LogFilter{}) {
			// The numbers have no gaps: the page begins at one that is known.
			w.add("l.id <= ?", last-p.Offset)
			skip = 0
		}
		q, args := w.query(sqlListLog, p.Limit, skip)
		return each(ctx, tx, q, args, func(r *sql.Rows) error {
			var e LogEntry
			var of string
			err := r.Scan(&of, &e.N, &e.At, &e.Type, &e.Name, &e.ResourceType, &e.Resource, &e.By.IP, &e.By.Name, &e.Content)
			e.ID = fmt.Sprintf("%016x", rowID("image_log", of, strconv.FormatInt(e.N, 10)))
			out = append(out, e)
			return err
		})
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list image log: %w", err)
	}
	return out, total, nil
}

func (f LogFilter) where(project string) *where {
	w := &where{}
	w.add("l.project_id = ?", project)
	w.equal("l.event_type", f.Type)
	w.equal("l.event_name", f.Name)
	w.equal("l.resource_type", f.ResourceType)
	w.contains("l.resource_name", f.Resource)
	w.equal("l.source_ip", f.IP)
	w.equal("l.user_name", f.User)
	if f.From != nil {
		w.add("l.at >= ?", *f.From)
	}
	if f.To != nil {
		w.add("l.at <= ?", *f.To)
	}
	return w
}

// putLog adds entries to the log of a project, oldest first, and forgets what is
// too old. Transactions that write come one after the other, so no number is
// given out twice.
func putLog(ctx context.Context, tx *sql.Tx, project string, nowMS int64, entries ...LogEntry) error {
	if len(entries) == 0 {
		return nil
	}
	var last int64
	if err := tx.QueryRowContext(ctx, sqlLastLog, project).Scan(&last); err != nil {
		return fmt.Errorf("read end of image log: %w", err)
	}
	rows := make([][]any, len(entries))
	for i, e := range entries {
		if e.By.Name == "" {
			e.By.Name = serverName
		}
		last++
		rows[i] = []any{project, last, nowMS, e.Type, e.Name, e.ResourceType, text(e.Resource), text(e.By.IP), text(e.By.Name), text(e.Content)}
	}
	if err := putRows(ctx, tx, sqlPutLog, "", rows); err != nil {
		return fmt.Errorf("store image log: %w", err)
	}
	if _, err := tx.ExecContext(ctx, sqlForgetLog, project, last-keepLog); err != nil {
		return fmt.Errorf("forget old image log: %w", err)
	}
	return nil
}
