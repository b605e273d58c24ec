package main

import (
	"cmp"
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/export"
)

// keepFlag is shared by the commands that replace the database.
type keepFlag struct {
	Keep int `help:"How many former generations stay beside the database; 0 for none." default:"${db_keep}" placeholder:"N" env:"ONCEOVER_DB_KEEP"`
}

// maxKeep is more than anyone means.
const maxKeep = 1000

// Validate checks the number.
func (f keepFlag) Validate() error {
	if f.Keep < 0 || f.Keep > maxKeep {
		return fmt.Errorf("--keep: want a number from 0 to %d", maxKeep)
	}
	return nil
}

// count is the number as package advisory counts: its 0 is the default.
func (f keepFlag) count() int {
	if f.Keep == 0 {
		return -1
	}
	return f.Keep
}

// dbListCmd is "onceover db list".
type dbListCmd struct {
	DB     string `name:"db" help:"Database file. Default: ${database_file}." placeholder:"FILE" type:"path" env:"ONCEOVER_DB"`
	Format string `short:"f" help:"How to write the result: ${enum}." enum:"table,json" default:"table"`
}

// Help is shown by --help.
func (*dbListCmd) Help() string {
	return `The first is the one in use. The others lie in the directory beside it whose name ends in .d.

Examples:

  onceover db list
  onceover db list --format json`
}

// listedGeneration is one element of the result as JSON.
type listedGeneration struct {
	Generation   string `json:"generation,omitempty"`
	Present      bool   `json:"present"`
	Path         string `json:"path"`
	NewestRecord string `json:"newest_record,omitempty"`
	Built        string `json:"built,omitempty"`
	Bytes        int64  `json:"bytes"`
	Records      int64  `json:"records"`
	// Error says why the file cannot be used.
	Error string `json:"error,omitempty"`
}

// Run lists.
func (c *dbListCmd) Run(std streams) error {
	path := cmp.Or(c.DB, databaseFile())
	gs, err := advisory.Generations(path)
	if err != nil {
		return err
	}
	list := make([]listedGeneration, len(gs))
	for i, g := range gs {
		list[i] = listedGeneration{
			Generation: g.Meta.ID, Present: g.Present, Path: g.Path,
			NewestRecord: formatMillis(g.Meta.DataDate), Bytes: g.Meta.Bytes, Records: g.Meta.Records,
		}
		if !g.Meta.Built.IsZero() {
			list[i].Built = g.Meta.Built.UTC().Format(time.RFC3339)
		}
		if g.Err != nil {
			list[i].Error = g.Err.Error()
		}
	}
	if c.Format == "json" {
		return writeJSON(std.Out, map[string]any{"schema_version": 1, "generations": list})
	}
	if len(list) == 0 {
		std.notice("no advisory database at %s", path)
		return nil
	}
	w := tabwriter.NewWriter(std.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "GENERATION\tSTATE\tNEWEST RECORD\tWRITTEN\tADVISORIES\tSIZE\n")
	for _, g := range list {
		state := "former"
		if g.Present {
			state = "present"
		}
		if g.Error != "" {
			fmt.Fprintf(w, "-\t%s\t%s\n", state, export.Printable(g.Error))
			continue
		}
		fmt.Fprintf(w, "%.12s\t%s\t%s\t%s\t%d\t%s\n", g.Generation, state, g.NewestRecord, g.Built, g.Records, bytesText(g.Bytes))
	}
	return w.Flush()
}

// dbRollbackCmd is "onceover db rollback".
type dbRollbackCmd struct {
	Generation string `arg:"" optional:"" help:"Id of the generation or its beginning. Default: the newest that is older than the present one."`
	DB         string `name:"db" help:"Database file. Default: ${database_file}." placeholder:"FILE" type:"path" env:"ONCEOVER_DB"`
	keepFlag   `embed:""`
}

// Help is shown by --help.
func (*dbRollbackCmd) Help() string {
	return `The generation is checked before it is put in place, and the one that was there is kept. The next update brings newer advisories again.

Examples:

  onceover db rollback
  onceover db rollback 3f9a2c1d`
}

// Run rolls back.
func (c *dbRollbackCmd) Run(ctx context.Context, std streams) error {
	path := cmp.Or(c.DB, databaseFile())
	meta, err := advisory.Rollback(ctx, path, c.Generation, c.count())
	if err != nil {
		return err
	}
	std.notice("%s", builtText(path, meta))
	return nil
}
