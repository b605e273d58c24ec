package storage

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
)

// What Image.Engine says, by whose configuration names the root.
const (
	EnginePodman = "podman"
	EngineCRIO   = "cri-o"
)

const (
	driverOverlay  = "overlay"
	driverOverlay2 = "overlay2" // an old name of the same
	driverVFS      = "vfs"
	driverBtrfs    = "btrfs"
	idLen          = 64
	// maxStores bounds the additional stores of one configuration.
	maxStores = 32
	// listAttempts is how often everything is read anew because files
	// disagree.
	listAttempts = 4
)

var base64Std = base64.StdEncoding

// Config says which graph root to read.
type Config struct {
	// Root is the graph root, /var/lib/containers/storage on most hosts.
	Root string
	// RunRoot is where the state of running containers lies. If it is
	// empty podman's records say it.
	RunRoot string
	// Additional are further stores, read only, whose images and layers
	// the root uses.
	Additional []string
	// Engine is EnginePodman if empty.
	Engine string
	// CRI is the socket of a runtime that may run containers from this
	// root, CRI-O. Nobody has to answer there.
	CRI string
}

// A Source reads the images of one graph root. It implements image.Source, is
// safe for concurrent use, and keeps nothing between calls.
type Source struct {
	cfg Config
}

// New makes a source. It reads nothing: the first call does.
func New(cfg Config) (*Source, error) {
	for _, dir := range append([]string{cfg.Root}, cfg.Additional...) {
		if !filepath.IsAbs(dir) {
			return nil, fault.New(fault.Invalid, "graph root %q: want an absolute path", dir)
		}
	}
	if len(cfg.Additional) > maxStores {
		return nil, fault.New(fault.TooLarge, "%d additional image stores: the limit is %d", len(cfg.Additional), maxStores)
	}
	if cfg.Engine == "" {
		cfg.Engine = EnginePodman
	}
	return &Source{cfg: cfg}, nil
}

// Engine is the name that the images of this source carry.
func (s *Source) Engine() string { return s.cfg.Engine }

// Root is the graph root.
func (s *Source) Root() string { return s.cfg.Root }

// Close does nothing: no file stays open between calls.
func (s *Source) Close() error { return nil }

// Dirs are the directories whose files change when an image or a container
// comes or goes.
func (s *Source) Dirs() []string {
	stores, err := s.stores()
	if err != nil {
		return nil
	}
	var out []string
	for _, st := range stores {
		out = append(out, st.path("images"), st.path("layers"), st.path("containers"))
	}
	return out
}

// Check reports whether there is a store that can be read. It is how Discover
// finds out whether anything is there, again and again, so it parses nothing.
func (s *Source) Check(context.Context) error {
	stores, err := s.stores()
	if err != nil {
		return err
	}
	for _, st := range stores {
		f, err := os.Open(st.path("images", "images.json"))
		if errors.Is(err, fs.ErrNotExist) {
			continue // no image yet
		}
		if err != nil {
			return describe(err, s.cfg.Root)
		}
		f.Close()
	}
	return nil
}

// stores are the root, once for each driver that it was used with, and the
// additional stores behind it.
func (s *Source) stores() ([]store, error) {
	primary, err := storesIn(s.cfg.Root)
	if err != nil {
		return nil, describe(err, s.cfg.Root)
	}
	if len(primary) == 0 {
		return nil, describe(fs.ErrNotExist, s.cfg.Root)
	}
	for _, dir := range s.cfg.Additional {
		more, err := storesIn(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the engine ignores it too
		}
		if err != nil {
			return nil, describe(err, dir)
		}
		primary = append(primary, more...)
	}
	return primary, nil
}

// storesIn finds the drivers of a root by their directories.
func storesIn(root string) ([]store, error) {
	fi, err := os.Stat(root)
	if err != nil {
		return nil, err
	}
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(real)
	if err != nil {
		return nil, err
	}
	var out []store
	for _, e := range entries {
		driver, ok := strings.CutSuffix(e.Name(), "-images")
		if ok && driver != "" && e.IsDir() {
			out = append(out, store{root: real, driver: driver, owner: foreign(fi)})
		}
	}
	return out, nil
}

// foreign is the owner of a root that is neither root nor ourselves. What lies
// there is what the owner wants us to believe: a layer is read only in a form
// that is checked against its diff ID, because a layer report is kept for
// everybody.
func foreign(fi fs.FileInfo) *uint32 {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 || int(st.Uid) == os.Geteuid() {
		return nil
	}
	return &st.Uid
}

// Images lists the images of the root and of its additional stores.
func (s *Source) Images(ctx context.Context) ([]image.Image, error) {
	var v *view
	var err error
	for range listAttempts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if v, err = s.view(); err != nil {
			return nil, err
		}
		if v.whole() {
			break
		}
	}
	var out []image.Image
	for _, id := range v.order {
		if img, ok := v.describe(s.cfg.Engine, id); ok {
			out = append(out, img)
		}
	}
	if err := s.addContainers(ctx, v, out); err != nil {
		return nil, err
	}
	slices.SortFunc(out, image.Image.Compare)
	return out, nil
}

