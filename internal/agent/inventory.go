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
	src image.Source
	img image.Image
}

// inventory is what the engines of this host hold, as last seen.
type inventory struct {
	mu      sync.Mutex
	engines []fleet.Engine
	states  []fleet.ImageState
	hash    string
	where   map[image.Digest][]held
	last    map[string][]image.Image // by place and name of the source
}

// list asks every source and reports whether anything changed. An engine that
// cannot be reached keeps the images it had: they are still on its disk, and a
// restarting engine must not look like one whose images were deleted.
func (v *inventory) list(ctx context.Context, sources []image.Source, engines []fleet.Engine) bool {
	engines = slices.Clone(engines)
	where := map[image.Digest][]held{}
	lists := map[string][]image.Image{}
	var states []fleet.ImageState
	for i, src := range sources {
		name := src.Engine()
		slot := fmt.Sprintf("%d %s", i, name)
		images, err := listOne(ctx, src)
		if err != nil {
			if ctx.Err() != nil {
				return false
			}
			engines = withError(engines, name, err)
			v.mu.Lock()
			images = v.last[slot]
			v.mu.Unlock()
		}
		lists[slot] = images
		for _, img := range images {
			where[img.ConfigDigest] = append(where[img.ConfigDigest], held{src, img})
			states = append(states, stateOf(img))
		}
	}
	slices.SortStableFunc(states, compareStates)
	states = fleet.Trim(states)
	hash := hashStates(states)

	v.mu.Lock()
	defer v.mu.Unlock()
	changed := hash != v.hash || !slices.Equal(engines, v.engines)
	v.engines, v.states, v.hash, v.where, v.last = engines, states, hash, where, lists
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
