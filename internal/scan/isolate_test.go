//go:build linux

package scan

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/all"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/sandbox"
)

// TestMain makes the test program one that can be its own child.
func TestMain(m *testing.M) {
	if sandbox.IsChild(os.Args) {
		os.Exit(Child(makeSet))
	}
	os.Exit(m.Run())
}

// makeSet makes the set of a key.
func makeSet(key string, setup json.RawMessage) (*analyze.Set, error) {
	for _, set := range []*analyze.Set{isolatedSet(), isolatedSet().WithFiles(), all.Set(), settingsSet(string(setup))} {
		if set.Key() == key {
			return set, nil
		}
	}
	return nil, errors.New("no such set")
}

// settingsSet is another set beside the packages, whose key hangs on its setup.
func settingsSet(setup string) *analyze.Set {
	return analyze.NewSet(report.CheckBaseline, settings{setup}, doer{})
}

// settings is an analyser of files and directories.
type settings struct{ setup string }

func (s settings) Key() string { return "settings/" + s.setup }

func (settings) Wants(p string, _ fs.FileInfo) bool {
	return filepath.Ext(p) == ".conf" || filepath.Base(p) == "package.json"
}

func (settings) Analyze(_ context.Context, f analyze.File) (*report.Facts, error) {
	return &report.Facts{Settings: []report.Setting{{Kind: "size", Path: f.Path, Body: fmt.Append(nil, f.Size)}}}, nil
}

func (settings) Dir(p string, info fs.FileInfo) *report.Facts {
	if p != "/etc" {
		return nil
	}
	return &report.Facts{Settings: []report.Setting{{Kind: "mode", Path: p, Body: fmt.Append(nil, int(info.Mode().Perm()))}}}
}

// isolatedSet is every analyser, and one that does what hostile content might
// make one do.
func isolatedSet() *analyze.Set {
	return analyze.NewSet(report.CheckPackages, append([]analyze.Analyzer{doer{}}, all.Set().Analyzers()...)...)
}

// doer does what the file says, and tells in a package how it went.
type doer struct{}

func (doer) Key() string                        { return "doer/1" }
func (doer) Wants(p string, _ fs.FileInfo) bool { return strings.HasPrefix(filepath.Base(p), "do-") }

var hoard [][]byte

func (doer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	b, err := io.ReadAll(io.NewSectionReader(f.Content, 0, min(f.Size, 4096)))
	if err != nil {
		return nil, err
	}
	what, arg, _ := strings.Cut(string(b), " ")
	outcome := "done"
	try := func(err error) {
		if err != nil {
			outcome = err.Error()
		}
	}
	switch what {
	case "memory":
		for {
			p := make([]byte, 1<<20)
			for i := range p {
				p[i] = byte(i)
			}
			hoard = append(hoard, p)
		}
	case "spin":
		for n := 0; ; n++ {
			if n < 0 {
				break
			}
		}
	case "exit":
		os.Exit(3)
	case "panic-outside":
		go panic("outside")
		time.Sleep(time.Second)
	case "stack":
		outcome = fmt.Sprint(deeper(1))
	case "pid":
		outcome = fmt.Sprint(os.Getpid(), " ", os.Geteuid())
	case "wait":
		<-ctx.Done()
		return nil, ctx.Err()
	case "read":
		_, err := os.ReadFile(arg)
		try(err)
	case "write":
		try(os.WriteFile(arg, []byte("x"), 0o644))
	case "append":
		f, err := os.OpenFile(arg, os.O_WRONLY|os.O_APPEND, 0)
		try(err)
		if err == nil {
			f.Close()
		}
	case "remove":
		try(os.Remove(arg))
	case "rename":
		try(os.Rename(arg, arg+"2"))
	case "chmod":
		try(os.Chmod(arg, 0o777))
	case "mkdir":
		try(os.Mkdir(arg, 0o777))
	case "symlink":
		try(os.Symlink("x", arg))
	case "socket":
		_, err := net.Dial("udp", "127.0.0.1:9")
		try(err)
	case "unix-socket":
		_, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		try(err)
	case "attached":
		f := os.NewFile(FdAttached, "attached")
		_, err := f.WriteString(arg + "\n")
		try(err)
		if err == nil {
			outcome, err = bufio.NewReader(f).ReadString('\n')
			try(err)
		}
	case "unavailable":
		return nil, fault.New(fault.Unavailable, "nobody answers")
	case "exec":
		try(exec.Command("/bin/true").Run())
	case "fork":
		_, _, e := unix.RawSyscall(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0)
		if e != 0 {
			outcome = e.Error()
		}
	case "execve":
		try(unix.Exec("/bin/true", []string{"true"}, nil))
	case "ptrace":
		try(unix.PtraceAttach(1))
	case "mount":
		try(unix.Mount("none", "/mnt", "tmpfs", 0, ""))
	case "unshare":
		try(unix.Unshare(unix.CLONE_NEWUSER))
	case "kill":
		try(unix.Kill(os.Getppid(), 0))
	case "limits":
		try(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 10, Max: 10}))
	case "executable-memory":
		_, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
		try(err)
	case "setuid":
		try(unix.Setuid(0))
	case "setxattr":
		try(unix.Setxattr(arg, "user.x", []byte("y"), 0))
	case "ioctl":
		_, err := unix.IoctlGetInt(0, unix.TIOCGPGRP)
		try(err)
	}
	return &report.Facts{Packages: []report.Package{{Type: report.TypeGeneric, Name: what, Version: outcome, Path: f.Path}}}, nil
}

