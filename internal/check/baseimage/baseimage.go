package baseimage

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

// How a base image was found, surest first.
const (
	// ByLayers: the fleet holds an image whose layers are the lowest of
	// this one.
	ByLayers = "layers"
	// ByLabel: the image names it in the labels of the OCI specification.
	ByLabel = "label"
	// ByHistory: buildah noted it in the history.
	ByHistory = "history"
	// BySystem: only the distribution is known.
	BySystem = "os-release"
)

const (
	// maxLayers bounds the layers that are looked up. Engines allow 127.
	maxLayers = 500
	// maxNames bounds the names that a base image is shown with.
	maxNames = 20
	// maxNameBytes bounds a name that an image gives its base.
	maxNameBytes = 512
)

// A Candidate is an image of the fleet as a possible base.
type Candidate struct {
	// ChainID of its whole stack.
	ChainID image.Digest
	// ConfigDigest of the image.
	ConfigDigest image.Digest
	// Names of the image, in any order.
	Names []image.Ref
	// Steps is the number of entries of its history.
	Steps int
}

// A Fleet finds images by their layers.
type Fleet interface {
	// Stacks returns the images of which the whole stack has one of the
	// chain IDs, in any order. It may be called concurrently. That there
	// is none is no error.
	Stacks(ctx context.Context, chainIDs []image.Digest) ([]Candidate, error)
}

// An Input is the image that a base is looked for.
type Input struct {
	ConfigDigest image.Digest
	DiffIDs      []image.Digest
	Labels       map[string]string
	History      []image.History
	// Distro of the image; SystemLayer is the diff ID of the layer with its
	// os-release, "" if that is not known.
	Distro      report.Distro
	SystemLayer image.Digest
}

// A Base is an image that another was built from.
type Base struct {
	// How it was found, one of the By constants.
	How string `json:"how"`
	// OSName and OSVersion are the distribution, which an image shares
	// with its base.
	OSName    string `json:"os_name,omitempty"`
	OSVersion string `json:"os_version,omitempty"`
	// LayerDigest is the diff ID of the uppermost layer of the base, "" if
	// it is not known.
	LayerDigest image.Digest `json:"layer_digest,omitempty"`
	// Layers is how many of the image's layers are the base's, 0 if that is
	// not known.
	Layers int `json:"layers,omitempty"`
	// Names the base goes by, sorted.
	Names []string `json:"names,omitempty"`
	// Digests are config digests of the fleet's images, or the manifest
	// digest that the label names.
	Digests []image.Digest `json:"digests,omitempty"`
}

// Identify lists what an image was built from, nearest first. fleet may be nil.
// The result is empty for an image that nothing is known of.
func Identify(ctx context.Context, in Input, fleet Fleet) ([]Base, error) {
	osName, osVersion := cmp.Or(in.Distro.Name, in.Distro.ID), in.Distro.VersionID
	bases, err := byLayers(ctx, in, fleet)
	if err != nil {
		return nil, fmt.Errorf("find base image: %w", err)
	}
	if b, ok := byWord(in); ok && !slices.ContainsFunc(bases, func(o Base) bool { return slices.Contains(o.Names, b.Names[0]) }) {
		bases = append(bases, b)
	}
	if len(bases) == 0 && in.Distro.ID != "" {
		b := Base{How: BySystem, LayerDigest: in.SystemLayer}
		b.Layers = slices.Index(in.DiffIDs, in.SystemLayer) + 1
		bases = append(bases, b)
	}
	for i := range bases {
		bases[i].OSName, bases[i].OSVersion = osName, osVersion
	}
	return bases, nil
}

