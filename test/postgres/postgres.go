// Package postgres gives tests PostgreSQL databases of their own: one
// throw-away server for each test binary, started when the first test asks,
// reached by a socket in a temporary directory (in memory if there is enough)
// and by nothing else, and ended with the binary, however that ends. It needs initdb and postgres, as Debian's
// package postgresql-15 brings them; ONCEOVER_POSTGRES_BIN names another
// directory. Without them a test is skipped, or fails where REQUIRE_RUNTIMES=1
// says that they must be there.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// startTime is how long a server may take until it answers.
const startTime = time.Minute

// A Config is how a server is started.
type Config struct {
	// Dir holds it; a temporary one if it is empty. It is removed at the
	// end, unless Keep is set.
	Dir string
	// Keep leaves the data in Dir, for a server that is started there later.
	Keep bool
	// Settings as on the command line, "shared_buffers=1GB". Those of
	// tests (no fsync) come before.
	Settings []string
}

// A Server is a running server.
type Server struct {
	dir  string
	keep bool
	pid  int
	stop func()
	n    atomic.Int64
}

// errMissing says that PostgreSQL is not installed.
var errMissing = errors.New("PostgreSQL is not installed: install postgresql-15 or set ONCEOVER_POSTGRES_BIN")

var shared struct {
	sync.Once
	server *Server
	err    error
}

// Database is the URL of an empty database of the shared server, which is
// there as long as the test.
func Database(t testing.TB) string {
	t.Helper()
	return database(t, "")
}

