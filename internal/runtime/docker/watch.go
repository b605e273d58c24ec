package docker

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
)

var _ image.Watcher = (*Source)(nil)

// watched selects the events that can change a list of images and containers.
// Health checks and other commands in containers are left out: on a busy host
// they come many times a second.
const watched = `{"type":["image","container"],"event":[` +
	`"pull","load","import","tag","untag","delete","prune","commit",` +
	`"create","start","restart","pause","unpause","die","stop","rename","destroy"]}`

// Watch implements image.Watcher with the daemon's stream of events. What
// others do in docker's namespace of containerd makes no event of docker.
func (s *Source) Watch(ctx context.Context, changed func()) error {
	// The daemon answers a moment before it listens: an event in between is
	// among those since now.
	q := url.Values{
		"filters": {watched},
		"since":   {fmt.Sprintf("%.9f", float64(time.Now().UnixMilli())/1000)},
	}
	resp, err := s.stream(ctx, "/events?"+q.Encode())
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer resp.Body.Close()
	changed()
	// What an event says does not matter: the list says how things stand.
	buf := make([]byte, 4<<10)
	for {
		n, err := resp.Body.Read(buf)
		switch {
		case n > 0:
			changed()
		case err == nil:
		case ctx.Err() != nil:
			return nil
		case err == io.EOF:
			return fault.New(fault.Unavailable, "%s: the daemon has ended its stream of events", s.client)
		default:
			return fault.New(fault.Unavailable, "%s: read events: %w", s.client, err)
		}
	}
}

// stream is a GET request whose answer lasts.
func (s *Source) stream(ctx context.Context, path string) (*http.Response, error) {
	api, err := s.version(ctx)
	if err != nil {
		return nil, err
	}
	lasting := &client{socket: s.client.socket, http: &http.Client{Transport: s.client.http.Transport}}
	return lasting.do(ctx, "/v"+api+path)
}
