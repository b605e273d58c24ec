package engine

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protowire"
)

// CRINamespace is the containerd namespace of the CRI plugin.
const CRINamespace = "k8s.io"

// PauseImage is the image that containerd is set up to make the sandboxes of
// pods from. It has to be imported before RunPod.
const PauseImage = "onceover.test/pause:1"

// A Pod says what RunPod is to start: a pod with one container.
type Pod struct {
	Name, UID string
	// Container is the name of the container, Image what it is made from.
	Container, Image string
	// Labels of the container.
	Labels map[string]string
}

// RunPod starts a pod by the CRI plugin of containerd, as a kubelet does, and
// returns the IDs of its sandbox and its container. The pod has the network of
// the host, which needs no CNI plugin. Stop removes it.
func (e *Engine) RunPod(ctx context.Context, p Pod) (sandbox, container string, err error) {
	var meta, namespaces, config message
	config.msg(1, *meta.str(1, p.Name).str(2, p.UID).str(3, "default"))
	const (
		networkOfNode = 2
		securityField = 2
		linuxField    = 8
	)
	namespaces.num(1, networkOfNode)
	config.msg(linuxField, *new(message).msg(securityField, *new(message).msg(1, namespaces)))
	answer, err := e.cri(ctx, "RunPodSandbox", *new(message).msg(1, config))
	if err != nil {
		return "", "", err
	}
	sandbox = answer.first()
	e.mu.Lock()
	e.pods = append(e.pods, sandbox)
	e.mu.Unlock()

	var ctr message
	ctr.msg(1, *new(message).str(1, p.Container)).msg(2, *new(message).str(1, p.Image))
	for k, v := range p.Labels {
		const labelsField = 9
		ctr.msg(labelsField, *new(message).str(1, k).str(2, v))
	}
	if answer, err = e.cri(ctx, "CreateContainer", *new(message).str(1, sandbox).msg(2, ctr).msg(3, config)); err != nil {
		return "", "", err
	}
	container = answer.first()
	_, err = e.cri(ctx, "StartContainer", *new(message).str(1, container))
	return sandbox, container, err
}

// StopInPod stops a container of a pod.
func (e *Engine) StopInPod(ctx context.Context, id string) error {
	_, err := e.cri(ctx, "StopContainer", *new(message).str(1, id))
	return err
}

func (e *Engine) removePod(ctx context.Context, id string) error {
	if _, err := e.cri(ctx, "StopPodSandbox", *new(message).str(1, id)); err != nil {
		return err
	}
	_, err := e.cri(ctx, "RemovePodSandbox", *new(message).str(1, id))
	return err
}

// cri makes one call of the runtime service.
func (e *Engine) cri(ctx context.Context, method string, in message) (message, error) {
	conn, err := grpc.NewClient("unix://"+e.ContainerdSocket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	var out message
	if err := conn.Invoke(ctx, "/runtime.v1.RuntimeService/"+method, &in, &out, grpc.ForceCodec(wire{})); err != nil {
		return nil, fmt.Errorf("%s: %w", method, err)
	}
	return out, nil
}

// A message is a protocol buffer being written, or one that was read.
type message []byte

func (m *message) str(n protowire.Number, s string) *message {
	*m = protowire.AppendString(protowire.AppendTag(*m, n, protowire.BytesType), s)
	return m
}

func (m *message) msg(n protowire.Number, sub message) *message {
	*m = protowire.AppendBytes(protowire.AppendTag(*m, n, protowire.BytesType), sub)
	return m
}

func (m *message) num(n protowire.Number, v uint64) *message {
	*m = protowire.AppendVarint(protowire.AppendTag(*m, n, protowire.VarintType), v)
	return m
}

// first is the first field, a string.
func (m message) first() string {
	_, _, n := protowire.ConsumeTag(m)
	if n < 0 {
		return ""
	}
	v, _ := protowire.ConsumeString(m[n:])
	return v
}

type wire struct{}

func (wire) Marshal(v any) ([]byte, error)   { return *v.(*message), nil }
func (wire) Unmarshal(b []byte, v any) error { *v.(*message) = b; return nil }
func (wire) Name() string                    { return "proto" }
