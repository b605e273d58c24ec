package layer

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/onceover/onceover/internal/image"
)

// BenchmarkWalkDir walks /usr of this machine as if it were a layer. Set
// ONCEOVER_BENCH_DIR to walk another tree.
func BenchmarkWalkDir(b *testing.B) {
	root := "/usr"
	if d := os.Getenv("ONCEOVER_BENCH_DIR"); d != "" {
		root = d
	}
	benchWalk(b, image.Layer{Dir: root})
}

// BenchmarkWalkBlob walks the layer files that ONCEOVER_BENCH_BLOB names,
// separated by colons.
func BenchmarkWalkBlob(b *testing.B) {
	list := os.Getenv("ONCEOVER_BENCH_BLOB")
	if list == "" {
		b.Skip("ONCEOVER_BENCH_BLOB is not set")
	}
	for name := range strings.SplitSeq(list, ":") {
		b.Run(name[strings.LastIndexByte(name, '/')+1:], func(b *testing.B) {
			benchWalk(b, image.Layer{Blob: func(context.Context) (io.ReadCloser, error) { return os.Open(name) }})
		})
	}
}

func benchWalk(b *testing.B, l image.Layer) {
	entries := 0
	var before, after unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &before)
	b.ReportAllocs()
	for b.Loop() {
		entries = 0
		if err := Walk(context.Background(), l, &Stats{}, func(*Entry) error { entries++; return nil }); err != nil {
			b.Fatal(err)
		}
	}
	unix.Getrusage(unix.RUSAGE_SELF, &after)
	cpu := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(cpu)/float64(b.N)/1e6, "cpu-ms/op")
	b.ReportMetric(float64(entries), "entries")
}
