package layer

import (
	"context"
	"os"
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
	entries := 0
	var before, after unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &before)
	b.ReportAllocs()
	for b.Loop() {
		entries = 0
		if err := Walk(context.Background(), image.Layer{Dir: root}, &Stats{}, func(*Entry) error { entries++; return nil }); err != nil {
			b.Fatal(err)
		}
	}
	unix.Getrusage(unix.RUSAGE_SELF, &after)
	cpu := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(cpu)/float64(b.N)/1e6, "cpu-ms/op")
	b.ReportMetric(float64(entries), "entries")
}
