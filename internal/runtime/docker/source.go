package docker

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/runtime/containerd"
)

// Engine is what Image.Engine says of images of dockerd.
const Engine = "docker"

// Config says which dockerd to read.
type Config struct {
	// Socket is the path of its API socket.
	Socket string
	// Containerd are the sockets to try if the daemon keeps its images in
	// containerd and does not say where that listens.
	Containerd []string
}

// A Source reads the images of one dockerd. It implements image.Source and is
// safe for concurrent use.
type Source struct {
	cfg    Config
	client *client

	mu         sync.Mutex
	api        string // negotiated version, "" before
	containerd *containerd.Source
}

// New makes a source. It does not connect: the first call does.
func New(cfg Config) (*Source, error) {
	if !filepath.IsAbs(cfg.Socket) {
		return nil, fault.New(fault.Invalid, "docker socket %q: want an absolute path", cfg.Socket)
	}
	return &Source{cfg: cfg, client: newClient(cfg.Socket)}, nil
}

// Engine is "docker".
func (s *Source) Engine() string { return Engine }

// Socket is the path of the socket.
func (s *Source) Socket() string { return s.cfg.Socket }

// Close ends connections.
func (s *Source) Close() error {
	s.client.http.CloseIdleConnections()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.containerd == nil {
		return nil
	}
	err := s.containerd.Close()
	s.containerd = nil
	return err
}

// Version is the daemon's version. It is how Discover finds out whether anyone
// is there.
func (s *Source) Version(ctx context.Context) (string, error) {
	i, err := s.info(ctx)
	return i.ServerVersion, err
}

// ContainerdSocket is the containerd that holds the images, "" if the daemon
// keeps them itself.
func (s *Source) ContainerdSocket(ctx context.Context) (string, error) {
	i, err := s.info(ctx)
	if err != nil || !i.containerdStore() {
		return "", err
	}
	c, err := s.inner(ctx, i)
	if err != nil {
		return "", err
	}
	return c.Socket(), nil
}

// Images lists the images that docker shows, untagged ones included.
func (s *Source) Images(ctx context.Context) ([]image.Image, error) {
	i, err := s.info(ctx)
	if err != nil {
		return nil, err
	}
	var used []container
	if err := s.get(ctx, "/containers/json?all=1", &used); err != nil {
		return nil, err
	}
	var out []image.Image
	if i.containerdStore() {
		out, err = s.listContainerd(ctx, i, used)
	} else {
		out, err = s.listGraph(ctx, i, used)
	}
	if err != nil {
		return nil, err
	}
	for n := range out {
		slices.SortFunc(out[n].Containers, func(a, b image.Container) int { return cmp.Compare(a.ID, b.ID) })
	}
	slices.SortFunc(out, image.Image.Compare)
	return out, nil
}

// listGraph lists what the daemon itself keeps.
func (s *Source) listGraph(ctx context.Context, i info, used []container) ([]image.Image, error) {
	var list []summary
	if err := s.get(ctx, "/images/json", &list); err != nil {
		return nil, err
	}
	g, unreadable := newGraph(i)
	var out []image.Image
	for _, sum := range list {
		id, err := image.ParseDigest(sum.ID)
		if err != nil {
			return nil, fmt.Errorf("%s: image list: %w", s.client, err)
		}
		img := image.Image{
			Engine:       Engine,
			Locator:      string(id),
			ConfigDigest: id, // this store calls the config digest the image ID
			Names:        names(sum.RepoTags),
			RepoDigests:  repoDigests(sum.RepoDigests),
			Size:         sum.Size,
		}
		if unreadable != nil {
			img.NonScanReason = unreadable.Error()
		} else if o, err := g.open(id); err == nil {
			img.Platform, img.Created = o.Config.Platform, o.Config.Created
		} else if fault.CodeOf(err) == fault.NotFound && !g.lists(id) {
			continue // deleted since it was listed
		} else {
			img.NonScanReason = err.Error()
		}
		for _, c := range used {
			if c.ImageID == string(id) {
				img.Containers = append(img.Containers, c.describe())
			}
		}
		out = append(out, img)
	}
	return out, nil
}

// listContainerd lists the images in containerd with the containers as docker
// knows them: containerd itself does not know their images.
func (s *Source) listContainerd(ctx context.Context, i info, used []container) ([]image.Image, error) {
	inner, err := s.inner(ctx, i)
	if err != nil {
		return nil, err
	}
	out, err := inner.Images(ctx)
	if err != nil {
		return nil, err
	}
	for n := range out {
		out[n].Containers = nil
	}
	for _, c := range used {
		if n := findImage(out, c); n >= 0 {
			out[n].Containers = append(out[n].Containers, c.describe())
		}
	}
	return out, nil
}

