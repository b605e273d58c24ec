package overlay

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/scan"
)

// An item is one entry of a tar layer.
type item struct {
	kind byte // one of the tar types
	name string
	link string
	data string
}

func (i item) String() string {
	switch i.kind {
	case tar.TypeDir:
		return i.name + "/"
	case tar.TypeSymlink:
		return i.name + " -> " + i.link
	case tar.TypeLink:
		return i.name + " = " + i.link
	case tar.TypeChar:
		return i.name + " device"
	}
	return i.name
}

// randomStack makes layers, lowest first.
func randomStack(rnd *rand.Rand) [][]item {
	out := make([][]item, 2+rnd.IntN(5))
	for n := range out {
		out[n] = randomLayer(rnd, n)
	}
	return out
}

func randomLayer(rnd *rand.Rand, n int) []item {
	var out []item
	var files []string
	// Most layers are to be of use: what cannot be unpacked stays out of
	// them.
	scratch := newFolder()
	strict := rnd.IntN(20) > 0
	for k := range rnd.IntN(14) {
		p := randomPath(rnd)
		it := item{kind: tar.TypeReg, name: p, data: fmt.Sprintf("%d.%d", n, k)}
		switch rnd.IntN(24) {
		case 0, 1, 2, 3:
			it = item{kind: tar.TypeDir, name: p}
		case 4, 5, 6:
			it = item{kind: tar.TypeSymlink, name: p, link: randomTarget(rnd)}
		case 7, 8, 9:
			dir, base := path.Split(p)
			it = item{kind: tar.TypeReg, name: dir + ".wh." + base}
		case 10:
			it = item{kind: tar.TypeReg, name: path.Join(p, ".wh..wh..opq")}
		case 11, 12:
			if len(files) > 0 {
				it = item{kind: tar.TypeLink, name: p, link: files[rnd.IntN(len(files))]}
			}
		case 13:
			it = item{kind: tar.TypeChar, name: p}
		case 14:
			if len(out) > 0 { // the path of an entry of this layer once more
				it.name = out[rnd.IntN(len(out))].name
			}
		}
		if ok := unpack(scratch, it); !ok && strict {
			continue
		}
		if it.kind == tar.TypeReg && it.data != "" || it.kind == tar.TypeSymlink {
			files = append(files, it.name)
		}
		out = append(out, it)
	}
	return out
}

// names are few, so that they meet. "!" has a meaning in the paths of packages,
// and names need not be UTF-8.
var names = []string{"a", "b\xe9", "c!a"}

func randomPath(rnd *rand.Rand) string {
	p := names[rnd.IntN(3)]
	for range rnd.IntN(4) {
		p += "/" + names[rnd.IntN(3)]
	}
	return p
}

func randomTarget(rnd *rand.Rand) string {
	t := randomPath(rnd)
	switch rnd.IntN(4) {
	case 0:
		return "/" + t
	case 1:
		return "../" + t
	case 2:
		return "./" + names[rnd.IntN(3)] + "/../" + t
	}
	return t
}

