package image

import (
	"cmp"
	"context"
	"io"
	"time"
)

// Platform is the operating system and processor an image is built for, in
// Go's vocabulary ("linux", "arm64", "v8").
type Platform struct {
	OS      string `json:"os"`
	Arch    string `json:"architecture"`
	Variant string `json:"variant,omitempty"`
}

// String is "os/arch" or "os/arch/variant".
func (p Platform) String() string {
	s := p.OS + "/" + p.Arch
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// An Image is one image as one engine of this host holds it.
type Image struct {
	// Engine is the runtime that holds it: "docker", "containerd",
	// "archive".
	Engine string
	// Locator is how its Source finds the image again. Its form is the
	// source's own affair.
	Locator string
	// ConfigDigest names the content under every engine. Always set.
	ConfigDigest Digest
	// ManifestDigest is empty where the engine does not keep the manifest.
	ManifestDigest Digest
	// Names are the tags the engine knows, sorted. Empty for an untagged
	// image.
	Names []Ref
	// RepoDigests are "name@sha256:…" references, sorted.
	RepoDigests []string
	Platform    Platform
	// Size is in bytes, uncompressed where the engine knows it.
	Size int64
	// Created is when the image was built, as its configuration says.
	Created time.Time
	// Containers that were made from this image, running or not.
	Containers []Container
	// NonScanReason says why the image cannot be read here. Empty when it
	// can.
	NonScanReason string
}

// Compare orders images for lists: by first name, untagged ones last, then by
// content and place.
func (i Image) Compare(o Image) int {
	if a, b := len(i.Names) == 0, len(o.Names) == 0; a != b {
		if a {
			return 1
		}
		return -1
	} else if !a {
		if c := cmp.Or(cmp.Compare(i.Names[0].Name, o.Names[0].Name), cmp.Compare(i.Names[0].Tag, o.Names[0].Tag)); c != 0 {
			return c
		}
	}
	return cmp.Or(cmp.Compare(i.ConfigDigest, o.ConfigDigest), cmp.Compare(i.Engine, o.Engine), cmp.Compare(i.Locator, o.Locator))
}

// Container is one container made from an image.
type Container struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	PodID      string `json:"pod_id,omitempty"`
	PodName    string `json:"pod_name,omitempty"`
	EntryPoint string `json:"entry_point,omitempty"`
	Running    bool   `json:"running"`
}

// Config is the part of an OCI image configuration that we use.
type Config struct {
	Platform Platform
	Created  time.Time
	Labels   map[string]string
	Env      []string
	User     string
	// History has one entry for each build step; steps without a layer
	// have EmptyLayer set.
	History []History
	// DiffIDs are the digests of the uncompressed layers, lowest first.
	DiffIDs []Digest
}

// History is one build step.
type History struct {
	Created    time.Time `json:"created,omitzero"`
	CreatedBy  string    `json:"created_by,omitempty"`
	Comment    string    `json:"comment,omitempty"`
	EmptyLayer bool      `json:"empty_layer,omitempty"`
}

// A Layer is one layer of an opened image: either a directory tree that an
// overlay file system uses, or a blob. Exactly one of Dir and Blob is set.
type Layer struct {
	// DiffID is the digest of the uncompressed layer.
	DiffID Digest
	// Dir is the host path of a directory in overlayfs form: whiteouts are
	// character devices 0:0, opaque directories carry an extended
	// attribute.
	Dir string
	// Lower are the directories of the layers below Dir, nearest first, as
	// the engine would mount them. They are read only where an entry of Dir
	// has its content there (overlayfs's redirect and metacopy). Empty where
	// the engine does not write such entries.
	Lower []string
	// Blob opens the layer as a tar stream, plain or compressed with gzip
	// or zstd; its first bytes decide. A reader that also implements
	// io.ReaderAt lets files of a plain tar be read by offset. The caller
	// closes it. May be called again after a failure.
	//
	// That the uncompressed stream has the digest DiffID is for the caller
	// to check: an image may claim any diff ID.
	Blob func(ctx context.Context) (io.ReadCloser, error)
	// BlobSize is the size of the blob in bytes as stored, 0 if unknown.
	BlobSize int64
	// Check, if it is set, says whether the layer still lies where it lay
	// when the image was opened. Call it after the last read: an error
	// (fault.NotFound) means that the engine was deleting the layer
	// meanwhile, and nothing that was read of it may be used or cached.
	Check func(ctx context.Context) error
}

// Opened is one image opened for reading. It is valid until Close.
type Opened struct {
	Config Config
	// RawConfig is the configuration as the engine stores it.
	RawConfig []byte
	// Layers, lowest first; as many as Config.DiffIDs.
	Layers []Layer
	// Release gives back what keeps the image from being deleted while it
	// is read. May be nil.
	Release func()
}

// Close releases the image. It may be called more than once.
func (o *Opened) Close() {
	if o.Release != nil {
		o.Release()
		o.Release = nil
	}
}

// A Source is one place where images lie. Implementations are safe for
// concurrent use and never write to the place they read.
type Source interface {
	// Engine is the name in Image.Engine, with the place where it helps to
	// tell two apart: "docker", "containerd", "docker-archive:web.tar".
	Engine() string

	// Images lists what is here now, in a stable order. An engine that
	// cannot be reached is a fault.Unavailable error; a single image that
	// cannot be read is listed with a NonScanReason instead.
	Images(ctx context.Context) ([]Image, error)

	// Open opens an image that Images listed. An image that is gone is a
	// fault.NotFound error. The caller closes what it gets.
	Open(ctx context.Context, img Image) (*Opened, error)
}

// A Watcher is a Source that can tell when its list may have changed.
type Watcher interface {
	// Watch calls changed once when it has begun to listen, and again
	// after each change of an image or a container; more calls than changes
	// are fine. changed returns at once. Watch returns when ctx is done
	// (nil), or when the engine is gone or cannot be watched (a
	// fault.Unavailable error); the caller may call it again.
	Watch(ctx context.Context, changed func()) error
}
