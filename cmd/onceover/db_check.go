package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/export"
)

// dbCheckCmd is "onceover db check".
type dbCheckCmd struct {
	Files []string `arg:"" name:"file" help:"Files of the feed, compressed or not."`
	Feed  string   `help:"Feed whose format they have." default:"custom" placeholder:"NAME"`
}

// Help is shown by --help.
func (*dbCheckCmd) Help() string {
	return `The files are read as a build reads them from the directory feeds/<name>, and nothing is kept. What they would bring is shown; the first mistake ends the check with its file and line. docs/feeds.md describes the format of the feed custom.

Examples:

  onceover db check euleros.jsonl
  onceover db check --feed amazon 2023/core/updateinfo.xml.gz`
}

// Run checks.
func (c *dbCheckCmd) Run(ctx context.Context, std streams) error {
	p := newProgress(std.Err, true)
	defer p.end()
	bad := problemList{progress: p}
	meta, err := advisory.Check(ctx, advisory.CheckOptions{Feed: c.Feed, Files: c.Files, Problem: bad.add})
	if err != nil {
		return err
	}
	bad.conclude()
	return writeCheck(std.Out, meta)
}

func writeCheck(out io.Writer, m advisory.Meta) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "FILE\tRECORDS\tUNREADABLE\tNEWEST\n")
	for _, f := range m.Files {
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\n", export.Printable(f.Name), f.Records, f.Bad, formatMillis(f.Newest))
	}
	fmt.Fprintf(w, "\nECOSYSTEM\tENTRIES\tPACKAGES\n")
	for _, name := range slices.Sorted(maps.Keys(m.Ecosystems)) {
		e := m.Ecosystems[name]
		fmt.Fprintf(w, "%s\t%d\t%d\n", export.Printable(name), e.Records, e.Packages)
	}
	for i, reason := range slices.Sorted(maps.Keys(m.Left)) {
		if i == 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "left out\t%d %s\n", m.Left[reason], reason)
	}
	return w.Flush()
}
