package containerd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	imagesapi "github.com/containerd/containerd/api/services/images/v1"
	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/runtime/cri"
	"github.com/onceover/onceover/internal/runtime/oci"
)

// record is one name of an image.
type record struct {
	name   string
	target oci.Descriptor
}

func (s *Source) records(ctx context.Context, ns string) ([]record, error) {
	resp, err := imagesapi.NewImagesClient(s.conn).List(inNamespace(ctx, ns), &imagesapi.ListImagesRequest{})
	if err != nil {
		return nil, s.fault(err, "list the images of namespace "+ns)
	}
	var out []record
	for _, img := range resp.GetImages() {
		d, err := image.ParseDigest(img.GetTarget().GetDigest())
		if err != nil {
			continue // another hash than SHA-256, which nothing we read uses
		}
		out = append(out, record{img.GetName(), oci.Descriptor{
			Digest: d, MediaType: img.GetTarget().GetMediaType(), Size: img.GetTarget().GetSize(),
		}})
	}
	slices.SortFunc(out, func(a, b record) int { return cmp.Compare(a.name, b.name) })
	return out, nil
}

// list lists one namespace: one image for each manifest that is here, with all
// names that lead to it.
func (s *Source) list(ctx context.Context, ns string, rs roots) ([]image.Image, error) {
	records, err := s.records(ctx, ns)
	if err != nil || len(records) == 0 {
		return nil, err
	}
	uses, err := s.containers(ctx, ns)
	if err != nil {
		return nil, err
	}
	l := lister{ctx: ctx, ns: ns, content: s.content(ns, rs), dirs: s.unpacked(rs), roots: rs, denied: rs.denied(), engine: s.cfg.Engine, found: map[image.Digest]*listed{}}
	resolved := map[image.Digest][]*listed{}
	for _, r := range records {
		found, ok := resolved[r.target.Digest]
		if !ok {
			if found, err = l.resolve(r.target); err != nil {
				return nil, err
			}
			resolved[r.target.Digest] = found
		}
		for i, img := range found {
			img.name(r)
			// A container names the image and not the platform: it runs
			// what suits the host, which comes first.
			if i == 0 {
				img.Containers = append(img.Containers, uses[r.name]...)
			}
		}
	}
	return l.images(), nil
}

type lister struct {
	ctx     context.Context
	ns      string
	content content
	dirs    snapshotIndex
	roots   roots
	denied  bool
	engine  string
	found   map[image.Digest]*listed // by manifest digest
}

type listed struct {
	image.Image
	targets []image.Digest
}

// resolve finds the images behind a target, the one for this host first.
func (l *lister) resolve(target oci.Descriptor) ([]*listed, error) {
	candidates, err := oci.Resolve(l.ctx, target, l.content.fetch)
	if err != nil {
		if l.ctx.Err() != nil || fault.CodeOf(err) == fault.Unavailable {
			return nil, err
		}
		// What cannot be parsed is shown with the reason. Nobody can say
		// what its configuration is, so the target stands for it.
		img, ok := l.found[target.Digest]
		if !ok {
			img = &listed{Image: image.Image{
				Engine: l.engine, ConfigDigest: target.Digest, ManifestDigest: target.Digest, NonScanReason: l.reason(err),
			}}
			l.found[target.Digest] = img
		}
		return []*listed{img}, nil
	}
	var imgs []*listed
	var platforms []image.Platform
	for _, c := range candidates {
		img, ok := l.found[c.Descriptor.Digest]
		if !ok {
			img = l.describe(c)
			l.found[c.Descriptor.Digest] = img
		}
		imgs = append(imgs, img)
		platforms = append(platforms, img.Platform)
	}
	host := oci.Best(platforms, oci.Host())
	if host > 0 {
		imgs[0], imgs[host] = imgs[host], imgs[0]
	}
	// Of other platforms only what is here whole counts as an image.
	kept := imgs[:0]
	for i, img := range imgs {
		if i == 0 && host >= 0 || img.NonScanReason == "" {
			kept = append(kept, img)
		}
	}
	return kept, nil
}

// describe fills in what manifest and configuration say.
func (l *lister) describe(c oci.Candidate) *listed {
	img := &listed{Image: image.Image{
		Engine:         l.engine,
		ConfigDigest:   c.Manifest.Config.Digest,
		ManifestDigest: c.Descriptor.Digest,
	}}
	if p := c.Descriptor.Platform; p != nil {
		img.Platform = *p
	}
	raw, err := l.content.fetch(l.ctx, c.Manifest.Config)
	if err != nil {
		img.NonScanReason = l.reason(fmt.Errorf("configuration: %w", err))
		return img
	}
	cfg, err := image.ParseConfig(raw)
	if err != nil {
		img.NonScanReason = err.Error()
		return img
	}
	img.Platform, img.Created = cfg.Platform, cfg.Created
	if len(cfg.DiffIDs) != len(c.Manifest.Layers) {
		img.NonScanReason = fmt.Sprintf("%d layers in the manifest and %d in the configuration", len(c.Manifest.Layers), len(cfg.DiffIDs))
		return img
	}
	for i, chain := range image.ChainIDs(cfg.DiffIDs) {
		if _, ok := l.dirs.dir(chain); ok {
			img.Size += l.dirs.by[chain].size
			continue
		}
		size, err := l.content.size(l.ctx, c.Manifest.Layers[i])
		if err != nil {
			img.NonScanReason = l.reason(l.roots.absent(i+1, err))
			return img
		}
		img.Size += size
	}
	return img
}

