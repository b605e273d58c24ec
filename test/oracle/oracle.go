package oracle

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/onceover/onceover/test/fixture"
	"github.com/onceover/onceover/test/shareddata"
)

// Tools are the programs, by path.
type Tools struct {
	Syft, Grype, GrypeDB, OSVScanner string
	// dir holds them, and what is kept for them.
	dir string
}

// Built returns the oracles, or an error that wraps fs.ErrNotExist if they
// have not been built from the pinned sources.
func Built() (Tools, error) {
	src, err := sources("tools")
	if err != nil {
		return Tools{}, err
	}
	osv, err := sources("osv")
	if err != nil {
		return Tools{}, err
	}
	// The pins and our own program have keys of their own: a change of the
	// program must not cost the minutes that the others take.
	pins, err := keyOf(filepath.Join(src, "go.mod"), filepath.Join(src, "go.sum"))
	if err != nil {
		return Tools{}, err
	}
	osvPins, err := keyOf(filepath.Join(osv, "go.mod"), filepath.Join(osv, "go.sum"))
	if err != nil {
		return Tools{}, err
	}
	own, err := filepath.Glob(filepath.Join(src, "grypedb", "*.go"))
	if err != nil {
		return Tools{}, err
	}
	program, err := keyOf(own...)
	if err != nil {
		return Tools{}, err
	}
	cache, err := fixture.CacheDir()
	if err != nil {
		return Tools{}, err
	}
	dir := filepath.Join(cache, "oracle", pins)
	t := Tools{
		Syft: filepath.Join(dir, "syft"), Grype: filepath.Join(dir, "grype"), GrypeDB: filepath.Join(dir, "grypedb-"+program),
		OSVScanner: filepath.Join(cache, "oracle", "osv-scanner-"+osvPins), dir: dir,
	}
	for _, p := range []string{t.Syft, t.Grype, t.GrypeDB, t.OSVScanner} {
		if _, err := os.Stat(p); err != nil {
			return t, fmt.Errorf("oracles are not built: %w", err)
		}
	}
	return t, nil
}

// Build builds the oracles, unless they are there. The first time takes
// several minutes.
func Build(ctx context.Context, progress io.Writer) (Tools, error) {
	t, err := Built()
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return t, err
	}
	if err := os.MkdirAll(t.dir, 0o755); err != nil {
		return Tools{}, err
	}
	unlock, err := lock(t.dir)
	if err != nil {
		return Tools{}, err
	}
	defer unlock()
	if t, err := Built(); err == nil {
		return t, nil
	}
	for _, b := range []struct{ path, module, pkg string }{
		{t.Syft, "tools", "github.com/anchore/syft/cmd/syft"},
		{t.Grype, "tools", "github.com/anchore/grype/cmd/grype"},
		{t.GrypeDB, "tools", "./grypedb"},
		{t.OSVScanner, "osv", "github.com/google/osv-scanner/v2/cmd/osv-scanner"},
	} {
		src, err := sources(b.module)
		if err != nil {
			return Tools{}, err
		}
		if _, err := os.Stat(b.path); err == nil {
			continue
		}
		tmp := b.path + ".tmp"
		cmd := exec.CommandContext(ctx, "go", "build", "-p", "2", "-trimpath", "-ldflags=-s -w", "-o", tmp, b.pkg)
		cmd.Dir = src
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-buildvcs=false")
		cmd.Stdout, cmd.Stderr = progress, progress
		if err := cmd.Run(); err != nil {
			return Tools{}, fmt.Errorf("build %s: %w", b.pkg, err)
		}
		if err := os.Rename(tmp, b.path); err != nil {
			return Tools{}, err
		}
	}
	return t, nil
}

// Find returns the oracles. Without them the test is skipped; where
// ONCEOVER_REQUIRE_ORACLES=1 they are built.
func Find(t testing.TB) Tools {
	t.Helper()
	tools, err := Built()
	if errors.Is(err, fs.ErrNotExist) {
		if os.Getenv("ONCEOVER_REQUIRE_ORACLES") != "1" {
			t.Skip(err, "; go run ./test/oracle/cmd/oracles builds them")
		}
		t.Log("building the oracles")
		tools, err = Build(t.Context(), os.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return tools
}

// run runs an oracle and returns what it writes.
func (t Tools) run(ctx context.Context, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(append(os.Environ(), Quiet...), env...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", filepath.Base(name), strings.Join(args, " "), err, errs.String())
	}
	return out, nil
}

// Quiet is the environment that keeps the oracles from reaching for the
// network.
var Quiet = []string{
	"SYFT_CHECK_FOR_APP_UPDATE=false", "GRYPE_CHECK_FOR_APP_UPDATE=false",
	"GRYPE_DB_AUTO_UPDATE=false", "GRYPE_DB_VALIDATE_AGE=false",
}

// Database writes grype's database from the OSV archives in osv, and returns
// the directory for GRYPE_DB_CACHE_DIR. It is kept for as long as the archives
// do not change. rhel is the ecosystem whose records stand for Red Hat
// Enterprise Linux and its rebuilds: grype looks all of them up in one place.
// Empty means AlmaLinux, beside everything else; any other stands alone.
func (t Tools) Database(ctx context.Context, osv, rhel string) (string, error) {
	pattern := "*.zip"
	if rhel != "" {
		pattern = strings.ReplaceAll(rhel, " ", "") + ".zip"
	}
	archives, err := filepath.Glob(filepath.Join(osv, pattern))
	if err != nil {
		return "", err
	}
	if len(archives) == 0 {
		return "", fmt.Errorf("no records %s in %s", pattern, osv)
	}
	key, err := keyOf(archives...)
	if err != nil {
		return "", err
	}
	unlock, err := lock(t.dir)
	if err != nil {
		return "", err
	}
	defer unlock()
	dir := filepath.Join(t.dir, "db-"+strings.TrimPrefix(filepath.Base(t.GrypeDB), "grypedb-")+"-"+key)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	from, err := os.MkdirTemp("", "onceover-osv-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(from) }() // left for the system's sweeper otherwise
	for _, a := range archives {
		if a, err = filepath.Abs(a); err != nil {
			return "", err
		}
		if err := os.Symlink(a, filepath.Join(from, filepath.Base(a))); err != nil {
			return "", err
		}
	}
	if err := os.RemoveAll(dir + ".tmp"); err != nil {
		return "", err
	}
	if _, err := t.run(ctx, nil, t.GrypeDB, "-from", from, "-to", dir+".tmp", "-rhel", cmp.Or(rhel, "AlmaLinux")); err != nil {
		return "", err
	}
	return dir, os.Rename(dir+".tmp", dir)
}

// sources is the directory of a nested module.
func sources(module string) (string, error) {
	root := shareddata.Root()
	if root == "" {
		return "", errors.New("not inside the project")
	}
	return filepath.Join(root, "test", "oracle", module), nil
}

// keyOf changes with the content of the files and with the version of Go.
func keyOf(files ...string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version())
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n", filepath.Base(f), len(b))
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}

// lock keeps processes from doing the same work twice. The kernel gives it
// back if this one dies.
func lock(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { f.Close() }, nil
}
