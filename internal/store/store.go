package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/onceover/onceover/internal/report"
)

// FileName is the database in a data directory.
const FileName = "onceover.sqlite"

// Defaults of Config.
const (
	// DefaultWaitTimeout is how long a job waits for a host that is
	// offline before it fails.
	DefaultWaitTimeout = 24 * time.Hour
	// readers is how many reads run beside the one writer.
	readers = 4
	// busyTimeout is how long a connection waits for a lock held by
	// another process.
	busyTimeout = 10 * time.Second
)

//go:embed migrations/*.sql
var migrations embed.FS

// A MatchFunc finds what is wrong with an inventory. buildCommands are the
// commands that built the layers, by diff ID. The warnings are about the
// advisories, not the image; they are logged. Safe for concurrent use.
type MatchFunc func(ctx context.Context, inv report.Inventory, buildCommands map[string]string) (findings []report.Finding, warnings []string, err error)

// CVE is what is known of one CVE apart from the advisories that name it.
type CVE struct {
	// Score is the CVSS base score, 0 if there is none.
	Score float64
	// Published in Unix milliseconds, 0 if unknown.
	Published   int64
	Description string
}

// Config says where the store lies and what it works with.
type Config struct {
	// Path of the SQLite file. Empty means FileName in DataDir.
	Path    string
	DataDir string
	// SealKey seals secret keys: 32 bytes, kept by the caller outside of
	// the database.
	SealKey []byte
	// Match is called for every finished job.
	Match MatchFunc
	// CVE looks up one CVE; ok is false if it is not known. Optional: the
	// finding's own score and summary stand in.
	CVE func(ctx context.Context, id string) (cve CVE, ok bool)
	// Generation names the advisories in use now. Optional.
	Generation func() string
	// WaitTimeout is how long a job waits for a host that is offline.
	// 0 means DefaultWaitTimeout.
	WaitTimeout time.Duration
	// Now is time.Now if nil. Methods that are given a time use that.
	Now func() time.Time
	// Log is slog.Default() if nil.
	Log *slog.Logger
}

// A Store is an open database. It is safe for concurrent use.
type Store struct {
	cfg   Config
	log   *slog.Logger
	now   func() time.Time
	seal  *sealer
	write *sql.DB
	read  *sql.DB
	wake  *waker
}

// Open opens the store, creates it if need be and brings its schema up to
// date. The caller closes it.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Path == "" {
		cfg.Path = filepath.Join(cfg.DataDir, FileName)
	}
	path, err := filepath.Abs(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	cfg.Path = path
	if cfg.WaitTimeout == 0 {
		cfg.WaitTimeout = DefaultWaitTimeout
	}
	if cfg.Match == nil {
		return nil, errors.New("open store: no matcher")
	}
	s := &Store{cfg: cfg, log: cfg.Log, now: cfg.Now, wake: newWaker()}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.seal, err = newSealer(cfg.SealKey); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	// The file holds sealed secrets and every finding: it is for its owner.
	f, err := os.OpenFile(cfg.Path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if s.write, err = sql.Open("sqlite", dsn(cfg.Path, false)); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s.write.SetMaxOpenConns(1)
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(err, s.write.Close())
	}
	if s.read, err = sql.Open("sqlite", dsn(cfg.Path, true)); err != nil {
		return nil, errors.Join(fmt.Errorf("open store: %w", err), s.write.Close())
	}
	s.read.SetMaxOpenConns(readers)
	s.read.SetMaxIdleConns(readers)
	return s, nil
}

// Close closes the database. Calls under way fail.
func (s *Store) Close() error {
	return errors.Join(s.read.Close(), s.write.Close())
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.read.PingContext(ctx); err != nil {
		return fmt.Errorf("ping store: %w", err)
	}
	return nil
}

// dsn makes the connection string. WAL lets readers go on while one writes;
// synchronous=FULL makes an answered request survive a power cut as well as a
// kill; immediate transactions wait for the lock instead of failing half-way.
func dsn(path string, readOnly bool) string {
	q := url.Values{}
	q.Add("_pragma", fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()))
	q.Add("_pragma", "journal_mode(WAL)")
	q.Add("_pragma", "synchronous(FULL)")
	q.Add("_pragma", "foreign_keys(ON)")
	if readOnly {
		q.Add("_pragma", "query_only(ON)")
	} else {
		q.Set("_txlock", "immediate")
	}
	u := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}
	return u.String()
}

func (s *Store) migrate(ctx context.Context) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("migrate store: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, s.write, dir)
	if err != nil {
		return fmt.Errorf("migrate store: %w", err)
	}
	done, err := p.Up(ctx)
	if err != nil {
		return fmt.Errorf("migrate store: %w", err)
	}
	for _, m := range done {
		s.log.InfoContext(ctx, "store migrated", "version", m.Source.Version)
	}
	return nil
}

// inTx runs f in a write transaction.
func (s *Store) inTx(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	if err := f(tx); err != nil {
		if rerr := tx.Rollback(); rerr != nil && !errors.Is(rerr, sql.ErrTxDone) {
			return errors.Join(err, fmt.Errorf("roll back: %w", rerr))
		}
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// inView runs f in a read transaction, so that a count and a page agree.
func (s *Store) inView(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := s.read.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin reading: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	return f(tx)
}

// each calls scan for every row of a query.
func each(ctx context.Context, tx *sql.Tx, query string, args []any, scan func(*sql.Rows) error) error {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err tells
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