func deeper(n int) int {
	var room [1 << 10]byte
	room[n%len(room)] = byte(n)
	if n < 0 {
		return 0 // the stack ends first
	}
	return deeper(n+1) + int(room[0])
}

func isolatedScanner(t testing.TB, limits sandbox.Limits) *Scanner {
	t.Helper()
	return New(Config{Set: isolatedSet(), Isolate: &Isolation{Limits: limits, OnLacking: func(lacking []string) {
		t.Log("this kernel lacks: ", lacking)
	}}})
}

var roomy = sandbox.Limits{Memory: 256 << 20, CPU: time.Minute}

// outcomes are what doer tells, by what it did.
func outcomes(r *report.LayerReport) map[string]string {
	out := map[string]string{}
	for _, p := range r.Packages {
		if p.Type == report.TypeGeneric {
			out[p.Name] = p.Version
		}
	}
	return out
}

// tree lays out files as a directory layer.
func tree(t testing.TB, files map[string]string) image.Layer {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return image.Layer{DiffID: image.DigestOf([]byte(dir)), Dir: dir}
}

// blobOf is the same as a stream, in sorted order.
func blobOf(t testing.TB, files map[string]string) image.Layer {
	t.Helper()
	var es []entry
	for name, content := range files {
		es = append(es, entry{name: name, content: content})
	}
	slices.SortFunc(es, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return layerOf(tarOf(t, es...))
}

// What a child may not do it cannot do: each is tried for real.
func TestForbidden(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("secret"), 0o666); err != nil {
		t.Fatal(err)
	}
	os.Chmod(outside, 0o666)
	os.Chmod(filepath.Dir(outside), 0o777)
	tries := map[string]string{
		"read": outside, "write": outside + ".new", "append": outside, "remove": outside, "rename": outside, "chmod": outside,
		"mkdir": outside + ".dir", "symlink": outside + ".link", "socket": "", "unix-socket": "", "fork": "", "kill": "", "limits": "",
		"executable-memory": "", "setuid": "", "setxattr": outside, "ioctl": "",
	}
	files := map[string]string{"var/lib/dpkg/status": dpkgStatus}
	for what, arg := range tries {
		files["x/do-"+what] = strings.TrimSpace(what + " " + arg)
	}
	for form, l := range map[string]image.Layer{"directory": tree(t, files), "stream": blobOf(t, files)} {
		t.Run(form, func(t *testing.T) {
			var lacking []string
			s := New(Config{Set: isolatedSet(), Isolate: &Isolation{Limits: roomy, OnLacking: func(l []string) { lacking = l }}})
			r, err := s.Layer(t.Context(), l)
			if err != nil {
				t.Fatal(err)
			}
			if !r.Complete || len(r.Databases) != 1 {
				t.Errorf("complete %v, problems %+v", r.Complete, r.Problems)
			}
			got := outcomes(r)
			for what := range tries {
				if what == "read" && slices.ContainsFunc(lacking, func(s string) bool { return strings.Contains(s, "Landlock") }) {
					t.Log("not tried: reading elsewhere, for lack of ", lacking)
					continue
				}
				if s := got[what]; !strings.Contains(s, "not permitted") && !strings.Contains(s, "denied") {
					t.Errorf("%s: got %q", what, s)
				}
			}
		})
	}
	if left, err := os.ReadDir(filepath.Dir(outside)); err != nil || len(left) != 1 {
		t.Errorf("the directory outside holds %v, %v", left, err)
	}
}

