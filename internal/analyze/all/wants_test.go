package all

import (
	"io/fs"
	"testing"

	"github.com/onceover/onceover/internal/analyze/analyzetest"
)

// paths of many kinds, as every layer has them by the thousand.
var paths = []string{
	"/etc/os-release", "/usr/bin/Perl", "/usr/lib/x86_64-linux-gnu/libC.so.6", "/usr/share/doc/A/README.gz",
	"/app/node_modules/@a/B/package.json", "/app/node_modules/@a/B/lib/Index.js", "/app/package-lock.json",
	"/usr/lib/python3/dist-packages/Some.dist-info/METADATA", "/usr/lib/python3/dist-packages/Some.dist-info/RECORD",
	"/app/System.Text.Json.dll", "/app/App.deps.json", "/opt/conda/conda-meta/a-1-0.json",
	"/var/lib/dpkg/info/a.list", "/usr/share/java/A.jar", "/var/www/html/wp-content/plugins/a/A.php",
	"/lib/modules/6.1.0/kernel/fs/A.ko", "/app/lib/a-1/ebin/A.app", "/usr/lib/R/library/A/DESCRIPTION", "/x",
}

// Wants runs for every file of every layer, for every analyser: it must not
// allocate.
func TestWantsWithoutAllocation(t *testing.T) {
	var info fs.FileInfo = analyzetest.Info{Bytes: 1 << 20, Perm: 0o755}
	for _, a := range Set().Analyzers() {
		for _, p := range paths {
			if n := testing.AllocsPerRun(10, func() { a.Wants(p, info) }); n != 0 {
				t.Errorf("%s allocates %v times for %s", a.Key(), n, p)
			}
		}
	}
}

// BenchmarkWants is the cost of asking the whole set about one file.
func BenchmarkWants(b *testing.B) {
	var info fs.FileInfo = analyzetest.Info{Bytes: 1 << 20, Perm: 0o644}
	set := Set().Analyzers()
	for b.Loop() {
		for _, p := range paths {
			for _, a := range set {
				a.Wants(p, info)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(paths)), "ns/file")
}
