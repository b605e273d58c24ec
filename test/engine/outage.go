package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Kill ends the daemon as kill -9 does, with what it has in the same process
// group. Its data stay, and its socket as it was. A second Kill does nothing.
func (e *Engine) Kill() error {
	select {
	case <-e.done:
		return nil
	default:
	}
	if err := syscall.Kill(-e.cmd.Process.Pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill %s: %w", e.Kind, err)
	}
	select {
	case <-e.done:
		return nil
	case <-time.After(stopTimeout):
		return fmt.Errorf("%s has not ended", e.Kind)
	}
}

// Restart starts a daemon that was killed, with the same data at the same
// place.
func (e *Engine) Restart(ctx context.Context) error {
	select {
	case <-e.done:
	default:
		return errors.New("the daemon runs: kill it first")
	}
	// Where nobody reaps the dead they look alive to a daemon that finds
	// their numbers.
	for _, file := range []string{"dockerd.pid", "exec/containerd/containerd.pid"} {
		if err := os.Remove(filepath.Join(e.runDir, file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	e.done = make(chan struct{})
	argv := e.cmd.Args[4:] // behind /bin/sh -c script name
	if err := e.launch(argv); err != nil {
		close(e.done)
		return err
	}
	if e.client != nil {
		e.client.CloseIdleConnections()
	}
	if err := e.awaitReady(ctx); err != nil {
		return fmt.Errorf("restart %s: %w\n%s", e.Kind, err, e.logTail())
	}
	return nil
}

// KillContainer ends the process of a container that Run started, and leaves
// the container.
func (e *Engine) KillContainer(ctx context.Context, id string) error {
	switch {
	case e.Kind == KindContainerd:
		_, err := e.ctr(ctx, DefaultNamespace, "tasks", "kill", "--signal", "KILL", id)
		return err
	case e.Kind.podman():
		_, err := e.Podman(ctx, "kill", id)
		return err
	default:
		return e.docker(ctx, http.MethodPost, "/containers/"+id+"/kill", nil, nil)
	}
}

// RemoveContainer removes a container that Run started.
func (e *Engine) RemoveContainer(ctx context.Context, id string) error {
	return e.remove(ctx, started{DefaultNamespace, id})
}

// Exec runs a further command in a container and waits for its end.
func (e *Engine) Exec(ctx context.Context, id string, cmd ...string) error {
	switch {
	case e.Kind == KindContainerd:
		args := []string{"tasks", "exec", "--exec-id", "further", id}
		_, err := e.ctr(ctx, DefaultNamespace, append(args, cmd...)...)
		return err
	case e.Kind.podman():
		_, err := e.Podman(ctx, append([]string{"exec", id}, cmd...)...)
		return err
	}
	body, err := json.Marshal(map[string]any{"Cmd": cmd, "AttachStdout": true})
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := e.docker(ctx, http.MethodPost, "/containers/"+id+"/exec", bytes.NewReader(body), &out); err != nil {
		return err
	}
	var made struct{ ID string }
	if err := json.Unmarshal(out.Bytes(), &made); err != nil {
		return err
	}
	return e.docker(ctx, http.MethodPost, "/exec/"+made.ID+"/start", bytes.NewReader([]byte(`{"Detach":false}`)), nil)
}

// ImageOf is the ID of the image of a container of docker.
func (e *Engine) ImageOf(ctx context.Context, container string) (string, error) {
	var out bytes.Buffer
	if err := e.docker(ctx, http.MethodGet, "/containers/"+container+"/json", nil, &out); err != nil {
		return "", err
	}
	var c struct{ Image string }
	err := json.Unmarshal(out.Bytes(), &c)
	return c.Image, err
}

// Retag gives an image a further name. It is for docker and podman; Tag is
// containerd's.
func (e *Engine) Retag(ctx context.Context, image, repo, tag string) error {
	if e.Kind.podman() {
		_, err := e.Podman(ctx, "tag", image, repo+":"+tag)
		return err
	}
	return e.docker(ctx, http.MethodPost, "/images/"+image+"/tag?repo="+url.QueryEscape(repo)+"&tag="+url.QueryEscape(tag), nil, nil)
}

// Build builds an image from a context, a tar with a Dockerfile, without a
// network and returns its ID. It is for docker.
func (e *Engine) Build(ctx context.Context, tar io.Reader, name string) (string, error) {
	b, err := io.ReadAll(tar)
	if err != nil {
		return "", err
	}
	q := url.Values{"q": {"1"}, "networkmode": {"none"}, "forcerm": {"1"}}
	if name != "" {
		q.Set("t", name)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://docker/build?"+q.Encode(), bytes.NewReader(b))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-tar")
	resp, err := e.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	id := ""
	for dec := json.NewDecoder(resp.Body); ; {
		var msg struct{ Stream, Error string }
		if err := dec.Decode(&msg); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return "", fmt.Errorf("build: read the answer: %w", err)
		}
		if msg.Error != "" {
			return "", fmt.Errorf("build: %s", msg.Error)
		}
		id += msg.Stream
	}
	return string(bytes.TrimSpace([]byte(id))), nil
}
