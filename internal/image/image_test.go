package image

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/fault"
)

func TestParseRef(t *testing.T) {
	for _, tc := range []struct {
		name string
		want Ref
	}{
		{"nginx", Ref{"nginx", ""}},
		{"nginx:1.25", Ref{"nginx", "1.25"}},
		{"docker.io/library/nginx:1.25", Ref{"nginx", "1.25"}},
		{"docker.io/grafana/loki:2", Ref{"grafana/loki", "2"}},
		{"localhost:5000/a/b", Ref{"localhost:5000/a/b", ""}},
		{"localhost:5000/a/b:x@sha256:00", Ref{"localhost:5000/a/b", "x"}},
		{"quay.io/x/y:z", Ref{"quay.io/x/y", "z"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, ParseRef(tc.name)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseDigest(t *testing.T) {
	h := strings.Repeat("0a", 32)
	for _, s := range []string{h, "sha256:" + h} {
		if d, err := ParseDigest(s); err != nil || d != Digest("sha256:"+h) {
			t.Errorf("%s: got %q, %v", s, d, err)
		}
	}
	for _, s := range []string{"", "sha256:", h[1:], strings.ToUpper(h), "sha512:" + h, h[:63] + "/"} {
		if _, err := ParseDigest(s); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%q: want invalid, got %v", s, err)
		}
	}
}

func TestChainIDs(t *testing.T) {
	a, b := DigestOf([]byte("a")), DigestOf([]byte("b"))
	want := []Digest{a, DigestOf([]byte(string(a) + " " + string(b)))}
	if diff := cmp.Diff(want, ChainIDs([]Digest{a, b})); diff != "" {
		t.Error(diff)
	}
}

func TestParseConfig(t *testing.T) {
	a, b := DigestOf([]byte("a")), DigestOf([]byte("b"))
	c, err := ParseConfig([]byte(`{"created":"2026-01-02T03:04:05+02:00","os":"linux","architecture":"arm64",
		"config":{"Env":["A=1"],"User":"www"},
		"rootfs":{"type":"layers","diff_ids":["` + string(a) + `","` + string(b) + `"]},
		"history":[{"created_by":"base"},{"created_by":"ENV A=1","empty_layer":true},{"created_by":"RUN x"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"base", "RUN x"}, c.BuildCommands()); diff != "" {
		t.Error(diff)
	}
	if c.Platform.String() != "linux/arm64" || c.Created.Hour() != 1 || c.User != "www" {
		t.Errorf("got %+v", c)
	}
	c.History = c.History[:1]
	if diff := cmp.Diff([]string{"", ""}, c.BuildCommands()); diff != "" {
		t.Error(diff)
	}
	if _, err := ParseConfig(make([]byte, MaxConfigBytes+1)); fault.CodeOf(err) != fault.TooLarge {
		t.Errorf("limit: got %v", err)
	}
	if _, err := ParseConfig([]byte(`{"rootfs":{"diff_ids":["../../etc"]}}`)); err == nil {
		t.Error("a diff ID that is no digest was taken")
	}
}

func TestCompare(t *testing.T) {
	name := func(names ...string) (i Image) {
		for _, n := range names {
			i.Names = append(i.Names, ParseRef(n))
		}
		return i
	}
	for _, tc := range []struct {
		name string
		a, b Image
		want int
	}{
		{"by name", name("a:2"), name("b:1"), -1},
		{"by tag", name("a:2"), name("a:1"), 1},
		{"first name counts", name("a:1", "z:1"), name("a:1", "b:1"), 0},
		{"untagged last", Image{}, name("z:9"), 1},
		{"named first", name("z:9"), Image{}, -1},
		{"by content", Image{ConfigDigest: "sha256:a"}, Image{ConfigDigest: "sha256:b"}, -1},
		{"by engine", Image{Engine: "docker"}, Image{Engine: "containerd"}, 1},
		{"by place", Image{Locator: "a"}, Image{Locator: "b"}, -1},
		{"equal", name("a:1"), name("a:1"), 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.a.Compare(tc.b); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}
