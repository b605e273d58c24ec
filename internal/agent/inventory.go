package agent

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
)

// listTimeout bounds one listing of one engine.
const listTimeout = time.Minute

// held is one image and where it lies.
type held struct {
	src    image.Source
	img    image.Image
	silent time.Time // since when the engine does not answer; zero if it does
}

// slot is the place of a source in the order of sources.
type slot struct {
	name string
	src  image.Source
}

// inventory is what the engines of this host hold, as last seen.
type inventory struct {
	mu    sync.Mutex
	found []fleet.Engine // as Discover says
	slots []slot
	lists map[string]listing // by slot

	engines []fleet.Engine
	states  []fleet.ImageState
	hash    string
	where   map[image.Digest][]held
}

// listing is what a source said last.
type listing struct {
	images []image.Image
	err    error
	silent time.Time // since when err is set
}

// set says which sources there are, and reports whether that changed anything.
// A source in the place of another of the same name keeps the images of that
// until it has said its own.
func (v *inventory) set(slots []slot, engines []fleet.Engine) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	lists := map[string]listing{}
	for _, s := range slots {
		lists[s.name] = v.lists[s.name]
	}
	v.found, v.slots, v.lists = slices.Clone(engines), slots, lists
	return v.join()
}

// put takes over what a source says, and reports whether that changed
// anything. An engine that cannot be reached keeps the images it had: they are
// still on its disk, and a restarting engine must not look like one whose
// images were deleted.
func (v *inventory) put(s slot, images []image.Image, err error) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !slices.Contains(v.slots, s) {
		return false // it was replaced meanwhile
	}
	l := listing{images: images, err: err}
	if old := v.lists[s.name]; err != nil {
		l.images, l.silent = old.images, old.silent
		if l.silent.IsZero() {
			l.silent = time.Now()
		}
	}
	v.lists[s.name] = l
	return v.join()
}

// join makes one list of all.
func (v *inventory) join() bool {
	engines := slices.Clone(v.found)
	where := map[image.Digest][]held{}
	states := []fleet.ImageState{} // no image is a list too, not the lack of one
	for _, s := range v.slots {
		l := v.lists[s.name]
		if l.err != nil {
			engines = withError(engines, s.src.Engine(), l.err)
		}
		for _, img := range l.images {
			where[img.ConfigDigest] = append(where[img.ConfigDigest], held{s.src, img, l.silent})
			states = append(states, stateOf(img))
		}
	}
	slices.SortStableFunc(states, compareStates)
	states = fleet.Trim(states)
	hash := hashStates(states)
	changed := hash != v.hash || !slices.Equal(engines, v.engines)
	v.engines, v.states, v.hash, v.where = engines, states, hash, where
	return changed
}

// listOne turns a panic of a source into an error.
func listOne(ctx context.Context, src image.Source) (images []image.Image, err error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("list images: panic: %v", p)
		}
	}()
	return src.Images(ctx)
}

func withError(engines []fleet.Engine, name string, err error) []fleet.Engine {
	text := strings.Join(strings.Fields(err.Error()), " ")
	text = strings.ToValidUTF8(text[:min(len(text), fleet.MaxMessage)], "")
	for i := range engines {
		if engines[i].Name == name {
			if engines[i].Error == "" {
				engines[i].Error = text
			}
			return engines
		}
	}
	return append(engines, fleet.Engine{Name: name, Error: text})
}

func stateOf(img image.Image) fleet.ImageState {
	st := fleet.ImageState{
		Engine: img.Engine, ConfigDigest: img.ConfigDigest, ManifestDigest: img.ManifestDigest,
		Names: slices.Clone(img.Names), RepoDigests: slices.Clone(img.RepoDigests),
		Platform: img.Platform, Size: img.Size,
		Containers: slices.Clone(img.Containers), NonScanReason: img.NonScanReason,
	}
	if !img.Created.IsZero() {
		st.CreatedMS = max(0, img.Created.UnixMilli())
	}
	return st
}

func compareStates(a, b fleet.ImageState) int {
	return cmp.Or(cmp.Compare(a.ConfigDigest, b.ConfigDigest), cmp.Compare(a.Engine, b.Engine),
		cmp.Compare(a.ManifestDigest, b.ManifestDigest))
}

// hashStates names a list. Encoding it cannot fail: it holds texts and
// numbers.
func hashStates(states []fleet.ImageState) string {
	h := sha256.New()
	enc := json.NewEncoder(h)
	for i := range states {
		_ = enc.Encode(&states[i])
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// find is where an image lies, in the order of the sources.
func (v *inventory) find(d image.Digest) []held {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.where[d])
}

// snapshot is what a sync tells.
func (v *inventory) snapshot() (engines []fleet.Engine, states []fleet.ImageState, hash string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.engines, v.states, v.hash
}
