package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
)

const (
	driver = "overlay2"
	// maxLayerFileBytes bounds the small files of the layer database, which
	// hold one digest or one name each.
	maxLayerFileBytes = 256
	// maxCacheID bounds the name of a layer's directory. dockerd makes 64
	// hexadecimal digits; migrated stores have other names.
	maxCacheID = 128
)

// graph reads the data root of a dockerd with the overlay2 graph driver.
type graph struct{ root string }

func newGraph(i info) (graph, error) {
	if i.Driver != driver {
		return graph{}, fault.New(fault.Unsupported, "docker's storage driver %s is not read in place: only overlay2 and the containerd store are", i.Driver)
	}
	if !filepath.IsAbs(i.DockerRootDir) || filepath.Clean(i.DockerRootDir) != i.DockerRootDir {
		return graph{}, fault.New(fault.Unavailable, "docker's data root %q is no absolute path", i.DockerRootDir)
	}
	g := graph{root: i.DockerRootDir}
	if _, err := os.Stat(filepath.Join(g.root, "image", driver, "imagedb", "content", "sha256")); errors.Is(err, fs.ErrNotExist) {
		return graph{}, fault.New(fault.Unavailable, "docker's data root %s cannot be seen from here: run on the host itself, or mount it at the same path", g.root)
	} else if err != nil {
		return graph{}, g.fault(err, "docker's images")
	}
	return g, nil
}

func (g graph) configPath(id image.Digest) string {
	return filepath.Join(g.root, "image", driver, "imagedb", "content", "sha256", id.Hex())
}

func (g graph) layerPath(chain image.Digest, file string) string {
	return filepath.Join(g.root, "image", driver, "layerdb", "sha256", chain.Hex(), file)
}

// lists reports whether the image database has the image.
func (g graph) lists(id image.Digest) bool {
	_, err := os.Lstat(g.configPath(id))
	return err == nil
}

func (g graph) open(id image.Digest) (*image.Opened, error) {
	raw, err := readSmall(g.configPath(id), image.MaxConfigBytes)
	if err != nil {
		return nil, g.fault(err, "image "+string(id))
	}
	if got := image.DigestOf(raw); got != id {
		return nil, fault.New(fault.Invalid, "configuration of image %s is damaged: its content has the digest %s", id, got)
	}
	cfg, err := image.ParseConfig(raw)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", id, err)
	}
	o := &image.Opened{Config: cfg, RawConfig: raw}
	for i, chain := range image.ChainIDs(cfg.DiffIDs) {
		dir, err := g.layerDir(chain, cfg.DiffIDs[i])
		if err != nil {
			return nil, g.fault(err, fmt.Sprintf("layer %d of image %s", i+1, id))
		}
		o.Layers = append(o.Layers, image.Layer{
			DiffID: cfg.DiffIDs[i],
			Dir:    dir,
			Check:  func(context.Context) error { return g.check(chain, cfg.DiffIDs[i], dir) },
		})
	}
	return o, nil
}

// layerDir finds the directory of a layer. What the database says is checked
// before it becomes part of a path.
func (g graph) layerDir(chain, diffID image.Digest) (string, error) {
	diff, err := readSmall(g.layerPath(chain, "diff"), maxLayerFileBytes)
	if err != nil {
		return "", err
	}
	if string(bytes.TrimSpace(diff)) != string(diffID) {
		return "", fault.New(fault.Invalid, "the layer database has diff ID %q where the image has %s", diff, diffID)
	}
	b, err := readSmall(g.layerPath(chain, "cache-id"), maxLayerFileBytes)
	if err != nil {
		return "", err
	}
	id := string(bytes.TrimSpace(b))
	if !validCacheID(id) {
		return "", fault.New(fault.Invalid, "the layer database has a cache ID that is none: %q", id)
	}
	dir := filepath.Join(g.root, driver, id, "diff")
	fi, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	if !fi.IsDir() {
		return "", fault.New(fault.Invalid, "%s is no directory", dir)
	}
	return dir, nil
}

// check is the Check of a layer: dockerd renames the entry of the layer
// database before it removes files.
func (g graph) check(chain, diffID image.Digest, dir string) error {
	now, err := g.layerDir(chain, diffID)
	if err == nil && now != dir {
		err = fs.ErrNotExist
	}
	if err != nil {
		return g.fault(err, "layer "+string(chain)+", read while it was deleted")
	}
	return nil
}

func (g graph) fault(err error, what string) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.NotFound, "%s is not in %s any more: %w", what, g.root, err)
	case errors.Is(err, fs.ErrPermission):
		return fault.New(fault.Forbidden, "%s: %s cannot be read: run as root", what, g.root)
	}
	return fmt.Errorf("%s: %w", what, err)
}

func validCacheID(s string) bool {
	if s == "" || len(s) > maxCacheID {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && c != '-' {
			return false
		}
	}
	return true
}

// readSmall reads a regular file of at most limit bytes.
func readSmall(path string, limit int64) ([]byte, error) {
	fi, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, fault.New(fault.Invalid, "%s is no regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fault.New(fault.TooLarge, "%s is larger than %d bytes", path, limit)
	}
	return b, nil
}
