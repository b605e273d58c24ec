package containerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onceover/onceover/internal/fault"
)

const (
	// maxMessageBytes bounds one answer of the daemon. containerd itself
	// stops at 16 MiB.
	maxMessageBytes = 32 << 20
	// dialTimeout bounds the connection to a socket of this host.
	dialTimeout = 3 * time.Second
)

func dial(socket string) (*grpc.ClientConn, error) {
	return grpc.NewClient("unix://"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes)),
		// A restarted daemon shall be found again soon.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: dialTimeout,
		}))
}

// reachable tells why a socket cannot be used, in words that help; gRPC would
// say that the service is unavailable and no more.
func reachable(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	switch {
	case err == nil:
		return c.Close()
	case errors.Is(err, fs.ErrPermission):
		return fault.New(fault.Unavailable, "containerd at %s: permission denied: run as root", socket)
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.Unavailable, "containerd at %s: no such socket: is containerd running?", socket)
	default:
		return fault.New(fault.Unavailable, "containerd at %s: %w", socket, err)
	}
}

// connect waits for a while until conn is of use again: the daemon listens, but
// an attempt of a moment ago may have met the one before it.
func connect(ctx context.Context, conn *grpc.ClientConn) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn.ResetConnectBackoff()
	for {
		state := conn.GetState()
		if state == connectivity.Ready {
			return
		}
		conn.Connect()
		if !conn.WaitForStateChange(ctx, state) {
			return // the next call says why
		}
	}
}

// inNamespace marks calls for one namespace, as containerd's clients do.
func inNamespace(ctx context.Context, ns string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "containerd-namespace", ns)
}

// fault turns an answer of the daemon into a coded error.
func (s *Source) fault(err error, doing string) error {
	err = fmt.Errorf("containerd at %s: %s: %w", s.cfg.Socket, doing, err)
	switch status.Code(errors.Unwrap(err)) {
	case codes.NotFound:
		return fault.New(fault.NotFound, "%w", err)
	case codes.Unavailable, codes.DeadlineExceeded:
		return fault.New(fault.Unavailable, "%w", err)
	case codes.Canceled:
		return fmt.Errorf("%w: %w", context.Canceled, err)
	case codes.PermissionDenied:
		return fault.New(fault.Forbidden, "%w", err)
	}
	return err
}