// A child reaches what the parent attached to it, and after its death the next
// one does; what was attached ends with each. In both forms of a layer it is the
// same descriptor.
func TestAttach(t *testing.T) {
	files := map[string]string{"a/do-attached": "attached one", "b/do-exit": "exit", "c/do-attached": "attached two"}
	for form, l := range map[string]image.Layer{"directory": tree(t, files), "stream": blobOf(t, files)} {
		t.Run(form, func(t *testing.T) {
			var begun, ended atomic.Int32
			s := New(Config{Set: isolatedSet(), Isolate: &Isolation{Limits: roomy, Attach: func(ctx context.Context) (*os.File, func(), error) {
				begun.Add(1)
				fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
				if err != nil {
					return nil, nil, err
				}
				ours, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
				go func() {
					in := bufio.NewReader(ours)
					for {
						line, err := in.ReadString('\n')
						if err != nil {
							ours.Close()
							return
						}
						fmt.Fprintf(ours, "heard %s", line)
					}
				}()
				return theirs, func() { ended.Add(1) }, nil
			}}})
			r, err := s.Layer(t.Context(), l)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range r.Packages {
				got = append(got, p.Path+" "+p.Version)
			}
			slices.Sort(got)
			if diff := cmp.Diff([]string{"/a/do-attached heard one\n", "/c/do-attached heard two\n"}, got); diff != "" {
				t.Error(diff)
			}
			// One that dies, one that finds out of what, and one behind it.
			if begun.Load() != 3 || ended.Load() != 3 {
				t.Errorf("%d begun, %d ended, want 3", begun.Load(), ended.Load())
			}
		})
	}
	refused := errors.New("no descriptors left")
	s := New(Config{Set: isolatedSet(), Isolate: &Isolation{Attach: func(context.Context) (*os.File, func(), error) { return nil, nil, refused }}})
	if r, err := s.Layer(t.Context(), tree(t, files)); err == nil && r.Complete {
		t.Errorf("complete without what has to be attached: %+v", r)
	}
}

// A file that an analyser could not ask about is skipped, and its layer is not
// whole: it is read again, and not kept.
func TestUnavailable(t *testing.T) {
	l := tree(t, map[string]string{"do-unavailable": "unavailable", "package.json": `{"name":"x","version":"1"}`})
	for where, isolate := range map[string]*Isolation{"here": nil, "in a sandbox": {Limits: roomy}} {
		t.Run(where, func(t *testing.T) {
			r, err := New(Config{Set: isolatedSet(), Isolate: isolate}).Layer(t.Context(), l)
			if err != nil {
				t.Fatal(err)
			}
			if r.Complete || r.Ledger.Skipped[skipUnasked] != 1 || len(r.Problems) != 1 || r.Problems[0].Reason != skipUnasked {
				t.Errorf("complete %v, skipped %v, problems %+v", r.Complete, r.Ledger.Skipped, r.Problems)
			}
		})
	}
}

// Some things are the end of the child, and of nothing else: the file is named
// with the reason, and what stands behind it is read.
func TestDeadly(t *testing.T) {
	for what, want := range map[string]string{
		"execve": skipForbid, "ptrace": skipForbid, "mount": skipForbid, "unshare": skipForbid,
		"memory": skipMemory, "exit": skipPanic, "panic-outside": skipPanic, "stack": skipMemory,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			if raceDetector && want == skipMemory {
				t.Skip("the race detector's own memory meets the limit first")
			}
			files := map[string]string{
				"a/node_modules/a/package.json": npmPackage("before", "1.0.0"),
				"b/do-" + what:                  what, "c/do-" + what: what,
				"d/node_modules/a/package.json": npmPackage("behind", "1.0.0"),
			}
			for form, l := range map[string]image.Layer{"directory": tree(t, files), "stream": blobOf(t, files), "file": fileLayer(t, blobOf(t, files))} {
				r, err := isolatedScanner(t, sandbox.Limits{Memory: 64 << 20, CPU: time.Minute}).Layer(t.Context(), l)
				if err != nil {
					t.Fatal(err)
				}
				skipped := []string{}
				for _, p := range r.Problems {
					if p.Reason != "" {
						skipped = append(skipped, p.Path+" "+p.Reason)
					}
				}
				if diff := cmp.Diff([]string{"/b/do-" + what + " " + want, "/c/do-" + what + " " + want}, skipped); diff != "" {
					t.Errorf("%s: %s\n%+v", form, diff, r.Problems)
				}
				names := []string{}
				for _, p := range r.Packages {
					names = append(names, p.Name)
				}
				if diff := cmp.Diff([]string{"before", "behind"}, names); diff != "" {
					t.Errorf("%s: %s", form, diff)
				}
				if r.Complete || r.Ledger.Files != 4 || r.Ledger.Parsed != 2 || r.Ledger.Skipped[want] != 2 {
					t.Errorf("%s: complete %v, %+v", form, r.Complete, r.Ledger)
				}
			}
		})
	}
}

