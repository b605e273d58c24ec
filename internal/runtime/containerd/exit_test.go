package containerd

import (
	"encoding/hex"
	"testing"

	"github.com/containerd/containerd/api/types"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/anypb"
)

// containerd.events.TaskExit of the container "awake": its own end, and that of
// the command "further" in it.
const (
	endOfContainer = "0a056177616b6512056177616b6518d636"
	endOfExec      = "0a056177616b6512076675727468657218d736"
)

func TestOfExec(t *testing.T) {
	exit := func(fields string) *types.Envelope {
		b, err := hex.DecodeString(fields)
		if err != nil {
			t.Fatal(err)
		}
		return &types.Envelope{Topic: topicExit, Event: &anypb.Any{Value: b}}
	}
	for name, tt := range map[string]struct {
		event *types.Envelope
		want  bool
	}{
		"container":       {exit(endOfContainer), false},
		"further command": {exit(endOfExec), true},
		"cut off":         {exit(endOfExec[:20]), false},
		"empty":           {exit(""), false},
		"no event":        {&types.Envelope{Topic: topicExit}, false},
		"another topic":   {&types.Envelope{Topic: "/images/create", Event: exit(endOfExec).Event}, false},
	} {
		if got := ofExec(tt.event); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

func FuzzExitFields(f *testing.F) {
	for _, seed := range []string{endOfContainer, endOfExec} {
		b, err := hex.DecodeString(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		container, id := exitFields(b)
		if len(container)+len(id) > len(b) {
			t.Errorf("%d bytes became %d", len(b), len(container)+len(id))
		}
		again := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), container)
		again = protowire.AppendString(protowire.AppendTag(again, 2, protowire.BytesType), id)
		if c, i := exitFields(again); c != container || i != id {
			t.Errorf("%q %q read back as %q %q", container, id, c, i)
		}
	})
}
