package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// An engine is what differs between SQLite and PostgreSQL. The SQL does not.
type engine struct {
	name    string
	dialect goose.Dialect
	// prepare runs before the migrations; "" for nothing.
	prepare string
	// tune runs after the migrations; "" for nothing.
	tune string
	// size is the bytes that the database takes.
	size string
	// arrays says that a parameter may be an array.
	arrays bool
	// view are the options of a transaction that reads.
	view *sql.TxOptions
	// exclude makes the transaction that runs it the only one that writes
	// until it ends; "" where the engine sees to that itself.
	exclude string
	// notify sends a message, its second parameter, to everyone who listens
	// to the channel, its first; "" where nobody else can be there.
	notify string
	// asWritten has the statements of a transaction join tables in the order in
	// which they name them; "" where they do.
	asWritten string
	// lead makes the session that runs it, and answers true, the one that does
	// what one server does for all, until the session ends; "" where there is
	// one server.
	lead string
}

// What a scan, a re-match or the queue changes of the state of a content gives
// it a new revision, by whatever statement it is done: the index follows these.
// A trigger sees to it, since most of these statements change the state of few
// of the contents that they write. It belongs to the program and not to the
// migrations, because the two engines have no word of it in common.
const stateChanges = `OLD.scan_status <> NEW.scan_status OR OLD.latest_scan_time <> NEW.latest_scan_time OR OLD.severity_level <> NEW.severity_level OR (OLD.vul_num > 0) <> (NEW.vul_num > 0)`

var sqliteEngine = engine{
	name: "sqlite", dialect: goose.DialectSQLite3,
	tune: `DROP TRIGGER IF EXISTS content_revised;
CREATE TRIGGER content_revised AFTER UPDATE OF scan_status, latest_scan_time, severity_level, vul_num ON content WHEN ` + stateChanges + `
BEGIN
UPDATE matching SET revision = revision + 1 WHERE id = 1;
UPDATE content SET revision = (SELECT revision FROM matching WHERE id = 1) WHERE id = NEW.id;
END`,
	size: `SELECT p.page_count * s.page_size FROM pragma_page_count() p, pragma_page_size() s`,
}

// postgresEngine lets one transaction write at a time, in all processes
// together, as SQLite does: what one transaction has read and decided on is
// still so when it writes. Transactions are short; readers do not wait.
var postgresEngine = engine{
	name: "postgres", dialect: goose.DialectPostgres,
	prepare: `CREATE OR REPLACE FUNCTION instr(haystack TEXT, needle TEXT) RETURNS INTEGER LANGUAGE SQL IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT strpos(haystack, needle)'`,
	// Room in each page lets a re-match write counters without touching the
	// indexes: a third of the time.
	//
	// A transaction counts the revision once: each time would leave a dead row.
	// A trigger that is there is left alone, for to make it waits for all who
	// read. One that follows more has another name.
	tune: `ALTER TABLE content SET (fillfactor = 50);
CREATE OR REPLACE FUNCTION content_revised() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
NEW.revision := NULLIF(current_setting('onceover.revision', true), '');
IF NEW.revision IS NULL THEN
UPDATE matching SET revision = revision + 1 WHERE id = 1 RETURNING revision INTO NEW.revision;
PERFORM set_config('onceover.revision', NEW.revision::text, true);
END IF;
RETURN NEW;
END $$;
DO $$ BEGIN
IF NOT EXISTS (SELECT 1 FROM pg_trigger WHERE tgname = 'content_state' AND tgrelid = 'content'::regclass) THEN
DROP TRIGGER IF EXISTS content_revised ON content; -- of a program that followed less
CREATE TRIGGER content_state BEFORE UPDATE OF scan_status, latest_scan_time, severity_level, vul_num ON content FOR EACH ROW WHEN (` + stateChanges + `) EXECUTE FUNCTION content_revised();
END IF;
END $$`,
	size:      `SELECT pg_database_size(current_database())`,
	arrays:    true,
	view:      &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true},
	exclude:   `SELECT pg_advisory_xact_lock(7021386401)`, // a number of ours
	notify:    sqlNotify,
	asWritten: `SET LOCAL join_collapse_limit = 1`,
	lead:      `SELECT pg_try_advisory_lock(7021386402)`,
}

func (e engine) lock(ctx context.Context, tx *sql.Tx) error {
	if e.exclude == "" {
		return nil
	}
	if _, err := tx.ExecContext(ctx, e.exclude); err != nil {
		return fmt.Errorf("wait for the other writers: %w", err)
	}
	return nil
}

// joinAsWritten is for statements of many tables in a good order, of which
// PostgreSQL would compare hundreds: that takes longer than to answer them.
func (e engine) joinAsWritten(ctx context.Context, tx *sql.Tx) error {
	if e.asWritten == "" {
		return nil
	}
	_, err := tx.ExecContext(ctx, e.asWritten)
	return err
}

// openPostgres opens the pools for one writer and some readers beside it.
func (s *Store) openPostgres(ctx context.Context) error {
	cfg, err := pgx.ParseConfig(s.cfg.URL)
	if err != nil {
		// The error of pgx leaves the password out.
		return err
	}
	// What the URL says stands. Compiling takes longer than any query of
	// ours; a plan that is good for one advisory is bad for one that concerns
	// half of the fleet; and a re-match of everything groups all findings of
	// thousands of images.
	given := cfg.RuntimeParams["plan_cache_mode"] != ""
	for name, value := range map[string]string{"application_name": "onceover", "jit": "off", "plan_cache_mode": "force_custom_plan", "work_mem": "64MB"} {
		if cfg.RuntimeParams[name] == "" {
			cfg.RuntimeParams[name] = value
		}
	}
	s.write = stdlib.OpenDB(*cfg)
	s.write.SetMaxOpenConns(1)
	// Lists ask the same few questions again and again, for the rows of a page
	// mostly: to plan one takes as long as to answer it.
	reads := cfg.Copy()
	if !given {
		reads.RuntimeParams["plan_cache_mode"] = "auto"
	}
	n := readersFar()
	if isHere(cfg.Host) {
		n = readers()
	}
	s.read = newTurns(stdlib.OpenDB(*reads), n)
	if err := s.checkPostgres(ctx); err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}

// isHere reports whether a host of a database is this machine: a directory with a
// socket, or an address of the loopback.
func isHere(host string) bool {
	ip := net.ParseIP(host)
	return strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") || host == "localhost" || ip != nil && ip.IsLoopback()
}

const sqlEncoding = `SELECT pg_encoding_to_char(encoding), datcollate FROM pg_database WHERE datname = current_database()`

// checkPostgres makes sure that the database takes any text, and says so if it
// sorts otherwise than by code points: lists are then in another order than
// with SQLite.
func (s *Store) checkPostgres(ctx context.Context) error {
	var encoding, collation string
	if err := s.read.QueryRowContext(ctx, sqlEncoding).Scan(&encoding, &collation); err != nil {
		return err
	}
	if encoding != "UTF8" {
		return fmt.Errorf("the database has the encoding %s: make one with ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0", encoding)
	}
	if collation != "C" && collation != "C.UTF-8" {
		s.log.InfoContext(ctx, "the database does not sort by code points", "collation", collation)
	}
	return nil
}