// fileLayer is a layer whose stream is a part of a file.
func fileLayer(t testing.TB, l image.Layer) image.Layer {
	t.Helper()
	rc, err := l.Blob(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(rc)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "blob")
	if err := os.WriteFile(name, append([]byte("before"), append(b, "behind"...)...), 0o600); err != nil {
		t.Fatal(err)
	}
	l.Blob = func(context.Context) (io.ReadCloser, error) {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		return &ofFile{io.NewSectionReader(f, 6, int64(len(b))), f}, nil
	}
	return l
}

type ofFile struct {
	*io.SectionReader
	f *os.File
}

func (o *ofFile) Close() error { return o.f.Close() }

// The processor time of a layer is bounded, and what an analyser takes for one
// file without heeding its context too.
func TestProcessorTime(t *testing.T) {
	files := map[string]string{"a/do-spin": "spin", "b/node_modules/a/package.json": npmPackage("behind", "1.0.0")}
	s := isolatedScanner(t, sandbox.Limits{Memory: 64 << 20, CPU: 2 * time.Second})
	r, err := s.Layer(t.Context(), blobOf(t, files))
	if err != nil {
		t.Fatal(err)
	}
	if r.Complete || r.Ledger.Skipped[skipTime] != 1 || len(r.Problems) == 0 || !strings.Contains(r.Problems[len(r.Problems)-1].Message, "2s of processor time") {
		t.Errorf("got %+v, %+v", r.Ledger, r.Problems)
	}
	if testing.Short() {
		t.Skip("the time of one file takes long")
	}
	r, err = isolatedScanner(t, roomy).Layer(t.Context(), blobOf(t, files))
	if err != nil {
		t.Fatal(err)
	}
	if r.Complete || r.Ledger.Skipped[skipTime] != 1 || len(r.Packages) != 1 {
		t.Errorf("got %+v, %+v", r.Ledger, r.Problems)
	}
}

func TestLayerTime(t *testing.T) {
	s := New(Config{Set: isolatedSet(), Isolate: &Isolation{Limits: roomy, Time: time.Second}})
	began := time.Now()
	r, err := s.Layer(t.Context(), blobOf(t, map[string]string{"do-wait": "wait"}))
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); r.Complete || r.Ledger.Skipped[skipTime] != 1 || took > 10*time.Second {
		t.Errorf("after %s: %+v, %+v", took, r.Ledger, r.Problems)
	}
}

func TestScanEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := isolatedScanner(t, roomy).Layer(ctx, blobOf(t, map[string]string{"do-spin": "spin"}))
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
}

