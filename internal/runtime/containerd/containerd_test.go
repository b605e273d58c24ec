package containerd_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	contentapi "github.com/containerd/containerd/api/services/content/v1"
	imagesapi "github.com/containerd/containerd/api/services/images/v1"
	"github.com/containerd/containerd/api/types"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/runtime/containerd"
	"github.com/onceover/onceover/internal/runtime/oci"
	"github.com/onceover/onceover/internal/runtime/runtimetest"
	"github.com/onceover/onceover/test/engine"
)

func source(t *testing.T, cfg containerd.Config) *containerd.Source {
	t.Helper()
	src, err := containerd.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src
}

func importOCI(t *testing.T, e *engine.Engine, namespace string, unpack bool, imgs ...runtimetest.Image) {
	t.Helper()
	file := runtimetest.PackDir(t, runtimetest.Layout(t, imgs...))
	if err := e.Import(t.Context(), namespace, file, unpack); err != nil {
		t.Fatal(err)
	}
}

// k8s is the namespace of the CRI plugin.
const k8s = "k8s.io"

func TestSuite(t *testing.T) {
	e := engine.Containerd(t)
	unpacked := []runtimetest.Image{runtimetest.Debian(t, "base:1", runtimetest.Gzip), runtimetest.Sleeper(t, "sleeper:1")}
	if img, ok := runtimetest.Alpine(t, "alpine:3.20"); ok {
		unpacked = append(unpacked, img)
	}
	packed := []runtimetest.Image{
		runtimetest.Build(t, "packed:1", runtimetest.Gzip, map[string]string{"p": "1"}, map[string]string{"q": "2"}),
		runtimetest.Build(t, "packed:2", runtimetest.Zstd, map[string]string{"z": "1"}),
		runtimetest.Build(t, "packed:3", runtimetest.Plain, map[string]string{"y": "1"}),
	}
	importOCI(t, e, k8s, true, unpacked...)
	importOCI(t, e, engine.DefaultNamespace, false, packed...)
	for _, c := range []engine.Container{
		{Namespace: k8s, Image: "docker.io/library/sleeper:1", Name: "awake", Cmd: []string{"/sleeper"}},
		{Namespace: k8s, Image: "docker.io/library/sleeper:1", Name: "never-started", Cmd: []string{"/sleeper"}, Stopped: true},
		{Namespace: k8s, Image: "docker.io/library/sleeper:1", Name: "0123abcd", Cmd: []string{"/sleeper"}, Labels: map[string]string{
			"io.kubernetes.container.name": "web", "io.kubernetes.pod.name": "web-0", "io.kubernetes.pod.uid": "uid-0",
		}},
	} {
		if _, err := e.Run(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	unpacked[1].Want.Containers = map[string]bool{"awake": true, "never-started": false, "web": true}
	var want []runtimetest.WantImage
	for _, img := range unpacked {
		img.Want.Dirs = true
		want = append(want, img.Want)
	}
	for _, img := range packed {
		want = append(want, img.Want)
	}
	runtimetest.Suite(t, func(t *testing.T) image.Source { return source(t, containerd.Config{Socket: e.Socket}) },
		runtimetest.Want{Images: want, Watch: []string{e.DataRoot}})

	imgs, err := source(t, containerd.Config{Socket: e.Socket}).Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(imgs) != len(want) {
		t.Errorf("%d images, want %d: %+v", len(imgs), len(want), imgs)
	}
	for _, img := range imgs {
		for _, c := range img.Containers {
			if c.Name == "web" && (c.PodID != "uid-0" || c.PodName != "web-0" || c.ID != "0123abcd") {
				t.Errorf("pod of %+v", c)
			}
			if c.EntryPoint != "/sleeper" {
				t.Errorf("entry point of %+v", c)
			}
		}
	}
	for name, tc := range map[string]struct {
		cfg  containerd.Config
		want int
	}{
		"only":    {containerd.Config{Socket: e.Socket, Only: k8s}, len(unpacked)},
		"skip":    {containerd.Config{Socket: e.Socket, Skip: k8s}, len(packed)},
		"no such": {containerd.Config{Socket: e.Socket, Only: "nothing"}, 0},
	} {
		imgs, err := source(t, tc.cfg).Images(t.Context())
		if err != nil || len(imgs) != tc.want {
			t.Errorf("%s: %d images, %v; want %d", name, len(imgs), err, tc.want)
		}
	}
}

// TestSameImageInTwoNamespaces: both are listed; one may be unpacked only
// through the other.
func TestSameImageInTwoNamespaces(t *testing.T) {
	e := engine.Containerd(t)
	img := runtimetest.Debian(t, "base:1", runtimetest.Gzip)
	importOCI(t, e, "one", true, img)
	importOCI(t, e, "two", false, img)
	src := source(t, containerd.Config{Socket: e.Socket})
	imgs, err := src.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(imgs) != 2 || imgs[0].ConfigDigest != imgs[1].ConfigDigest || imgs[0].Locator == imgs[1].Locator {
		t.Fatalf("got %+v, want the image once for each namespace", imgs)
	}
	for _, img := range imgs {
		o, err := src.Open(t.Context(), img)
		if err != nil {
			t.Fatal(err)
		}
		for i, l := range o.Layers {
			if l.Dir == "" {
				t.Errorf("layer %d of %s is not read from the directory that is there", i, img.Locator)
			}
		}
		o.Close()
	}
}

func TestNames(t *testing.T) {
	e := engine.Containerd(t)
	img := runtimetest.Build(t, "a:1", runtimetest.Gzip, map[string]string{"a": "1"})
	importOCI(t, e, k8s, false, img)
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	// The records of the digests are those that CRI makes.
	for _, name := range []string{"docker.io/library/a@" + digest.String(), "sha256:" + img.Want.Config.Hex(), "quay.io/x/a:2"} {
		if err := e.Tag(t.Context(), k8s, "docker.io/library/a:1", name); err != nil {
			t.Fatal(err)
		}
	}
	src := source(t, containerd.Config{Socket: e.Socket})
	imgs, err := src.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(imgs) != 1 {
		t.Fatalf("got %d images, want one: %+v", len(imgs), imgs)
	}
	got := imgs[0]
	if want := []image.Ref{{Name: "a", Tag: "1"}, {Name: "quay.io/x/a", Tag: "2"}}; !slices.Equal(got.Names, want) {
		t.Errorf("names %v, want %v", got.Names, want)
	}
	if want := []string{"a@" + digest.String(), "quay.io/x/a@" + digest.String()}; !slices.Equal(got.RepoDigests, want) {
		t.Errorf("repo digests %v, want %v", got.RepoDigests, want)
	}
	if got.ManifestDigest != image.Digest(digest.String()) {
		t.Errorf("manifest digest %s, want %s", got.ManifestDigest, digest)
	}
}

func TestPlatforms(t *testing.T) {
	e := engine.Containerd(t)
	mine := runtimetest.BuildFor(t, "app:1", oci.Host(), map[string]string{"mine": "1"})
	theirs := runtimetest.BuildFor(t, "app:1", image.Platform{OS: "linux", Arch: "s390x"}, map[string]string{"theirs": "1"})
	file := runtimetest.PackDir(t, runtimetest.MultiPlatformLayout(t, "app:1", theirs, mine))
	for _, tc := range []struct {
		name string
		all  bool
		want []image.Digest
	}{
		{"host only", false, []image.Digest{mine.Want.Config}},
		{"all", true, []image.Digest{mine.Want.Config, theirs.Want.Config}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ns := strings.ReplaceAll(tc.name, " ", "-")
			if err := e.ImportPlatforms(t.Context(), ns, file, tc.all); err != nil {
				t.Fatal(err)
			}
			imgs, err := source(t, containerd.Config{Socket: e.Socket, Only: ns}).Images(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var got []image.Digest
			for _, img := range imgs {
				got = append(got, img.ConfigDigest)
				if img.NonScanReason != "" {
					t.Errorf("%s cannot be read: %s", img.Platform, img.NonScanReason)
				}
			}
			slices.Sort(got)
			slices.Sort(tc.want)
			// What lies in the content store is shared by namespaces.
			if tc.name == "host only" && !slices.Contains(got, mine.Want.Config) || tc.all && !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestDeletedWhileOpen(t *testing.T) {
	e := engine.Containerd(t)
	unpacked := runtimetest.Build(t, "unpacked:1", runtimetest.Gzip, map[string]string{"a": "1"})
	packed := runtimetest.Build(t, "packed:1", runtimetest.Gzip, map[string]string{"b": "1"})
	importOCI(t, e, "x", true, unpacked)
	importOCI(t, e, "x", false, packed)
	src := source(t, containerd.Config{Socket: e.Socket})
	imgs, err := src.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var opened []*image.Opened
	for _, img := range imgs {
		o, err := src.Open(t.Context(), img)
		if err != nil {
			t.Fatal(err)
		}
		opened = append(opened, o)
		if err := e.RemoveImage(t.Context(), "x", "docker.io/library/"+img.Names[0].String()); err != nil {
			t.Fatal(err)
		}
	}
	if len(opened) != 2 {
		t.Fatalf("%d images, want 2", len(opened))
	}
	for i, o := range opened {
		if _, err := src.Open(t.Context(), imgs[i]); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("open a deleted image: got %v, want not found", err)
		}
		l := o.Layers[0]
		if l.Dir != "" {
			err = l.Check(t.Context())
		} else {
			_, err = l.Blob(t.Context())
		}
		if fault.CodeOf(err) != fault.NotFound {
			t.Errorf("layer of the deleted image %v: got %v, want not found", imgs[i].Names, err)
		}
	}
}

// TestWithoutDataRoot reads through the content API, as an agent does that
// does not see the data root.
func TestWithoutDataRoot(t *testing.T) {
	e := engine.Containerd(t)
	img := runtimetest.Debian(t, "base:1", runtimetest.Gzip)
	importOCI(t, e, "x", true, img)
	runtimetest.Suite(t, func(t *testing.T) image.Source {
		src := source(t, containerd.Config{Socket: e.Socket})
		src.HideRoots()
		return src
	}, runtimetest.Want{Images: []runtimetest.WantImage{img.Want}, Watch: []string{e.DataRoot}})
}

// TestWithoutSnapshots falls back to blobs where the directories cannot be
// found, and says so where there is neither.
func TestWithoutSnapshots(t *testing.T) {
	e := engine.Containerd(t)
	img := runtimetest.Debian(t, "base:1", runtimetest.Gzip)
	importOCI(t, e, "x", true, img)
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	snapshots := filepath.Join(e.DataRoot, "io.containerd.snapshotter.v1.overlayfs", "snapshots")
	move(snapshots, snapshots+".hidden")
	defer move(snapshots+".hidden", snapshots)
	runtimetest.Suite(t, func(t *testing.T) image.Source { return source(t, containerd.Config{Socket: e.Socket}) },
		runtimetest.Want{Images: []runtimetest.WantImage{img.Want}})

	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	blob := filepath.Join(e.DataRoot, "io.containerd.content.v1.content/blobs/sha256", m.Layers[1].Digest.Hex)
	move(blob, blob+".hidden")
	defer move(blob+".hidden", blob)
	src := source(t, containerd.Config{Socket: e.Socket})
	imgs, err := src.Images(t.Context())
	if err != nil || len(imgs) != 1 {
		t.Fatalf("%d images, %v; want one", len(imgs), err)
	}
	if want := "layer 2, not unpacked by overlayfs: " + m.Layers[1].Digest.String() + " is not in the content store"; imgs[0].NonScanReason != want {
		t.Errorf("reason %q, want %q", imgs[0].NonScanReason, want)
	}
	if _, err := src.Open(t.Context(), imgs[0]); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("got %v, want not found", err)
	}
	// Where a snapshotter may be pulling lazily the reason says so.
	src.AddRemote("stargz")
	if imgs, err = src.Images(t.Context()); err != nil || len(imgs) != 1 || !strings.Contains(imgs[0].NonScanReason, "the snapshotter stargz may fetch its files when they are used") {
		t.Errorf("got %+v, %v", imgs, err)
	}
}

// TestListWhileImporting reads the snapshotter's database while it changes.
func TestListWhileImporting(t *testing.T) {
	e := engine.Containerd(t)
	var files []string
	var want []image.Digest
	for i := range 6 {
		img := runtimetest.Build(t, "app:"+string(rune('a'+i)), runtimetest.Gzip, map[string]string{"n": string(rune('a' + i))}, map[string]string{"m": "1"})
		want = append(want, img.Want.Config)
		files = append(files, runtimetest.PackDir(t, runtimetest.Layout(t, img)))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	src := source(t, containerd.Config{Socket: e.Socket})
	lists := 0
	wg.Go(func() {
		for ctx.Err() == nil {
			imgs, err := src.Images(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			for _, img := range imgs {
				if !slices.Contains(want, img.ConfigDigest) {
					t.Errorf("unknown image %+v", img)
				}
			}
			lists++
			time.Sleep(5 * time.Millisecond) // leave the daemon some of the machine
		}
	})
	for _, f := range files {
		if err := e.Import(t.Context(), "x", f, true); err != nil {
			t.Error(err)
		}
	}
	cancel()
	wg.Wait()
	t.Logf("%d lists", lists)
	imgs, err := src.Images(t.Context())
	if err != nil || len(imgs) != len(want) {
		t.Errorf("%d images, %v; want %d", len(imgs), err, len(want))
	}
}

func TestUnreachable(t *testing.T) {
	src := source(t, containerd.Config{Socket: filepath.Join(t.TempDir(), "none.sock")})
	if _, err := src.Images(t.Context()); fault.CodeOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "is containerd running?") {
		t.Errorf("got %v, want unavailable and what to do", err)
	}
	if _, err := containerd.New(containerd.Config{Socket: "x.sock"}); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("relative socket: got %v, want invalid", err)
	}
}

func TestLocator(t *testing.T) {
	d := image.DigestOf([]byte("x"))
	l := containerd.Locator{Namespace: "k8s.io", Manifest: d, Targets: []image.Digest{d, image.DigestOf([]byte("y"))}}
	back, err := containerd.ParseLocator(l.String())
	if err != nil || back.String() != l.String() {
		t.Errorf("got %v, %v", back, err)
	}
	for _, bad := range []string{"", "x", "@@", "ns@sha256:1@sha256:2", "ns@" + string(d) + "@", "@" + string(d) + "@" + string(d), "ns@" + string(d) + "@../../x"} {
		if _, err := containerd.ParseLocator(bad); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%q: got %v, want invalid", bad, err)
		}
	}
}

// TestUnparsable: a name that leads to what is no manifest is listed with the
// reason, and the others beside it are as they were.
func TestUnparsable(t *testing.T) {
	e := engine.Containerd(t)
	img := runtimetest.Debian(t, "base:1", runtimetest.Gzip)
	importOCI(t, e, "x", true, img)
	for name, content := range map[string]string{
		"example.com/broken:1": "{",
		"example.com/old:1":    `{"schemaVersion":1,"name":"old","tag":"1","fsLayers":[]}`,
	} {
		digest := image.DigestOf([]byte(content))
		conn, err := grpc.NewClient("unix://"+e.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ctx := metadata.AppendToOutgoingContext(t.Context(), "containerd-namespace", "x")
		w, err := contentapi.NewContentClient(conn).Write(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Send(&contentapi.WriteContentRequest{
			Action: contentapi.WriteAction_COMMIT, Ref: name, Total: int64(len(content)), Expected: string(digest), Data: []byte(content),
			Labels: map[string]string{"containerd.io/gc.root": "2026-01-01T00:00:00Z"},
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Recv(); err != nil {
			t.Fatal(err)
		}
		if _, err := imagesapi.NewImagesClient(conn).Create(ctx, &imagesapi.CreateImageRequest{Image: &imagesapi.Image{
			Name: name, Target: &types.Descriptor{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: string(digest), Size: int64(len(content))},
		}}); err != nil {
			t.Fatal(err)
		}
	}
	imgs, err := source(t, containerd.Config{Socket: e.Socket}).Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, i := range imgs {
		if i.ConfigDigest == "" || i.Locator == "" {
			t.Errorf("incomplete: %+v", i)
		}
		got[i.Names[0].String()] = i.NonScanReason
	}
	for name, want := range map[string]string{"base:1": "", "example.com/broken:1": "parse manifest", "example.com/old:1": "schema version 1"} {
		if reason, ok := got[name]; !ok || !strings.Contains(reason, want) || want == "" && reason != "" {
			t.Errorf("%s: listed %v, reason %q; want %q", name, ok, reason, want)
		}
	}
}
