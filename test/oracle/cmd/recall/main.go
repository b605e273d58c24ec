// Command recall lists what syft and osv-scanner find in docker-archives and
// "onceover scan" does not.
//
//	go run ./test/oracle/cmd/recall [-all] FILE.tar...
//
// It prints the packages that no rule explains; with -all also those that one
// does. It exits with 1 if a package that
// another finds is missing and nothing explains it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"

	"github.com/onceover/onceover/test/oracle"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	all := flag.Bool("all", false, "also what a rule explains")
	bin := flag.String("onceover", "bin/onceover", "the program that is compared")
	flag.Parse()
	missing, err := run(ctx, *bin, *all, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "recall:", err)
		os.Exit(2)
	}
	if missing > 0 {
		os.Exit(1)
	}
}

func run(ctx context.Context, bin string, all bool, archives []string) (missing int, err error) {
	tools, err := oracle.Build(ctx, os.Stderr)
	if err != nil {
		return 0, err
	}
	for _, archive := range archives {
		cmd := exec.CommandContext(ctx, bin, "scan", "docker-archive:"+archive, "--format", "json", "--no-cache", "--quiet")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return 0, fmt.Errorf("scan %s: %w", archive, err)
		}
		ours, err := oracle.ReadScan(out)
		if err != nil {
			return 0, err
		}
		rs, err := tools.Recall(ctx, ours, archive)
		if err != nil {
			return 0, err
		}
		for _, r := range rs {
			fmt.Printf("%s: %s\n%s", archive, r.Summary(), r.Table(all))
			missing += r.Missing
		}
	}
	return missing, nil
}
