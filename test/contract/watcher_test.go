package contract

import (
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A watcher looks at the database from beside the server.
type watcher struct {
	version int64 // of the database, when it was looked at
	t       *testing.T
	borders []border
	db      *sql.DB
	tables  []string
	was     map[string]string // by tenant
}

func (w *watcher) open(path string) {
	w.t.Helper()
	var err error
	if w.db, err = sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&_pragma=query_only(ON)"); err != nil {
		w.t.Fatal(err)
	}
	w.db.SetMaxOpenConns(1) // which sees what other connections have changed
	w.t.Cleanup(func() { _ = w.db.Close() })
	w.tables = w.withProject()
	if len(w.tables) < 10 {
		w.t.Fatalf("only %q have a project", w.tables)
	}
	w.was = w.look()
}

// withProject are the tables whose rows belong to a tenant.
func (w *watcher) withProject() (out []string) {
	w.t.Helper()
	rows, err := w.db.Query(`SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c ON c.name = 'project_id' WHERE m.type = 'table' AND m.name NOT IN ('audit', 'token') ORDER BY m.name`)
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			w.t.Fatal(err)
		}
		out = append(out, name)
	}
	return out
}

// look is all that each tenant has. What has not changed is not read.
func (w *watcher) look() map[string]string {
	w.t.Helper()
	var version int64
	if err := w.db.QueryRow("PRAGMA data_version").Scan(&version); err != nil {
		w.t.Fatal(err)
	}
	if version == w.version {
		return w.was
	}
	w.version = version
	out := map[string]string{}
	for _, b := range w.borders {
		var all strings.Builder
		for _, table := range w.tables {
			columns := "*"
			if table == "export_task" {
				columns = "id, query, created_by" // a file is made in the background
			}
			rows, err := w.db.Query("SELECT "+columns+" FROM "+table+" WHERE project_id = ?", b.tenant)
			if err != nil {
				w.t.Fatal(err)
			}
			names, err := rows.Columns()
			if err != nil {
				w.t.Fatal(err)
			}
			values := make([]any, len(names))
			for i := range values {
				values[i] = new(any)
			}
			for rows.Next() {
				if err := rows.Scan(values...); err != nil {
					w.t.Fatal(err)
				}
				fmt.Fprint(&all, table)
				for i := range values {
					fmt.Fprintf(&all, " %s=%v", names[i], *values[i].(*any))
				}
				all.WriteByte('\n')
			}
			if err := rows.Err(); err != nil {
				w.t.Fatal(err)
			}
			_ = rows.Close()
		}
		out[b.tenant] = all.String()
	}
	return out
}

// within holds that an answer about something and what it did stay in the tenants
// given.
func (w *watcher) within(may []string, about border, what, body string) {
	w.t.Helper()
	now := w.look()
	for _, b := range w.borders {
		if slices.Contains(may, b.tenant) {
			continue
		}
		if strings.Contains(body, b.mark) || strings.Contains(body, b.tenant) && b.enterprise != "0" && !strings.Contains(what, b.tenant) {
			w.t.Errorf("%s: the answer has what is in %s: %s", what, b.mark, body)
		}
		for _, id := range b.ids() {
			if strings.Contains(body, id) && !slices.Contains(about.ids(), id) {
				w.t.Errorf("%s: the answer has an id of what is in %s: %s", what, b.mark, body)
			}
		}
		if now[b.tenant] != w.was[b.tenant] {
			w.t.Errorf("%s: changed what is in %s", what, b.mark)
		}
	}
	w.was = now
}

var (
	// anyID is an id of an image or a task.
	anyID = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	putAt = regexp.MustCompile(`"put_at":\d+`)
)

// plain is an answer without the ids that differ between two questions.
func (w *watcher) plain(body string) string {
	if i := strings.Index(body, `"request_id"`); i >= 0 {
		body = body[:i]
	}
	return putAt.ReplaceAllString(anyID.ReplaceAllString(body, "ID"), "")
}

func (w *watcher) name(project string) string {
	if project == w.borders[0].project {
		return "the first"
	}
	return "the other"
}
