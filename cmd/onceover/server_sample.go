package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/image"
	engineruntime "github.com/onceover/onceover/internal/runtime"
)

// sampleName is what the sample image is called.
const sampleName = "onceover-sample:this-host"

// Limits of the sample image.
const (
	// maxSampleFile is the largest file taken over: a package database, or
	// this program.
	maxSampleFile = 512 << 20
	// maxSamplePackages is how many language packages are taken over.
	maxSamplePackages = 200
)

// makeSample writes an OCI layout with what this machine is made of: its
// os-release, its package databases, some language packages, and this program.
// All of it is real, so that the findings are. It is the image to show where no
// engine is. The same machine gives the same image again.
func makeSample(ctx context.Context, dir string) (image.Source, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("make sample image: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o700); err != nil {
		return nil, fmt.Errorf("make sample image: %w", err)
	}
	if err := writeSample(dir); err != nil {
		return nil, fmt.Errorf("make sample image: %w", err)
	}
	src, _, err := engineruntime.Open(ctx, "oci:"+dir)
	if err != nil {
		return nil, fmt.Errorf("open sample image: %w", err)
	}
	return src, nil
}

// descriptor is an OCI content descriptor (image-spec, descriptor.md).
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      image.Digest      `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type sampleStep struct {
	CreatedBy string `json:"created_by"`
}

func writeSample(dir string) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	var layers []descriptor
	var steps []sampleStep
	for _, l := range []struct {
		createdBy string
		files     map[string]string // path in the image to path on the host
	}{
		{"COPY the operating system's records of this host", systemFiles()},
		{"COPY some language packages of this host", languageFiles()},
		{"COPY onceover /usr/local/bin/onceover", map[string]string{"usr/local/bin/onceover": program}},
	} {
		if len(l.files) == 0 {
			continue
		}
		d, err := writeLayer(dir, l.files)
		if err != nil {
			return err
		}
		layers = append(layers, d)
		steps = append(steps, sampleStep{l.createdBy})
	}

	var diffIDs []image.Digest
	for _, l := range layers {
		diffIDs = append(diffIDs, l.Digest) // not compressed
	}
	config, err := writeJSONBlob(dir, "application/vnd.oci.image.config.v1+json", map[string]any{
		"os": "linux", "architecture": runtime.GOARCH, "config": map[string]any{},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": diffIDs},
		"history": steps,
	})
	if err != nil {
		return err
	}
	manifest, err := writeJSONBlob(dir, "application/vnd.oci.image.manifest.v1+json", map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": config, "layers": layers,
	})
	if err != nil {
		return err
	}
	manifest.Annotations = map[string]string{
		"io.containerd.image.name":          "docker.io/library/" + sampleName,
		"org.opencontainers.image.ref.name": sampleName,
	}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []descriptor{manifest}})
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "index.json"), index, 0o600),
		os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o600))
}

// systemFiles are what tells the distribution and its packages. An os-release
// is often a symbolic link; its content stands at both places.
func systemFiles() map[string]string {
	files := map[string]string{}
	for _, name := range []string{
		"etc/os-release", "usr/lib/os-release",
		"var/lib/dpkg/status",
		"lib/apk/db/installed", "usr/lib/apk/db/installed",
		"var/lib/rpm/rpmdb.sqlite", "var/lib/rpm/Packages.db", "var/lib/rpm/Packages",
		"usr/lib/sysimage/rpm/rpmdb.sqlite", "usr/lib/sysimage/rpm/Packages.db", "usr/lib/sysimage/rpm/Packages",
	} {
		if fi, err := os.Stat("/" + name); err == nil && fi.Mode().IsRegular() && fi.Size() <= maxSampleFile {
			files[name] = "/" + name
		}
	}
	return files
}

// languageFiles are the records of packages that pip, gem and npm installed.
func languageFiles() map[string]string {
	files := map[string]string{}
	for _, pattern := range []string{
		"/usr/lib/python3/dist-packages/*.dist-info/METADATA",
		"/usr/lib/python3*/site-packages/*.dist-info/METADATA",
		"/usr/local/lib/python3*/*-packages/*.dist-info/METADATA",
		"/var/lib/gems/*/specifications/*.gemspec",
		"/usr/lib/node_modules/*/package.json",
		"/usr/lib/node_modules/*/node_modules/*/package.json",
		"/usr/local/lib/node_modules/*/package.json",
		"/usr/share/nodejs/*/package.json",
	} {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			continue // a constant pattern is well formed
		}
		for _, m := range matches {
			if fi, err := os.Stat(m); err == nil && fi.Mode().IsRegular() && fi.Size() <= maxSmallFile && len(files) < maxSamplePackages {
				files[strings.TrimPrefix(m, "/")] = m
			}
		}
	}
	return files
}

// writeLayer writes a plain tar with fixed times and owners, so that the same
// files give the same digest.
func writeLayer(dir string, files map[string]string) (descriptor, error) {
	names := make([]string, 0, len(files))
	dirs := map[string]bool{}
	for name := range files {
		names = append(names, name)
		for d := path.Dir(name); d != "."; d = path.Dir(d) {
			dirs[d] = true
		}
	}
	for d := range dirs {
		names = append(names, d)
	}
	slices.Sort(names)
	return writeBlob(dir, "application/vnd.oci.image.layer.v1.tar", func(w io.Writer) error {
		t := tar.NewWriter(w)
		for _, name := range names {
			if dirs[name] {
				if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755}); err != nil {
					return err
				}
				continue
			}
			if err := copyInto(t, name, files[name]); err != nil {
				return err
			}
		}
		return t.Close()
	})
}

func copyInto(t *tar.Writer, name, from string) error {
	f, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: fi.Size(), Mode: int64(fi.Mode().Perm())}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	if _, err := io.CopyN(t, f, fi.Size()); err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return nil
}

func writeJSONBlob(dir, mediaType string, v any) (descriptor, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return descriptor{}, err
	}
	return writeBlob(dir, mediaType, func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(b))
		return err
	})
}

// writeBlob writes a blob under the name of its digest.
func writeBlob(dir, mediaType string, write func(io.Writer) error) (descriptor, error) {
	blobs := filepath.Join(dir, "blobs", "sha256")
	f, err := os.CreateTemp(blobs, ".new-*")
	if err != nil {
		return descriptor{}, err
	}
	h := sha256.New()
	err = write(io.MultiWriter(f, h))
	size, serr := f.Seek(0, io.SeekCurrent)
	if err := errors.Join(err, serr, f.Close()); err != nil {
		return descriptor{}, err
	}
	sum := hex.EncodeToString(h.Sum(nil))
	d, err := image.ParseDigest(sum)
	if err != nil {
		return descriptor{}, err
	}
	return descriptor{MediaType: mediaType, Digest: d, Size: size}, os.Rename(f.Name(), filepath.Join(blobs, sum))
}
