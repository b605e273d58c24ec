package runtime

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/runtime/archive"
	"github.com/onceover/onceover/internal/runtime/storage"
)

// Config says where to look for engines. The zero value looks at the usual
// places.
type Config struct {
	// Docker and Containerd are paths of unix sockets. A non-nil list,
	// even an empty one, takes the place of the usual ones of that engine.
	Docker     []string
	Containerd []string
	// Storage are graph roots of podman, CRI-O and buildah. A non-nil list
	// takes the place of those that the configuration files of this host
	// name. Podman are sockets of podman's service to ask for further
	// roots; there are no usual ones, since asking can start a process.
	Storage []string
	Podman  []string
	// Host is where configuration files are looked for.
	Host storage.Host
	// Getenv is os.Getenv unless set.
	Getenv func(string) string
}

// EngineState is one engine that was found or asked for.
type EngineState struct {
	// Name is "docker", "containerd", "podman" or "cri-o".
	Name string `json:"name"`
	// Version as the engine says; empty with an Error, and where images are
	// read without an engine to ask.
	Version string `json:"version,omitempty"`
	// Socket is the path of the engine's socket, or of its graph root.
	Socket string `json:"socket"`
	// Error says why the engine cannot be used, and what to do about it.
	Error string `json:"error,omitempty"`
}

// Discover finds the engines of this host. Sources are those that answered, in
// a stable order; engines also has those that are there and did not. A usual
// place where nothing is, is left out; a socket named in cfg never is. An
// image that both docker and its containerd would list is listed by docker
// alone.
//
// Every source implements io.Closer; CloseAll closes them.
func Discover(ctx context.Context, cfg Config) (sources []image.Source, engines []EngineState) {
	d := discovery{cfg: cfg, seen: map[string]bool{}}
	d.docker(ctx)
	d.containerd(ctx)
	d.storage(ctx)
	return d.sources, d.engines
}

// CloseAll closes what Discover or Open returned.
func CloseAll(sources ...image.Source) {
	for _, s := range sources {
		if c, ok := s.(io.Closer); ok {
			_ = c.Close() // nothing was written that could be lost
		}
	}
}

// Open opens an archive: "docker-archive:FILE", "oci:DIR[:TAG]" or
// "oci-archive:FILE[:TAG]". It is false if target has none of these prefixes,
// and so names an image of an engine.
func Open(ctx context.Context, target string) (image.Source, bool, error) {
	kind, rest, ok := strings.Cut(target, ":")
	if !ok {
		return nil, false, nil
	}
	var src *archive.Source
	var err error
	switch kind {
	case archive.KindDocker:
		if rest == "" {
			return nil, true, missingPath(kind)
		}
		src, err = archive.OpenDocker(ctx, rest)
	case archive.KindOCI, archive.KindOCIArchive:
		path, tag := splitTag(rest)
		if path == "" {
			return nil, true, missingPath(kind)
		}
		if kind == archive.KindOCI {
			src, err = archive.OpenLayout(ctx, path, tag)
		} else {
			src, err = archive.OpenOCIArchive(ctx, path, tag)
		}
	default:
		return nil, false, nil
	}
	if err != nil {
		return nil, true, err // not src: a nil pointer in an interface is not nil
	}
	return src, true, nil
}

func missingPath(kind string) error {
	return fault.New(fault.Invalid, "%s: wants a path: %s:PATH", kind, kind)
}

// splitTag takes "PATH:TAG" apart. A path that exists as it stands has no tag,
// and a tag has no slash unless it is a whole reference behind a path that
// exists.
func splitTag(s string) (path, tag string) {
	if exists(s) {
		return s, ""
	}
	for i := range len(s) {
		if s[i] == ':' && exists(s[:i]) {
			return s[:i], s[i+1:]
		}
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.ContainsRune(s[i:], filepath.Separator) {
		return s, ""
	}
	return s[:i], s[i+1:]
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
