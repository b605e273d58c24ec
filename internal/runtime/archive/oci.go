package archive

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/runtime/oci"
)

// layoutMajor is the version of the OCI image layout that is read.
const layoutMajor = "1."

// ociEntries reads index.json of an OCI layout. base names images that have a
// tag and no name.
func ociEntries(ctx context.Context, ms members, base, tag string) ([]entry, error) {
	roots, err := readIndex(ms)
	if err != nil {
		return nil, err
	}
	fetch := func(_ context.Context, d oci.Descriptor) ([]byte, error) {
		return readDocument(ms, blobName(d.Digest), d.Digest)
	}
	var out []entry
	var seen []string
	var first error
	for _, group := range groupByName(roots) {
		ref := nameOf(group[0], base)
		seen = append(seen, ref.String())
		if tag != "" && !matches(group[0], ref, tag) {
			continue
		}
		e, err := choose(ctx, group, ms, fetch)
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if first == nil {
				first = err
			}
			continue
		}
		// Two names of one image.
		if i := slices.IndexFunc(out, func(o entry) bool { return o.img.Locator == e.img.Locator }); i >= 0 {
			e = out[i] // on its own: Delete clears what it moves from
			out = slices.Delete(out, i, i+1)
		}
		if !ref.IsZero() && !slices.Contains(e.img.Names, ref) {
			e.img.Names = append(e.img.Names, ref)
			sortRefs(e.img.Names)
		}
		out = append(out, e)
	}
	if len(out) == 0 && first == nil && tag != "" {
		return nil, fault.New(fault.NotFound, "no image %q; there is %s", tag, strings.Join(slices.Compact(seen), ", "))
	}
	if len(out) == 0 {
		return nil, first
	}
	return out, nil
}

func blobName(d image.Digest) string { return "blobs/sha256/" + d.Hex() }

func readIndex(ms members) ([]oci.Descriptor, error) {
	b, err := readDocument(ms, "oci-layout", "")
	if fault.CodeOf(err) == fault.NotFound {
		return nil, fault.New(fault.Invalid, "no oci-layout file: this is no OCI layout (an archive of docker save is read with %s:FILE)", KindDocker)
	}
	if err != nil {
		return nil, err
	}
	var layout struct {
		Version string `json:"imageLayoutVersion"`
	}
	if err := json.Unmarshal(b, &layout); err != nil || !strings.HasPrefix(layout.Version, layoutMajor) {
		return nil, fault.New(fault.Unsupported, "OCI layout version %q: only version 1 is known", layout.Version)
	}
	if b, err = readDocument(ms, "index.json", ""); err != nil {
		return nil, err
	}
	doc, err := oci.Parse(b)
	if err != nil {
		return nil, err
	}
	if !doc.IsIndex {
		return nil, fault.New(fault.Invalid, "index.json is no index")
	}
	return doc.Manifests, nil
}

// groupByName puts manifests together that are one image for several
// platforms: same name, or none, and each with another platform. All others
// are images of their own.
func groupByName(ds []oci.Descriptor) [][]oci.Descriptor {
	var out [][]oci.Descriptor
	at := map[string]int{}
	for _, d := range ds {
		key := fullName(d)
		i, ok := at[key]
		if ok && d.Platform != nil && !slices.ContainsFunc(out[i], func(o oci.Descriptor) bool {
			return o.Platform == nil || *o.Platform == *d.Platform
		}) {
			out[i] = append(out[i], d)
			continue
		}
		at[key] = len(out)
		out = append(out, []oci.Descriptor{d})
	}
	return out
}

// choose finds the image for this host in a group.
func choose(ctx context.Context, group []oci.Descriptor, ms members, fetch oci.Fetch) (entry, error) {
	var found []oci.Candidate
	for _, d := range group {
		cs, err := oci.Resolve(ctx, d, fetch)
		if err != nil {
			return entry{}, err
		}
		found = append(found, cs...)
	}
	if len(found) == 0 {
		return entry{}, fault.New(fault.NotFound, "%s leads to no image whose manifest is here", group[0].Digest)
	}
	var platforms []image.Platform
	for _, c := range found {
		p := c.Descriptor.Platform
		if p == nil {
			raw, err := fetch(ctx, c.Manifest.Config)
			if err != nil {
				return entry{}, err
			}
			cfg, err := image.ParseConfig(raw)
			if err != nil {
				return entry{}, err
			}
			p = &cfg.Platform
		}
		platforms = append(platforms, *p)
	}
	best := oci.Best(platforms, oci.Host())
	if best < 0 {
		e := describe(found[0])
		e.img.Platform = platforms[0]
		e.img.NonScanReason = "no image for " + oci.Host().String() + "; there are " + oci.ListPlatforms(platforms)
		return e, nil
	}
	e := describe(found[best])
	raw, err := fetch(ctx, found[best].Manifest.Config)
	if err != nil {
		return entry{}, err
	}
	e.fill(raw, ms)
	return e, nil
}

func describe(c oci.Candidate) entry {
	e := entry{img: image.Image{
		Engine:         Engine,
		Locator:        string(c.Descriptor.Digest),
		ConfigDigest:   c.Manifest.Config.Digest,
		ManifestDigest: c.Descriptor.Digest,
	}}
	for _, l := range c.Manifest.Layers {
		if l.Encrypted() && e.img.NonScanReason == "" {
			e.img.NonScanReason = "layer " + string(l.Digest) + " is encrypted"
		}
		e.files = append(e.files, blobName(l.Digest))
	}
	return e
}

// fullName is the name that the layout gives to an image, as written.
func fullName(d oci.Descriptor) string {
	if n := d.Annotations[oci.AnnotationContainerdName]; n != "" {
		return n
	}
	return d.Annotations[oci.AnnotationRefName]
}

// nameOf is the name for people. A bare tag, as the specification has it, is
// put behind the name of the file.
func nameOf(d oci.Descriptor, base string) image.Ref {
	n := fullName(d)
	if n == "" {
		return image.Ref{}
	}
	if strings.ContainsAny(n, "/:@") {
		return image.ParseRef(n)
	}
	base, _, _ = strings.Cut(base, ".")
	return image.Ref{Name: base, Tag: n}
}

func matches(d oci.Descriptor, ref image.Ref, tag string) bool {
	return fullName(d) == tag || d.Annotations[oci.AnnotationRefName] == tag ||
		ref.Tag == tag || ref == image.ParseRef(tag) || string(d.Digest) == tag
}
