package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/onceover/onceover/internal/check/baseline"
	"github.com/onceover/onceover/internal/check/policy"
	"github.com/onceover/onceover/internal/check/secret"
)

// FileName is the database in a data directory.
const FileName = "onceover.sqlite"

// Defaults of Config.
const (
	// DefaultWaitTimeout is how long a job waits for a host that is
	// offline before it fails.
	DefaultWaitTimeout = 24 * time.Hour
	// cacheKB is how much of a SQLite database a connection keeps, in kilobytes:
	// with the two megabytes of its default a tenth of the time of reads goes into
	// reading the same pages again.
	cacheKB = 16 << 10
	// busyTimeout is how long a connection waits for a lock held by
	// another process.
	busyTimeout = 10 * time.Second
)

// Config says where the store lies and what it works with.
type Config struct {
	// URL of a PostgreSQL database, postgres://user@host/name, as libpq has
	// it. Empty means SQLite.
	URL string
	// Path of the SQLite file. Empty means FileName in DataDir.
	Path    string
	DataDir string
	// SealKey seals secret keys: 32 bytes, kept by the caller outside of
	// the database.
	SealKey []byte
	// Advisories match the packages of finished jobs. A process without
	// them (nil) can do all but finish jobs and re-match.
	Advisories Advisories
	// WaitTimeout is how long a job waits for a host that is offline.
	// 0 means DefaultWaitTimeout.
	WaitTimeout time.Duration
	// AuditKeep is how long the audit log is kept; 0 means DefaultAuditKeep.
	AuditKeep time.Duration
	// Now is time.Now if nil. Methods that are given a time use that.
	Now func() time.Time
	// Log is slog.Default() if nil.
	Log *slog.Logger

	rematchBatch int   // 0 means the constant; for tests
	vexSteps     int64 // likewise
	maxRefused   int64 // likewise
}

// A Store is an open database. It is safe for concurrent use.
type Store struct {
	cfg   Config
	log   *slog.Logger
	now   func() time.Time
	seal  *sealer
	write *sql.DB
	read  turns
	wake  *waker
	// engine is what differs between the two databases.
	engine engine
	index  index
	// These keep what answers are made of between questions.
	dockets     dockets
	ranks       ranks
	handledKeep handledKeep
	// rematching is held by the one re-match that runs.
	rematching sync.Mutex
	// rulesInUse are those of baselines, nil for those of the program; rulesChanged
	// has one place and wakes recheck.
	rulesInUse   atomic.Pointer[baseline.RuleSet]
	rulesChanged chan struct{}
	fileLists    fileLists
	knownAnswers knownAnswers
	// remembered are answers over the whole fleet, sets the images that
	// filters select, selections what the database selects by some, fileNames
	// the names of files.
	remembered remembered
	sets       remembered
	selections remembered
	fileNames  fileNames
	// packageNames are those of all packages, failedImages those of tasks that
	// have ended.
	packageNames packageNames
	failedImages failedImages
	logCounts    logCounts
	// secretRules are those for image configurations, nil for those of the
	// program.
	secretRules atomic.Pointer[secret.Engine]
	// policy is the deny list in use; policyChanged has a message when it
	// was replaced.
	policy        atomic.Pointer[policy.Policy]
	policyChanged chan struct{}
	// trimmed is the project whose tasks a sweep looked through last.
	trimmed atomic.Pointer[string]
	reaches reaches
	// leading says that this server re-matches for all servers of the database.
	leading atomic.Bool
	// exportAdded has a message when an export was accepted.
	exportAdded chan struct{}
	// used are the keys that were used since they were last written down.
	used usedKeys
}

// Open opens the store, creates it if need be and brings its schema up to
// date. The caller closes it.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.WaitTimeout == 0 {
		cfg.WaitTimeout = DefaultWaitTimeout
	}
	if cfg.AuditKeep == 0 {
		cfg.AuditKeep = DefaultAuditKeep
	}
	s := &Store{
		cfg: cfg, log: cfg.Log, now: cfg.Now, wake: newWaker(), engine: sqliteEngine,
		sets: remembered{most: maxSets}, selections: remembered{most: maxSelections},
		rulesChanged: make(chan struct{}, 1), policyChanged: make(chan struct{}, 1), exportAdded: make(chan struct{}, 1),
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.now == nil {
		s.now = time.Now
	}
	var err error
	if s.seal, err = newSealer(cfg.SealKey); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if cfg.URL != "" {
		s.engine = postgresEngine
		err = s.openPostgres(ctx)
	} else {
		err = s.openSQLite()
	}
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// openSQLite opens the file for one writer and some readers beside it.
func (s *Store) openSQLite() error {
	path := s.cfg.Path
	if path == "" {
		path = filepath.Join(s.cfg.DataDir, FileName)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	// The file holds sealed secrets and every finding: it is for its owner.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if s.write, err = sql.Open("sqlite", dsn(path, false)); err != nil {
		return err
	}
	s.write.SetMaxOpenConns(1)
	read, err := sql.Open("sqlite", dsn(path, true))
	if err != nil {
		return errors.Join(err, s.write.Close())
	}
	s.read = newTurns(read, runtime.GOMAXPROCS(0))
	return nil
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
	q.Add("_pragma", fmt.Sprintf("cache_size(-%d)", cacheKB))
	if readOnly {
		q.Add("_pragma", "query_only(ON)")
	} else {
		q.Set("_txlock", "immediate")
	}
	u := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}
	return u.String()
}

// inTx runs f in a write transaction.
func (s *Store) inTx(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	if err := s.engine.lock(ctx, tx); err != nil {
		return errors.Join(err, tx.Rollback())
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
	if err := s.read.line.wait(ctx); err != nil {
		return fmt.Errorf("begin reading: %w", err)
	}
	defer s.read.line.done()
	tx, err := s.read.BeginTx(ctx, s.engine.view)
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
