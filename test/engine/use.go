package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
)

// Load loads an image archive and unpacks it: a docker-archive everywhere, an
// OCI archive into the kinds with containerd. Names come from the archive.
func (e *Engine) Load(ctx context.Context, file string) error {
	if e.Kind == KindContainerd {
		return e.Import(ctx, DefaultNamespace, file, true)
	}
	if e.Kind.podman() {
		return e.loadPodman(ctx, file)
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	var out bytes.Buffer
	if err := e.docker(ctx, http.MethodPost, "/images/load?quiet=1", f, &out); err != nil {
		return fmt.Errorf("load %s: %w", file, err)
	}
	// The status is 200 before the work starts; what goes wrong comes later
	// in the body.
	for dec := json.NewDecoder(&out); ; {
		var msg struct{ Error string }
		if err := dec.Decode(&msg); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("load %s: read the answer: %w", file, err)
		}
		if msg.Error != "" {
			return fmt.Errorf("load %s: %s", file, msg.Error)
		}
	}
}

// ImportPlatforms imports an archive without unpacking it, for the platform of
// this host or for all that it has.
func (e *Engine) ImportPlatforms(ctx context.Context, namespace, file string, all bool) error {
	args := []string{"images", "import", "--no-unpack"}
	if all {
		args = append(args, "--all-platforms")
	}
	if _, err := e.ctr(ctx, namespace, append(args, file)...); err != nil {
		return fmt.Errorf("import %s: %w", file, err)
	}
	return nil
}

// Tag gives an image of containerd another name, taking it from another image.
func (e *Engine) Tag(ctx context.Context, namespace, name, other string) error {
	_, err := e.ctr(ctx, namespace, "images", "tag", "--force", name, other)
	return err
}

// DefaultNamespace is the containerd namespace that Load and Run use.
const DefaultNamespace = "default"

// Import imports a docker-archive or OCI archive into a namespace of the
// containerd behind the engine, with or without unpacking it.
func (e *Engine) Import(ctx context.Context, namespace, file string, unpack bool) error {
	args := []string{"images", "import"}
	if !unpack {
		args = append(args, "--no-unpack")
	}
	if _, err := e.ctr(ctx, namespace, append(args, file)...); err != nil {
		return fmt.Errorf("import %s: %w", file, err)
	}
	return nil
}

// Container says what Run is to start.
type Container struct {
	// Namespace of containerd; DefaultNamespace if empty. Docker has none.
	Namespace string
	// Image as the engine knows it; containerd wants the full reference.
	Image string
	// Name is the container's name, and its ID in containerd.
	Name string
	// Cmd is what to run; it has to keep running.
	Cmd    []string
	Labels map[string]string
	// Pod is the name of a pod that there is; podman alone has pods.
	Pod string
	// Stopped leaves the container created and never started.
	Stopped bool
}

// Run starts a container without a network and returns its ID. Stop removes
// it.
func (e *Engine) Run(ctx context.Context, c Container) (string, error) {
	var id string
	var err error
	switch {
	case e.Kind == KindContainerd:
		if c.Namespace == "" {
			c.Namespace = DefaultNamespace
		}
		id, err = c.Name, e.runContainerd(ctx, c)
	case e.Kind.podman():
		id, err = e.runPodman(ctx, c)
	default:
		id, err = e.runDocker(ctx, c)
	}
	if id != "" {
		e.mu.Lock()
		e.containers = append(e.containers, started{c.Namespace, id})
		e.mu.Unlock()
	}
	if err != nil {
		return "", fmt.Errorf("run %s: %w", c.Image, err)
	}
	return id, nil
}

func (e *Engine) runContainerd(ctx context.Context, c Container) error {
	var args []string
	if c.Stopped {
		args = []string{"containers", "create"}
	} else {
		args = []string{"run", "--detach", "--null-io"}
	}
	for k, v := range c.Labels {
		args = append(args, "--label", k+"="+v)
	}
	args = append(args, c.Image, c.Name)
	_, err := e.ctr(ctx, c.Namespace, append(args, c.Cmd...)...)
	return err
}

func (e *Engine) runDocker(ctx context.Context, c Container) (string, error) {
	body, err := json.Marshal(map[string]any{
		"Image": c.Image, "Cmd": c.Cmd, "Labels": c.Labels,
		"HostConfig": map[string]any{"NetworkMode": "none"},
	})
	if err != nil {
		return "", err
	}
	path := "/containers/create"
	if c.Name != "" {
		path += "?name=" + url.QueryEscape(c.Name)
	}
	var out bytes.Buffer
	if err := e.docker(ctx, http.MethodPost, path, bytes.NewReader(body), &out); err != nil {
		return "", err
	}
	var created struct{ ID string }
	if err := json.Unmarshal(out.Bytes(), &created); err != nil {
		return "", fmt.Errorf("read the answer: %w", err)
	}
	if c.Stopped {
		return created.ID, nil
	}
	return created.ID, e.docker(ctx, http.MethodPost, "/containers/"+created.ID+"/start", nil, nil)
}

// RemoveImage removes an image by name, and its content with it.
func (e *Engine) RemoveImage(ctx context.Context, namespace, name string) error {
	if e.Kind == KindContainerd {
		_, err := e.ctr(ctx, namespace, "images", "rm", "--sync", name)
		return err
	}
	if e.Kind.podman() {
		_, err := e.Podman(ctx, "rmi", "--force", name)
		return err
	}
	return e.docker(ctx, http.MethodDelete, "/images/"+name+"?force=1", nil, nil)
}

func (e *Engine) remove(ctx context.Context, c started) error {
	if e.Kind.podman() {
		_, err := e.Podman(ctx, "rm", "--force", "--time", "0", c.id)
		return err
	}
	if e.Kind != KindContainerd {
		return e.docker(ctx, http.MethodDelete, "/containers/"+c.id+"?force=1", nil, nil)
	}
	_, _ = e.ctr(ctx, c.namespace, "tasks", "rm", "--force", c.id) // there may be none
	_, err := e.ctr(ctx, c.namespace, "containers", "rm", c.id)
	return err
}

// docker calls dockerd's API and copies the body of the answer to out.
func (e *Engine) docker(ctx context.Context, method, path string, body io.Reader, out io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://docker"+path, body)
	if err != nil {
		return err
	}
	switch body.(type) {
	case *os.File:
		req.Header.Set("Content-Type", "application/x-tar")
	case *bytes.Reader:
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		msg, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, bytes.TrimSpace(msg))
	}
	if out == nil {
		out = io.Discard
	}
	_, err = io.Copy(out, resp.Body)
	return err
}

// ctr runs containerd's own client against the containerd of the engine.
func (e *Engine) ctr(ctx context.Context, namespace string, args ...string) ([]byte, error) {
	if e.ContainerdSocket == "" {
		return nil, fmt.Errorf("%s has no containerd store", e.Kind)
	}
	ctr, err := find("ctr")
	if err != nil {
		return nil, err
	}
	full := []string{"--address", e.ContainerdSocket}
	if namespace != "" {
		full = append(full, "--namespace", namespace)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, ctr, append(full, args...)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("ctr %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}
