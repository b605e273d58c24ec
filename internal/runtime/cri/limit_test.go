package cri

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/onceover/onceover/internal/fault"
)

func TestLimit(t *testing.T) {
	const n = maxItems + 1
	var b bytes.Buffer
	for i := range n {
		item := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), string(protowire.AppendVarint(nil, uint64(i+1))))
		b.Write(protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), item))
	}
	if _, err := parsePods(b.Bytes()); fault.CodeOf(err) != fault.TooLarge {
		t.Errorf("pods: got %v, want too large", err)
	}
	if _, err := parseContainers(b.Bytes()); fault.CodeOf(err) != fault.TooLarge {
		t.Errorf("containers: got %v, want too large", err)
	}
}
