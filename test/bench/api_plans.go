package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/store"
)

// largeTable is from how many rows on a table must not be read whole. The log of
// images, which is trimmed to 20,000 entries, is not one.
const largeTable = 25_000

// logWait is how long the database may take to follow a setting, and to write
// its log.
const logWait = time.Second

// allNames are tables whose names are looked through for a part of one, which no
// index finds.
var allNames = []string{"package", "container"}

var seqScan = regexp.MustCompile(`Seq Scan on (\w+)`)

// plans has PostgreSQL write down how it answers the statements of all lists,
// now that what is kept in memory has been read, and looks for large tables that
// were read from one end to the other. The same statements are explained on an
// empty SQLite, which plans without looking at sizes or values.
func (r *apiRun) plans(ctx context.Context, d *driver) error {
	log := filepath.Join(r.work, "pg", "log")
	before, err := os.Stat(log)
	if err != nil {
		return err
	}
	if err := r.explain(ctx, "0"); err != nil {
		return err
	}
	for _, o := range d.ops {
		var read bytes.Buffer
		for range r.s.alone {
			if _, _, err := d.askOne(ctx, o, &read); err != nil {
				return err
			}
		}
	}
	if err := r.explain(ctx, "-1"); err != nil {
		return err
	}
	large, err := r.largeTables(ctx)
	if err != nil {
		return err
	}
	found, err := readPlans(log, before.Size())
	if err != nil {
		return err
	}
	var bad []string
	for query, plan := range found {
		for _, m := range seqScan.FindAllStringSubmatch(plan, -1) {
			if large[m[1]] && !(slices.Contains(allNames, m[1]) && strings.Contains(query, "instr(")) {
				bad = append(bad, fmt.Sprintf("PostgreSQL reads all of %s:\n%s\n%s", m[1], query, plan))
				break
			}
		}
	}
	inSQLite, err := r.plansOfSQLite(ctx, slices.Sorted(maps.Keys(found)), large)
	if err != nil {
		return err
	}
	bad = append(bad, inSQLite...)
	fmt.Fprintf(r.out, "plans: %d statements, %d large tables, %d statements read one of these whole\n", len(found), len(large), len(bad))
	if len(bad) > 0 {
		slices.Sort(bad)
		return fmt.Errorf("plans:\n%s", strings.Join(bad, "\n"))
	}
	return nil
}

// explain sets from how many milliseconds on statements are explained in the log.
func (r *apiRun) explain(ctx context.Context, from string) error {
	for _, q := range []string{"ALTER SYSTEM SET auto_explain.log_min_duration = " + from, "SELECT pg_reload_conf()"} {
		if _, err := r.raw.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	time.Sleep(logWait)
	return nil
}

// largeTables are those that must not be read whole.
func (r *apiRun) largeTables(ctx context.Context) (map[string]bool, error) {
	rows, err := r.raw.QueryContext(ctx, "SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples > $1 AND relnamespace = 'public'::regnamespace", largeTable)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string]bool{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		out[name] = true
	}
	return out, rows.Err()
}

// readPlans reads statements with their plans from a log; of several of one
// statement one that reads a whole table.
func readPlans(log string, from int64) (map[string]string, error) {
	f, err := os.Open(log)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := f.Seek(from, 0); err != nil {
		return nil, err
	}
	out := map[string]string{}
	var query, plan []string
	flush := func() {
		// Our own questions, and what only PostgreSQL knows, are of no list.
		if q := strings.Join(query, "\n"); q != "" && !strings.Contains(q, "pg_") && (out[q] == "" || strings.Contains(strings.Join(plan, ""), "Seq Scan")) {
			out[q] = strings.Join(plan, "\n")
		}
		query, plan = nil, nil
	}
	s := bufio.NewScanner(f)
	s.Buffer(nil, 16<<20)
	for s.Scan() {
		line, more := strings.CutPrefix(s.Text(), "\t")
		text, first := strings.CutPrefix(line, "Query Text: ")
		switch {
		case !more:
			flush()
		case first:
			query = []string{text}
		case len(plan) == 0 && !strings.Contains(line, "(cost="):
			query = append(query, line)
		default:
			plan = append(plan, line)
		}
	}
	flush()
	return out, s.Err()
}

// plansOfSQLite explains statements on an empty database.
func (r *apiRun) plansOfSQLite(ctx context.Context, queries []string, large map[string]bool) (bad []string, err error) {
	dir, err := os.MkdirTemp(r.work, "plans-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, store.FileName)
	st, err := store.Open(ctx, store.Config{Path: path, SealKey: make([]byte, store.SealKeyBytes), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	if err := st.Close(); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	for _, q := range queries {
		plan, err := planOfSQLite(ctx, db, q)
		if err != nil {
			return nil, fmt.Errorf("explain on SQLite: %w: %s", err, q)
		}
		for _, step := range plan {
			// The name in a step is the alias; every statement says which table
			// it stands for.
			alias, ok := strings.CutPrefix(step, "SCAN ")
			alias, _, _ = strings.Cut(alias, " ")
			if !ok || strings.Contains(step, " INDEX ") && alias == "names" {
				continue
			}
			for table := range large {
				if alias == table || regexp.MustCompile(`\b`+table+` (AS )?`+regexp.QuoteMeta(alias)+`\b`).MatchString(q) {
					bad = append(bad, fmt.Sprintf("SQLite reads all of %s:\n%s\n%s", table, q, strings.Join(plan, "\n")))
				}
			}
		}
	}
	return bad, nil
}

func planOfSQLite(ctx context.Context, db *sql.DB, query string) (plan []string, err error) {
	n := 0
	for strings.Contains(query, fmt.Sprintf("$%d", n+1)) {
		n++
	}
	rows, err := db.QueryContext(ctx, "EXPLAIN QUERY PLAN "+query, make([]any, n)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			return nil, err
		}
		plan = append(plan, detail)
	}
	return plan, rows.Err()
}