// tarOf packs a layer.
func tarOf(t *testing.T, items []item) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, it := range items {
		h := &tar.Header{Typeflag: it.kind, Name: it.name, Linkname: it.link, Mode: 0o755, Size: int64(len(it.data))}
		if it.kind == tar.TypeChar {
			h.Devmajor, h.Devminor = 1, 3
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, it.data)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// content is an analyser that tells of every file what it holds.
type content struct{}

func (content) Key() string                    { return "content/1" }
func (content) Wants(string, fs.FileInfo) bool { return true }

func (content) Analyze(_ context.Context, f analyze.File) (*report.Facts, error) {
	b, err := io.ReadAll(io.NewSectionReader(f.Content, 0, f.Size))
	if err != nil {
		return nil, err
	}
	return &report.Facts{Packages: []report.Package{{Type: report.TypeGeneric, Name: "file", Version: string(b), Path: f.Path}}}, nil
}

// pipeline scans layers.
type pipeline struct {
	t *testing.T
	s *scan.Scanner
}

func newPipeline(t *testing.T) *pipeline {
	return &pipeline{t, scan.New(scan.Config{Set: analyze.NewSet(report.CheckPackages, content{})})}
}

// merged is what an image of these layers holds, path to content, and whether
// every layer could be read.
func (p *pipeline) merged(layers []image.Layer) (map[string]string, bool) {
	p.t.Helper()
	reports := make([]*report.LayerReport, len(layers))
	for i, l := range layers {
		r, err := p.s.Layer(context.Background(), l)
		if err != nil {
			p.t.Fatal(err)
		}
		// As it comes back from a cache.
		b, err := json.Marshal(r)
		if err != nil {
			p.t.Fatal(err)
		}
		reports[i] = &report.LayerReport{}
		if err := json.Unmarshal(b, reports[i]); err != nil {
			p.t.Fatal(err)
		}
	}
	inv := report.Merge(reports)
	out := map[string]string{}
	for _, pkg := range inv.Packages {
		if old, ok := out[pkg.Path]; ok {
			p.t.Errorf("%s is there twice: %s and %s", pkg.Path, old, pkg.Version)
		}
		out[pkg.Path] = pkg.Version
	}
	return out, inv.Complete
}

func blobs(tars [][]byte) []image.Layer {
	out := make([]image.Layer, len(tars))
	for i, b := range tars {
		out[i] = image.Layer{DiffID: image.DigestOf(b), Blob: func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(b)), nil
		}}
	}
	return out
}

var (
	stacksWanted = flag.Int("stacks", 2_500, "compare so many random stacks, with the kernel and with the model")
	firstSeed    = flag.Int("seed", -1, "begin with this seed; -1 for another one each time")
)

// stacks is how many random stacks a test compares.
func stacks(short int) int {
	if testing.Short() {
		return short
	}
	return *stacksWanted
}

// first is the seed of the first stack: other stacks each time say more than
// the same ones again.
func first(t *testing.T) int {
	t.Helper()
	n := *firstSeed
	if n < 0 {
		n = int(rand.Int32())
	}
	t.Logf("the first seed is %d: go test ./test/overlay -args -seed %d", n, n)
	return n
}

// describe lists layers for a failure.
func describe(layers [][]item) string {
	var b strings.Builder
	for i, l := range layers {
		fmt.Fprintf(&b, "layer %d: %v\n", i, l)
	}
	return b.String()
}

// TestMergeAgainstModel needs no privileges.
func TestMergeAgainstModel(t *testing.T) {
	t.Parallel()
	p := newPipeline(t)
	same, refused, files := 0, 0, 0
	for seed := first(t); same < stacks(500); seed++ {
		rnd := rand.New(rand.NewPCG(uint64(seed), 1))
		layers := randomStack(rnd)
		var tars [][]byte
		model := newFolder()
		ok := true
		for _, l := range layers {
			tars = append(tars, tarOf(t, l))
			ok = apply(model, l) && ok
		}
		got, complete := p.merged(blobs(tars))
		if !ok {
			if refused++; complete {
				t.Fatalf("seed %d: no engine unpacks this, and it is called complete\n%s", seed, describe(layers))
			}
			continue
		}
		same++
		want := map[string]string{}
		model.list("", want)
		files += len(want)
		if diff := compare(want, got); diff != "" || !complete {
			t.Fatalf("seed %d, complete %v:\n%s%s", seed, complete, diff, describe(layers))
		}
	}
	t.Logf("%d stacks, %d files alike; %d stacks that no engine unpacks", same, files, refused)
}

func compare(want, got map[string]string) string {
	var out []string
	for p, v := range want {
		if w, ok := got[p]; !ok {
			out = append(out, fmt.Sprintf("- %s %s\n", p, v))
		} else if w != v {
			out = append(out, fmt.Sprintf("! %s %s, got %s\n", p, v, w))
		}
	}
	for p, v := range got {
		if _, ok := want[p]; !ok {
			out = append(out, fmt.Sprintf("+ %s %s\n", p, v))
		}
	}
	slices.Sort(out)
	return strings.Join(out, "")
}
