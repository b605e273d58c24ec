package hostile

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/all"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/test/shareddata"
)

// mutations is how many damaged inputs each analyser gets.
const mutations = 200

const (
	// maxSample is the largest input that is damaged: the interesting parts
	// of larger ones are no different.
	maxSample = 256 << 10
	// maxSuite is the same for what the suites leave.
	maxSuite = 4 << 20
	// perAnalyzer is how many good inputs are looked for.
	perAnalyzer = 4
)

// sample is a good input of an analyser.
type sample struct {
	path    string
	content []byte
}

// collector looks for good inputs: files that an analyser wants and understands.
type collector struct {
	found map[string][]sample
}

// offer shows a file to the analysers that need more.
func (c *collector) offer(t *testing.T, p string, content []byte, mode fs.FileMode) {
	if len(content) > maxSample {
		return
	}
	f := analyzetest.File(p, content)
	f.Info = analyzetest.Info{Base: path.Base(p), Bytes: int64(len(content)), Perm: mode}
	for _, a := range all.Set().Analyzers() {
		if len(c.found[a.Key()]) >= perAnalyzer || !a.Wants(p, f.Info) {
			continue
		}
		if s, ok := a.(analyze.Sniffer); ok && !s.Sniff(content[:min(len(content), analyze.SniffBytes)]) {
			continue
		}
		if facts, err := a.Analyze(t.Context(), f); err == nil && facts != nil {
			c.found[a.Key()] = append(c.found[a.Key()], sample{p, content})
		}
	}
}

// samples are good inputs by analyser: those that the analysers are tried on by
// their common suite, files of this machine, and real rpm databases.
func samples(t *testing.T) map[string][]sample {
	t.Helper()
	c := &collector{found: map[string][]sample{}}
	for _, s := range suites(t) {
		if len(s.Content) <= maxSuite {
			c.found[s.Key] = append(c.found[s.Key], sample{s.Path, s.Content})
		}
	}
	for _, root := range []string{"/var/lib/dpkg", "/usr/lib", "/usr/share", "/usr/local", "/usr/bin", "/etc"} {
		filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil
			}
			fi, err := d.Info()
			if err != nil || fi.Size() > maxSample || !slices.ContainsFunc(all.Set().Analyzers(), func(a analyze.Analyzer) bool {
				return len(c.found[a.Key()]) < perAnalyzer && a.Wants(name, fi)
			}) {
				return nil
			}
			if content, err := os.ReadFile(name); err == nil {
				c.offer(t, name, content, fi.Mode())
			}
			return nil
		})
	}
	c.found["rpm"] = append(c.found["rpm"], rpmDatabases(t)...)
	return c.found
}

// suites runs the suites of all analysers, which leave what they try them on.
func suites(t *testing.T) []analyzetest.Sample {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-run", "Suite", "./internal/analyze/...")
	cmd.Dir = shareddata.Root()
	cmd.Env = append(os.Environ(), "ONCEOVER_SAMPLES="+dir, "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("run the suites of the analysers: %v\n%s", err, out)
	}
	names, _ := filepath.Glob(filepath.Join(dir, "*.json"))
	var out []analyzetest.Sample
	for _, name := range names {
		b, err := os.ReadFile(name)
		must(t, err)
		var s analyzetest.Sample
		must(t, json.Unmarshal(b, &s))
		out = append(out, s)
	}
	return out
}

// rpmDatabases are real ones of the shared data, if it is there.
func rpmDatabases(t *testing.T) []sample {
	t.Helper()
	dir := shareddata.Find()
	if dir == "" {
		if os.Getenv("ONCEOVER_REQUIRE_DATA") == "1" {
			t.Fatal("no shared data")
		}
		t.Log("no shared data: no rpm databases are damaged")
		return nil
	}
	var out []sample
	names, _ := filepath.Glob(filepath.Join(dir, "rpmdb", "*.tar.zst"))
	for _, name := range names {
		f, err := os.Open(name)
		must(t, err)
		defer f.Close()
		z, err := zstd.NewReader(f)
		must(t, err)
		defer z.Close()
		for tr := tar.NewReader(z); ; {
			h, err := tr.Next()
			if err == io.EOF {
				break
			}
			must(t, err)
			switch path.Base(h.Name) {
			case "Packages", "Packages.db", "rpmdb.sqlite":
				b, err := io.ReadAll(tr)
				must(t, err)
				out = append(out, sample{"/var/lib/rpm/" + path.Base(h.Name), b})
			}
		}
	}
	if len(out) == 0 {
		t.Error("there is no rpm database in the shared data")
	}
	return out
}

