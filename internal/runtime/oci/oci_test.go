package oci

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
)

// digest is a made-up digest that differs for each n.
func digest(n int) string { return fmt.Sprintf("sha256:%064x", n) }

func TestParse(t *testing.T) {
	layers := func(n int) string {
		return strings.TrimSuffix(strings.Repeat(`{"digest":"`+digest(1)+`","size":1},`, n), ",")
	}
	for _, tc := range []struct {
		name string
		doc  string
		want string // in the error, "" for none
		code fault.Code
	}{
		{"manifest", `{"schemaVersion":2,"config":{"digest":"` + digest(1) + `"},"layers":[` + layers(maxLayers) + `]}`, "", 0},
		{"too many layers", `{"schemaVersion":2,"config":{"digest":"` + digest(1) + `"},"layers":[` + layers(maxLayers+1) + `]}`, "manifest of 1001 layers", fault.TooLarge},
		{"index", `{"schemaVersion":2,"manifests":[` + layers(maxDescriptors) + `]}`, "", 0},
		{"too many manifests", `{"schemaVersion":2,"manifests":[` + layers(maxDescriptors+1) + `]}`, "index of 1001 manifests", fault.TooLarge},
		{"largest document", `{"manifests":[]}` + strings.Repeat(" ", MaxManifestBytes-16), "", 0},
		{"too large a document", `{"manifests":[]}` + strings.Repeat(" ", MaxManifestBytes-15), "the limit is", fault.TooLarge},
		{"manifest and index at once", `{"config":{"digest":"` + digest(1) + `"},"manifests":[]}`, "both a configuration and manifests", fault.Invalid},
		{"schema 1", `{"schemaVersion":1,"fsLayers":[]}`, "schema version 1", fault.Unsupported},
		{"no JSON", `{`, "parse manifest", fault.Internal},
		{"wrong digest", `{"config":{"digest":"sha256:../../x"}}`, "want sha256: and 64", fault.Invalid},
		{"another algorithm", `{"config":{"digest":"sha512:` + strings.Repeat("0", 128) + `"}}`, "want sha256: and 64", fault.Invalid},
		{"negative size", `{"config":{"digest":"` + digest(1) + `","size":-1}}`, "size -1", fault.Invalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse([]byte(tc.doc))
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) || fault.CodeOf(err) != tc.code {
				t.Errorf("got %v (%v), want %q (%v)", err, fault.CodeOf(err), tc.want, tc.code)
			}
		})
	}
}

// tree is content by digest.
type tree map[image.Digest]any

func (tr tree) fetch(_ context.Context, d Descriptor) ([]byte, error) {
	v, ok := tr[d.Digest]
	if !ok {
		return nil, fault.New(fault.NotFound, "%s", d.Digest)
	}
	return json.Marshal(v)
}

func manifest() map[string]any {
	return map[string]any{"config": map[string]any{"digest": digest(999), "mediaType": "application/vnd.oci.image.config.v1+json"}}
}

func index(ds ...map[string]any) map[string]any { return map[string]any{"manifests": ds} }

func to(n int, more ...any) map[string]any {
	d := map[string]any{"digest": digest(n)}
	for i := 0; i < len(more); i += 2 {
		d[more[i].(string)] = more[i+1]
	}
	return d
}

func TestResolve(t *testing.T) {
	deep := tree{image.Digest(digest(100)): manifest()}
	for i := range maxDepth + 1 {
		deep[image.Digest(digest(i))] = index(to(i + 1))
	}
	deep[image.Digest(digest(maxDepth))] = index(to(100))
	deepest := tree{}
	for k, v := range deep {
		deepest[k] = v
	}
	deepest[image.Digest(digest(maxDepth))] = manifest()
	wide := tree{}
	for i := range 3 {
		var ds []map[string]any
		for j := range maxDescriptors {
			n := 1000 + i*maxDescriptors + j
			ds = append(ds, to(n))
			wide[image.Digest(digest(n))] = manifest()
		}
		wide[image.Digest(digest(i+1))] = index(ds...)
	}
	wide[image.Digest(digest(0))] = index(to(1), to(2), to(3))

	for _, tc := range []struct {
		name string
		tree tree
		want []string // digests, or nil and an error
		err  string
	}{
		{"manifest", tree{image.Digest(digest(0)): manifest()}, []string{digest(0)}, ""},
		{"absent", tree{}, nil, ""},
		{"one of two is here", tree{image.Digest(digest(0)): index(to(1), to(2)), image.Digest(digest(2)): manifest()}, []string{digest(2)}, ""},
		{"attestation", tree{
			image.Digest(digest(0)): index(to(1), to(2, "annotations", map[string]string{"vnd.docker.reference.type": "attestation-manifest"}), to(3, "platform", map[string]string{"os": "unknown"})),
			image.Digest(digest(1)): manifest(), image.Digest(digest(2)): manifest(), image.Digest(digest(3)): manifest(),
		}, []string{digest(1)}, ""},
		{"artifact", tree{image.Digest(digest(0)): map[string]any{"config": map[string]any{"digest": digest(9), "mediaType": "application/vnd.cncf.helm.config.v1+json"}}}, nil, ""},
		{"index of itself", tree{image.Digest(digest(0)): index(to(0), to(1)), image.Digest(digest(1)): manifest()}, []string{digest(1)}, ""},
		{"twice the same", tree{image.Digest(digest(0)): index(to(1), to(1)), image.Digest(digest(1)): manifest()}, []string{digest(1)}, ""},
		{"deepest", deepest, []string{digest(maxDepth)}, ""},
		{"too deep", deep, nil, "nested deeper than 4"},
		{"too many", wide, nil, "more than 2000 manifests"},
		{"damaged", tree{image.Digest(digest(0)): "x"}, nil, "parse manifest"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Resolve(t.Context(), Descriptor{Digest: image.Digest(digest(0))}, tc.tree.fetch)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("got %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var digests []string
			for _, c := range got {
				digests = append(digests, string(c.Descriptor.Digest))
			}
			if d := cmp.Diff(tc.want, digests); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestBest(t *testing.T) {
	p := func(s string) image.Platform {
		f := append(strings.Split(s, "/"), "")
		return image.Platform{OS: f[0], Arch: f[1], Variant: f[2]}
	}
	for _, tc := range []struct {
		name string
		have []string
		want int
	}{
		{"exact", []string{"linux/arm64", "linux/amd64"}, 1},
		{"none", []string{"linux/arm64", "linux/s390x"}, -1},
		{"nothing", nil, -1},
		{"the only one", []string{"linux/s390x"}, 0},
		{"another system", []string{"windows/amd64", "linux/s390x"}, -1},
		{"highest variant", []string{"linux/amd64", "linux/amd64/v3", "linux/amd64/v2"}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var have []image.Platform
			for _, s := range tc.have {
				have = append(have, p(s))
			}
			if got := Best(have, p("linux/amd64")); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"config":{"digest":"` + digest(1) + `"},"layers":[]}`))
	f.Add([]byte(`{"manifests":[{"digest":"` + digest(1) + `","platform":{"os":"linux"}}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		doc, err := Parse(b)
		if err != nil {
			return
		}
		for _, d := range append(append(doc.Layers, doc.Manifests...), doc.Config) {
			if d.Digest == "" {
				continue
			}
			if _, err := image.ParseDigest(string(d.Digest)); err != nil || d.Size < 0 {
				t.Errorf("%+v", d)
			}
		}
	})
}
