package contract

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	// The driver that the server uses.
	_ "modernc.org/sqlite"

	"github.com/onceover/onceover/internal/store"
)

// unwatched are tables and columns that a request changes without being
// granted anything: who was there, and when.
var unwatched = map[string]bool{
	"token": true, "audit": true, "audit_log": true, "access_key.last_used": true, "agent.last_seen": true,
}

// database is the server's own file, read beside it.
type database struct {
	*sql.DB
	t       *testing.T
	version int64
	tables  map[string]string // digests
}

func openDatabase(t *testing.T, dir string) *database {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: filepath.Join(dir, store.FileName)}).EscapedPath()+"?mode=ro&_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	// data_version is told of one connection's view of the others.
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	d := &database{DB: db, t: t}
	d.changed()
	return d
}

// changed lists the tables that are not as they were when it was last asked.
func (d *database) changed() []string {
	d.t.Helper()
	version := d.count("PRAGMA data_version")
	if version == d.version {
		return nil
	}
	was := d.tables
	d.version, d.tables = version, map[string]string{}
	var out []string
	for _, table := range d.strings("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'") {
		if unwatched[table] {
			continue
		}
		d.tables[table] = d.digest(table)
	}
	for _, table := range slices.Sorted(maps.Keys(d.tables)) {
		if was != nil && was[table] != d.tables[table] {
			out = append(out, table)
		}
	}
	return out
}

func (d *database) digest(table string) string {
	d.t.Helper()
	var columns []string
	for _, c := range d.strings("SELECT name FROM pragma_table_info('" + table + "')") {
		if !unwatched[table+"."+c] {
			columns = append(columns, `"`+c+`"`)
		}
	}
	list := strings.Join(columns, ", ")
	rows, err := d.QueryContext(d.t.Context(), "SELECT "+list+" FROM "+table+" ORDER BY "+list)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	h := sha256.New()
	values, to := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		to[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(to...); err != nil {
			d.t.Fatal(err)
		}
		_, _ = fmt.Fprintf(h, "%q\n", values)
	}
	if err := rows.Err(); err != nil {
		d.t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (d *database) strings(query string, args ...any) []string {
	d.t.Helper()
	rows, err := d.QueryContext(d.t.Context(), query, args...)
	if err != nil {
		d.t.Fatalf("%s: %v", query, err)
	}
	defer func() { _ = rows.Close() }()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			d.t.Fatalf("%s: %v", query, err)
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		d.t.Fatal(err)
	}
	return out
}

func (d *database) count(query string, args ...any) (n int64) {
	d.t.Helper()
	if err := d.QueryRowContext(d.t.Context(), query, args...).Scan(&n); err != nil {
		d.t.Fatalf("%s: %v", query, err)
	}
	return n
}

// rest waits until no file is being made.
func (d *database) rest() {
	d.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if d.count("SELECT COUNT(*) FROM export_task WHERE state IN ('waiting', 'running')") == 0 {
			return
		}
	}
	d.t.Fatal("exports do not end")
}
