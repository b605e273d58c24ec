package runtimetest

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
)

// Want is what a source must list.
type Want struct {
	// Images that must be there. Others may be.
	Images []WantImage
	// Watch are directories in which nothing may change while the source
	// is used.
	Watch []string
}

// WantImage is one image that must be there.
type WantImage struct {
	// Name as docker shows it, "base:1"; empty for an untagged image.
	Name   string
	Config image.Digest
	// DiffIDs, lowest first.
	DiffIDs []image.Digest
	// Dirs says whether layers must be directories (true) or blobs.
	Dirs bool
	// Files are paths and contents in the top layer, checked where layers
	// are directories.
	Files map[string]string
	// Containers are the names of those made from the image, with whether
	// they run.
	Containers map[string]bool
}

// Suite checks that a source keeps the contract of image.Source. open is
// called once for each part; it closes what it opens at the end of the test.
func Suite(t *testing.T, open func(t *testing.T) image.Source, want Want) {
	t.Run("Images", func(t *testing.T) { suiteImages(t, open(t), want) })
	t.Run("Open", func(t *testing.T) { suiteOpen(t, open(t), want) })
	t.Run("Missing", func(t *testing.T) { suiteMissing(t, open(t)) })
	t.Run("Cancelled", func(t *testing.T) { suiteCancelled(t, open(t)) })
	t.Run("Concurrent", func(t *testing.T) { suiteConcurrent(t, open(t)) })
	t.Run("WritesNothing", func(t *testing.T) { suiteWritesNothing(t, open, want) })
}

func suiteImages(t *testing.T, src image.Source, want Want) {
	if src.Engine() == "" {
		t.Error("no engine name")
	}
	got := list(t, src)
	if again := list(t, src); !cmp.Equal(got, again) {
		t.Errorf("second list differs: %s", cmp.Diff(got, again))
	}
	if !slices.IsSortedFunc(got, image.Image.Compare) {
		t.Error("list is not in the order of image.Compare")
	}
	for _, img := range got {
		if img.Engine == "" || img.Locator == "" || img.ConfigDigest == "" {
			t.Errorf("incomplete: %+v", img)
		}
		if img.NonScanReason == "" && (img.Platform.OS == "" || img.Platform.Arch == "" || img.Size <= 0) {
			t.Errorf("incomplete: %+v", img)
		}
	}
	for _, w := range want.Images {
		img := find(t, got, w)
		if img.NonScanReason != "" {
			t.Errorf("%s: cannot be read: %s", w.Name, img.NonScanReason)
		}
		containers := map[string]bool{}
		for _, c := range img.Containers {
			containers[c.Name] = c.Running
			if c.EntryPoint == "" {
				t.Errorf("%s: container %s without an entry point", w.Name, c.Name)
			}
		}
		if d := cmp.Diff(w.Containers, containers); d != "" && len(w.Containers)+len(containers) > 0 {
			t.Errorf("%s: containers (-want +got):\n%s", w.Name, d)
		}
	}
}

func suiteOpen(t *testing.T, src image.Source, want Want) {
	got := list(t, src)
	for _, w := range want.Images {
		o, err := src.Open(t.Context(), find(t, got, w))
		if err != nil {
			t.Errorf("%s: %v", w.Name, err)
			continue
		}
		if d := image.DigestOf(o.RawConfig); d != w.Config {
			t.Errorf("%s: the raw configuration has digest %s, want %s", w.Name, d, w.Config)
		}
		if d := cmp.Diff(w.DiffIDs, o.Config.DiffIDs); d != "" {
			t.Errorf("%s: diff IDs (-want +got):\n%s", w.Name, d)
		}
		if len(o.Layers) != len(w.DiffIDs) {
			t.Fatalf("%s: %d layers, want %d", w.Name, len(o.Layers), len(w.DiffIDs))
		}
		for i, l := range o.Layers {
			if err := checkLayer(t.Context(), l, w, i); err != nil {
				t.Errorf("%s: layer %d: %v", w.Name, i, err)
			}
		}
		o.Close()
		o.Close() // is allowed
	}
}

