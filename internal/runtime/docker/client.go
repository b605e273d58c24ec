package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/fault"
)

const (
	// maxAnswerBytes bounds one answer of the daemon: 10,000 containers
	// with many labels take about 30 MiB.
	maxAnswerBytes = 128 << 20
	// callTimeout bounds one call. Listing on a busy daemon can take tens
	// of seconds.
	callTimeout = 2 * time.Minute
	// newestMinor is the newest API version, 1.x, whose answers are known.
	newestMinor = 51
)

// client speaks the Docker Engine API over a unix socket.
type client struct {
	socket string
	http   *http.Client
}

func newClient(socket string) *client {
	return &client{socket: socket, http: &http.Client{
		Timeout: callTimeout,
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{Timeout: 3 * time.Second}).DialContext(ctx, "unix", socket)
			},
			MaxIdleConns:    2,
			IdleConnTimeout: 30 * time.Second,
		},
	}}
}

// version asks for the newest API version that both sides know.
func (c *client) version(ctx context.Context) (string, error) {
	resp, err := c.do(ctx, "/_ping")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	server := resp.Header.Get("Api-Version")
	minor, ok := strings.CutPrefix(server, "1.")
	n, err := strconv.Atoi(minor)
	if !ok || err != nil {
		return "", fault.New(fault.Unavailable, "%s: what listens there is no docker daemon", c)
	}
	return "1." + strconv.Itoa(min(n, newestMinor)), nil
}

// get decodes the answer to a GET request into out.
func (c *client) get(ctx context.Context, path string, out any) error {
	resp, err := c.do(ctx, path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body := &io.LimitedReader{R: resp.Body, N: maxAnswerBytes + 1}
	if err := json.NewDecoder(body).Decode(out); err != nil {
		if body.N <= 0 {
			return fault.New(fault.TooLarge, "%s: the answer to %s is larger than %d bytes", c, path, maxAnswerBytes)
		}
		return fmt.Errorf("%s: read the answer to %s: %w", c, path, err)
	}
	return nil
}

func (c *client) do(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s: %w", c, ctx.Err())
	case errors.Is(err, fs.ErrPermission):
		return nil, fault.New(fault.Unavailable, "%s: permission denied: run as root or join the group docker", c)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fault.New(fault.Unavailable, "%s: no such socket: is docker running?", c)
	default:
		return nil, fault.New(fault.Unavailable, "%s: %w", c, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	const maxMessage = 4 << 10
	b, _ := io.ReadAll(io.LimitReader(resp.Body, maxMessage)) // the status alone will do
	var said struct{ Message string }
	if json.Unmarshal(b, &said) != nil {
		said.Message = resp.Status
	}
	code := fault.Unavailable
	if resp.StatusCode == http.StatusNotFound {
		code = fault.NotFound
	}
	return nil, fault.New(code, "%s: %s: %s", c, path, said.Message)
}

func (c *client) String() string { return "docker at " + c.socket }

// info is the part of /info that says where images lie.
type info struct {
	DockerRootDir string
	Driver        string
	DriverStatus  [][2]string
	ServerVersion string
	// Containerd is set since API 1.46.
	Containerd struct{ Address string }
}

// containerdStore reports whether images are kept in containerd.
func (i info) containerdStore() bool {
	for _, kv := range i.DriverStatus {
		if kv[0] == "driver-type" && kv[1] == "io.containerd.snapshotter.v1" {
			return true
		}
	}
	return false
}

// summary is one element of /images/json.
type summary struct {
	ID          string `json:"Id"`
	RepoTags    []string
	RepoDigests []string
	Size        int64
}

// container is one element of /containers/json.
type container struct {
	ID      string `json:"Id"`
	Names   []string
	ImageID string
	Command string
	State   string
	Labels  map[string]string
	// ImageManifestDescriptor is set since API 1.48 with the containerd
	// store: the manifest of the platform that runs.
	ImageManifestDescriptor struct {
		Digest string `json:"digest"`
	}
}
