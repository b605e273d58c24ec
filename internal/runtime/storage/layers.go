package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/runtime/oci"
	"github.com/onceover/onceover/internal/runtime/tarsplit"
)

// maxChain is how many layers one image may have; overlay stacks 500.
const maxChain = 1000

// content is what manifest and configuration of an image say.
type content struct {
	manifestDigest image.Digest
	configDigest   image.Digest
	config         image.Config
	rawConfig      []byte
}

// content reads the manifest and the configuration. What was known before an
// error is in the result.
func (img *foundImage) content() (content, error) {
	var c content
	b, err := img.store.bigData(img.ID, "manifest", oci.MaxManifestBytes)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// Without one (buildah before 2018) the ID is the configuration's.
		if c.configDigest, err = image.ParseDigest(img.ID); err != nil {
			return c, err
		}
	case err != nil:
		return c, img.fault(err, "manifest")
	default:
		doc, err := oci.Parse(b)
		if err != nil {
			return c, fmt.Errorf("image %s: %w", img.ID, err)
		}
		if doc.IsIndex {
			return c, errList
		}
		c.manifestDigest, c.configDigest = image.DigestOf(b), doc.Config.Digest
	}
	raw, err := img.store.bigData(img.ID, string(c.configDigest), image.MaxConfigBytes)
	if err != nil {
		return c, img.fault(err, "configuration")
	}
	if got := image.DigestOf(raw); got != c.configDigest {
		return c, fault.New(fault.Invalid, "configuration of image %s is damaged: its content has the digest %s", img.ID, got)
	}
	cfg, err := image.ParseConfig(raw)
	if err != nil {
		return c, fmt.Errorf("image %s: %w", img.ID, err)
	}
	c.config, c.rawConfig = cfg, raw
	return c, nil
}

func (img *foundImage) fault(err error, what string) error {
	return place(err, what+" of image "+img.ID, img.store.root)
}

// place gives an error of a file its code.
func place(err error, what, root string) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.NotFound, "%s is not in %s: %w", what, root, err)
	case errors.Is(err, fs.ErrPermission):
		return fault.New(fault.Forbidden, "%s: %s cannot be read: run as root or as its owner", what, root)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// chain are the layers of an image, lowest first.
func (v *view) chain(key imageID) ([]foundLayer, error) {
	var out []foundLayer
	for id := v.images[key].Layer; id != ""; {
		l, ok := v.layers[imageID{key.driver, id}]
		if !ok {
			return nil, fault.New(fault.NotFound, "layer %.12s of image %.12s is not in %s", id, key.id, v.root)
		}
		if len(out) == maxChain {
			return nil, fault.New(fault.TooLarge, "image %.12s has more than %d layers", key.id, maxChain)
		}
		out = append(out, l)
		id = l.Parent
	}
	slices.Reverse(out)
	return out, nil
}

// open opens an image. The error says why it cannot be read.
func (v *view) open(key imageID) (*image.Opened, error) {
	rec, ok := v.images[key]
	if !ok {
		return nil, v.notFound(key)
	}
	c, err := rec.content()
	if err != nil {
		if errors.Is(err, errList) {
			return nil, v.notFound(key)
		}
		return nil, err
	}
	chain, err := v.chain(key)
	if err != nil {
		return nil, err
	}
	if len(chain) != len(c.config.DiffIDs) {
		return nil, fault.New(fault.Unsupported, "image %.12s has %d layers in the store and %d in its configuration", key.id, len(chain), len(c.config.DiffIDs))
	}
	o := &image.Opened{Config: c.config, RawConfig: c.rawConfig}
	var lower []string // nearest first
	for i, rec := range chain {
		l, err := rec.layer(c.config.DiffIDs[i], lower)
		if err != nil {
			return nil, fmt.Errorf("layer %d of image %.12s: %w", i+1, key.id, err)
		}
		o.Layers = append(o.Layers, l)
		lower = append([]string{rec.store.layerDir(rec.ID)}, lower...)
	}
	return o, nil
}

