//go:build linux

package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

// TestMain makes the test program one that can be another user of a cache.
func TestMain(m *testing.M) {
	if dir := os.Getenv("CACHE_TEST_USER"); dir != "" {
		if err := useCache(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const (
	// sharedBound is small: whoever writes has to make room.
	sharedBound  = 256 << 10
	sharedLayers = 60
	sharedRounds = 150
)

// sharedReport is what every process says of layer i.
func sharedReport(i int) *report.LayerReport {
	r := &report.LayerReport{DiffID: string(image.DigestOf(fmt.Append(nil, i))), Analyzers: "set", Complete: true}
	for n := range 200 {
		r.Packages = append(r.Packages, report.Package{Type: report.TypeNPM, Name: fmt.Sprintf("p%d-%x", i, image.DigestOf(fmt.Append(nil, i, n))), Version: "1", Path: "/x"})
	}
	return r
}

// useCache writes, reads and evicts, and fails if it is ever given anything
// but what somebody has put there whole.
func useCache(dir string) error {
	c, err := New(Config{Dir: dir, MaxBytes: sharedBound})
	if err != nil {
		return err
	}
	defer c.Close()
	c.hot.max = 0 // ask the directory each time
	hits := 0
	look := func(i int) (bool, error) {
		want := sharedReport(i)
		got, ok := c.Get(want.DiffID, want.Analyzers)
		if !ok {
			return false, nil
		}
		hits++
		if diff := cmp.Diff(want, got); diff != "" {
			return true, fmt.Errorf("layer %d: %s", i, diff)
		}
		return true, nil
	}
	for n := range sharedRounds {
		i := (n*7 + os.Getpid()) % sharedLayers
		ok, err := look(i)
		if err != nil {
			return err
		}
		if ok {
			continue
		}
		if err := c.Put(sharedReport(i)); err != nil {
			return err
		}
		// Others may have made room of it already, but not each time.
		if _, err := look(i); err != nil {
			return err
		}
	}
	if hits == 0 {
		return errors.New("nothing was ever found")
	}
	return nil
}

// Several processes fill, read and empty one cache at once.
func TestProcesses(t *testing.T) {
	dir := t.TempDir()
	var users []*exec.Cmd
	for range 6 {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), "CACHE_TEST_USER="+dir)
		cmd.Stderr = &strings.Builder{}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		users = append(users, cmd)
	}
	for _, u := range users {
		if err := u.Wait(); err != nil {
			t.Errorf("%v: %s", err, u.Stderr)
		}
	}
	var total int64
	var left []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		fi, err := d.Info()
		total += fi.Size()
		if strings.HasPrefix(d.Name(), temp) {
			left = append(left, p)
		}
		return err
	})
	if err != nil || len(left) > 0 {
		t.Errorf("%v, left behind: %v", err, left)
	}
	// Each of them makes room by what it knows: others may add their last
	// report meanwhile.
	if total > 2*sharedBound {
		t.Errorf("%d bytes are kept: the bound is %d", total, sharedBound)
	}
}

// A full disk loses reports, and nothing else.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip("no file system can be mounted here: ", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, 0) })
	c, err := New(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var full error
	kept := 0
	for i := range sharedLayers {
		err := c.Put(sharedReport(i))
		if err == nil {
			kept++
		} else if full == nil {
			full = err
		}
	}
	if kept == 0 || !errors.Is(full, syscall.ENOSPC) {
		t.Fatalf("%d kept, %v: the test needs a full disk", kept, full)
	}
	// Another process finds whole reports or none.
	other, err := New(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	found := 0
	for i := range sharedLayers {
		want := sharedReport(i)
		if got, ok := other.Get(want.DiffID, want.Analyzers); ok {
			found++
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		}
	}
	if found != kept {
		t.Errorf("%d were kept, %d are found", kept, found)
	}
}
