package archive

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/runtime/oci"
)

const (
	// maxAttached bounds the documents that are read of one image, and
	// maxReferrers the manifests that are looked at for them.
	maxAttached  = 100
	maxReferrers = 1000

	annotationReferenceDigest = "vnd.docker.reference.digest"
)

// An Attachment is a document that lies in a layout beside the image that it is
// about. Nobody has verified who wrote it.
type Attachment struct {
	// Name is the digest of the document in short.
	Name    string
	Content []byte
}

// Attached returns the attestations and VEX documents that are attached to an
// image that Images listed, at most maxAttached: those of manifests whose subject
// is the image (OCI 1.1, https://github.com/opencontainers/image-spec/blob/main/manifest.md),
// of tags that are named after its digest (cosign: sha256-….att), and of the
// attestation manifests of BuildKit. An archive of docker has none.
func (s *Source) Attached(ctx context.Context, img image.Image) ([]Attachment, error) {
	want := img.ManifestDigest
	if want == "" {
		return nil, nil
	}
	b, err := readDocument(s.members, "index.json", "")
	if fault.CodeOf(err) == fault.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	roots, err := oci.Parse(b)
	if err != nil {
		return nil, err
	}
	r := referrers{s: s, want: want, seen: map[image.Digest]bool{}}
	if err := r.visit(ctx, roots.Manifests, true); err != nil {
		return nil, err
	}
	slices.SortFunc(r.found, func(a, b Attachment) int { return strings.Compare(a.Name, b.Name) })
	return r.found, nil
}

// referrers is a search for what is attached to one image.
type referrers struct {
	s     *Source
	want  image.Digest
	seen  map[image.Digest]bool
	found []Attachment
}

// visit looks at the manifests of index.json, and at those of the indexes in it.
func (r *referrers) visit(ctx context.Context, ds []oci.Descriptor, top bool) error {
	for _, d := range ds {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if r.seen[d.Digest] || d.Digest == r.want {
			continue
		}
		if len(r.seen) >= maxReferrers {
			return fault.New(fault.TooLarge, "more than %d manifests", maxReferrers)
		}
		r.seen[d.Digest] = true
		b, err := readDocument(r.s.members, blobName(d.Digest), d.Digest)
		if fault.CodeOf(err) == fault.NotFound {
			continue
		}
		if err != nil {
			return err
		}
		doc, err := oci.Parse(b)
		if err != nil {
			continue // no manifest: not our matter here
		}
		if doc.IsIndex {
			if top {
				if err := r.visit(ctx, doc.Manifests, false); err != nil {
					return err
				}
			}
			continue
		}
		if err := r.take(d, b, doc.Layers); err != nil {
			return err
		}
	}
	return nil
}

// take reads the documents of a manifest that is about the image.
func (r *referrers) take(d oci.Descriptor, manifest []byte, layers []oci.Descriptor) error {
	var m struct {
		Subject struct {
			Digest string `json:"digest"`
		} `json:"subject"`
	}
	if err := json.Unmarshal(manifest, &m); err != nil {
		return fmt.Errorf("parse manifest: %w", err)
	}
	tag := fullName(d)
	cosign := "sha256-" + r.want.Hex() + "."
	if m.Subject.Digest != string(r.want) && d.Annotations[annotationReferenceDigest] != string(r.want) && !strings.HasPrefix(tag[strings.LastIndexByte(tag, ':')+1:], cosign) {
		return nil
	}
	for _, l := range layers {
		if !isStatement(l.MediaType) {
			continue
		}
		if len(r.found) >= maxAttached {
			return fault.New(fault.TooLarge, "more than %d documents are attached", maxAttached)
		}
		b, err := readDocument(r.s.members, blobName(l.Digest), l.Digest)
		if fault.CodeOf(err) == fault.NotFound {
			continue
		}
		if err != nil {
			return err
		}
		r.found = append(r.found, Attachment{Name: l.Digest.Short(), Content: b})
	}
	return nil
}

// isStatement reports the media types of attestations and VEX documents.
func isStatement(mediaType string) bool {
	mediaType, _, _ = strings.Cut(mediaType, ";")
	switch strings.TrimSpace(mediaType) {
	case "application/vnd.dsse.envelope.v1+json", "application/vnd.in-toto+json", "application/vnd.openvex+json", "application/openvex+json":
		return true
	default:
		return false
	}
}
