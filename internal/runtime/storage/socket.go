package storage

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/onceover/onceover/internal/fault"
)

const (
	maxInfoBytes = 1 << 20
	askTimeout   = 20 * time.Second
	dialTimeout  = 3 * time.Second
)

// Ask asks podman's service which root it keeps, and its version. Images are
// read without it. To ask can start a process, where systemd listens for it,
// so only a socket that somebody named is asked.
func Ask(ctx context.Context, socket string) (Config, string, error) {
	fail := func(format string, args ...any) (Config, string, error) {
		return Config{}, "", fault.New(fault.Unavailable, "podman at "+socket+": "+format, args...)
	}
	if !filepath.IsAbs(socket) {
		return Config{}, "", fault.New(fault.Invalid, "podman socket %q: want an absolute path", socket)
	}
	client := &http.Client{Timeout: askTimeout, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "unix", socket)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://podman/v3.0.0/libpod/info", nil)
	if err != nil {
		return Config{}, "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return fail("%w", err)
	}
	defer resp.Body.Close()
	var info struct {
		Store struct {
			GraphRoot string `json:"graphRoot"`
			RunRoot   string `json:"runRoot"`
		} `json:"store"`
		Version struct{ Version string } `json:"version"`
	}
	if resp.StatusCode != http.StatusOK {
		return fail("what listens there is no podman: %s", resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxInfoBytes)).Decode(&info); err != nil {
		return fail("read the answer: %w", err)
	}
	if !filepath.IsAbs(info.Store.GraphRoot) {
		return fail("it does not say where its images lie")
	}
	return Config{Root: info.Store.GraphRoot, RunRoot: info.Store.RunRoot, Engine: EnginePodman}, info.Version.Version, nil
}
