package cri

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/onceover/onceover/internal/fault"
)

// The numbers below are those of kubernetes/cri-api,
// pkg/apis/runtime/v1/api.proto.
const (
	stateContainerRunning = 1 // CONTAINER_RUNNING
	stateSandboxReady     = 0 // SANDBOX_READY
)

type pod struct {
	name, uid string
	ready     bool
}

type container struct {
	id, sandbox, name string
	running           bool
}

// parsePods reads a ListPodSandboxResponse.
func parsePods(b []byte) (map[string]pod, error) {
	out := map[string]pod{}
	err := fields(b, func(n protowire.Number, v []byte, _ uint64) error {
		if n != 1 { // items
			return nil
		}
		if len(out) == maxItems {
			return fault.New(fault.TooLarge, "more than %d pods", maxItems)
		}
		var id string
		p := pod{ready: true} // a field that is 0 is left out
		err := fields(v, func(n protowire.Number, v []byte, i uint64) error {
			switch n {
			case 1:
				id = string(v)
			case 2: // metadata
				return fields(v, func(n protowire.Number, v []byte, _ uint64) error {
					switch n {
					case 1:
						p.name = string(v)
					case 2:
						p.uid = string(v)
					}
					return nil
				})
			case 3:
				p.ready = i == stateSandboxReady
			}
			return nil
		})
		if id != "" {
			out[id] = p
		}
		return err
	})
	return out, err
}

// parseContainers reads a ListContainersResponse.
func parseContainers(b []byte) ([]container, error) {
	var out []container
	err := fields(b, func(n protowire.Number, v []byte, _ uint64) error {
		if n != 1 { // containers
			return nil
		}
		if len(out) == maxItems {
			return fault.New(fault.TooLarge, "more than %d containers", maxItems)
		}
		var c container
		err := fields(v, func(n protowire.Number, v []byte, i uint64) error {
			switch n {
			case 1:
				c.id = string(v)
			case 2:
				c.sandbox = string(v)
			case 3: // metadata
				return fields(v, func(n protowire.Number, v []byte, _ uint64) error {
					if n == 1 {
						c.name = string(v)
					}
					return nil
				})
			case 6:
				c.running = i == stateContainerRunning
			}
			return nil
		})
		if c.id != "" {
			out = append(out, c)
		}
		return err
	})
	return out, err
}

// fields calls f with each field of a message: v is what a field with a length
// holds, i what a varint is.
func fields(b []byte, f func(n protowire.Number, v []byte, i uint64) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fault.New(fault.Invalid, "message: %w", protowire.ParseError(n))
		}
		b = b[n:]
		var v []byte
		var i uint64
		switch typ {
		case protowire.BytesType:
			v, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			i, n = protowire.ConsumeVarint(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return fault.New(fault.Invalid, "message: %w", protowire.ParseError(n))
		}
		b = b[n:]
		if err := f(num, v, i); err != nil {
			return err
		}
	}
	return nil
}
