package containerd

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	contentapi "github.com/containerd/containerd/api/services/content/v1"
	imagesapi "github.com/containerd/containerd/api/services/images/v1"
	introspectionapi "github.com/containerd/containerd/api/services/introspection/v1"
	namespacesapi "github.com/containerd/containerd/api/services/namespaces/v1"
	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	versionapi "github.com/containerd/containerd/api/services/version/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/runtime/oci"
)

// MobyNamespace is where dockerd keeps its containers and, with the containerd
// store, its images.
const MobyNamespace = "moby"

// Config says which containerd to read.
type Config struct {
	// Socket is the path of its gRPC socket.
	Socket string
	// Engine is the name that images carry; "containerd" if empty. dockerd
	// with the containerd store sets its own.
	Engine string
	// Only names the one namespace to read; all of them if empty.
	Only string
	// Skip is a namespace to leave out, because another source lists it.
	Skip string
}

// A Source reads the images of one containerd. It implements image.Source and
// is safe for concurrent use.
type Source struct {
	cfg  Config
	conn *grpc.ClientConn

	mu    sync.Mutex
	roots *roots // nil until the daemon has told
	snaps snapshots
}

// roots is where the daemon keeps things, "" where it does not say.
type roots struct {
	content   string
	overlayfs string
	// remote are snapshotters that are no part of containerd. Those known
	// pull the content of layers when it is asked for.
	remote []string
}

// ownSnapshotters are part of containerd, or need all of a layer to unpack it.
var ownSnapshotters = []string{"overlayfs", "native", "btrfs", "zfs", "devmapper", "blockfile", "erofs", "aufs", "fuse-overlayfs", "windows", "windows-lcow"}

// absent says why a layer that is not unpacked and has no blob cannot be read.
func (rs roots) absent(layer int, err error) error {
	if fault.CodeOf(err) != fault.NotFound {
		return fmt.Errorf("layer %d, not unpacked: %w", layer, err)
	}
	if len(rs.remote) > 0 {
		return fault.New(fault.NotFound, "layer %d is not on this host as a whole: the snapshotter %s may fetch its files when they are used (pull the image with overlayfs to have it scanned): %w",
			layer, strings.Join(rs.remote, " or "), err)
	}
	return fault.New(fault.NotFound, "layer %d, not unpacked by overlayfs: %w", layer, err)
}

// New makes a source. It does not connect: the first call does.
func New(cfg Config) (*Source, error) {
	if !filepath.IsAbs(cfg.Socket) {
		return nil, fault.New(fault.Invalid, "containerd socket %q: want an absolute path", cfg.Socket)
	}
	if cfg.Engine == "" {
		cfg.Engine = "containerd"
	}
	conn, err := dial(cfg.Socket)
	if err != nil {
		return nil, fmt.Errorf("containerd at %s: %w", cfg.Socket, err)
	}
	return &Source{cfg: cfg, conn: conn}, nil
}

// Engine is the name that the images of this source carry.
func (s *Source) Engine() string { return s.cfg.Engine }

// Socket is the path of the socket.
func (s *Source) Socket() string { return s.cfg.Socket }

// Close ends the connection.
func (s *Source) Close() error { return s.conn.Close() }

// Version is the daemon's version, as it says. It is how Discover finds out
// whether anyone is there.
func (s *Source) Version(ctx context.Context) (string, error) {
	if err := reachable(ctx, s.cfg.Socket); err != nil {
		return "", err
	}
	v, err := versionapi.NewVersionClient(s.conn).Version(ctx, &emptypb.Empty{})
	if err != nil {
		return "", s.fault(err, "ask for the version")
	}
	return v.GetVersion(), nil
}

// HasImages reports whether the namespace holds any image.
func (s *Source) HasImages(ctx context.Context, namespace string) (bool, error) {
	list, err := s.records(ctx, namespace)
	return len(list) > 0, err
}

// Images lists the images of all namespaces.
func (s *Source) Images(ctx context.Context) ([]image.Image, error) {
	if err := reachable(ctx, s.cfg.Socket); err != nil {
		return nil, err
	}
	rs, err := s.where(ctx)
	if err != nil {
		return nil, err
	}
	namespaces, err := s.namespaces(ctx)
	if err != nil {
		return nil, err
	}
	var out []image.Image
	for _, ns := range namespaces {
		imgs, err := s.list(ctx, ns, rs)
		if err != nil {
			return nil, err
		}
		out = append(out, imgs...)
	}
	slices.SortFunc(out, image.Image.Compare)
	return out, nil
}

func (s *Source) namespaces(ctx context.Context) ([]string, error) {
	if s.cfg.Only != "" {
		return []string{s.cfg.Only}, nil
	}
	resp, err := namespacesapi.NewNamespacesClient(s.conn).List(ctx, &namespacesapi.ListNamespacesRequest{})
	if err != nil {
		return nil, s.fault(err, "list namespaces")
	}
	var out []string
	for _, ns := range resp.GetNamespaces() {
		if ns.GetName() != s.cfg.Skip {
			out = append(out, ns.GetName())
		}
	}
	slices.Sort(out)
	return out, nil
}