func checkLayer(ctx context.Context, l image.Layer, w WantImage, i int) error {
	if l.DiffID != w.DiffIDs[i] {
		return fmt.Errorf("diff ID %s, want %s", l.DiffID, w.DiffIDs[i])
	}
	if (l.Dir == "") == (l.Blob == nil) {
		return fmt.Errorf("want exactly one of Dir %q and Blob", l.Dir)
	}
	if (l.Dir != "") != w.Dirs {
		return fmt.Errorf("read from the directory %q, want a directory: %v", l.Dir, w.Dirs)
	}
	if l.Dir != "" {
		fi, err := os.Stat(l.Dir)
		if err != nil {
			return err
		}
		if !fi.IsDir() {
			return fmt.Errorf("%s is no directory", l.Dir)
		}
		if i == len(w.DiffIDs)-1 {
			for name, content := range w.Files {
				b, err := os.ReadFile(filepath.Join(l.Dir, name))
				if err != nil {
					return err
				}
				if string(b) != content {
					return fmt.Errorf("%s holds %q, want %q", name, b, content)
				}
			}
		}
	} else if got, err := uncompressedDigest(ctx, l); err != nil {
		return err
	} else if got != l.DiffID {
		return fmt.Errorf("the uncompressed blob has digest %s, want %s", got, l.DiffID)
	}
	if l.Check != nil {
		return l.Check(ctx)
	}
	return nil
}

func uncompressedDigest(ctx context.Context, l image.Layer) (image.Digest, error) {
	rc, err := l.Blob(ctx)
	if err != nil {
		return "", err
	}
	defer rc.Close()
	counted := &counter{r: rc}
	head := make([]byte, 4)
	if _, err := io.ReadFull(counted, head); err != nil {
		return "", err
	}
	var r io.Reader = io.MultiReader(bytes.NewReader(head), counted)
	switch {
	case head[0] == 0x1f && head[1] == 0x8b:
		if r, err = gzip.NewReader(r); err != nil {
			return "", err
		}
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		d, err := zstd.NewReader(r)
		if err != nil {
			return "", err
		}
		defer d.Close()
		r = d
	}
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	if _, err := io.Copy(io.Discard, counted); err != nil { // to the end, where it is verified
		return "", err
	}
	if l.BlobSize != 0 && counted.n != l.BlobSize {
		return "", fmt.Errorf("%d bytes read, BlobSize is %d", counted.n, l.BlobSize)
	}
	if ra, ok := rc.(io.ReaderAt); ok {
		at := make([]byte, len(head))
		if _, err := ra.ReadAt(at, 0); err != nil || !bytes.Equal(at, head) {
			return "", fmt.Errorf("ReadAt(0) gives %x, %v; want %x", at, err, head)
		}
	}
	return image.Digest("sha256:" + hex.EncodeToString(h.Sum(nil))), nil
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

var anyDigest = regexp.MustCompile(`[0-9a-f]{64}`)

func suiteMissing(t *testing.T, src image.Source) {
	img := list(t, src)[0]
	img.Locator = anyDigest.ReplaceAllString(img.Locator, strings.Repeat("0", 64))
	if _, err := src.Open(t.Context(), img); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("an image that is not there: got %v (%v), want not found", err, fault.CodeOf(err))
	}
	img.Locator = "../../etc/passwd"
	if _, err := src.Open(t.Context(), img); err == nil {
		t.Error("a locator that is none was opened")
	}
}

func suiteCancelled(t *testing.T, src image.Source) {
	imgs := list(t, src)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// Either answer is right for what needs no waiting; a hang or a panic
	// is not.
	if _, err := src.Images(ctx); err == nil {
		t.Log("Images answers a cancelled context")
	}
	if o, err := src.Open(ctx, imgs[0]); err == nil {
		o.Close()
	}
	if got := list(t, src); !cmp.Equal(got, imgs) {
		t.Errorf("a cancelled call changed the list: %s", cmp.Diff(imgs, got))
	}
}