// findImage is the index of the image that a container was made from, or -1.
// With the containerd store an image ID is the digest of what the name points
// to, a manifest or an index.
func findImage(imgs []image.Image, c container) int {
	exact := image.Digest(c.ImageManifestDescriptor.Digest)
	for n, img := range imgs {
		if exact != "" && img.ManifestDigest == exact || string(img.ManifestDigest) == c.ImageID {
			return n
		}
	}
	for n, img := range imgs {
		loc, err := containerd.ParseLocator(img.Locator)
		if err == nil && slices.Contains(loc.Targets, image.Digest(c.ImageID)) {
			return n
		}
	}
	return -1
}

// Open opens an image that Images listed.
func (s *Source) Open(ctx context.Context, img image.Image) (*image.Opened, error) {
	i, err := s.info(ctx)
	if err != nil {
		return nil, err
	}
	if i.containerdStore() {
		inner, err := s.inner(ctx, i)
		if err != nil {
			return nil, err
		}
		return inner.Open(ctx, img)
	}
	id, err := image.ParseDigest(img.Locator)
	if err != nil {
		return nil, fault.New(fault.Invalid, "%q does not locate an image of docker", img.Locator)
	}
	g, err := newGraph(i)
	if err != nil {
		return nil, err
	}
	return g.open(id)
}

// info asks where images lie. It is asked anew each time: a daemon can be
// restarted with another store while the agent runs.
func (s *Source) info(ctx context.Context) (info, error) {
	var i info
	err := s.get(ctx, "/info", &i)
	return i, err
}

func (s *Source) get(ctx context.Context, path string, out any) error {
	api, err := s.version(ctx)
	if err != nil {
		return err
	}
	err = s.client.get(ctx, "/v"+api+path, out)
	if err != nil {
		s.mu.Lock()
		s.api = "" // the daemon may have been replaced by another version
		s.mu.Unlock()
	}
	return err
}

// version is the API version to use, negotiated once.
func (s *Source) version(ctx context.Context) (string, error) {
	s.mu.Lock()
	api := s.api
	s.mu.Unlock()
	if api != "" {
		return api, nil
	}
	api, err := s.client.version(ctx)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	s.api = api
	s.mu.Unlock()
	return api, nil
}

// inner is the source of the containerd that holds the images.
func (s *Source) inner(ctx context.Context, i info) (*containerd.Source, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.containerd != nil {
		if _, err := s.containerd.Version(ctx); err == nil {
			return s.containerd, nil
		}
		_ = s.containerd.Close()
		s.containerd = nil
	}
	sockets := s.cfg.Containerd
	if i.Containerd.Address != "" {
		sockets = []string{i.Containerd.Address}
	}
	var reached *containerd.Source
	last := fault.New(fault.Unavailable, "%s keeps its images in containerd and does not say where: name the socket of containerd", s.client)
	for _, socket := range sockets {
		c, err := containerd.New(containerd.Config{Socket: socket, Engine: Engine, Only: containerd.MobyNamespace})
		if err != nil {
			last = err
			continue
		}
		has, err := c.HasImages(ctx, containerd.MobyNamespace)
		switch {
		case err != nil:
			last = fmt.Errorf("%s keeps its images in containerd: %w", s.client, err)
			_ = c.Close()
		case has || reached == nil:
			if reached != nil {
				_ = reached.Close()
			}
			reached = c
		default:
			_ = c.Close()
		}
		if has {
			break
		}
	}
	if reached == nil {
		return nil, last
	}
	s.containerd = reached
	return reached, nil
}

func (c container) describe() image.Container {
	name := c.ID
	if len(c.Names) > 0 {
		name = strings.TrimPrefix(c.Names[0], "/")
	}
	return image.Container{
		ID:         c.ID,
		Name:       cmp.Or(c.Labels["io.kubernetes.container.name"], name),
		PodID:      c.Labels["io.kubernetes.pod.uid"],
		PodName:    c.Labels["io.kubernetes.pod.name"],
		EntryPoint: c.Command,
		Running:    c.State == "running" || c.State == "paused" || c.State == "restarting",
	}
}

// names leaves out "<none>:<none>", which older daemons give to images without
// a name.
func names(tags []string) []image.Ref {
	var out []image.Ref
	for _, t := range tags {
		if !strings.HasPrefix(t, "<none>") {
			out = append(out, image.ParseRef(t))
		}
	}
	slices.SortFunc(out, func(a, b image.Ref) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Tag, b.Tag))
	})
	return slices.Compact(out)
}

func repoDigests(ds []string) []string {
	var out []string
	for _, d := range ds {
		if !strings.HasPrefix(d, "<none>") {
			out = append(out, d)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
