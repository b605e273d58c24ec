package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/onceover/onceover/internal/cache"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/runtime"
)

// lookFlags are the flags of commands that look into images.
type lookFlags struct {
	judgeFlags

	DB      string `name:"db" help:"Advisory database. Default: ${database_file}, or else the starter that is built in." placeholder:"FILE" type:"path" env:"ONCEOVER_DB"`
	Cache   string `help:"Keep layer reports in DIR. Default: onceover in the user's cache directory." placeholder:"DIR" type:"path" env:"ONCEOVER_CACHE_DIR"`
	NoCache bool   `help:"Keep layer reports for this run only." env:"ONCEOVER_NO_CACHE"`

	DockerSocket     []string `help:"Socket of a docker engine; repeatable. Default: the usual places." placeholder:"PATH" env:"ONCEOVER_DOCKER_SOCKET"`
	ContainerdSocket []string `help:"Socket of a containerd; repeatable. Default: the usual places." placeholder:"PATH" env:"ONCEOVER_CONTAINERD_SOCKET"`
	StorageRoot      []string `help:"Graph root of podman, CRI-O or buildah; repeatable. Default: those that their configuration files name." placeholder:"DIR" env:"ONCEOVER_STORAGE_ROOT"`
	PodmanSocket     []string `help:"Socket of podman's service, to be asked for its graph root; repeatable. Default: none, its configuration files tell." placeholder:"PATH" env:"ONCEOVER_PODMAN_SOCKET"`

	Parallel int          `help:"Read N layers at once. Default: the number of processors." placeholder:"N" env:"ONCEOVER_PARALLEL"`
	Sandbox  sandboxFlags `embed:""`

	CPUPercent int      `name:"cpu-percent" help:"Take at most N percent of one processor while others are busy. Default: what there is." placeholder:"N" env:"ONCEOVER_CPU_PERCENT"`
	Memory     byteSize `help:"Take at most SIZE of memory; layers are read one at a time then, unless --parallel says otherwise. Default: what there is, but not without bound." placeholder:"SIZE" env:"ONCEOVER_MEMORY"`

	Quiet bool `short:"q" help:"No progress and no summary, warnings only." env:"ONCEOVER_QUIET"`

	opened []image.Source // to be closed
}

// validate checks what the flags mean together.
func (c *lookFlags) validate() error {
	switch {
	case c.CPUPercent < 0:
		return errors.New("--cpu-percent: want a number from 1")
	case c.Memory != 0 && c.Memory < minMemory:
		return fmt.Errorf("--memory: want %s at least", bytesText(minMemory))
	case c.Parallel < 0:
		return errors.New("--parallel: want a number from 1")
	case c.NoCache && c.Cache != "":
		return errors.New("--cache and --no-cache exclude each other")
	}
	return nil
}

// openCache opens the cache of layer reports. A default directory that cannot
// be used is no reason not to scan.
func (c *lookFlags) openCache(p *progress) (*cache.Cache, error) {
	if c.NoCache {
		return cache.New(cache.Config{})
	}
	if c.Cache != "" {
		return cache.New(cache.Config{Dir: c.Cache})
	}
	dir, err := os.UserCacheDir()
	if err == nil {
		var layers *cache.Cache
		if layers, err = cache.New(cache.Config{Dir: filepath.Join(dir, "onceover")}); err == nil {
			return layers, nil
		}
	}
	p.warn("layer reports are not kept: %v", err)
	return cache.New(cache.Config{})
}

// places finds the images that the targets mean, or all.
func (c *lookFlags) places(ctx context.Context, p *progress, targets []string, all bool) ([]held, error) {
	var out []held
	var named []string
	for _, target := range targets {
		src, ok, err := runtime.Open(ctx, target)
		if err != nil {
			return nil, err
		}
		if !ok {
			if s, err := os.Stat(target); err == nil && (filepath.IsAbs(target) || target[0] == '.') {
				return nil, usagef("%s is not the name of an image; to scan what lies there, say %s", target, fileTarget(target, s.IsDir()))
			}
			named = append(named, target)
			continue
		}
		c.opened = append(c.opened, src)
		images, err := src.Images(ctx)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", target, err)
		}
		if len(images) == 0 {
			return nil, fault.New(fault.NotFound, "%s holds no image", target)
		}
		for _, img := range images {
			out = append(out, held{src, img})
		}
	}
	if len(named) == 0 && !all {
		return out, nil
	}
	here, asked, err := c.engineImages(ctx, p)
	if err != nil {
		return nil, err
	}
	if all {
		if len(here) == 0 {
			p.warn("there is no image in %s", asked)
		}
		return here, nil
	}
	for _, target := range named {
		images, err := find(here, target)
		if fault.CodeOf(err) == fault.NotFound {
			return nil, fault.New(fault.NotFound, "%w (asked: %s; 'onceover scan --all' scans every image)", err, asked)
		}
		if err != nil {
			return nil, err
		}
		if n := len(gather(images)); n > 1 {
			p.warn("%s names %d different images: all are scanned", target, n)
		}
		out = append(out, images...)
	}
	return out, nil
}

// fileTarget is how to name a file or directory as a target.
func fileTarget(path string, dir bool) string {
	if dir {
		return "oci:" + path
	}
	return "docker-archive:" + path + " or oci-archive:" + path
}

// engineImages lists the images of every engine that answers, and says which
// engines were asked.
func (c *lookFlags) engineImages(ctx context.Context, p *progress) (images []held, asked string, err error) {
	p.now("looking for container engines")
	sources, states := runtime.Discover(ctx, runtime.Config{Docker: c.DockerSocket, Containerd: c.ContainerdSocket, Storage: c.StorageRoot, Podman: c.PodmanSocket})
	c.opened = append(c.opened, sources...)
	var names []string
	for _, st := range states {
		if st.Error != "" {
			at := st.Name + " at " + st.Socket + ": " // which most errors begin with
			p.warn("%s%s", at, strings.TrimPrefix(st.Error, at))
			continue
		}
		names = append(names, strings.TrimSpace(st.Name+" "+st.Version))
	}
	if len(sources) == 0 {
		return nil, "", fault.New(fault.Unavailable, "no container engine can be read here: start docker or containerd, run this as root, name a socket or store with --docker-socket, --containerd-socket or --storage-root, or scan a file (docker-archive:FILE, oci:DIR, oci-archive:FILE)")
	}
	for _, src := range sources {
		list, err := src.Images(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil, "", ctx.Err()
			}
			if len(sources) == 1 {
				return nil, "", fmt.Errorf("list images of %s: %w", src.Engine(), err)
			}
			p.warn("list images of %s: %v", src.Engine(), err)
			continue
		}
		for _, img := range list {
			images = append(images, held{src, img})
		}
	}
	return images, strings.Join(names, ", "), nil
}