// Copies fills one database of the shared server, and gives every test that
// asks a copy of it, which is there as long as the test: to copy 20 migrations
// is far less work than to make them.
func Copies(fill func(ctx context.Context, url string) error) func(testing.TB) string {
	const name = "filled"
	var once sync.Once
	var err error
	return func(t testing.TB) string {
		t.Helper()
		s := server(t)
		once.Do(func() {
			var u string
			if u, err = s.Create(t.Context(), name); err == nil {
				err = fill(t.Context(), u)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return database(t, name)
	}
}

// database makes a copy of a template, or an empty database.
func database(t testing.TB, template string) string {
	t.Helper()
	s := server(t)
	name := fmt.Sprintf("t%d", s.n.Add(1))
	if err := s.exec(t.Context(), createSQL(name, template)); err != nil {
		t.Fatal(err)
	}
	// The server looks after every database that is there, again and again.
	t.Cleanup(func() {
		if err := s.exec(context.Background(), "DROP DATABASE "+quoted(name)+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	return s.url(name)
}

// server is the one that tests share.
func server(t testing.TB) *Server {
	t.Helper()
	shared.Do(func() { shared.server, shared.err = Start(Config{}) })
	if errors.Is(shared.err, errMissing) && os.Getenv("REQUIRE_RUNTIMES") != "1" {
		t.Skip(shared.err)
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}

// Stop ends the shared server, if one was started. A TestMain calls it.
func Stop() {
	if shared.server != nil {
		shared.server.Stop()
	}
}

// bin is the directory of the programs, "" if there is none.
func bin() string {
	if d := os.Getenv("ONCEOVER_POSTGRES_BIN"); d != "" {
		return d
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		if p, err := exec.LookPath("initdb"); err == nil {
			return filepath.Dir(p)
		}
		return ""
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1])
}

// Start makes a cluster and a server for it. The error wraps one that says so
// if PostgreSQL is not installed.
func Start(cfg Config) (*Server, error) {
	b := bin()
	if b == "" {
		return nil, errMissing
	}
	dir := cfg.Dir
	if dir == "" {
		var err error
		if dir, err = temporary(); err != nil {
			return nil, err
		}
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	as, err := owner(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	data := filepath.Join(dir, "data")
	if _, err := os.Stat(data); err != nil || !cfg.Keep {
		initdb := exec.Command(filepath.Join(b, "initdb"), "--pgdata", data, "--username", "postgres", "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync")
		initdb.SysProcAttr, initdb.Dir = as, dir
		if out, err := initdb.CombinedOutput(); err != nil {
			return nil, errors.Join(fmt.Errorf("initdb: %w: %s", err, out), os.RemoveAll(dir))
		}
	}
	args := []string{"-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "autovacuum_naptime=10s"}
	for _, s := range cfg.Settings {
		args = append(args, "-c", s)
	}
	s := &Server{dir: dir, keep: cfg.Keep}
	if err := s.run(exec.Command(filepath.Join(b, "postgres"), args...), as); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	for {
		c, err := pgx.Connect(ctx, s.url("postgres"))
		if err == nil {
			return s, c.Close(ctx)
		}
		select {
		case <-ctx.Done():
			s.Stop()
			return nil, fmt.Errorf("wait for postgres: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// memory is where files lie in memory, and room what a server of tests may need
// there: a database is more than a thousand files, and to make them on a disk is
// half of the work of a test.
const (
	memory = "/dev/shm"
	room   = 2 << 30
)

// temporary makes a directory in memory, or on disk if there is little of it. A
// process that was killed has left its own: that is removed here, since nobody
// sweeps memory.
func temporary() (string, error) {
	const prefix = "onceover-pg-"
	var fs syscall.Statfs_t
	if err := syscall.Statfs(memory, &fs); err != nil || fs.Bavail*uint64(fs.Bsize) < room {
		return os.MkdirTemp("", prefix)
	}
	left, err := filepath.Glob(filepath.Join(memory, prefix+"*-*"))
	if err != nil {
		return "", err
	}
	for _, d := range left {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(d), prefix), "-")
		if n, err := strconv.Atoi(pid); err == nil && errors.Is(syscall.Kill(n, 0), syscall.ESRCH) {
			_ = os.RemoveAll(d) // another process may do so as well
		}
	}
	return os.MkdirTemp(memory, fmt.Sprintf("%s%d-", prefix, os.Getpid()))
}

// owner gives the directory to the user that the server runs as: it refuses to
// run as root.
func owner(dir string) (*syscall.SysProcAttr, error) {
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if os.Geteuid() != 0 {
		return attr, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attr, os.Chown(dir, int(uid), int(gid))
}

// run starts the server on a thread that lives as long as it: the kernel ends
// a child when the thread that started it ends, and so with this process.
func (s *Server) run(cmd *exec.Cmd, as *syscall.SysProcAttr) error {
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr, cmd.Dir = log, log, as, s.dir
	started, ended := make(chan error, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // it is told to end, or shows in its log why it did
		}
		_ = log.Close()
	}()
	s.stop = sync.OnceFunc(func() {
		how := syscall.SIGQUIT
		if s.keep {
			how = syscall.SIGINT // what was written is on disk then
		}
		_ = cmd.Process.Signal(how) // it may have ended
		<-ended
		if !s.keep {
			_ = os.RemoveAll(s.dir) // left for the system's sweeper otherwise
		}
	})
	if err := <-started; err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	s.pid = cmd.Process.Pid
	return nil
}

// PID is the process of the server; those that answer clients are its children.
func (s *Server) PID() int { return s.pid }

// URL is that of a database that is there already.
func (s *Server) URL(name string) string { return s.url(name) }

// Stop ends the server and removes its data, unless they are kept.
func (s *Server) Stop() { s.stop() }

// Create makes an empty database and returns its URL.
func (s *Server) Create(ctx context.Context, name string) (string, error) {
	return s.url(name), s.exec(ctx, createSQL(name, ""))
}

// exec runs a statement outside of the databases of tests.
func (s *Server) exec(ctx context.Context, statement string) error {
	c, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, statement)
	return errors.Join(err, c.Close(ctx))
}

func createSQL(name, template string) string {
	q := "CREATE DATABASE " + quoted(name)
	if template != "" {
		// By files, not through the log of changes, which is more to write.
		q += " STRATEGY FILE_COPY TEMPLATE " + quoted(template)
	}
	return q
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

func (s *Server) url(name string) string {
	q := url.Values{"host": {s.dir}}
	return (&url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/" + name, RawQuery: q.Encode()}).String()
}
