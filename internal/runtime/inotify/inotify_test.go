package inotify

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// listen runs w and returns how to wait for a change.
func listen(t *testing.T, w Watch) (await func(what string), quiet func(what string)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	seen := make(chan struct{}, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- w.Run(ctx, func() {
			select {
			case seen <- struct{}{}:
			default:
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("ended: %v", err)
			}
		case <-time.After(5 * time.Second):
			t.Error("it does not end")
		}
	})
	await = func(what string) {
		t.Helper()
		select {
		case <-seen:
		case <-time.After(2 * time.Second):
			t.Errorf("%s: not noticed", what)
		}
		for { // the rest of the same change
			select {
			case <-seen:
			case <-time.After(3 * pause):
				return
			}
		}
	}
	quiet = func(what string) {
		t.Helper()
		select {
		case <-seen:
			t.Errorf("%s: taken for a change", what)
		case <-time.After(3 * pause):
		}
	}
	await("begin")
	return await, quiet
}

func write(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
}

func one(dirs ...string) func() []string { return func() []string { return dirs } }

func named(want string) func(string, string) bool {
	return func(_, name string) bool { return name == want }
}

func TestRun(t *testing.T) {
	root := t.TempDir()
	file := filepath.Join(root, "images.json")
	await, quiet := listen(t, Watch{Dirs: one(root), Relevant: named("images.json")})
	write(t, file)
	await("a new file")
	write(t, filepath.Join(root, "other"))
	quiet("another file")
	write(t, file)
	quiet("contents that nobody asked for")
	write(t, file+".new")
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
	await("a file that was replaced")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	await("a file that was removed")
}

func TestContents(t *testing.T) {
	root := t.TempDir()
	file := filepath.Join(root, "db.sql")
	write(t, file)
	await, _ := listen(t, Watch{Dirs: one(root), Relevant: named("db.sql"), Contents: true})
	write(t, file)
	await("new contents")
}

// A directory that is not there, nor its parents, is watched as soon as it is.
func TestDirectoryThatComes(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "a", "b", "c")
	await, quiet := listen(t, Watch{Dirs: one(dir), Relevant: named("x")})
	write(t, filepath.Join(root, "x"))
	quiet("an entry of a parent")
	for range 2 {
		mkdir(t, dir)
		await("the directory")
		write(t, filepath.Join(dir, "x"))
		await("an entry of the directory")
		if err := os.RemoveAll(filepath.Join(root, "a")); err != nil {
			t.Fatal(err)
		}
		await("the end of the directory")
	}
	mkdir(t, filepath.Join(root, "a"))
	await("the first step")
	mkdir(t, filepath.Join(root, "other"))
	quiet("another directory")
	mkdir(t, dir)
	await("all the way")
}

// New directories are asked for again.
func TestDirsThatFollow(t *testing.T) {
	root := t.TempDir()
	await, _ := listen(t, Watch{
		Dirs: func() []string {
			dirs, err := filepath.Glob(filepath.Join(root, "*"))
			if err != nil {
				t.Error(err)
			}
			return append(dirs, root)
		},
		Relevant: named("state.json"),
	})
	mkdir(t, filepath.Join(root, "1"))
	time.Sleep(5 * pause)
	write(t, filepath.Join(root, "1", "state.json"))
	await("an entry of the new directory")
}

func TestMovedAway(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "run")
	mkdir(t, dir)
	await, _ := listen(t, Watch{Dirs: one(dir), Relevant: named("x")})
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	await("the move")
	mkdir(t, dir)
	await("another in its place")
	write(t, filepath.Join(dir, "x"))
	await("its entry")
}

func TestMaxDirs(t *testing.T) {
	root := t.TempDir()
	dirs := make([]string, maxDirs+1)
	for i := range dirs {
		dirs[i] = filepath.Join(root, strconv.Itoa(i))
		mkdir(t, dirs[i])
	}
	await, quiet := listen(t, Watch{Dirs: one(dirs...), Relevant: named("x")})
	write(t, filepath.Join(dirs[maxDirs], "x"))
	quiet("beyond the limit")
	write(t, filepath.Join(dirs[maxDirs-1], "x"))
	await("within the limit")
}

// More events than the kernel keeps are a change.
func TestOverflow(t *testing.T) {
	b, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	if err != nil {
		t.Skip(err)
	}
	limit, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || limit > 100_000 {
		t.Skipf("the queue holds %d events: %v", limit, err)
	}
	root := t.TempDir()
	mkdir(t, filepath.Join(root, "d"))
	began, ended := make(chan struct{}, 1), make(chan error, 1)
	stuck := make(chan struct{})
	calls := 0
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		ended <- Watch{Dirs: one(root), Relevant: named("nothing")}.Run(ctx, func() {
			if calls++; calls == 1 {
				began <- struct{}{}
				<-stuck // nobody reads meanwhile
				return
			}
			cancel()
		})
	}()
	<-began
	file := filepath.Join(root, "f")
	for range limit/2 + 10 {
		f, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Close(), os.Remove(file)); err != nil {
			t.Fatal(err)
		}
	}
	close(stuck)
	select {
	case err := <-ended:
		if err != nil || calls != 2 {
			t.Errorf("ended with %v after %d calls", err, calls)
		}
	case <-time.After(10 * time.Second):
		t.Error("the overflow was not noticed")
	}
}
