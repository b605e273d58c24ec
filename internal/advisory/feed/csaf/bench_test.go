package csaf

import (
	"archive/tar"
	"bytes"
	"compress/bzip2"
	"io"
	"strings"
	"testing"

	"github.com/onceover/onceover/internal/advisory/feed/feedtest"
)

// BenchmarkParse reads SUSE's largest sample, 2.7 MB with 50 CVEs.
func BenchmarkParse(b *testing.B) {
	archive := feedtest.Sample(b, feedtest.Sources, "pkg/fetch/suse/csaf/testdata/fixtures/csaf.tar.bz2")
	var doc []byte
	for r := tar.NewReader(bzip2.NewReader(bytes.NewReader(archive))); doc == nil; {
		h, err := r.Next()
		if err != nil {
			b.Fatal(err)
		}
		if strings.HasSuffix(h.Name, "suse-su-403.json") {
			if doc, err = io.ReadAll(r); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		d, err := Parse("suse-su-403.json", doc)
		if err != nil {
			b.Fatal(err)
		}
		for i := range d.Vulnerabilities {
			d.Vulnerabilities[i].Verdicts()
		}
	}
}