func (l *lister) reason(err error) string {
	if l.denied {
		return "the data of containerd cannot be read: run as root"
	}
	return err.Error()
}

// name adds a name to an image. CRI keeps three records for one image: name
// and tag, name and digest, and the config digest alone.
func (img *listed) name(r record) {
	if !slices.Contains(img.targets, r.target.Digest) {
		img.targets = append(img.targets, r.target.Digest)
	}
	const dangling = "moby-dangling@" // dockerd's name for what has none
	if strings.HasPrefix(r.name, "sha256:") || strings.HasPrefix(r.name, dangling) {
		return
	}
	ref := image.ParseRef(r.name)
	if ref.Tag != "" || !strings.Contains(r.name, "@") {
		if !slices.Contains(img.Names, ref) {
			img.Names = append(img.Names, ref)
		}
	}
	img.RepoDigests = append(img.RepoDigests, ref.Name+"@"+string(r.target.Digest))
}

func (l *lister) images() []image.Image {
	var out []image.Image
	for _, img := range l.found {
		if len(img.targets) == 0 {
			continue // another platform, not here whole
		}
		slices.Sort(img.targets)
		img.Locator = Locator{Namespace: l.ns, Manifest: img.ManifestDigest, Targets: img.targets}.String()
		slices.SortFunc(img.Names, func(a, b image.Ref) int {
			return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Tag, b.Tag))
		})
		slices.Sort(img.RepoDigests)
		img.RepoDigests = slices.Compact(img.RepoDigests)
		slices.SortFunc(img.Containers, func(a, b image.Container) int { return cmp.Compare(a.ID, b.ID) })
		img.Containers = slices.CompactFunc(img.Containers, func(a, b image.Container) bool { return a.ID == b.ID })
		out = append(out, img.Image)
	}
	return out
}

// criKind is the label by which the CRI plugin marks its containers.
const criKind = "io.cri-containerd.kind"

// containers are the containers of a namespace by the name of their image.
func (s *Source) containers(ctx context.Context, ns string) (map[string][]image.Container, error) {
	ctx, cancel := context.WithCancel(inNamespace(ctx, ns))
	defer cancel()
	running, err := s.running(ctx)
	if err != nil {
		return nil, err
	}
	stream, err := s.containersClient().ListStream(ctx, &containersapi.ListContainersRequest{})
	if err != nil {
		return nil, s.fault(err, "list containers")
	}
	out := map[string][]image.Container{}
	ofCRI := false
	for {
		msg, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, s.fault(err, "list containers")
		}
		c := msg.GetContainer()
		ofCRI = ofCRI || c.GetLabels()[criKind] != ""
		out[c.GetImage()] = append(out[c.GetImage()], describeContainer(c, running[c.GetID()]))
	}
	if ofCRI {
		s.addPods(ctx, out)
	}
	return out, nil
}

// addPods adds what the CRI plugin knows of pods. If it does not answer, which
// it need not, the labels of the kubelet will do.
func (s *Source) addPods(ctx context.Context, byImage map[string][]image.Container) {
	known, err := cri.List(ctx, s.conn)
	if err != nil {
		return
	}
	for _, list := range byImage {
		for i, c := range list {
			if k, ok := known[c.ID]; ok {
				list[i].Name, list[i].PodID, list[i].PodName = k.Name, k.PodID, k.PodName
			}
		}
	}
}

// running is the set of containers that have a live process.
func (s *Source) running(ctx context.Context) (map[string]bool, error) {
	resp, err := s.tasksClient().List(ctx, &tasksapi.ListTasksRequest{})
	if err != nil {
		return nil, s.fault(err, "list tasks")
	}
	out := map[string]bool{}
	for _, p := range resp.GetTasks() {
		switch p.GetStatus() {
		case task.Status_RUNNING, task.Status_PAUSED, task.Status_PAUSING:
			out[p.GetID()] = true
		}
	}
	return out, nil
}

func describeContainer(c *containersapi.Container, running bool) image.Container {
	// Names as Kubernetes, nerdctl and compose label them.
	labels := c.GetLabels()
	return image.Container{
		ID:         c.GetID(),
		Name:       cmp.Or(labels["io.kubernetes.container.name"], labels["nerdctl/name"], c.GetID()),
		PodID:      labels["io.kubernetes.pod.uid"],
		PodName:    labels["io.kubernetes.pod.name"],
		EntryPoint: entryPoint(c.GetSpec().GetValue()),
		Running:    running,
	}
}

// entryPoint is the command line in an OCI runtime specification, "" if it has
// none.
func entryPoint(spec []byte) string {
	var s struct {
		Process struct {
			Args []string `json:"args"`
		} `json:"process"`
	}
	if json.Unmarshal(spec, &s) != nil {
		return "" // a specification of another runtime
	}
	return strings.Join(s.Process.Args, " ")
}