// Open opens an image that Images listed.
func (s *Source) Open(ctx context.Context, img image.Image) (*image.Opened, error) {
	driver, id, ok := strings.Cut(img.Locator, "@")
	if !ok || driver == "" || !validID(id) {
		return nil, fault.New(fault.Invalid, "%q does not locate an image of containers/storage", img.Locator)
	}
	var err error
	for range listAttempts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var v *view
		if v, err = s.view(); err != nil {
			return nil, err
		}
		var o *image.Opened
		if o, err = v.open(imageID{driver, id}); err == nil || fault.CodeOf(err) != fault.NotFound {
			return o, err
		}
	}
	return nil, err
}

// imageID is an image in the stores of one driver. Additional stores that use
// another driver than the root have their own.
type imageID struct{ driver, id string }

func (i imageID) locator() string { return i.driver + "@" + i.id }

// A view is what all stores say at one time.
type view struct {
	root   string
	stores []store
	// layers by driver and ID, with the first store that has them: an image
	// may rest on layers of an additional store.
	layers map[imageID]foundLayer
	images map[imageID]*foundImage
	order  []imageID
}

type foundLayer struct {
	layerRecord
	store store
}

type foundImage struct {
	imageRecord
	store store
}

func (s *Source) view() (*view, error) {
	stores, err := s.stores()
	if err != nil {
		return nil, err
	}
	v := &view{root: s.cfg.Root, stores: stores, layers: map[imageID]foundLayer{}, images: map[imageID]*foundImage{}}
	for _, st := range stores {
		// Images first: the library stores layers before the image that
		// uses them.
		images, err := st.images()
		if err != nil {
			return nil, describe(err, st.root)
		}
		layers, err := st.layers()
		if err != nil {
			return nil, describe(err, st.root)
		}
		for id, l := range layers {
			key := imageID{st.driver, id}
			if _, ok := v.layers[key]; !ok {
				v.layers[key] = foundLayer{l, st}
			}
		}
		for _, rec := range images {
			key := imageID{st.driver, rec.ID}
			if first, ok := v.images[key]; ok {
				first.Names = append(first.Names, rec.Names...)
				continue
			}
			v.images[key] = &foundImage{rec, st}
			v.order = append(v.order, key)
		}
	}
	return v, nil
}

// whole reports whether every image has its layers, as is so unless the files
// were read around a change.
func (v *view) whole() bool {
	for key, img := range v.images {
		if img.Layer == "" {
			continue
		}
		if _, ok := v.layers[imageID{key.driver, img.Layer}]; !ok {
			return false
		}
	}
	return true
}

// describe fills in what the records, the manifest and the configuration say.
// It is false for what is no image.
func (v *view) describe(engine string, key imageID) (image.Image, bool) {
	rec := v.images[key]
	img := image.Image{Engine: engine, Locator: key.locator()}
	img.Names, img.RepoDigests = rec.references()
	if chain, err := v.chain(key); err == nil {
		for _, l := range chain {
			img.Size += max(0, l.DiffSize)
		}
	}
	c, err := rec.content()
	if errors.Is(err, errList) {
		return image.Image{}, false
	}
	img.ConfigDigest, img.ManifestDigest = c.configDigest, c.manifestDigest
	img.Platform, img.Created = c.config.Platform, c.config.Created
	if img.ConfigDigest == "" {
		// What cannot be parsed has the ID that the engine shows.
		id, idErr := image.ParseDigest(rec.ID)
		if idErr != nil {
			return image.Image{}, false
		}
		img.ConfigDigest = id
	}
	if err == nil {
		_, err = v.open(key)
	}
	if err != nil {
		img.NonScanReason = err.Error()
	}
	return img, true
}

// references are the names with a tag, and the digests under each name.
func (rec *foundImage) references() ([]image.Ref, []string) {
	var refs []image.Ref
	var byDigest []string
	digests := map[string]bool{}
	for _, key := range append(slices.Clone(rec.BigDataNames), "manifest-"+rec.Digest) {
		if d, err := image.ParseDigest(strings.TrimPrefix(key, "manifest-")); err == nil && strings.HasPrefix(key, "manifest-") {
			digests[string(d)] = true
		}
	}
	for _, n := range rec.Names {
		ref := image.ParseRef(n)
		if _, d, ok := strings.Cut(n, "@"); ok {
			byDigest = append(byDigest, ref.Name+"@"+d)
			if ref.Tag == "" {
				continue
			}
		}
		refs = append(refs, ref)
		for d := range digests {
			byDigest = append(byDigest, ref.Name+"@"+d)
		}
	}
	slices.SortFunc(refs, func(a, b image.Ref) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Tag, b.Tag))
	})
	slices.Sort(byDigest)
	return slices.Compact(refs), slices.Compact(byDigest)
}

func (v *view) notFound(key imageID) error {
	return fault.New(fault.NotFound, "image %s is not in %s any more", key.id, v.root)
}

// errList marks a manifest list, which is no image.
var errList = fmt.Errorf("a manifest list")
