package scan

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

// sent is a stream of messages as a worker would send it.
func sent(t testing.TB, say func(s *sender)) []byte {
	t.Helper()
	var b bytes.Buffer
	s := newSender(&b)
	say(s)
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// collect books a stream until its end or an error.
func collect(b []byte) (*collector, error) {
	c := newCollector(image.Layer{DiffID: image.DigestOf(nil)}, "set")
	in := newReceiver(bytes.NewReader(b))
	for {
		kind, body, err := in.next()
		if errors.Is(err, io.EOF) {
			return c, nil
		}
		if err == nil {
			err = c.take(kind, body)
		}
		if err != nil {
			return c, err
		}
	}
}

func beginFile(s *sender, n uint64, p string) {
	s.flushBatches()
	head := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, n), 1)
	s.send(msgBegin, binary.LittleEndian.AppendUint64(head, 1), []byte(p))
}

func fileSays(s *sender, n uint64, p string, r result) {
	beginFile(s, n, p)
	if err := s.sendJSON(msgResult, []result{r}); err != nil {
		panic(err)
	}
}

// A child that was taken over can send anything; what makes no sense ends it.
func TestCollectorTrustsNobody(t *testing.T) {
	long := strings.Repeat("x", maxPath)
	good := report.Package{Type: report.TypeNPM, Name: "a", Version: "1", Path: "/a"}
	says := func(r result) func(*sender) {
		return func(s *sender) { fileSays(s, 1, "/a", r) }
	}
	for name, say := range map[string]func(*sender){
		"unknown kind":          func(s *sender) { s.send('?') },
		"half a hash":           func(s *sender) { s.send(msgDirs, []byte("1234567")) },
		"relative path":         func(s *sender) { beginFile(s, 1, "etc/passwd") },
		"path that leads up":    func(s *sender) { s.send(msgWhiteout, []byte("/a/../b")) },
		"long path":             func(s *sender) { s.send(msgOpaque, []byte("/"+long)) },
		"short symlink":         func(s *sender) { s.send(msgSymlink, []byte("abc")) },
		"symlink beyond itself": func(s *sender) { s.send(msgSymlink, []byte{200, 0, 0, 0}, []byte("/a")) },
		"long target":           func(s *sender) { s.send(msgSymlink, []byte{2, 0, 0, 0}, []byte("/a"), []byte(long+"x")) },
		"no JSON":               func(s *sender) { beginFile(s, 1, "/a"); s.send(msgResult, []byte("{")) },
		"result of no file":     func(s *sender) { s.send(msgResult, []byte("{}")) },
		"two files at once":     func(s *sender) { beginFile(s, 1, "/a"); beginFile(s, 2, "/b") },
		"reset twice":           func(s *sender) { s.send(msgReset); s.send(msgReset) },
		"reset within a file":   func(s *sender) { beginFile(s, 1, "/a"); s.send(msgReset) },
		"deferred without file": func(s *sender) { s.send(msgDeferred, make([]byte, 8)) },
		"no set wants the file": func(s *sender) { s.send(msgBegin, make([]byte, 24), []byte("/a")) },
		"set that is not there": func(s *sender) { s.send(msgBegin, bytes.Repeat([]byte{2}, 24), []byte("/a")) },
		"results of two":        func(s *sender) { beginFile(s, 1, "/a"); s.send(msgResult, []byte("[{},{}]")) },
		"nothing of no file":    func(s *sender) { s.send(msgNothing, []byte{0}) },
		"nothing of two":        func(s *sender) { beginFile(s, 1, "/a"); s.send(msgNothing, []byte{0, 0}) },
		"nothing of nobody":     func(s *sender) { beginFile(s, 1, "/a"); s.send(msgNothing) },
		"more than everything":  func(s *sender) { beginFile(s, 1, "/a"); s.send(msgNothing, bytes.Repeat([]byte{255}, 9), []byte{1}) },
		"secret elsewhere":      says(result{Facts: []report.Facts{{Secrets: []report.Secret{{Rule: "r", Path: "/b"}}}}}),
		"malware elsewhere":     says(result{Facts: []report.Facts{{Malware: []report.Malware{{Rule: "r", Path: "/b"}}}}}),
		"setting elsewhere":     says(result{Facts: []report.Facts{{Settings: []report.Setting{{Kind: "k", Path: "/b", Body: []byte("1")}}}}}),
		"directory of no set":   func(s *sender) { s.send(msgStatFacts, []byte(`{"set":1,"path":"/a","facts":{}}`)) },
		"directory elsewhere": func(s *sender) {
			s.send(msgStatFacts, []byte(`{"path":"/a","facts":{"settings":[{"kind":"k","path":"/b","body":1}]}}`))
		},
		"made-up reason":       says(result{Skipped: "tired"}),
		"problem elsewhere":    says(result{Problems: []report.Problem{{Path: "../x", Analyzer: "a", Message: "m"}}}),
		"package without name": says(result{Facts: []report.Facts{{Packages: []report.Package{{Type: "npm", Path: "/a"}}}}}),
		"package from nowhere": says(result{Facts: []report.Facts{{Packages: []report.Package{{Type: "npm", Name: "a", Path: "a"}}}}}),
		"database of nobody":   says(result{Facts: []report.Facts{{Database: &report.Database{Packages: []report.Package{good}}}}}),
		"ownership of nobody":  says(result{Facts: []report.Facts{{Ownership: []report.Ownership{{Owner: "deb:a"}}}}}),
	} {
		if _, err := collect(sent(t, say)); !errors.Is(err, errMessage) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	// A length that is not backed by bytes allocates nothing.
	var head [headerBytes]byte
	head[0] = msgResult
	binary.LittleEndian.PutUint32(head[1:], maxMessage+1)
	if _, err := collect(head[:]); !errors.Is(err, errMessage) {
		t.Errorf("large message: got %v", err)
	}
	// What only the merge may say does not come through.
	forged := good
	forged.Layer, forged.OwnedBy = "sha256:x", "deb:x"
	c, err := collect(sent(t, says(result{Facts: []report.Facts{{Packages: []report.Package{forged}}}})))
	if err != nil {
		t.Fatal(err)
	}
	if r := c.finish(nil)[0]; r.Packages[0].Layer != "" || r.Packages[0].OwnedBy != "" {
		t.Errorf("got %+v", r.Packages[0])
	}
}

// Beyond each limit things are counted, and the report says so.
func TestCollectorLimits(t *testing.T) {
	many := func(n int) []report.Package {
		ps := make([]report.Package, n)
		for i := range ps {
			ps[i] = report.Package{Type: "npm", Name: "a", Path: "/a"}
		}
		return ps
	}
	large := []report.Facts{{Packages: []report.Package{{Type: "npm", Name: strings.Repeat("n", maxMessage-1000), Path: "/a"}}}}
	for _, tc := range []struct {
		name     string
		say      func(c *collector)
		want     string
		complete bool
	}{
		{"stat data", func(c *collector) {
			for i := range maxStatFactsKept + 3 {
				body := fmt.Sprintf(`{"path":"/%d","facts":{}}`, i)
				if err := c.take(msgStatFacts, []byte(body)); err != nil {
					t.Fatal(err)
				}
			}
		}, "modes and owners of 3 files and directories are left out", true},
		{"problems", func(c *collector) {
			for range maxProblems + 3 {
				c.columns[0].problem(report.Problem{Path: "/a", Analyzer: "a", Message: "m"})
			}
		}, "3 more problems: the limit of a layer is 10000", true},
		{"packages", func(c *collector) {
			for i := range 3 {
				c.at = begun{n: uint64(i + 1), want: 1, path: fmt.Sprint("/", i)}
				if err := c.results([]result{{Facts: []report.Facts{{Packages: many(maxPackages/2 + 1)}}}}, 1); err != nil {
					panic(err)
				}
			}
		}, fmt.Sprintf("%d packages left out: the limit of a layer is %d", maxPackages+2, maxPackages), true},
		{"facts", func(c *collector) {
			for i := range maxFacts/maxMessage + 2 {
				c.at = begun{n: uint64(i + 1), want: 1, path: fmt.Sprint("/", i)}
				if err := c.results([]result{{Facts: large}}, maxMessage-500); err != nil {
					panic(err)
				}
			}
		}, "what 2 files say is left out", false},
		{"symbolic links", func(c *collector) {
			target := bytes.Repeat([]byte("t"), maxPath)
			for i := range maxNames/maxPath + 1 {
				p := fmt.Sprint("/", i)
				if err := c.symlink(append(binary.LittleEndian.AppendUint32(nil, uint32(len(p))), append([]byte(p), target...)...)); err != nil {
					panic(err)
				}
			}
		}, "symbolic links and whiteouts left out", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newCollector(image.Layer{}, "set")
			tc.say(c)
			r := c.finish(nil)[0]
			found := false
			for _, p := range r.Problems {
				found = found || strings.Contains(p.Message, tc.want)
			}
			if !found || r.Complete != tc.complete {
				t.Errorf("complete %v, no problem says %q: %+v", r.Complete, tc.want, r.Problems[:min(3, len(r.Problems))])
			}
		})
	}
	c := newCollector(image.Layer{}, "set")
	var err error
	for n := 0; err == nil && n < maxEntries+batch; n += batch {
		_, err = c.hashes(make([]byte, 8*batch), &c.base.Dirs)
	}
	if !errors.Is(err, errMessage) {
		t.Errorf("entries: got %v", err)
	}
	// A file that says more than a message holds is skipped with the reason.
	b := sent(t, func(s *sender) {
		beginFile(s, 1, "/a")
		w := &worker{out: s}
		w.tell("/a", []result{{Facts: []report.Facts{{Packages: []report.Package{{Type: "npm", Name: strings.Repeat("n", maxMessage), Path: "/a"}}}}}})
	})
	c, err = collect(b)
	if err != nil || c.base.Ledger.Skipped[skipTooLarge] != 1 {
		t.Errorf("%v: %+v", err, c.base.Ledger)
	}
}

