package storage

import (
	"cmp"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/runtime/cri"
)

const (
	// maxSpecBytes bounds the specification of a container.
	maxSpecBytes = 4 << 20
	maxPIDBytes  = 32
)

// Labels that Kubernetes gives a container.
const (
	labelContainer = "io.kubernetes.container.name"
	labelPod       = "io.kubernetes.pod.name"
	labelPodUID    = "io.kubernetes.pod.uid"
	// labelSandbox is the pod's ID, from podman and CRI-O.
	labelSandbox = "io.kubernetes.cri-o.SandboxID"
)

// A known container is what an engine's own records add to those of the
// library.
type known struct {
	command string
	podID   string
	podName string
	runDir  string
	labels  map[string]string
}

// addContainers puts the containers to their images.
func (s *Source) addContainers(ctx context.Context, v *view, imgs []image.Image) error {
	byID := map[string]int{}
	for n, img := range imgs {
		_, id, _ := strings.Cut(img.Locator, "@")
		if _, ok := byID[id]; !ok { // the root comes before additional stores
			byID[id] = n
		}
	}
	root := v.stores[0].root
	var db podmanState
	if v.stores[0].owner == nil { // a database is no food for us if anybody could have made it
		db = podmanRecords(ctx, root)
	}
	runRoot := cmp.Or(s.cfg.RunRoot, db.runRoot)
	pods := s.pods(ctx)
	for _, st := range v.stores {
		if st.root != root {
			continue // nobody makes containers in an additional store
		}
		list, err := st.containers()
		if err != nil {
			return describe(err, st.root)
		}
		for _, c := range list {
			n, ok := byID[c.Image]
			if !ok || !validID(c.ID) {
				continue // made from no image
			}
			found := st.container(c, db.containers[c.ID], runRoot)
			if p, ok := pods[c.ID]; ok {
				found.Name, found.PodID, found.PodName, found.Running = p.Name, p.PodID, p.PodName, p.Running
			}
			imgs[n].Containers = append(imgs[n].Containers, found)
		}
	}
	for n := range imgs {
		slices.SortFunc(imgs[n].Containers, func(a, b image.Container) int { return cmp.Compare(a.ID, b.ID) })
	}
	return nil
}

// pods are the containers that CRI-O knows. If it does not answer its images
// are here all the same, and the files tell what they can.
func (s *Source) pods(ctx context.Context) map[string]cri.Container {
	if s.cfg.CRI == "" {
		return nil
	}
	if _, err := os.Stat(s.cfg.CRI); err != nil {
		return nil
	}
	conn, err := cri.Dial(s.cfg.CRI)
	if err != nil {
		return nil
	}
	defer conn.Close()
	out, err := cri.List(ctx, conn)
	if err != nil {
		return nil
	}
	return out
}

// container joins what the library, the engine and the specification say.
func (s store) container(c containerRecord, k known, runRoot string) image.Container {
	var meta struct {
		Name string `json:"name"`
	}
	_ = json.Unmarshal([]byte(c.Metadata), &meta) // of another engine; the names will do
	out := image.Container{ID: c.ID, Name: cmp.Or(meta.Name, c.ID), EntryPoint: k.command, PodID: k.podID, PodName: k.podName}
	if meta.Name == "" && len(c.Names) > 0 {
		out.Name = c.Names[0]
	}
	state := filepath.Join(s.driver+"-containers", c.ID, "userdata")
	runDir := k.runDir
	if runDir == "" && runRoot != "" {
		runDir = filepath.Join(runRoot, state)
	}
	spec, ok := s.spec(filepath.Join(s.root, state), runDir)
	if ok {
		out.EntryPoint = cmp.Or(out.EntryPoint, strings.Join(spec.Process.Args, " "))
		out.PodID = cmp.Or(out.PodID, spec.Annotations[labelSandbox])
	}
	labels := spec.Annotations
	if k.labels[labelPodUID] != "" {
		labels = k.labels
	}
	if labels[labelPodUID] != "" {
		out.Name = cmp.Or(labels[labelContainer], out.Name)
		out.PodID, out.PodName = labels[labelPodUID], labels[labelPod]
	}
	if out.EntryPoint == "" {
		out.EntryPoint = s.imageCommand(c.Image)
	}
	out.Running = runDir != "" && s.alive(filepath.Join(runDir, "pidfile"), c.ID)
	return out
}

// spec is the part of an OCI runtime specification that we use.
type spec struct {
	Process     struct{ Args []string }
	Annotations map[string]string
}

// spec reads the specification that the container runs, or last ran, by.
func (s store) spec(dirs ...string) (spec, bool) {
	for _, dir := range dirs {
		if dir == "" {
			continue
		}
		b, err := readFile(filepath.Join(dir, "config.json"), maxSpecBytes, s.owner)
		var out spec
		if err == nil && json.Unmarshal(b, &out) == nil {
			return out, true
		}
	}
	return spec{}, false
}

// imageCommand is what a container of the image runs if nothing else is known.
func (s store) imageCommand(id string) string {
	img := foundImage{imageRecord{ID: id}, s}
	c, err := img.content()
	if err != nil {
		return ""
	}
	var raw struct {
		Config struct{ Entrypoint, Cmd []string }
	}
	if json.Unmarshal(c.rawConfig, &raw) != nil {
		return ""
	}
	return strings.Join(append(raw.Config.Entrypoint, raw.Config.Cmd...), " ")
}

// alive reports whether the process of a pid file lives and is the
// container's: numbers are given out again. podman, CRI-O and systemd all name
// the control group after the container.
func (s store) alive(pidfile, container string) bool {
	b, err := readFile(pidfile, maxPIDBytes, s.owner)
	if err != nil {
		return false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 0 {
		return false
	}
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(proc, "stat"))
	if err != nil {
		return false
	}
	// "PID (NAME) STATE …"; the name can hold anything.
	if i := strings.LastIndexByte(string(stat), ')'); i >= 0 && strings.HasPrefix(strings.TrimSpace(string(stat[i+1:])), "Z") {
		return false
	}
	group, err := os.ReadFile(filepath.Join(proc, "cgroup"))
	if err != nil || strings.Contains(string(group), container) {
		return err == nil
	}
	// Without control groups (--cgroups=disabled, rootless on cgroup v1)
	// the mounts of the process tell: its root is the container's layer, or
	// files of the container's state are mounted in it.
	mounts, err := os.ReadFile(filepath.Join(proc, "mountinfo"))
	return err == nil && strings.Contains(string(mounts), container)
}