func suiteConcurrent(t *testing.T, src image.Source) {
	want := list(t, src)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			imgs, err := src.Images(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			if d := cmp.Diff(want, imgs); d != "" {
				t.Errorf("list differs: %s", d)
			}
			for _, img := range imgs {
				if img.NonScanReason != "" {
					continue
				}
				o, err := src.Open(t.Context(), img)
				if err != nil {
					t.Error(err)
					continue
				}
				for _, l := range o.Layers {
					if l.Blob == nil {
						continue
					}
					rc, err := l.Blob(t.Context())
					if err != nil {
						t.Error(err)
						continue
					}
					if _, err := io.Copy(io.Discard, rc); err != nil {
						t.Error(err)
					}
					rc.Close()
				}
				o.Close()
			}
		})
	}
	wg.Wait()
}

// suiteWritesNothing reads everything and compares the files before and after.
// Engines tidy up by themselves some time after an image was stored, so it
// waits for quiet first, and a change counts if it comes each time.
func suiteWritesNothing(t *testing.T, open func(t *testing.T) image.Source, want Want) {
	t.Setenv("TMPDIR", t.TempDir())
	watch := append([]string{os.TempDir()}, want.Watch...)
	const attempts = 3
	var diff string
	for range attempts {
		before := settle(t, watch)
		readImages(t, open(t))
		if diff = cmp.Diff(before, stateOf(t, watch)); diff == "" {
			return
		}
	}
	t.Errorf("something was written each time (-before +after):\n%s", diff)
}

// settle waits until the files stay as they are.
func settle(t *testing.T, dirs []string) map[string]string {
	t.Helper()
	state := stateOf(t, dirs)
	for range 20 {
		time.Sleep(500 * time.Millisecond)
		now := stateOf(t, dirs)
		if cmp.Equal(state, now) {
			break
		}
		state = now
	}
	return state
}

// readImages reads every byte of every layer of every image.
func readImages(t *testing.T, src image.Source) {
	t.Helper()
	for _, img := range list(t, src) {
		if img.NonScanReason != "" {
			continue
		}
		o, err := src.Open(t.Context(), img)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range o.Layers {
			if err := readAll(t.Context(), l); err != nil {
				t.Error(err)
			}
		}
		o.Close()
	}
}

// readAll reads every byte of a layer.
func readAll(ctx context.Context, l image.Layer) error {
	if l.Blob != nil {
		rc, err := l.Blob(ctx)
		if err != nil {
			return err
		}
		defer rc.Close()
		_, err = io.Copy(io.Discard, rc)
		return err
	}
	return filepath.WalkDir(l.Dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		_, err = os.ReadFile(p)
		return err
	})
}

// stateOf has size and modification time of every file below dirs.
func stateOf(t *testing.T, dirs []string) map[string]string {
	t.Helper()
	state := map[string]string{}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // deleted meanwhile
			}
			if err != nil {
				return err
			}
			fi, err := d.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			state[p] = fmt.Sprintf("%d bytes, %s, %s", fi.Size(), fi.Mode(), fi.ModTime().UTC())
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return state
}

func list(t *testing.T, src image.Source) []image.Image {
	t.Helper()
	imgs, err := src.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(imgs) == 0 {
		t.Fatal("no images")
	}
	return imgs
}

func find(t *testing.T, imgs []image.Image, w WantImage) image.Image {
	t.Helper()
	for _, img := range imgs {
		if img.ConfigDigest != w.Config {
			continue
		}
		if w.Name == "" && len(img.Names) == 0 {
			return img
		}
		for _, n := range img.Names {
			if n.String() == w.Name {
				return img
			}
		}
	}
	t.Fatalf("no image %q with configuration %s in %+v", w.Name, w.Config, imgs)
	return image.Image{}
}
