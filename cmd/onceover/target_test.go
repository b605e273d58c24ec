package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
)

// host is what the engines of a host hold in these tests.
func host() []held {
	amd, arm := image.Platform{OS: "linux", Arch: "amd64"}, image.Platform{OS: "linux", Arch: "arm64", Variant: "v8"}
	digest := func(s string) image.Digest { return image.Digest("sha256:" + s + strings.Repeat("0", 64-len(s))) }
	img := func(engine, config, manifest string, p image.Platform, names ...string) held {
		i := image.Image{Engine: engine, ConfigDigest: digest(config), Platform: p}
		if manifest != "" {
			i.ManifestDigest = digest(manifest)
		}
		for _, n := range names {
			r := image.ParseRef(n)
			i.Names = append(i.Names, r)
			if manifest != "" {
				i.RepoDigests = append(i.RepoDigests, r.Name+"@"+string(i.ManifestDigest))
			}
		}
		return held{image: i}
	}
	return []held{
		img("docker", "aaaa1", "", amd, "nginx:1.25", "web:latest"),
		img("docker", "aaaa2", "", amd, "quay.io/x/y:1"),
		img("docker", "bbbb1", "", amd),
		img("containerd", "aaaa1", "cccc1", amd, "docker.io/library/nginx:1.25"),
		img("containerd", "dddd1", "eeee1", amd, "docker.io/library/redis:7"),
		img("containerd", "dddd2", "eeee2", arm, "docker.io/library/redis:7"),
		img("containerd", "f00d", "f00e", amd, "cafe:latest"),
		img("docker", "cafe", "", amd, "other:latest"),
		img("docker", "9999", "", amd, "quay.io/x/y:2"),
		img("containerd", "8888", "", amd, "quay.io/x/y:2"),
	}
}

func TestFind(t *testing.T) {
	full := func(s string) string { return "sha256:" + s + strings.Repeat("0", 64-len(s)) }
	for _, tc := range []struct {
		target string
		want   []string // the first digits of what is found
		code   fault.Code
		text   string
	}{
		{target: "nginx:1.25", want: []string{"aaaa1"}},
		{target: "docker.io/library/nginx:1.25", want: []string{"aaaa1"}},
		{target: "web", want: []string{"aaaa1"}},
		{target: "quay.io/x/y:1", want: []string{"aaaa2"}},
		{target: "quay.io/x/y:2", want: []string{"9999", "8888"}},
		{target: full("aaaa1"), want: []string{"aaaa1"}},
		{target: full("aaaa1")[7:], want: []string{"aaaa1"}},
		{target: full("cccc1"), want: []string{"aaaa1"}},
		{target: "nginx@" + full("cccc1"), want: []string{"aaaa1"}},
		{target: "docker.io/library/nginx@" + full("cccc1"), want: []string{"aaaa1"}},
		{target: "redis:7", want: []string{"dddd1"}},
		{target: "bbbb", want: []string{"bbbb1"}},
		{target: "sha256:bbbb", want: []string{"bbbb1"}},
		{target: "aaaa1", want: []string{"aaaa1"}},
		{target: "cccc", want: []string{"aaaa1"}},
		{target: "cafe", want: []string{"f00d"}}, // a name comes before an ID
		{target: "aaaa", code: fault.Invalid, text: "image ID aaaa is ambiguous: it begins aaaa10000000 (nginx:1.25), aaaa20000000 (quay.io/x/y:1)"},
		{target: "bbb", code: fault.NotFound, text: `no image "bbb"`},
		{target: "nginx", code: fault.NotFound, text: `no image "nginx"; did you mean nginx:1.25?`},
		{target: "ngnix", code: fault.NotFound, text: `no image "ngnix"`},
		{target: "ngin:1.25", code: fault.NotFound, text: `no image "ngin:1.25"; did you mean nginx:1.25?`},
		{target: "postgres", code: fault.NotFound, text: `no image "postgres"`},
		{target: "redis@" + full("cccc1"), code: fault.NotFound, text: `no image "redis@` + full("cccc1") + `"; did you mean redis:7?`},
		{target: "nginx@sha256:1", code: fault.Invalid, text: `image nginx@sha256:1: digest "sha256:1": want sha256: and 64 hexadecimal digits`},
	} {
		t.Run(tc.target, func(t *testing.T) {
			got, err := find(host(), tc.target)
			if tc.want == nil {
				if fault.CodeOf(err) != tc.code || err == nil || err.Error() != tc.text {
					t.Fatalf("got %v: %v", fault.CodeOf(err), err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var digits []string
			for _, s := range gather(got) {
				digits = append(digits, strings.TrimRight(s.digest.Hex(), "0"))
			}
			if diff := cmp.Diff(tc.want, digits); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSuggestionsAreFew(t *testing.T) {
	var all []held
	for _, n := range []string{"app-1:x", "app-2:x", "app-3:x", "app-4:x", "app-4:y"} {
		all = append(all, held{image: image.Image{Names: []image.Ref{image.ParseRef(n)}}})
	}
	_, err := find(all, "app")
	want := `no image "app"; did you mean app-1:x or app-2:x or app-3:x?`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestGather(t *testing.T) {
	all := host()
	all[0].image.NonScanReason = "the engine does not say where its layers lie"
	subjects := gather(all)
	if len(subjects) != 9 {
		t.Fatalf("%d subjects", len(subjects))
	}
	var engines []string
	for _, p := range subjects[0].places {
		engines = append(engines, p.image.Engine)
	}
	if diff := cmp.Diff([]string{"containerd", "docker"}, engines); diff != "" {
		t.Errorf("the place that can be read does not come first: %s", diff)
	}
}

func TestDistance(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "ab", 2}, {"kitten", "sitting", 3}, {"nginx", "ngnix", 2}, {"same", "same", 0}} {
		if got := distance(tc.a, tc.b); got != tc.want {
			t.Errorf("%q to %q: got %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}
