// Package postgres gives tests PostgreSQL databases of their own: one
// throw-away server for each test binary, started when the first test asks,
// reached by a socket in a temporary directory and by nothing else, and ended
// with the binary, however that ends. It needs initdb and postgres, as Debian's
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

// Database is the URL of an empty database of the shared server.
func Database(t testing.TB) string {
	t.Helper()
	shared.Do(func() { shared.server, shared.err = Start(Config{}) })
	if errors.Is(shared.err, errMissing) && os.Getenv("REQUIRE_RUNTIMES") != "1" {
		t.Skip(shared.err)
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	u, err := shared.server.Create(t.Context(), fmt.Sprintf("t%d", shared.server.n.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	return u
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
		if dir, err = os.MkdirTemp("", "onceover-pg"); err != nil {
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
	c, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return "", err
	}
	_, err = c.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	return s.url(name), errors.Join(err, c.Close(ctx))
}

func (s *Server) url(name string) string {
	q := url.Values{"host": {s.dir}}
	return (&url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/" + name, RawQuery: q.Encode()}).String()
}