// A sandboxed scan gives the same report as one in this process, hard links
// that come again and all.
func TestSameReport(t *testing.T) {
	b := tarOf(t,
		entry{name: "var/lib/dpkg/status", content: dpkgStatus},
		entry{name: "usr/lib/os-release", content: "ID=debian\nVERSION_ID=\"12\"\n"},
		entry{name: "app/node_modules/a/package.json", content: npmPackage("old", "1.0.0")},
		entry{name: "app/node_modules/a/package.json", content: npmPackage("a", "2.0.0")},
		entry{name: "app/node_modules/b/package.json", link: "app/node_modules/a/package.json"},
		entry{name: "app/node_modules/c/package.json", content: `{"name":`},
		entry{name: "x/.wh.y"}, entry{name: "bad\xffname", content: "x"}, entry{name: "passed", content: "x"},
	)
	ls := map[string]image.Layer{"stream": layerOf(b), "file": fileLayer(t, layerOf(b))}
	want, err := New(Config{Set: isolatedSet()}).Layer(t.Context(), layerOf(b))
	if err != nil {
		t.Fatal(err)
	}
	for name, l := range ls {
		got, err := isolatedScanner(t, roomy).Layer(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		a, _ := json.Marshal(want)
		b, _ := json.Marshal(got)
		if !bytes.Equal(a, b) {
			t.Errorf("%s: not the same bytes", name)
		}
	}
}

// A hard link that comes again is still read if a child dies before and after
// its turn.
func TestRestartKeepsHardLinks(t *testing.T) {
	b := tarOf(t,
		entry{name: "app/node_modules/a/package.json", content: npmPackage("a", "2.0.0")},
		entry{name: "app/node_modules/b/package.json", link: "app/node_modules/a/package.json"},
		entry{name: "do-exit", content: "exit"},
		entry{name: "do-link", link: "do-exit"},
		entry{name: "app/node_modules/z/package.json", content: npmPackage("z", "2.0.0")},
		entry{name: "app/node_modules/c/package.json", link: "app/node_modules/z/package.json"},
	)
	for name, l := range map[string]image.Layer{"stream": layerOf(b), "file": fileLayer(t, layerOf(b))} {
		r, err := isolatedScanner(t, roomy).Layer(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range r.Packages {
			got = append(got, p.Path)
		}
		want := []string{"/app/node_modules/a/package.json", "/app/node_modules/b/package.json", "/app/node_modules/c/package.json", "/app/node_modules/z/package.json"}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if r.Ledger.Files != 6 || r.Ledger.Skipped[skipPanic] != 2 {
			t.Errorf("%s: %+v %+v", name, r.Ledger, r.Problems)
		}
	}
}

// Errors of the one who has the stream stay what they are.
func TestBlobErrors(t *testing.T) {
	broken := errors.New("the disk is on fire")
	b := tarOf(t, entry{name: "var/lib/dpkg/status", content: dpkgStatus}, entry{name: "x", content: strings.Repeat("x", 1<<20)})
	l := image.Layer{DiffID: image.DigestOf(b), Blob: func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(b[:1<<19]), failing{broken})), nil
	}}
	r, err := isolatedScanner(t, roomy).Layer(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	if r.Complete || len(r.Databases) != 1 || !slices.ContainsFunc(r.Problems, func(p report.Problem) bool { return p.Path == "" && strings.Contains(p.Message, broken.Error()) }) {
		t.Errorf("complete %v, %+v", r.Complete, r.Problems)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// Work goes on behind what kills a child, but not for ever; what was not
// reached is said.
func TestRestartsEnd(t *testing.T) {
	files := map[string]string{"zz/node_modules/a/package.json": npmPackage("behind", "1.0.0")}
	for i := range maxRestarts + 5 {
		files[fmt.Sprintf("a/%03d/do-exit", i)] = "exit"
	}
	r, err := isolatedScanner(t, roomy).Layer(t.Context(), blobOf(t, files))
	if err != nil {
		t.Fatal(err)
	}
	if r.Complete || r.Ledger.Skipped[skipPanic] != maxRestarts+1 || len(r.Packages) != 0 {
		t.Errorf("complete %v, %+v, %d packages", r.Complete, r.Ledger, len(r.Packages))
	}
	if p := r.Problems[0]; p.Path != "" || !strings.Contains(p.Message, "the rest of the layer was not read") {
		t.Errorf("got %+v", p)
	}
}

func TestTrySandbox(t *testing.T) {
	lacking, err := TrySandbox(t.Context(), isolatedSet())
	if err != nil {
		t.Fatal(err)
	}
	t.Log("this kernel lacks: ", lacking)
}

// The attributes of overlayfs are seen in the sandbox, and files that only root
// may read are read by root's children: without either a layer would be read
// wrongly in silence.
func TestPrivilegesThatReadingTakes(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: trusted attributes cannot be set")
	}
	l := tree(t, map[string]string{"etc/x": "", "var/lib/dpkg/status": dpkgStatus})
	if err := unix.Setxattr(filepath.Join(l.Dir, "etc"), "trusted.overlay.opaque", []byte("y"), 0); err != nil {
		t.Skip("no trusted attributes here: ", err)
	}
	status := filepath.Join(l.Dir, "var/lib/dpkg/status")
	if err := errors.Join(os.Chown(status, 1234, 1234), os.Chmod(status, 0), os.Chmod(filepath.Dir(status), 0o700), os.Chown(filepath.Dir(status), 1234, 1234)); err != nil {
		t.Fatal(err)
	}
	r, err := isolatedScanner(t, roomy).Layer(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Complete || len(r.Databases) != 1 || !slices.Equal(r.Opaques, []string{"/etc"}) {
		t.Errorf("complete %v, %d databases, opaque %v, %+v", r.Complete, len(r.Databases), r.Opaques, r.Problems)
	}
}
