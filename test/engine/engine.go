package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Kind is one way of running an engine.
type Kind string

// The kinds that Start knows.
const (
	// KindDocker is the machine's dockerd with the overlay2 graph driver.
	KindDocker Kind = "docker"
	// KindContainerd is the machine's containerd.
	KindContainerd Kind = "containerd"
	// KindDockerContainerd is a newer dockerd that keeps images in the
	// containerd which it manages itself.
	KindDockerContainerd Kind = "docker-containerd"
	// KindDockerVFS is the machine's dockerd with the graph driver vfs.
	KindDockerVFS Kind = "docker-vfs"
	// KindPodman is the machine's podman with the storage driver overlay,
	// KindPodmanVFS with vfs.
	KindPodman    Kind = "podman"
	KindPodmanVFS Kind = "podman-vfs"
)

// Kinds lists all kinds.
func Kinds() []Kind {
	return []Kind{KindDocker, KindContainerd, KindDockerContainerd, KindDockerVFS, KindPodman, KindPodmanVFS}
}

func (k Kind) podman() bool { return k == KindPodman || k == KindPodmanVFS }

// MobyNamespace is the containerd namespace that dockerd keeps its images in.
const MobyNamespace = "moby"

const (
	startTimeout = 60 * time.Second
	stopTimeout  = 30 * time.Second
)

// ErrMissing is wrapped by errors of Start that say what this machine lacks.
var ErrMissing = errors.New("engine cannot run here")

// An Engine is a running engine. Its methods are safe for concurrent use.
type Engine struct {
	Kind Kind
	// Socket is the engine's own API: dockerd's, or containerd's.
	Socket string
	// ContainerdSocket is the containerd behind it. Empty for KindDocker.
	ContainerdSocket string
	// DataRoot is where it keeps everything, in the path that it reports
	// itself.
	DataRoot string
	// ContainerdRoot is the root of the containerd behind it. Empty for
	// KindDocker.
	ContainerdRoot string
	// RunRoot is where podman keeps the state of running containers. Empty
	// for other engines.
	RunRoot string
	// PodmanFlags are further flags of podman commands.
	PodmanFlags []string
	// LogFile has what the daemon wrote.
	LogFile string

	runDir   string
	tempData bool // DataRoot is ours to remove
	cmd      *exec.Cmd
	stdin    io.Closer
	done     chan struct{} // closed when the daemon has ended
	client   *http.Client

	mu         sync.Mutex
	containers []started
	pods       []string
	stopped    bool
}

type started struct{ namespace, id string }

// Start runs an engine with its data in dir, which is made if it is missing
// and is not removed by Stop. An empty dir means a temporary one, which is.
// The context bounds the start only.
func Start(ctx context.Context, kind Kind, dir string) (*Engine, error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("%w: needs root", ErrMissing)
	}
	runDir, err := os.MkdirTemp("/tmp", "oe-run-") // short: a socket's path has 107 bytes
	if err != nil {
		return nil, err
	}
	e := &Engine{Kind: kind, runDir: runDir, done: make(chan struct{})}
	fail := func(err error) (*Engine, error) {
		e.Stop()
		return nil, err
	}
	if dir == "" {
		if dir, err = tempData(); err != nil {
			return fail(err)
		}
		e.DataRoot, e.tempData = dir, true
	} else {
		if dir, err = filepath.Abs(dir); err != nil {
			return fail(err)
		}
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return fail(err)
		}
		if err := overlayWorks(dir); err != nil {
			return fail(fmt.Errorf("%w: overlay below %s: %w", ErrMissing, dir, err))
		}
		e.DataRoot = dir
	}
	e.LogFile = filepath.Join(runDir, "daemon.log")

	var argv []string
	switch kind {
	case KindDocker, KindDockerVFS:
		argv, err = e.prepareDocker()
	case KindContainerd:
		argv, err = e.prepareContainerd()
	case KindDockerContainerd:
		argv, err = e.prepareDockerContainerd(ctx)
	case KindPodman, KindPodmanVFS:
		argv, err = e.preparePodman()
	default:
		err = fmt.Errorf("engine %q: want one of %v", kind, Kinds())
	}
	if err != nil {
		return fail(err)
	}
	if err := e.launch(argv); err != nil {
		return fail(err)
	}
	if err := e.awaitReady(ctx); err != nil {
		return fail(fmt.Errorf("start %s: %w\n%s", kind, err, e.logTail()))
	}
	return e, nil
}

