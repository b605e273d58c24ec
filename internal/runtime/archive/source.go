package archive

import (
	"context"
	"path/filepath"
	"slices"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
)

// Engine is what Image.Engine says of images in archives.
const Engine = "archive"

// Kinds of archives, as targets start.
const (
	KindDocker     = "docker-archive"
	KindOCI        = "oci"
	KindOCIArchive = "oci-archive"
)

// A Source is one archive. It implements image.Source, is safe for concurrent
// use, and holds a file open until Close.
type Source struct {
	name    string
	members members
	entries []entry
}

// entry is one image of an archive.
type entry struct {
	img image.Image
	// raw is the configuration, files the members that hold the layers,
	// lowest first; both empty if the image cannot be read.
	raw   []byte
	cfg   image.Config
	files []string
}

// OpenDocker opens a docker-archive. The context bounds the opening.
func OpenDocker(ctx context.Context, file string) (*Source, error) {
	ms, err := openTar(ctx, file)
	if err != nil {
		return nil, err
	}
	return newSource(KindDocker+":"+filepath.Base(file), ms, func() ([]entry, error) { return dockerEntries(ms) })
}

// OpenLayout opens an OCI layout. With a tag only the image of that name or
// tag counts.
func OpenLayout(ctx context.Context, dir, tag string) (*Source, error) {
	ms, err := openDir(dir)
	if err != nil {
		return nil, err
	}
	return openOCI(ctx, KindOCI, dir, tag, ms)
}

// OpenOCIArchive opens an OCI layout in a tar. With a tag only the image of
// that name or tag counts.
func OpenOCIArchive(ctx context.Context, file, tag string) (*Source, error) {
	ms, err := openTar(ctx, file)
	if err != nil {
		return nil, err
	}
	return openOCI(ctx, KindOCIArchive, file, tag, ms)
}

func openOCI(ctx context.Context, kind, path, tag string, ms members) (*Source, error) {
	base := filepath.Base(path)
	return newSource(kind+":"+base, ms, func() ([]entry, error) { return ociEntries(ctx, ms, base, tag) })
}

func newSource(name string, ms members, read func() ([]entry, error)) (*Source, error) {
	entries, err := read()
	if err == nil && len(entries) == 0 {
		err = fault.New(fault.NotFound, "no image in it")
	}
	if err != nil {
		ms.close()
		return nil, fault.New(fault.CodeOf(err), "%s: %w", name, err)
	}
	slices.SortFunc(entries, func(a, b entry) int { return a.img.Compare(b.img) })
	return &Source{name: name, members: ms, entries: entries}, nil
}

// Engine is the kind and the last part of the path: "docker-archive:web.tar".
func (s *Source) Engine() string { return s.name }

// Close closes the file. Layers that are being read fail.
func (s *Source) Close() error { return s.members.close() }

// Images lists the images of the archive.
func (s *Source) Images(context.Context) ([]image.Image, error) {
	out := make([]image.Image, len(s.entries))
	for i, e := range s.entries {
		out[i] = e.img
		out[i].Names = slices.Clone(e.img.Names)
	}
	return out, nil
}

// Open opens an image that Images listed.
func (s *Source) Open(_ context.Context, img image.Image) (*image.Opened, error) {
	i := slices.IndexFunc(s.entries, func(e entry) bool { return e.img.Locator == img.Locator })
	if i < 0 {
		return nil, fault.New(fault.NotFound, "image %s is not in %s", img.Locator, s.name)
	}
	e := s.entries[i]
	if e.img.NonScanReason != "" {
		return nil, fault.New(fault.Invalid, "%s: %s", s.name, e.img.NonScanReason)
	}
	o := &image.Opened{Config: e.cfg, RawConfig: e.raw}
	for n, f := range e.files {
		l, err := layerOf(s.members, f, e.cfg.DiffIDs[n])
		if err != nil {
			return nil, fault.New(fault.CodeOf(err), "%s: layer %d: %w", s.name, n+1, err)
		}
		o.Layers = append(o.Layers, l)
	}
	return o, nil
}

// fill sets what the configuration says.
func (e *entry) fill(raw []byte, ms members) {
	cfg, err := image.ParseConfig(raw)
	if err != nil {
		e.img.NonScanReason = err.Error()
		return
	}
	e.img.Platform, e.img.Created = cfg.Platform, cfg.Created
	if len(cfg.DiffIDs) != len(e.files) {
		e.img.NonScanReason = fault.New(fault.Invalid, "%d layers in the manifest and %d in the configuration", len(e.files), len(cfg.DiffIDs)).Error()
		return
	}
	for _, f := range e.files {
		m, err := ms.open(f)
		if err != nil {
			e.img.NonScanReason = err.Error()
			return
		}
		e.img.Size += m.Size()
		m.Close()
	}
	e.raw, e.cfg = raw, cfg
}
