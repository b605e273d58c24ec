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
	"slices"
	"strings"
	"syscall"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/runtime/tarsplit"
)

const (
	driverOverlay = "overlay2"
	// maxLayerFileBytes bounds the small files of the layer database, which
	// hold one digest or one name each.
	maxLayerFileBytes = 256
	// maxCacheID bounds the name of a layer's directory. dockerd makes 64
	// hexadecimal digits; migrated stores have other names.
	maxCacheID = 128
)

// contentDirs are the drivers whose layers can be read, with the directory of a
// layer below the data root; "*" stands for its cache ID. Only overlay2 keeps
// the layer in a form that we read as it is. From the others it is put together
// again (package tarsplit).
var contentDirs = map[string]string{
	driverOverlay:    "overlay2/*/diff",
	"fuse-overlayfs": "fuse-overlayfs/*/diff",
	"vfs":            "vfs/dir/*",
	"btrfs":          "btrfs/subvolumes/*",
	"aufs":           "aufs/diff/*",
}

// graph reads the data root of a dockerd that keeps images itself.
type graph struct {
	root   string
	driver string
	// owner is set if somebody other than root or ourselves keeps the root
	// (rootless docker): then no directory is believed, because a layer
	// report is kept for everybody.
	owner *uint32
}

func newGraph(i info) (graph, error) {
	if contentDirs[i.Driver] == "" {
		return graph{}, fault.New(fault.Unsupported, "docker's storage driver %s is not read in place: save the image to a file and scan that, or move docker to overlay2 or the containerd store", i.Driver)
	}
	if !filepath.IsAbs(i.DockerRootDir) || filepath.Clean(i.DockerRootDir) != i.DockerRootDir {
		return graph{}, fault.New(fault.Unavailable, "docker's data root %q is no absolute path", i.DockerRootDir)
	}
	g := graph{root: i.DockerRootDir, driver: i.Driver}
	fi, err := os.Stat(filepath.Join(g.root, "image", g.driver, "imagedb", "content", "sha256"))
	if errors.Is(err, fs.ErrNotExist) {
		return graph{}, fault.New(fault.Unavailable, "docker's data root %s cannot be seen from here: run on the host itself, or mount it at the same path", g.root)
	} else if err != nil {
		return graph{}, g.fault(err, "docker's images")
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		g.owner = &st.Uid
	}
	return g, nil
}

func (g graph) configPath(id image.Digest) string {
	return filepath.Join(g.root, "image", g.driver, "imagedb", "content", "sha256", id.Hex())
}

func (g graph) layerPath(chain image.Digest, file string) string {
	return filepath.Join(g.root, "image", g.driver, "layerdb", "sha256", chain.Hex(), file)
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
	var lower []string // nearest first
	for i, chain := range image.ChainIDs(cfg.DiffIDs) {
		dir, err := g.layerDir(chain, cfg.DiffIDs[i])
		if err != nil {
			return nil, g.fault(err, fmt.Sprintf("layer %d of image %s", i+1, id))
		}
		l := image.Layer{
			DiffID: cfg.DiffIDs[i],
			Check:  func(context.Context) error { return g.check(chain, cfg.DiffIDs[i], dir) },
		}
		if g.driver == driverOverlay && g.owner == nil {
			l.Dir, l.Lower = dir, slices.Clone(lower)
			lower = append([]string{dir}, lower...)
		} else if l.Blob, err = g.rebuilt(chain, dir); err != nil {
			return nil, g.fault(err, fmt.Sprintf("layer %d of image %s", i+1, id))
		}
		o.Layers = append(o.Layers, l)
	}
	return o, nil
}

// rebuilt is the Blob function of a layer that is put together from dockerd's
// record of its tar and the files.
func (g graph) rebuilt(chain image.Digest, dir string) (func(context.Context) (io.ReadCloser, error), error) {
	record := g.layerPath(chain, "tar-split.json.gz")
	if fi, err := os.Lstat(record); err != nil || !fi.Mode().IsRegular() {
		return nil, fault.New(fault.Unsupported, "docker's storage driver %s has no record to put it together from: save the image to a file and scan that", g.driver)
	}
	return func(ctx context.Context) (io.ReadCloser, error) {
		r, err := tarsplit.Open(ctx, tarsplit.Config{Record: record, Dir: dir, Owner: g.owner})
		if err != nil {
			return nil, g.fault(err, "layer "+string(chain))
		}
		return r, nil
	}, nil
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
	dir := filepath.Join(g.root, filepath.FromSlash(strings.Replace(contentDirs[g.driver], "*", id, 1)))
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
