package containerd

import (
	"context"

	eventsapi "github.com/containerd/containerd/api/services/events/v1"
	"github.com/containerd/containerd/api/types"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/onceover/onceover/internal/image"
)

var _ image.Watcher = (*Source)(nil)

// topics are the events that can change a list of images and containers. A
// committed snapshot is a layer that can be read from its directory from now
// on.
var topics = []string{
	"/images/create", "/images/update", "/images/delete",
	"/containers/create", "/containers/update", "/containers/delete",
	"/tasks/start", topicExit, "/tasks/paused", "/tasks/resumed",
	"/snapshot/commit", "/namespaces/delete",
}

const topicExit = "/tasks/exit"

// Watch implements image.Watcher with the daemon's stream of events.
func (s *Source) Watch(ctx context.Context, changed func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err := s.watch(ctx, changed)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (s *Source) watch(ctx context.Context, changed func()) error {
	if err := reachable(ctx, s.cfg.Socket); err != nil {
		return err
	}
	connect(ctx, s.conn)
	stream, err := eventsapi.NewEventsClient(s.conn).Subscribe(ctx, &eventsapi.SubscribeRequest{Filters: s.filters()})
	if err != nil {
		return s.fault(err, "subscribe to events")
	}
	// The daemon does not say when it has begun. A question that it takes
	// up later on the same connection tells that it has seen ours.
	if _, err := s.Version(ctx); err != nil {
		return err
	}
	changed()
	for {
		e, err := stream.Recv()
		if err != nil {
			return s.fault(err, "read events")
		}
		if !ofExec(e) {
			changed()
		}
	}
}

// filters select by topic and namespace (containerd, docs/filters).
func (s *Source) filters() []string {
	namespace := ""
	switch {
	case s.cfg.Only != "":
		namespace = ",namespace==" + s.cfg.Only
	case s.cfg.Skip != "":
		namespace = ",namespace!=" + s.cfg.Skip
	}
	out := make([]string, len(topics))
	for i, t := range topics {
		out[i] = `topic=="` + t + `"` + namespace
	}
	return out
}

// ofExec reports whether an event tells of the end of a further command in a
// container, as every health check is, and not of the container itself.
func ofExec(e *types.Envelope) bool {
	if e.GetTopic() != topicExit {
		return false
	}
	container, id := exitFields(e.GetEvent().GetValue())
	return id != "" && container != id
}

// exitFields are the fields 1 and 2 of containerd.events.TaskExit: the
// container, and the process that ended, which has the container's ID if it is
// the first. (The package of generated types needs a library that nothing else
// does.)
func exitFields(b []byte) (container, id string) {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return "", ""
		}
		b = b[n:]
		if typ != protowire.BytesType || num > 2 {
			if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
				return "", ""
			}
			b = b[n:]
			continue
		}
		v, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return "", ""
		}
		if num == 1 {
			container = string(v)
		} else {
			id = string(v)
		}
		b = b[n:]
	}
	return container, id
}