func FuzzCollector(f *testing.F) {
	f.Add(sent(f, func(s *sender) {
		s.hash(msgDirs, 1)
		s.hash(msgPassed, 2)
		s.send(msgSymlink, []byte{2, 0, 0, 0}, []byte("/a"), []byte("b"))
		s.send(msgWhiteout, []byte("/w"))
		fileSays(s, 3, "/app/package.json", result{Facts: []report.Facts{{Packages: []report.Package{{Type: "npm", Name: "a", Path: "/app/package.json"}}}}})
		(&worker{out: s}).tellFile("/app/tool", hashed{size: 7, mode: 0o755, kind: 1})
		s.send(msgReset)
		(&worker{out: s}).tellFile("/app/data", hashed{size: 7, mode: 0o644, reason: reasonBudget})
		fileSays(s, 4, "/x", result{Skipped: skipDamaged, Problems: []report.Problem{{Path: "/x", Analyzer: "a/1", Message: "m"}}})
		beginFile(s, 6, "/nothing")
		s.send(msgNothing, []byte{200, 1})
		beginFile(s, 5, "/link")
		s.send(msgDeferred, binary.LittleEndian.AppendUint64(nil, 5))
		if err := s.sendJSON(msgEnd, end{Error: newFailure(errOrder)}); err != nil {
			f.Fatal(err)
		}
	}))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := collect(b)
		r := c.finish(err)[0]
		l := r.Ledger
		sum := l.Parsed + l.Examined + l.Passed
		for _, n := range l.Skipped {
			sum += n
		}
		if sum != l.Files {
			t.Errorf("the ledger does not add up: %+v", l)
		}
		if len(r.Files) > report.MaxFiles || int64(len(r.Files)) > l.Hashed {
			t.Errorf("%d files: %+v", len(r.Files), l)
		}
		for _, f := range r.Files {
			if !absolute(f.Path) || f.Size <= 0 {
				t.Errorf("a file without path or size: %+v", f)
			}
		}
		report.Merge([]*report.LayerReport{r})
	})
}