// Open opens an image that Images listed.
func (s *Source) Open(ctx context.Context, img image.Image) (*image.Opened, error) {
	loc, err := ParseLocator(img.Locator)
	if err != nil {
		return nil, err
	}
	if err := reachable(ctx, s.cfg.Socket); err != nil {
		return nil, err
	}
	rs, err := s.where(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.stillNamed(ctx, loc); err != nil {
		return nil, err
	}
	c := s.content(loc.Namespace, rs)
	b, err := c.fetch(ctx, oci.Descriptor{Digest: loc.Manifest})
	if err != nil {
		return nil, fmt.Errorf("read the manifest of %s: %w", img.Locator, err)
	}
	doc, err := oci.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", img.Locator, err)
	}
	raw, err := c.fetch(ctx, doc.Config)
	if err != nil {
		return nil, fmt.Errorf("read the configuration of %s: %w", img.Locator, err)
	}
	cfg, err := image.ParseConfig(raw)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", img.Locator, err)
	}
	if len(cfg.DiffIDs) != len(doc.Layers) {
		return nil, fault.New(fault.Invalid, "image %s: %d layers in the manifest and %d in the configuration", img.Locator, len(doc.Layers), len(cfg.DiffIDs))
	}
	opened := &image.Opened{Config: cfg, RawConfig: raw}
	dirs := s.unpacked(rs)
	var lower []string // nearest first
	for i, chain := range image.ChainIDs(cfg.DiffIDs) {
		l := image.Layer{DiffID: cfg.DiffIDs[i]}
		if dir, ok := dirs.dir(chain); ok {
			l.Dir, l.Lower = dir, slices.Clone(lower)
			lower = append([]string{dir}, lower...)
			l.Check = func(context.Context) error { return s.checkSnapshot(rs, chain, dir) }
		} else if size, err := c.size(ctx, doc.Layers[i]); err != nil {
			return nil, fmt.Errorf("image %s: %w", img.Locator, rs.absent(i+1, err))
		} else {
			desc := doc.Layers[i]
			l.BlobSize = size
			l.Blob = c.opener(desc)
		}
		opened.Layers = append(opened.Layers, l)
	}
	return opened, nil
}

// stillNamed fails if no name leads to the image any more: its content may be
// collected at any moment.
func (s *Source) stillNamed(ctx context.Context, loc Locator) error {
	var filters []string
	for _, t := range loc.Targets {
		filters = append(filters, "target.digest=="+string(t))
	}
	resp, err := imagesapi.NewImagesClient(s.conn).List(inNamespace(ctx, loc.Namespace), &imagesapi.ListImagesRequest{Filters: filters})
	if err != nil {
		return s.fault(err, "look up the image")
	}
	if len(resp.GetImages()) == 0 {
		return fault.New(fault.NotFound, "image %s is not in namespace %s of containerd any more", loc.Manifest, loc.Namespace)
	}
	return nil
}

// where asks the daemon once where it keeps its content.
func (s *Source) where(ctx context.Context) (roots, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.roots != nil {
		return *s.roots, nil
	}
	resp, err := introspectionapi.NewIntrospectionClient(s.conn).Plugins(ctx, &introspectionapi.PluginsRequest{})
	if err != nil {
		return roots{}, s.fault(err, "ask where content lies")
	}
	const (
		snapshotterType = "io.containerd.snapshotter.v1"
		contentType     = "io.containerd.content.v1"
	)
	var rs roots
	for _, p := range resp.GetPlugins() {
		if p.GetType() == snapshotterType && !slices.Contains(ownSnapshotters, p.GetID()) {
			rs.remote = append(rs.remote, p.GetID())
		}
		root := p.GetExports()["root"]
		if !filepath.IsAbs(root) || filepath.Clean(root) != root {
			continue
		}
		switch {
		case p.GetType() == snapshotterType && p.GetID() == "overlayfs":
			rs.overlayfs = root
		case p.GetType() == contentType && p.GetID() == "content":
			rs.content = root
		}
	}
	slices.Sort(rs.remote)
	s.roots = &rs
	return rs, nil
}

// A Locator is the parsed form of Image.Locator.
type Locator struct {
	Namespace string
	Manifest  image.Digest
	// Targets are what the names point to: the manifest, or indexes above
	// it. Sorted.
	Targets []image.Digest
}

// String is "namespace@manifest@target,target".
func (l Locator) String() string {
	ts := make([]string, len(l.Targets))
	for i, t := range l.Targets {
		ts[i] = string(t)
	}
	return l.Namespace + "@" + string(l.Manifest) + "@" + strings.Join(ts, ",")
}

// ParseLocator is the inverse of Locator.String.
func ParseLocator(s string) (Locator, error) {
	bad := func() (Locator, error) {
		return Locator{}, fault.New(fault.Invalid, "%q does not locate an image of containerd", s)
	}
	parts := strings.Split(s, "@")
	if len(parts) != 3 || parts[0] == "" {
		return bad()
	}
	l := Locator{Namespace: parts[0]}
	var err error
	if l.Manifest, err = image.ParseDigest(parts[1]); err != nil {
		return bad()
	}
	for t := range strings.SplitSeq(parts[2], ",") {
		d, err := image.ParseDigest(t)
		if err != nil {
			return bad()
		}
		l.Targets = append(l.Targets, d)
	}
	return l, nil
}

// The clients below keep the import list in one place.

func (s *Source) containersClient() containersapi.ContainersClient {
	return containersapi.NewContainersClient(s.conn)
}
func (s *Source) contentClient() contentapi.ContentClient { return contentapi.NewContentClient(s.conn) }
func (s *Source) tasksClient() tasksapi.TasksClient       { return tasksapi.NewTasksClient(s.conn) }
