package planted

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/image"
)

// A File of a layer. Mode has fs.ModeDir for a directory; without any bits of
// permission it stands for 0644.
type File struct {
	Path     string
	Mode     fs.FileMode
	UID, GID int
	Content  []byte
}

// A Layer is one step of a build.
type Layer struct {
	// Command stands in the history.
	Command string
	Files   []File
	// Removed are paths beneath that the layer hides.
	Removed []string
}

// An Image to be written.
type Image struct {
	// Ref is its name: "shop/web:1".
	Ref    string
	Layers []Layer
	// Steps are further entries of the history, which make no layer.
	Steps  []string
	Config Config
}

// Config is that part of the configuration that says how the image runs (OCI
// image specification, "Image Configuration", and Docker's HEALTHCHECK).
type Config struct {
	User         string              `json:"User,omitempty"`
	Env          []string            `json:"Env,omitempty"`
	Entrypoint   []string            `json:"Entrypoint,omitempty"`
	Labels       map[string]string   `json:"Labels,omitempty"`
	ExposedPorts map[string]struct{} `json:"ExposedPorts,omitempty"`
	Healthcheck  *Healthcheck        `json:"Healthcheck,omitempty"`
}

// Healthcheck is a test and how often it runs, in nanoseconds.
type Healthcheck struct {
	Test     []string
	Interval int64
}

// made is an image as blobs.
type made struct {
	ref    string
	config []byte
	layers [][]byte
}

var created = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func (i Image) make() (made, error) {
	type step struct {
		Created   time.Time `json:"created"`
		CreatedBy string    `json:"created_by"`
		Empty     bool      `json:"empty_layer,omitempty"`
	}
	out := made{ref: i.Ref}
	var history []step
	var diffIDs []image.Digest
	for _, l := range i.Layers {
		b, err := l.tar()
		if err != nil {
			return made{}, err
		}
		out.layers, diffIDs = append(out.layers, b), append(diffIDs, image.DigestOf(b))
		history = append(history, step{Created: created, CreatedBy: l.Command})
	}
	for _, s := range i.Steps {
		history = append(history, step{created, s, true})
	}
	var err error
	out.config, err = json.Marshal(map[string]any{
		"os": "linux", "architecture": "amd64", "created": created, "config": i.Config, "history": history,
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs},
	})
	return out, err
}

// DiffID is that of the uppermost layer.
func (i Image) DiffID() image.Digest {
	b, err := i.Layers[len(i.Layers)-1].tar()
	must(err)
	return image.DigestOf(b)
}

func (l Layer) tar() ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	dirs := map[string]bool{".": true}
	// What the layer says of a directory goes before the files in it.
	files := slices.Clone(l.Files)
	slices.SortStableFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	for _, p := range l.Removed {
		files = append(files, File{Path: path.Join(path.Dir(p), ".wh."+path.Base(p))})
	}
	for _, f := range files {
		name := strings.TrimPrefix(f.Path, "/")
		if err := parents(w, dirs, path.Dir(name)); err != nil {
			return nil, err
		}
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(f.Content)), Uid: f.UID, Gid: f.GID, ModTime: created, Mode: mode(f.Mode)}
		if f.Mode.IsDir() {
			h.Typeflag, h.Name, dirs[name] = tar.TypeDir, name+"/", true
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.Content); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), w.Close()
}

// mode is a mode as tar(5) has it.
func mode(m fs.FileMode) int64 {
	out := int64(m.Perm())
	if out == 0 {
		out = 0o644
	}
	for bit, n := range map[fs.FileMode]int64{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&bit != 0 {
			out |= n
		}
	}
	return out
}

func parents(w *tar.Writer, done map[string]bool, dir string) error {
	if done[dir] {
		return nil
	}
	done[dir] = true
	if err := parents(w, done, path.Dir(dir)); err != nil {
		return err
	}
	return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: created})
}

const (
	layerType    = "application/vnd.oci.image.layer.v1.tar"
	configType   = "application/vnd.oci.image.config.v1+json"
	manifestType = "application/vnd.oci.image.manifest.v1+json"
)

// WriteOCI writes an OCI layout with the images into dir. Layers that images
// share are there once.
func WriteOCI(dir string, images ...Image) error {
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return err
	}
	var failed error
	blob := func(b []byte, mediaType string) map[string]any {
		d := image.DigestOf(b)
		failed = errors.Join(failed, os.WriteFile(filepath.Join(blobs, d.Hex()), b, 0o644))
		return map[string]any{"mediaType": mediaType, "digest": d, "size": len(b)}
	}
	var manifests []any
	for _, i := range images {
		m, err := i.make()
		if err != nil {
			return err
		}
		var layers []any
		for _, l := range m.layers {
			layers = append(layers, blob(l, layerType))
		}
		doc, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": manifestType, "config": blob(m.config, configType), "layers": layers})
		if err != nil {
			return err
		}
		desc := blob(doc, manifestType)
		desc["annotations"] = map[string]string{"io.containerd.image.name": "docker.io/library/" + m.ref, "org.opencontainers.image.ref.name": m.ref}
		manifests = append(manifests, desc)
	}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": manifests})
	if err != nil {
		return err
	}
	return errors.Join(failed,
		os.WriteFile(filepath.Join(dir, "index.json"), index, 0o644),
		os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
}

// WriteArchive writes the image as "docker save" does.
func WriteArchive(file string, i Image) error {
	m, err := i.make()
	if err != nil {
		return err
	}
	var all []Entry
	config := image.DigestOf(m.config).Hex() + ".json"
	all = append(all, Entry{config, m.config})
	var layers []string
	for n, l := range m.layers {
		name := fmt.Sprintf("%03d/layer.tar", n)
		layers = append(layers, name)
		all = append(all, Entry{name, l})
	}
	manifest, err := json.Marshal([]any{map[string]any{"Config": config, "RepoTags": []string{m.ref}, "Layers": layers}})
	if err != nil {
		return err
	}
	return os.WriteFile(file, Tar(append(all, Entry{"manifest.json", manifest})...), 0o644)
}
