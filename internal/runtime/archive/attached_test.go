package archive_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/runtime/archive"
	"github.com/onceover/onceover/internal/runtime/runtimetest"
)

// addBlob puts a blob into a layout and gives its descriptor.
func addBlob(t *testing.T, dir, mediaType, content string) string {
	t.Helper()
	d := image.DigestOf([]byte(content))
	if err := os.WriteFile(filepath.Join(dir, "blobs", "sha256", d.Hex()), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d`, mediaType, d, len(content))
}

// addManifest lists a manifest with one layer in index.json.
func addManifest(t *testing.T, dir, more, layer, annotations string) {
	t.Helper()
	config := addBlob(t, dir, "application/vnd.oci.empty.v1+json", "{}") + "}"
	m := addBlob(t, dir, "application/vnd.oci.image.manifest.v1+json", `{"schemaVersion":2,"config":`+config+`,"layers":[`+layer+`}]`+more+`}`)
	file := filepath.Join(dir, "index.json")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var index map[string]json.RawMessage
	if err := json.Unmarshal(b, &index); err != nil {
		t.Fatal(err)
	}
	index["manifests"] = json.RawMessage(strings.TrimSuffix(strings.TrimSpace(string(index["manifests"])), "]") + "," + m + annotations + "}]")
	if b, err = json.Marshal(index); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAttached(t *testing.T) {
	dir := runtimetest.Layout(t, runtimetest.Build(t, "web:1", runtimetest.Gzip, map[string]string{"a": "1"}))
	open := func() (*archive.Source, image.Image) {
		src, err := archive.OpenLayout(t.Context(), dir, "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { src.Close() })
		imgs, err := src.Images(t.Context())
		if err != nil || len(imgs) != 1 {
			t.Fatalf("%d images, %v", len(imgs), err)
		}
		return src, imgs[0]
	}
	src, img := open()
	if got, err := src.Attached(t.Context(), img); err != nil || len(got) != 0 {
		t.Fatalf("nothing is attached: %v, %v", got, err)
	}
	digest := string(img.ManifestDigest)
	subject := fmt.Sprintf(`,"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"size":1}`, digest)
	vexLayer := func(content string) string { return addBlob(t, dir, "application/vnd.openvex+json", content) }
	addManifest(t, dir, subject+`,"artifactType":"application/vnd.openvex+json"`, vexLayer("referrer"), `,"artifactType":"application/vnd.openvex+json"`)
	addManifest(t, dir, "", addBlob(t, dir, "application/vnd.dsse.envelope.v1+json", "cosign"),
		`,"annotations":{"org.opencontainers.image.ref.name":"sha256-`+img.ManifestDigest.Hex()+`.att"}`)
	addManifest(t, dir, "", addBlob(t, dir, "application/vnd.in-toto+json", "buildkit"),
		`,"annotations":{"vnd.docker.reference.type":"attestation-manifest","vnd.docker.reference.digest":"`+digest+`"}`)
	// What is about another image, and what is no statement.
	addManifest(t, dir, strings.ReplaceAll(subject, img.ManifestDigest.Hex(), strings.Repeat("0", 64)), vexLayer("another image's"), `,"artifactType":"x"`)
	addManifest(t, dir, subject, addBlob(t, dir, "text/plain", "a note"), `,"artifactType":"x"`)
	src, img = open()
	found, err := src.Attached(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, a := range found {
		got[string(a.Content)] = true
	}
	if diff := cmp.Diff(map[string]bool{"referrer": true, "cosign": true, "buildkit": true}, got); diff != "" {
		t.Error(diff)
	}

	layer := vexLayer("again")
	for i := range 101 {
		addManifest(t, dir, subject+fmt.Sprintf(`,"annotations":{"n":"%d"}`, i), layer, `,"artifactType":"x"`)
	}
	src, img = open()
	if _, err := src.Attached(t.Context(), img); err == nil || !strings.Contains(err.Error(), "more than 100 documents") {
		t.Errorf("beyond maxAttached: %v", err)
	}
}
