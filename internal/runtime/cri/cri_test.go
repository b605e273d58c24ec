package cri_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/runtime/containerd"
	"github.com/onceover/onceover/internal/runtime/cri"
	"github.com/onceover/onceover/internal/runtime/runtimetest"
	"github.com/onceover/onceover/test/engine"
)

func dial(t *testing.T, socket string) *grpc.ClientConn {
	t.Helper()
	conn, err := cri.Dial(socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// TestPods runs a pod by containerd's CRI plugin and finds it again, by itself
// and among the images.
func TestPods(t *testing.T) {
	e := engine.Containerd(t)
	for _, ref := range []string{engine.PauseImage, "sleeper:1"} {
		file := runtimetest.DockerArchive(t, runtimetest.Sleeper(t, ref))
		if err := e.Import(t.Context(), engine.CRINamespace, file, true); err != nil {
			t.Fatal(err)
		}
	}
	sandbox, id, err := e.RunPod(t.Context(), engine.Pod{Name: "web-0", UID: "uid-0", Container: "web", Image: "docker.io/library/sleeper:1"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]cri.Container{
		sandbox: {ID: sandbox, Name: "POD", PodID: "uid-0", PodName: "web-0", Running: true},
		id:      {ID: id, Name: "web", PodID: "uid-0", PodName: "web-0", Running: true},
	}
	check := func() {
		t.Helper()
		got, err := cri.List(t.Context(), dial(t, e.Socket))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
		if d := cmp.Diff(want, listed(t, e)); d != "" {
			t.Errorf("of the images: -want +got:\n%s", d)
		}
	}
	check()
	if err := e.StopInPod(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	c := want[id]
	c.Running = false
	want[id] = c
	check()
}

// listed are the containers as the source of containerd shows them.
func listed(t *testing.T, e *engine.Engine) map[string]cri.Container {
	t.Helper()
	src, err := containerd.New(containerd.Config{Socket: e.Socket})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	imgs, err := src.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]cri.Container{}
	for _, img := range imgs {
		for _, c := range img.Containers {
			if c.EntryPoint != "/sleeper" {
				t.Errorf("entry point of %+v", c)
			}
			out[c.ID] = cri.Container{ID: c.ID, Name: c.Name, PodID: c.PodID, PodName: c.PodName, Running: c.Running}
		}
	}
	return out
}

// TestNoCRI: dockerd's own containerd runs without the plugin.
func TestNoCRI(t *testing.T) {
	e := engine.DockerContainerdStore(t)
	if _, err := cri.List(t.Context(), dial(t, e.ContainerdSocket)); fault.CodeOf(err) != fault.Unsupported {
		t.Errorf("got %v (%v), want unsupported", err, fault.CodeOf(err))
	}
	if _, err := cri.List(t.Context(), dial(t, "/nowhere/at/all.sock")); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("got %v (%v), want unavailable", err, fault.CodeOf(err))
	}
}

// FuzzAnswer decodes anything as either answer.
func FuzzAnswer(f *testing.F) {
	var item, answer []byte
	item = protowire.AppendString(protowire.AppendTag(item, 1, protowire.BytesType), "id")
	item = protowire.AppendString(protowire.AppendTag(item, 2, protowire.BytesType), "\x0a\x03web\x12\x03uid")
	item = protowire.AppendVarint(protowire.AppendTag(item, 6, protowire.VarintType), 1)
	item = protowire.AppendFixed64(protowire.AppendTag(item, 99, protowire.Fixed64Type), 1)
	answer = protowire.AppendBytes(protowire.AppendTag(answer, 1, protowire.BytesType), item)
	f.Add(answer)
	f.Add(answer[:len(answer)-3])
	f.Fuzz(func(_ *testing.T, b []byte) { cri.ParseBoth(b) })
}
