package oci

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
)

// Limits of what an image may ask us to read.
const (
	// MaxManifestBytes is the largest manifest or index.
	MaxManifestBytes = image.MaxConfigBytes
	// maxLayers is far above what overlay can stack (500 lower
	// directories since Linux 5.19).
	maxLayers = 1000
	// maxDescriptors bounds the manifests of one index.
	maxDescriptors = 1000
)

// Annotations that name an image in an OCI layout.
const (
	// AnnotationRefName is the tag, or the whole reference, of an image in
	// an OCI layout.
	AnnotationRefName = "org.opencontainers.image.ref.name"
	// AnnotationContainerdName is the whole reference, as containerd and
	// docker write it.
	AnnotationContainerdName = "io.containerd.image.name"
	// annotationReferenceType marks what BuildKit attaches to an image,
	// "attestation-manifest" for one.
	annotationReferenceType = "vnd.docker.reference.type"
)

// A Descriptor points to content by digest.
type Descriptor struct {
	MediaType    string
	Digest       image.Digest
	Size         int64
	Platform     *image.Platform // nil if the index does not say
	Annotations  map[string]string
	ArtifactType string
}

// Encrypted reports whether the content is encrypted (media types end in
// "+encrypted", containerd imgcrypt).
func (d Descriptor) Encrypted() bool { return strings.HasSuffix(d.MediaType, "+encrypted") }

// A Document is a parsed manifest (Config and Layers are set) or index
// (Manifests is).
type Document struct {
	Config Descriptor
	Layers []Descriptor

	Manifests []Descriptor
	// IsIndex tells the two apart.
	IsIndex bool
}

type wireDescriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
	Platform  *struct {
		OS           string `json:"os"`
		Architecture string `json:"architecture"`
		Variant      string `json:"variant"`
	} `json:"platform"`
	Annotations  map[string]string `json:"annotations"`
	ArtifactType string            `json:"artifactType"`
}

func (w wireDescriptor) parse() (Descriptor, error) {
	dig, err := image.ParseDigest(w.Digest)
	if err != nil {
		return Descriptor{}, err
	}
	if w.Size < 0 {
		return Descriptor{}, fault.New(fault.Invalid, "descriptor of %s: size %d", dig, w.Size)
	}
	d := Descriptor{MediaType: w.MediaType, Digest: dig, Size: w.Size, Annotations: w.Annotations, ArtifactType: w.ArtifactType}
	if w.Platform != nil {
		d.Platform = &image.Platform{OS: w.Platform.OS, Arch: w.Platform.Architecture, Variant: w.Platform.Variant}
	}
	return d, nil
}

// Parse reads a manifest or an index. What it is shows in its fields: media
// types are missing or wrong too often to be asked.
func Parse(b []byte) (Document, error) {
	if len(b) > MaxManifestBytes {
		return Document{}, fault.New(fault.TooLarge, "manifest of %d bytes: the limit is %d", len(b), MaxManifestBytes)
	}
	var raw struct {
		SchemaVersion int              `json:"schemaVersion"`
		Config        *wireDescriptor  `json:"config"`
		Layers        []wireDescriptor `json:"layers"`
		Manifests     []wireDescriptor `json:"manifests"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return Document{}, fmt.Errorf("parse manifest: %w", err)
	}
	switch {
	case raw.Config != nil && raw.Manifests != nil:
		return Document{}, fault.New(fault.Invalid, "manifest with both a configuration and manifests") // two readings: CVE-2021-41190
	case raw.SchemaVersion == 1:
		return Document{}, fault.New(fault.Unsupported, "manifest of schema version 1: pull the image again with a current engine")
	case raw.Config == nil:
		if len(raw.Manifests) > maxDescriptors {
			return Document{}, fault.New(fault.TooLarge, "index of %d manifests: the limit is %d", len(raw.Manifests), maxDescriptors)
		}
		ds, err := parseAll(raw.Manifests)
		if err != nil {
			return Document{}, fmt.Errorf("parse index: %w", err)
		}
		return Document{Manifests: ds, IsIndex: true}, nil
	}
	if len(raw.Layers) > maxLayers {
		return Document{}, fault.New(fault.TooLarge, "manifest of %d layers: the limit is %d", len(raw.Layers), maxLayers)
	}
	cfg, err := raw.Config.parse()
	if err != nil {
		return Document{}, fmt.Errorf("parse manifest: %w", err)
	}
	layers, err := parseAll(raw.Layers)
	if err != nil {
		return Document{}, fmt.Errorf("parse manifest: %w", err)
	}
	return Document{Config: cfg, Layers: layers}, nil
}

func parseAll(ws []wireDescriptor) ([]Descriptor, error) {
	out := make([]Descriptor, 0, len(ws))
	for _, w := range ws {
		d, err := w.parse()
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}
