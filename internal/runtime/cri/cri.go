package cri

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/onceover/onceover/internal/fault"
)

const (
	// maxMessageBytes bounds one answer: 10,000 containers with their
	// labels and annotations take about 20 MiB.
	maxMessageBytes = 64 << 20
	// maxItems bounds the containers and pods of one answer.
	maxItems = 100_000
	// callTimeout bounds one call.
	callTimeout = 20 * time.Second
)

const service = "/runtime.v1.RuntimeService/"

// A Container is a container, or the sandbox of a pod, which engines keep as a
// container too.
type Container struct {
	ID string
	// Name is the name in the pod; "POD" for a sandbox, as Kubernetes calls
	// it.
	Name string
	// PodID is the pod's UID, or its sandbox's ID if it has none.
	PodID   string
	PodName string
	Running bool
}

// Dial connects to a socket that serves nothing but CRI, as CRI-O's. It does
// not wait for anybody to answer.
func Dial(socket string) (*grpc.ClientConn, error) {
	return grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
}

// List lists the containers and sandboxes by ID. A runtime that does not serve
// the API is a fault.Unsupported error.
func List(ctx context.Context, conn grpc.ClientConnInterface) (map[string]Container, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	b, err := call(ctx, conn, "ListPodSandbox")
	if err != nil {
		return nil, err
	}
	pods, err := parsePods(b)
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	if b, err = call(ctx, conn, "ListContainers"); err != nil {
		return nil, err
	}
	containers, err := parseContainers(b)
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	out := make(map[string]Container, len(pods)+len(containers))
	for id, p := range pods {
		out[id] = Container{ID: id, Name: "POD", PodID: cmp.Or(p.uid, id), PodName: p.name, Running: p.ready}
	}
	for _, c := range containers {
		p := pods[c.sandbox]
		out[c.id] = Container{ID: c.id, Name: cmp.Or(c.name, c.id), PodID: cmp.Or(p.uid, c.sandbox), PodName: p.name, Running: c.running}
	}
	return out, nil
}

// call makes a call without arguments, which means everything.
func call(ctx context.Context, conn grpc.ClientConnInterface, method string) ([]byte, error) {
	var in, out []byte
	err := conn.Invoke(ctx, service+method, &in, &out, grpc.ForceCodec(bytesCodec{}), grpc.MaxCallRecvMsgSize(maxMessageBytes))
	switch status.Code(err) {
	case codes.OK:
		return out, nil
	case codes.Unimplemented:
		return nil, fault.New(fault.Unsupported, "CRI %s: %w", method, err)
	case codes.ResourceExhausted:
		return nil, fault.New(fault.TooLarge, "CRI %s: %w", method, err)
	}
	return nil, fault.New(fault.Unavailable, "CRI %s: %w", method, err)
}

// bytesCodec hands messages through as they are on the wire.
type bytesCodec struct{}

func (bytesCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (bytesCodec) Unmarshal(b []byte, v any) error {
	*v.(*[]byte) = b
	return nil
}
func (bytesCodec) Name() string { return "proto" }