// byLayers are the images of the fleet whose stack is a part of this one's. Of
// images with the same layers, one with a shorter history can be the base of
// another: ENV and CMD make no layer.
func byLayers(ctx context.Context, in Input, fleet Fleet) ([]Base, error) {
	if fleet == nil || len(in.DiffIDs) == 0 {
		return nil, nil
	}
	chain := image.ChainIDs(in.DiffIDs[:min(len(in.DiffIDs), maxLayers)])
	found, err := fleet.Stacks(ctx, chain)
	if err != nil {
		return nil, err
	}
	at := make(map[image.Digest]int, len(chain))
	for i, c := range chain {
		at[c] = i + 1
	}
	byDepth := map[int]*Base{}
	for _, c := range found {
		n, ok := at[c.ChainID]
		if !ok || c.ConfigDigest == in.ConfigDigest || n == len(in.DiffIDs) && c.Steps >= len(in.History) {
			continue
		}
		b := byDepth[n]
		if b == nil {
			b = &Base{How: ByLayers, Layers: n, LayerDigest: in.DiffIDs[n-1]}
			byDepth[n] = b
		}
		for _, r := range c.Names {
			b.Names = append(b.Names, r.String())
		}
		b.Digests = append(b.Digests, c.ConfigDigest)
	}
	var out []Base
	for _, b := range byDepth {
		slices.Sort(b.Names)
		slices.Sort(b.Digests)
		b.Names, b.Digests = slices.Compact(b.Names), slices.Compact(b.Digests)
		b.Names, b.Digests = b.Names[:min(len(b.Names), maxNames)], b.Digests[:min(len(b.Digests), maxNames)]
		out = append(out, *b)
	}
	slices.SortFunc(out, func(a, b Base) int { return b.Layers - a.Layers })
	return out, nil
}

// byWord is the base that the image itself names.
func byWord(in Input) (Base, bool) {
	if name := clean(in.Labels["org.opencontainers.image.base.name"]); name != "" {
		b := Base{How: ByLabel, Names: []string{name}}
		if d, err := image.ParseDigest(in.Labels["org.opencontainers.image.base.digest"]); err == nil && d != "" {
			b.Digests = []image.Digest{d}
		}
		return b, true
	}
	for i := len(in.History) - 1; i >= 0; i-- {
		if from, ok := strings.CutPrefix(strings.TrimSpace(in.History[i].Comment), "FROM "); ok {
			if name := clean(from); name != "" {
				return Base{How: ByHistory, Names: []string{name}}, true
			}
		}
	}
	return Base{}, false
}

// clean is a name in the short form that the fleet uses, "" if it is none.
func clean(name string) string {
	name = strings.TrimSpace(name)
	if len(name) > maxNameBytes || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || r == 0xfffd }) {
		return ""
	}
	switch name {
	case "", "scratch", "<none>":
		return ""
	}
	if len(strings.TrimPrefix(name, "sha256:")) == 64 {
		return "" // an image id, no name
	}
	return image.ParseRef(name).String()
}

// SystemLayer is the diff ID of the lowest layer that has an os-release file of a
// distribution, "" if none has. The layers are lowest first. Later layers may
// replace the file: they upgrade the system and did not bring it.
func SystemLayer(layers []*report.LayerReport, d report.Distro) image.Digest {
	if d.ID == "" {
		return ""
	}
	for _, l := range layers {
		for _, release := range l.OSReleases {
			if strings.EqualFold(release["ID"], d.ID) {
				return image.Digest(l.DiffID)
			}
		}
	}
	return ""
}

// An Index is a Fleet in memory. It must not be changed while it is asked.
type Index struct {
	stacks map[image.Digest][]Candidate
}

// Add puts an image with its layers and the length of its history into the
// index.
func (x *Index) Add(config image.Digest, diffIDs []image.Digest, steps int, names ...image.Ref) {
	if len(diffIDs) == 0 || len(diffIDs) > maxLayers {
		return
	}
	if x.stacks == nil {
		x.stacks = map[image.Digest][]Candidate{}
	}
	chain := image.ChainIDs(diffIDs)
	top := chain[len(chain)-1]
	x.stacks[top] = append(x.stacks[top], Candidate{ChainID: top, ConfigDigest: config, Names: names, Steps: steps})
}

// Stacks implements Fleet.
func (x *Index) Stacks(_ context.Context, chainIDs []image.Digest) ([]Candidate, error) {
	var out []Candidate
	for _, c := range chainIDs {
		out = append(out, x.stacks[c]...)
	}
	return out, nil
}
