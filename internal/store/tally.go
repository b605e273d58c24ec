package store

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/onceover/onceover/internal/report"
)

// maxJudgements is how many different judgements are told of one vulnerability.
const maxJudgements = 20

// A tally counts who in a project has the findings of vulnerabilities. The
// caller holds the lock of the index for reading.
type tally struct {
	x       *index
	h       *hearing
	partsOf map[int64][]int64
	// images and running are those of each slot of the project, 0 for the
	// others: beside each other they stay in the processor's cache.
	images, running []int32
	byPkg           map[int64]*holding
	// planes count a set of slots without looking at each; made when the
	// first set is counted.
	imagePlanes, runningPlanes planes
	union                      map[string]holding // without slots
	key                        []byte
	set                        bitmap
	stamp                      []uint32 // of each slot: the round in which it was seen
	round                      uint32
}

// A holding is the contents of the project that have a package, as a set as well
// if they are many.
type holding struct {
	slots       []int32
	set         bitmap
	all, runner int64 // images, and running containers
}

func newTally(x *index, project int32, h *hearing, partsOf map[int64][]int64) *tally {
	n := len(x.slots)
	t := &tally{x: x, h: h, partsOf: partsOf, images: make([]int32, n), running: make([]int32, n),
		byPkg: map[int64]*holding{}, union: map[string]holding{}, stamp: make([]uint32, n)}
	for at := range x.slots {
		if s := &x.slots[at]; s.project == project {
			t.images[at], t.running[at] = s.images, s.running
		}
	}
	t.set = newBitmap(n)
	return t
}

// of are the contents that have a package.
func (t *tally) of(pkg int64) *holding {
	out := t.byPkg[pkg]
	if out != nil {
		return out
	}
	out = &holding{}
	t.byPkg[pkg] = out
	t.round++
	for _, part := range t.partsOf[pkg] {
		for _, at := range t.x.parts[part] {
			if n := t.images[at]; n > 0 && t.stamp[at] != t.round {
				t.stamp[at] = t.round
				out.slots = append(out.slots, at)
				out.all += int64(n)
				out.runner += int64(t.running[at])
			}
		}
	}
	if len(out.slots) > len(t.set) { // more than words
		out.set = newBitmap(len(t.images))
		for _, at := range out.slots {
			out.set.set(at)
		}
	}
	return out
}

// ofAll counts the contents that have one of some packages. Most advisories are
// about packages that others are about as well.
func (t *tally) ofAll(findings []findingFact) holding {
	if len(findings) == 1 {
		return *t.of(findings[0].pkg)
	}
	t.key = t.key[:0]
	for _, f := range findings {
		if len(t.of(f.pkg).slots) > 0 { // which may use a round of its own
			t.key = binary.LittleEndian.AppendUint64(t.key, uint64(f.pkg))
		}
	}
	if out, ok := t.union[string(t.key)]; ok {
		return out
	}
	clear(t.set)
	for _, f := range findings {
		of := t.of(f.pkg)
		if of.set != nil {
			for i, w := range of.set {
				t.set[i] |= w
			}
			continue
		}
		for _, at := range of.slots {
			t.set.set(at)
		}
	}
	if t.imagePlanes == nil {
		t.imagePlanes, t.runningPlanes = newPlanes(t.images), newPlanes(t.running)
	}
	out := holding{all: t.imagePlanes.sum(t.set), runner: t.runningPlanes.sum(t.set)}
	t.union[string(t.key)] = out
	return out
}

// planes are numbers cut into bits: the first has the numbers that are odd, and
// so on. The sum over a set is one pass over words.
type planes []bitmap

func newPlanes(values []int32) planes {
	var out planes
	for at, v := range values {
		for k := 0; v>>k > 0; k++ {
			if k == len(out) {
				out = append(out, newBitmap(len(values)))
			}
			if v>>k&1 != 0 {
				out[k].set(int32(at))
			}
		}
	}
	return out
}

func (p planes) sum(set bitmap) (n int64) {
	for k, plane := range p {
		ones := 0
		for i, w := range set {
			ones += bits.OnesCount64(w & plane[i])
		}
		n += int64(ones) << k
	}
	return n
}

// each calls do once for every slot that has one of some packages.
func (t *tally) each(findings []findingFact, do func(at int32)) {
	for _, f := range findings {
		t.of(f.pkg)
	}
	t.round++
	for _, f := range findings {
		for _, at := range t.of(f.pkg).slots {
			if t.stamp[at] != t.round {
				t.stamp[at] = t.round
				do(at)
			}
		}
	}
}

// A tallied is one vulnerability, counted.
type tallied struct {
	images, running, suppressed int64
	severity                    int64
	fixed                       bool
	priority                    int
	except                      map[int64]bool // contents in which nothing stands
	words                       []report.Judgement
}

func (t *tally) count(v *vulFact) (tallied, error) {
	var out tallied
	have := t.ofAll(v.findings)
	out.images, out.running = have.all, have.runner
	stands := map[int64]bool{}  // packages somewhere
	running := map[int64]bool{} // and there a container runs
	judged := t.h.concerns(v.id)
	if judged {
		if err := t.judge(v, &out, stands, running); err != nil {
			return out, err
		}
	}
	all := judged && len(stands) == 0 // nothing stands: the numbers are of all
	for _, f := range v.findings {
		of := t.of(f.pkg)
		if len(of.slots) == 0 || judged && !all && !stands[f.pkg] {
			continue
		}
		out.severity = max(out.severity, f.severity)
		out.fixed = out.fixed || f.fixed
		runs := of.runner > 0
		if judged && !all {
			runs = running[f.pkg]
		}
		out.priority = max(out.priority, v.priority(f, runs))
	}
	return out, nil
}

// judge takes out what documents set aside.
func (t *tally) judge(v *vulFact, out *tallied, stands, running map[int64]bool) error {
	var packages []int64
	for _, f := range v.findings {
		if len(t.of(f.pkg).slots) > 0 {
			packages = append(packages, f.pkg)
		}
	}
	if err := t.h.read(packages...); err != nil {
		return err
	}
	out.images, out.running = 0, 0
	standing := map[int32]bool{}
	for _, pkg := range packages {
		for _, at := range t.of(pkg).slots {
			s := &t.x.slots[at]
			word, err := t.h.word(s.content, s.parts, pkg, v.id)
			if err != nil {
				return err
			}
			if word != nil && len(out.words) < maxJudgements && !slices.Contains(out.words, *word) {
				out.words = append(out.words, *word)
			}
			if word.Suppresses() {
				continue
			}
			standing[at], stands[pkg] = true, true
			running[pkg] = running[pkg] || s.running > 0
		}
	}
	t.each(v.findings, func(at int32) {
		if standing[at] {
			out.images += int64(t.images[at])
			out.running += int64(t.running[at])
			return
		}
		if out.except == nil {
			out.except = map[int64]bool{}
		}
		out.except[t.x.slots[at].content] = true
		out.suppressed += int64(t.images[at])
	})
	return nil
}
