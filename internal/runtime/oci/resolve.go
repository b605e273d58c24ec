package oci

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
)

const (
	// maxDepth is how deep indexes may nest: buildx writes one index into
	// another, nothing known goes further.
	maxDepth = 4
	// maxVisited bounds the documents read for one name.
	maxVisited = 2000
)

// Fetch reads the whole content that d names. Content that is not here is a
// fault.NotFound error. It verifies the digest.
type Fetch func(ctx context.Context, d Descriptor) ([]byte, error)

// A Candidate is one image that a name leads to.
type Candidate struct {
	Descriptor Descriptor
	Manifest   Document
}

// Resolve finds every image manifest below root whose content is here, in the
// order of the indexes. Manifests that are absent are left out, since an
// engine that pulls for one platform keeps the index of all; what is no image
// (attestations, signatures) is left out too. Damaged documents are errors.
func Resolve(ctx context.Context, root Descriptor, fetch Fetch) ([]Candidate, error) {
	r := resolver{fetch: fetch, seen: map[image.Digest]bool{}}
	if err := r.visit(ctx, root, 0); err != nil {
		return nil, err
	}
	return r.found, nil
}

type resolver struct {
	fetch Fetch
	seen  map[image.Digest]bool
	found []Candidate
}

func (r *resolver) visit(ctx context.Context, d Descriptor, depth int) error {
	if depth > maxDepth {
		return fault.New(fault.TooLarge, "indexes nested deeper than %d", maxDepth)
	}
	if r.seen[d.Digest] {
		return nil
	}
	if len(r.seen) >= maxVisited {
		return fault.New(fault.TooLarge, "more than %d manifests behind one name", maxVisited)
	}
	r.seen[d.Digest] = true
	b, err := r.fetch(ctx, d)
	if fault.CodeOf(err) == fault.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	doc, err := Parse(b)
	if err != nil {
		return fmt.Errorf("%s: %w", d.Digest, err)
	}
	if !doc.IsIndex {
		if isImage(d, doc) {
			r.found = append(r.found, Candidate{Descriptor: d, Manifest: doc})
		}
		return nil
	}
	for _, m := range doc.Manifests {
		if attached(m) {
			continue
		}
		if err := r.visit(ctx, m, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// attached reports whether d is something about an image, not an image.
func attached(d Descriptor) bool {
	return d.Annotations[annotationReferenceType] != "" || d.Platform != nil && d.Platform.OS == "unknown" ||
		d.ArtifactType != "" && !isConfigType(d.ArtifactType) // some builders repeat the configuration's type there
}

// isImage leaves out artifacts (charts, signatures), whose configuration is
// something else.
func isImage(d Descriptor, doc Document) bool {
	if attached(d) {
		return false
	}
	return doc.Config.MediaType == "" || isConfigType(doc.Config.MediaType)
}

func isConfigType(mt string) bool {
	return strings.HasPrefix(mt, "application/vnd.oci.image.config.") ||
		strings.HasPrefix(mt, "application/vnd.docker.container.image.")
}

// Host is the platform of this host. Images are always for Linux here, whatever
// the program was built for.
func Host() image.Platform { return image.Platform{OS: "linux", Arch: runtime.GOARCH} }

// Best chooses the platform that runs best on host: the index in have, or -1.
// With no match a single platform is chosen all the same, because it is
// clearly the one that is meant.
func Best(have []image.Platform, host image.Platform) int {
	best := -1
	for i, p := range have {
		if p.OS != host.OS || p.Arch != host.Arch {
			continue
		}
		// Of several variants the highest one, "v8" over "v7"; a host
		// that cares about it is older than any that we run on.
		if best < 0 || p.Variant > have[best].Variant {
			best = i
		}
	}
	if best < 0 && len(have) == 1 {
		return 0
	}
	return best
}

// ListPlatforms is "linux/amd64, linux/arm64", sorted, for messages.
func ListPlatforms(ps []image.Platform) string {
	names := make([]string, len(ps))
	for i, p := range ps {
		names[i] = p.String()
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}