// supervise runs a daemon and ends it when standard input closes.
const supervise = `exec 3<&0
"$@" 3<&- </dev/null &
daemon=$!
( cat <&3 >/dev/null; kill -TERM $daemon 2>/dev/null ) &
exec 3<&-
wait $daemon`

func (e *Engine) launch(argv []string) error {
	log, err := os.Create(e.LogFile)
	if err != nil {
		return err
	}
	defer log.Close()
	e.cmd = exec.Command("/bin/sh", append([]string{"-c", supervise, "supervise"}, argv...)...)
	e.cmd.Stdout, e.cmd.Stderr = log, log
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt is ours to pass on
	if e.stdin, err = e.cmd.StdinPipe(); err != nil {
		return err
	}
	if err := e.cmd.Start(); err != nil {
		e.cmd = nil
		return fmt.Errorf("start %s: %w", argv[0], err)
	}
	go func() {
		defer close(e.done)
		_ = e.cmd.Wait() // how it ended is in its log
	}()
	return nil
}

func (e *Engine) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := e.ping(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-e.done:
			return errors.New("the daemon ended")
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (e *Engine) ping(ctx context.Context) error {
	if e.Kind == KindContainerd {
		_, err := e.ctr(ctx, "", "version")
		return err
	}
	return e.docker(ctx, http.MethodGet, "/_ping", nil, nil)
}

// Stop removes the containers that Run started, ends the daemon and removes
// temporary directories. It may be called more than once.
func (e *Engine) Stop() {
	e.mu.Lock()
	containers, pods, again := e.containers, e.pods, e.stopped
	e.containers, e.pods, e.stopped = nil, nil, true
	e.mu.Unlock()
	if again {
		return
	}
	if e.cmd != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		for _, id := range pods {
			_ = e.removePod(ctx, id)
		}
		for _, c := range containers {
			_ = e.remove(ctx, c) // the daemon may be dead already, and that is fine
		}
		cancel()
		_ = e.stdin.Close()
		select {
		case <-e.done:
		case <-time.After(stopTimeout):
			_ = syscall.Kill(-e.cmd.Process.Pid, syscall.SIGKILL) // its own process group
			<-e.done
		}
	}
	if e.Kind.podman() {
		e.awaitCleanup()
	}
	unmountBelow(e.runDir)
	_ = os.RemoveAll(e.runDir)
	if e.DataRoot != "" {
		unmountBelow(e.DataRoot)
	}
	if e.tempData {
		_ = os.RemoveAll(e.DataRoot)
	}
}

// unmountBelow detaches what a daemon left mounted, deepest first.
func unmountBelow(dir string) {
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return
	}
	var points []string
	for line := range bytes.Lines(b) {
		f := strings.Fields(string(line))
		if len(f) > 1 && (f[1] == dir || strings.HasPrefix(f[1], dir+"/")) {
			points = append(points, f[1])
		}
	}
	slices.Reverse(points)
	for _, p := range points {
		_ = syscall.Unmount(p, syscall.MNT_DETACH)
	}
}

// logTail is the end of the daemon's log, for error messages.
func (e *Engine) logTail() string {
	b, err := os.ReadFile(e.LogFile)
	if err != nil {
		return ""
	}
	const tail = 3000
	if len(b) > tail {
		b = b[len(b)-tail:]
	}
	return string(b)
}

func unixClient(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
}
