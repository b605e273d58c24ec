package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/onceover/onceover/internal/check/malware"
	"github.com/onceover/onceover/test/shareddata"
)

// TestMain gives the scripts the program itself and tools that make what it
// reads.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"onceover": main,
		"mkimage":  tool(makeImage),
		"mkzip":    tool(makeZip),
		"attach":   tool(attach),
		"serve":    tool(serve),
	})
}

func tool(run func(args []string) error) func() {
	return func() {
		if err := run(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

var update = flag.Bool("update", false, "write what commands print into the scripts that compare it")

func TestScripts(t *testing.T) {
	data := shareddata.Find()
	if data == "" && os.Getenv("ONCEOVER_REQUIRE_DATA") == "1" {
		shareddata.Dir(t)
	}
	if data != "" {
		var err error
		if data, err = filepath.Abs(data); err != nil {
			t.Fatal(err)
		}
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			config := filepath.Join(e.WorkDir, "no-settings.yaml")
			if err := os.WriteFile(config, nil, 0o600); err != nil {
				return err
			}
			e.Setenv("DATA", data)
			e.Setenv("GORACE", os.Getenv("GORACE")) // or each command sleeps for a second at its end
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, "cache"))
			e.Setenv("XDG_DATA_HOME", filepath.Join(e.WorkDir, "data"))
			e.Setenv("ONCEOVER_CONFIG", config)
			return nil
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "data": // the shared test data are there
				return data != "", nil
			case "yara": // libyara is built in
				return malware.YARABuilt, nil
			case "default-db": // this machine has a database that scan would use
				_, err := os.Stat("/var/lib/onceover/advisories.db")
				return err == nil && os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("no such condition: %s", cond)
		},
	})
}

// makeImage is "mkimage oci|docker-archive OUT NAME[,NAME] LAYER…": an image
// whose layers are directories, or .tar.gz files as they are; another file holds
// a variable of the image, NAME=value. Equal input gives equal bytes.
func makeImage(args []string) error {
	if len(args) < 4 {
		return fmt.Errorf("usage: mkimage oci|docker-archive OUT NAME[,NAME] LAYER…")
	}
	kind, out, names := args[0], args[1], strings.Split(args[2], ",")
	img, err := mutate.CreatedAt(empty.Image, v1.Time{Time: time.Unix(1_700_000_000, 0)})
	if err != nil {
		return err
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return err
	}
	cfg.OS, cfg.Architecture = "linux", "amd64"
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		return err
	}
	for _, src := range args[3:] {
		open := func() (io.ReadCloser, error) { return os.Open(src) }
		if fi, err := os.Stat(src); err != nil {
			return err
		} else if !fi.IsDir() && !strings.HasSuffix(src, ".gz") {
			variable, err := os.ReadFile(src)
			if err != nil {
				return err
			}
			if img, err = withVariable(img, string(variable)); err != nil {
				return err
			}
			continue
		} else if fi.IsDir() {
			content, err := tarDir(src)
			if err != nil {
				return err
			}
			open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
		}
		layer, err := tarball.LayerFromOpener(open)
		if err != nil {
			return err
		}
		img, err = mutate.Append(img, mutate.Addendum{Layer: layer, History: v1.History{CreatedBy: "COPY " + filepath.Base(src) + " /"}})
		if err != nil {
			return err
		}
	}
	switch kind {
	case "oci":
		l, err := layout.FromPath(out)
		if err != nil {
			if l, err = layout.Write(out, empty.Index); err != nil {
				return err
			}
		}
		for _, n := range names {
			if err := l.AppendImage(img, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": n})); err != nil {
				return err
			}
		}
		return nil
	case "docker-archive":
		return writeDockerArchive(out, names, img)
	}
	return fmt.Errorf("no such kind: %s", kind)
}

func withVariable(img v1.Image, variable string) (v1.Image, error) {
	cfg, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	cfg = cfg.DeepCopy()
	cfg.Config.Env = append(cfg.Config.Env, variable)
	return mutate.ConfigFile(img, cfg)
}

// attach is "attach LAYOUT FILE": FILE becomes an OpenVEX document whose subject
// is the first image of the layout.
func attach(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: attach LAYOUT FILE")
	}
	l, err := layout.FromPath(args[0])
	if err != nil {
		return err
	}
	index, err := l.ImageIndex()
	if err != nil {
		return err
	}
	m, err := index.IndexManifest()
	if err != nil {
		return err
	}
	b, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	const mediaType = "application/vnd.openvex+json"
	img, err := mutate.Append(mutate.MediaType(empty.Image, types.OCIManifestSchema1), mutate.Addendum{Layer: static.NewLayer(b, mediaType)})
	if err != nil {
		return err
	}
	img = mutate.Subject(mutate.ConfigMediaType(img, "application/vnd.oci.empty.v1+json"), m.Manifests[0]).(v1.Image)
	return l.AppendImage(img)
}

func writeDockerArchive(out string, names []string, img v1.Image) error {
	refs := map[name.Tag]v1.Image{}
	for _, n := range names {
		tag, err := name.NewTag(n, name.WithDefaultRegistry("docker.io"))
		if err != nil {
			return err
		}
		refs[tag] = img
	}
	return tarball.MultiWriteToFile(out, refs)
}

// tarDir packs the content of dir. "NAME.remove" becomes a whiteout of NAME.
func tarDir(dir string) ([]byte, error) {
	var paths []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && p != dir {
			paths = append(paths, p)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(paths)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, p := range paths {
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return nil, err
		}
		fi, err := os.Lstat(p)
		if err != nil {
			return nil, err
		}
		if name, ok := strings.CutSuffix(rel, ".remove"); ok {
			rel = filepath.Join(filepath.Dir(name), ".wh."+filepath.Base(name))
		}
		h := &tar.Header{Name: filepath.ToSlash(rel), Mode: 0o644, ModTime: time.Unix(1_700_000_000, 0), Typeflag: tar.TypeReg, Size: fi.Size()}
		var content []byte
		if fi.IsDir() {
			h.Name, h.Mode, h.Typeflag, h.Size = h.Name+"/", 0o755, tar.TypeDir, 0
		} else if content, err = os.ReadFile(p); err != nil {
			return nil, err
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	err = w.Close()
	return b.Bytes(), err
}

// makeZip is "mkzip OUT FILE…".
func makeZip(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("usage: mkzip OUT FILE…")
	}
	if err := os.MkdirAll(filepath.Dir(args[0]), 0o755); err != nil {
		return err
	}
	f, err := os.Create(args[0])
	if err != nil {
		return err
	}
	z := zip.NewWriter(f)
	for _, p := range args[1:] {
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		w, err := z.Create(filepath.Base(p))
		if err != nil {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	return f.Close()
}

// serve is "serve DIR FILE": an HTTP server on loopback that writes its URL to
// FILE and runs until it is killed.
func serve(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: serve DIR FILE")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := os.WriteFile(args[1]+".tmp", []byte("http://"+l.Addr().String()), 0o644); err != nil {
		return err
	}
	if err := os.Rename(args[1]+".tmp", args[1]); err != nil {
		return err
	}
	return http.Serve(l, http.FileServer(http.Dir(args[0])))
}

func TestProgramVersion(t *testing.T) {
	stamped := programVersion()
	if stamped == "" {
		t.Error("no version without the linker's")
	}
	version = "1.2.3"
	defer func() { version = "" }()
	if got := programVersion(); got != "1.2.3" {
		t.Errorf("programVersion() = %q, want the linker's", got)
	}
}
