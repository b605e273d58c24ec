package baseimage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

func d(s string) image.Digest { return image.DigestOf([]byte(s)) }

func layers(s string) []image.Digest {
	var out []image.Digest
	for _, l := range strings.Fields(s) {
		out = append(out, d(l))
	}
	return out
}

func TestIdentify(t *testing.T) {
	var x Index
	x.Add(d("debian"), layers("1"), 2, image.ParseRef("debian:12"), image.ParseRef("docker.io/library/debian:bookworm"))
	x.Add(d("python"), layers("1 2 3"), 6, image.ParseRef("python:3.12"))
	x.Add(d("python-slim"), layers("1 2"), 4)
	x.Add(d("other"), layers("2 3"), 3, image.ParseRef("other:1"))
	x.Add(d("app"), layers("1 2 3 4"), 9, image.ParseRef("app:1"))
	x.Add(d("app-env"), layers("1 2 3 4"), 11, image.ParseRef("app-env:1"))
	deb := report.Distro{ID: "debian", VersionID: "12", Name: "Debian GNU/Linux 12 (bookworm)"}

	for _, tc := range []struct {
		name  string
		in    Input
		fleet Fleet
		want  []string
	}{
		{"longest first", Input{ConfigDigest: d("app"), DiffIDs: layers("1 2 3 4"), History: make([]image.History, 9), Distro: deb}, &x,
			[]string{"layers 3 python:3.12", "layers 2 ", "layers 1 debian:12,debian:bookworm"}},
		{"same layers and longer history", Input{ConfigDigest: d("app-env"), DiffIDs: layers("1 2 3 4"), History: make([]image.History, 11)}, &x,
			[]string{"layers 4 app:1", "layers 3 python:3.12", "layers 2 ", "layers 1 debian:12,debian:bookworm"}},
		{"not its own base", Input{ConfigDigest: d("debian"), DiffIDs: layers("1"), History: make([]image.History, 2), Distro: deb, SystemLayer: d("1")}, &x,
			[]string{"os-release 1 "}},
		{"label beside layers", Input{DiffIDs: layers("1 9"), Labels: map[string]string{"org.opencontainers.image.base.name": "docker.io/library/debian:12-slim"}}, &x,
			[]string{"layers 1 debian:12,debian:bookworm", "label 0 debian:12-slim"}},
		{"label of the same", Input{DiffIDs: layers("1 9"), Labels: map[string]string{"org.opencontainers.image.base.name": "docker.io/library/debian:12"}}, &x,
			[]string{"layers 1 debian:12,debian:bookworm"}},
		{"label alone", Input{DiffIDs: layers("7 8"), Labels: map[string]string{"org.opencontainers.image.base.name": "alpine:3.20", "org.opencontainers.image.base.digest": string(d("m"))}, Distro: deb}, nil,
			[]string{"label 0 alpine:3.20"}},
		{"history", Input{DiffIDs: layers("7 8"), History: []image.History{{Comment: "FROM a:1"}, {Comment: "FROM registry.example/fedora:40"}, {Comment: "x"}}}, nil,
			[]string{"history 0 registry.example/fedora:40"}},
		{"not a name", Input{DiffIDs: layers("7"), Labels: map[string]string{"org.opencontainers.image.base.name": "a\nb"}, History: []image.History{{Comment: "FROM scratch"}, {Comment: "FROM " + strings.Repeat("a", 64)}}}, &x, nil},
		{"os-release", Input{DiffIDs: layers("7 8"), Distro: deb, SystemLayer: d("7")}, &x, []string{"os-release 1 "}},
		{"nothing", Input{}, &x, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bases, err := Identify(context.Background(), tc.in, tc.fleet)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, b := range bases {
				got = append(got, fmt.Sprint(b.How, " ", b.Layers, " ", strings.Join(b.Names, ",")))
				if b.Layers > 0 && b.LayerDigest != tc.in.DiffIDs[b.Layers-1] {
					t.Errorf("layer digest of %+v", b)
				}
				if b.OSName != tc.in.Distro.Name || b.OSVersion != tc.in.Distro.VersionID {
					t.Errorf("system of %+v", b)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	var x Index
	many := make([]image.Digest, maxLayers+10)
	for i := range many {
		many[i] = d(fmt.Sprint(i))
	}
	x.Add(d("too many"), many, 1)
	for i := range 50 {
		x.Add(d(fmt.Sprint("b", i)), many[:1], 1, image.ParseRef(fmt.Sprintf("base:%d", i)))
	}
	bases, err := Identify(context.Background(), Input{DiffIDs: many}, &x)
	if err != nil || len(bases) != 1 || len(bases[0].Names) != maxNames || len(bases[0].Digests) != maxNames {
		t.Errorf("%+v, %v", bases, err)
	}
}

type broken struct{ error }

func (b broken) Stacks(context.Context, []image.Digest) ([]Candidate, error) { return nil, b.error }

func TestErrorOfTheFleet(t *testing.T) {
	want := errors.New("gone")
	if _, err := Identify(context.Background(), Input{DiffIDs: layers("1")}, broken{want}); !errors.Is(err, want) {
		t.Errorf("error is %v", err)
	}
}