// layer is the layer in the form in which it can be read.
func (l foundLayer) layer(diffID image.Digest, lower []string) (image.Layer, error) {
	switch {
	case !validID(l.ID):
		return image.Layer{}, fault.New(fault.Invalid, "layer ID %q is none", l.ID)
	case l.incomplete():
		return image.Layer{}, fault.New(fault.Unavailable, "layer %.12s is incomplete: it is being written, or its writer died", l.ID)
	case l.DiffDigest == "" && l.TOCDigest != "":
		return image.Layer{}, fault.New(fault.Unsupported, "layer %.12s was pulled in part and is known by its table of contents alone: nothing proves its diff ID (pull the image again with enable_partial_images=false in storage.conf)", l.ID)
	case l.DiffDigest != "" && l.DiffDigest != string(diffID):
		return image.Layer{}, fault.New(fault.Invalid, "layer %.12s has the diff ID %s in the store and %s in the image", l.ID, l.DiffDigest, diffID)
	}
	if err := l.readable(); err != nil {
		return image.Layer{}, err
	}
	out := image.Layer{DiffID: diffID, Check: func(context.Context) error { return l.check() }}
	if l.inPlace() {
		out.Dir, out.Lower = l.store.layerDir(l.ID), slices.Clone(lower)
		return out, nil
	}
	record := l.store.path("layers", l.ID+".tar-split.gz")
	if fi, err := os.Lstat(record); err != nil || !fi.Mode().IsRegular() {
		return image.Layer{}, fault.New(fault.Unsupported, "layer %.12s of the storage driver %s cannot be put together: there is no %s", l.ID, l.store.driver, filepath.Base(record))
	}
	out.Blob = func(ctx context.Context) (io.ReadCloser, error) {
		r, err := tarsplit.Open(ctx, tarsplit.Config{Record: record, Dir: l.store.layerDir(l.ID), Owner: l.store.owner})
		if err != nil {
			return nil, place(err, "layer "+l.ID, l.store.root)
		}
		return r, nil
	}
	return out, nil
}

// inPlace reports whether the directory of the layer is the layer, and is to
// be believed.
func (l foundLayer) inPlace() bool {
	overlay := l.store.driver == driverOverlay || l.store.driver == driverOverlay2
	return overlay && l.store.owner == nil && l.DiffDigest != ""
}

// readable says why the content of the layer cannot be read, if it cannot.
func (l foundLayer) readable() error {
	switch l.store.driver {
	case driverOverlay, driverOverlay2, driverVFS, driverBtrfs:
	default:
		return fault.New(fault.Unsupported, "the storage driver %s is not read in place: overlay, vfs and btrfs are", l.store.driver)
	}
	dir := l.store.layerDir(l.ID)
	// Every step below the root has to be a directory and no link.
	for at := dir; at != l.store.root; at = filepath.Dir(at) {
		fi, err := os.Lstat(at)
		if err != nil {
			return place(err, "layer "+l.ID, l.store.root)
		}
		if !fi.IsDir() {
			return fault.New(fault.Invalid, "%s is no directory", at)
		}
	}
	if l.store.driver != driverOverlay {
		return nil
	}
	for name, what := range map[string]string{
		"composefs-data":  "is kept by composefs, without a directory tree (pull the image again without use_composefs in storage.conf)",
		"additionallayer": "is mounted from an additional layer store and may be pulled lazily",
	} {
		if _, err := os.Lstat(filepath.Join(filepath.Dir(dir), name)); err == nil {
			return fault.New(fault.Unsupported, "layer %.12s %s", l.ID, what)
		}
	}
	return nil
}

// check is the Check of a layer: the engine takes a layer out of its records
// before, or after, it removes the files, and both are looked at.
func (l foundLayer) check() error {
	now, err := l.store.layers()
	if err != nil {
		return describe(err, l.store.root)
	}
	if rec, ok := now[l.ID]; !ok || rec.DiffDigest != l.DiffDigest || rec.incomplete() {
		return fault.New(fault.NotFound, "layer %.12s was deleted from %s while it was read", l.ID, l.store.root)
	}
	return l.readable()
}