// mutate damages content in one of several ways.
func mutate(r *rand.Rand, content []byte) []byte {
	b := bytes.Clone(content)
	if len(b) == 0 {
		return []byte{0}
	}
	at := func() int { return r.IntN(len(b)) }
	for range 1 + r.IntN(4) {
		switch r.IntN(8) {
		case 0: // flip bits
			for range 1 + r.IntN(16) {
				b[at()] ^= 1 << r.IntN(8)
			}
		case 1: // cut
			b = b[:1+at()]
		case 2: // repeat a part
			from := at()
			part := bytes.Clone(b[from:min(len(b), from+1+r.IntN(4096))])
			b = slices.Insert(b, from, bytes.Repeat(part, 1+r.IntN(64))...)
		case 3: // extreme numbers
			n := at()
			for i := n; i < min(len(b), n+[]int{1, 2, 4, 8}[r.IntN(4)]); i++ {
				b[i] = []byte{0, 0xff, 0x7f, 0x80}[r.IntN(4)]
			}
		case 4: // take a part out
			from := at()
			b = slices.Delete(b, from, min(len(b), from+1+r.IntN(256)))
		case 5: // move a part
			from, to := at(), at()
			n := min(len(b)-max(from, to), 1+r.IntN(512))
			copy(b[to:to+n], bytes.Clone(b[from:from+n]))
		case 6: // digits and brackets
			for range 1 + r.IntN(8) {
				b[at()] = "0123456789[]{}\"':,\\\x00\n"[r.IntN(21)]
			}
		case 7: // longer than it says
			b = append(b, content[:1+r.IntN(len(content))]...)
		}
		if len(b) == 0 {
			b = []byte{0}
		}
	}
	return b
}

// TestMutatedInputs gives each analyser 200 damaged inputs, all in one image:
// layer n has the nth of each. Every layer has a healthy package beside them.
func TestMutatedInputs(t *testing.T) {
	good := samples(t)
	n := mutations
	if testing.Short() {
		n /= 10
	}
	for _, a := range all.Set().Analyzers() {
		if len(good[a.Key()]) == 0 {
			t.Errorf("%s has no suite that leaves a good input", a.Key())
		}
	}
	keys := make([]string, 0, len(good))
	for key := range good {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	var layers []spec
	inputs := 0
	for i := range n {
		layers = append(layers, packed(tarLayer(fmt.Sprint(i), func(tw *tar.Writer) {
			seen := map[string]bool{}
			for k, key := range keys {
				s := good[key][i%len(good[key])]
				if seen[s.path] {
					continue // another one has this layer's file of the name
				}
				seen[s.path] = true
				r := rand.New(rand.NewPCG(uint64(i), uint64(k)))
				add(tw, strings.TrimPrefix(s.path, "/"), mutate(r, s.content))
				inputs++
			}
		}), zst))
	}
	target := archive(t, layers...)
	t.Logf("%d damaged inputs for %d analysers", inputs, len(keys))
	m := scan(t, 5*time.Minute, target)
	im := m.Images[0]
	for i, l := range im.Layers {
		if l.Ledger == nil || l.Ledger.Parsed < 1 {
			t.Errorf("layer %d: the healthy neighbour was not parsed: %+v", i, l.Ledger)
		}
	}
	neighbours(t, m)
	t.Logf("%+v, %d problems, complete %v", im.Ledger, len(im.Problems), im.Complete)
	for _, p := range im.Problems {
		switch p.Reason {
		case "out-of-time", "out-of-memory", "forbidden", "analyser-failed":
			t.Logf("%s: %s: %s", p.Path, p.Reason, p.Message)
		}
	}
}
