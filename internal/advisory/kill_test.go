package advisory

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/onceover/onceover/test/shareddata"
)

// Variables that make the test binary do one thing to a generation and end.
const (
	envDo   = "ONCEOVER_TEST_ADVISORY_DO"
	envFrom = "ONCEOVER_TEST_ADVISORY_FROM"
	envTo   = "ONCEOVER_TEST_ADVISORY_TO"
)

func TestMain(m *testing.M) {
	do := os.Getenv(envDo)
	if do == "" {
		os.Exit(m.Run())
	}
	if err := doOne(context.Background(), do, os.Getenv(envFrom), os.Getenv(envTo)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func doOne(ctx context.Context, do, from, to string) (err error) {
	switch do {
	case "build":
		_, err = Build(ctx, BuildOptions{From: from, To: to})
	case "import":
		_, err = Import(ctx, ImportOptions{File: from, To: to, AllowUnsigned: true})
	case "update":
		_, err = Update(ctx, UpdateOptions{URL: from, To: to, Fetch: FetchOptions{Backoff: time.Millisecond}})
	case "rollback":
		_, err = Rollback(ctx, to, from, 0)
	default:
		err = fmt.Errorf("nothing called %q", do)
	}
	return err
}

// kill -9 at any moment: the generation that was there stays valid, or the new
// one is in place, whole; a second run succeeds; nothing piles up. All the
// while somebody reads, and sees whole generations only.
func TestKilledInTheMiddle(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector has nothing to say about other processes")
	}
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	src := filepath.Join(shareddata.Dir(t), "osv")
	link := func(names ...string) string {
		dir := t.TempDir()
		for _, name := range names {
			if err := os.Symlink(filepath.Join(src, name), filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	old := filepath.Join(t.TempDir(), "old.db")
	if _, err := Build(t.Context(), BuildOptions{From: link("Alpine.zip", "kev.json"), To: old}); err != nil {
		t.Fatal(err)
	}
	sources := link("Alpine.zip", "RubyGems.zip", "Ubuntu.zip", "kev.json")
	next := filepath.Join(t.TempDir(), "next.db")
	if _, err := Build(t.Context(), BuildOptions{From: sources, To: next}); err != nil {
		t.Fatal(err)
	}
	whole, _ := exported(t, ExportOptions{From: next})
	delta, _ := exported(t, ExportOptions{From: next, Since: old})
	for _, tc := range []struct{ name, do, from string }{
		{"build", "build", sources},
		{"import of a file", "import", next},
		{"import of a bundle", "import", whole},
		{"import of a delta", "import", delta},
		{"update", "update", serve(t, false, inFull).URL},
	} {
		t.Run(tc.name, func(t *testing.T) { killed(t, tc.do, tc.from, old, rounds) })
	}
	t.Run("rollback", func(t *testing.T) {
		m, err := Status(next)
		if err != nil {
			t.Fatal(err)
		}
		killed(t, "rollback", m.ID, old, rounds, next)
	})
}

// killed does the thing and kills it again and again. The generation in old is
// in place before, and those in first were in place before that.
func killed(t *testing.T, do, from, old string, rounds int, first ...string) {
	dir := t.TempDir()
	to := filepath.Join(dir, "advisories.db")
	for _, f := range append(first, old) {
		if _, err := Import(t.Context(), ImportOptions{File: f, To: to}); err != nil {
			t.Fatal(err)
		}
	}
	before, err := Status(to)
	if err != nil {
		t.Fatal(err)
	}
	command := func(to string) *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), envDo+"="+do, envFrom+"="+from, envTo+"="+to)
		cmd.Stderr = os.Stderr
		return cmd
	}
	// How long it takes when nobody disturbs it, in a directory of its own.
	scratch := filepath.Join(t.TempDir(), "advisories.db")
	for _, f := range append(first, old) {
		if _, err := Import(t.Context(), ImportOptions{File: f, To: scratch}); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	if err := command(scratch).Run(); err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	after, err := Status(scratch)
	if err != nil || after.ID == before.ID {
		t.Fatalf("%.12s after %.12s: %v", after.ID, before.ID, err)
	}

	stop := readAllTheWhile(t, to, before.ID, after.ID)
	defer stop()
	if took < 200*time.Millisecond {
		rounds *= 3
	}
	cut := 0
	for range rounds {
		cmd := command(to)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		timer := time.NewTimer(rand.N(took * 6 / 5))
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
		case <-timer.C:
			if err := cmd.Process.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Fatal(err)
			}
			if err := <-ended; err != nil {
				cut++
			}
		}
		timer.Stop()
		m, err := verified(t.Context(), to)
		if err != nil || m.ID != before.ID && m.ID != after.ID {
			t.Fatalf("generation %.12s: %v", m.ID, err)
		}
		gs, err := Generations(to)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range gs {
			if _, err := verified(t.Context(), g.Path); err != nil {
				t.Errorf("kept: %v", err)
			}
		}
		if m.ID == after.ID {
			if _, err := Rollback(t.Context(), to, before.ID, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%v undisturbed; killed in the middle in %d of %d rounds", took.Round(time.Millisecond), cut, rounds)
	if cut == 0 {
		t.Error("it was never killed in the middle")
	}
	if err := command(to).Run(); err != nil {
		t.Fatalf("the run that nobody killed: %v", err)
	}
	if m, err := verified(t.Context(), to); err != nil || m.ID != after.ID {
		t.Errorf("generation %.12s, want %.12s: %v", m.ID, after.ID, err)
	}
	if p, err := Kept(to, before.ID); err != nil {
		t.Error(err)
	} else if _, err := verified(t.Context(), p); err != nil {
		t.Error(err)
	}
	for _, d := range []string{dir, KeptDir(to)} {
		entries, err := os.ReadDir(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") {
				t.Errorf("left behind: %s", filepath.Join(d, e.Name()))
			}
		}
	}
}

// readAllTheWhile opens the generation whenever it was replaced, as a server
// does, while others read it. What they see has to fit the id.
func readAllTheWhile(t *testing.T, path string, ids ...string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var h Holder
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	h.Swap(db)
	var reads, swaps atomic.Int64
	var nowhere atomic.Bool
	done := make(chan struct{}, 3)
	go func() {
		defer func() { done <- struct{}{} }()
		was, err := os.Stat(path)
		if err != nil {
			t.Error(err)
			return
		}
		for t := time.NewTicker(5 * time.Millisecond); ; {
			select {
			case <-ctx.Done():
				t.Stop()
				return
			case <-t.C:
			}
			if fi, err := os.Stat(path); err == nil && !os.SameFile(was, fi) {
				if db, err := Open(path); err == nil {
					h.Swap(db)
					swaps.Add(1)
					was = fi
					continue
				}
			}
			// The name always leads to a generation.
			if _, err := Status(path); err != nil {
				nowhere.Store(true)
			}
		}
	}()
	for range 2 {
		go func() {
			defer func() { done <- struct{}{} }()
			for n := 0; ctx.Err() == nil; n++ {
				db, release := h.Acquire()
				as, err := db.Affected("Alpine:v3.18", "curl")
				known := db.Meta().ID == ids[0] || db.Meta().ID == ids[1]
				if err != nil || !known || len(as) == 0 {
					t.Errorf("generation %.12s: %d advisories: %v", db.Meta().ID, len(as), err)
				}
				if n%50 == 0 {
					if err := db.Verify(ctx); err != nil && ctx.Err() == nil {
						t.Error(err)
					}
				}
				release()
				reads.Add(1)
				time.Sleep(time.Millisecond)
			}
		}()
	}
	return func() {
		cancel()
		for range 3 {
			<-done
		}
		h.Swap(nil)
		t.Logf("%d reads, %d swaps meanwhile", reads.Load(), swaps.Load())
		if reads.Load() == 0 || swaps.Load() == 0 {
			t.Error("nobody read, or nothing was swapped")
		}
		if nowhere.Load() {
			t.Error("there was a moment without a generation")
		}
	}
}

// A process that is killed between keeping the old generation and replacing it
// leaves it under two names. It is one generation.
func TestKilledBetweenKeepingAndReplacing(t *testing.T) {
	to := aged(t, "A-1")
	m, err := Status(to)
	if err != nil {
		t.Fatal(err)
	}
	if err := keepFormer(to, m); err != nil {
		t.Fatal(err)
	}
	if got := listed(t, to); len(got) != 1 {
		t.Errorf("listed %v", got)
	}
	next := replaceWith(t, to, "A-2", 1)
	if got := listed(t, to); len(got) != 2 || got[0] != next.ID || got[1] != m.ID {
		t.Errorf("listed %v", got)
	}
}
