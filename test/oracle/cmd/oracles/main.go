// Command oracles builds syft, grype, the writer of grype's database and
// osv-scanner from their pinned sources, and prints where they lie. The first time takes
// several minutes; afterwards it takes none.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/onceover/onceover/test/oracle"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	t, err := oracle.Build(ctx, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "oracles:", err)
		os.Exit(1)
	}
	fmt.Printf("syft\t%s\ngrype\t%s\ngrypedb\t%s\nosv-scanner\t%s\n", t.Syft, t.Grype, t.GrypeDB, t.OSVScanner)
}
