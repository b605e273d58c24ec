package main

import (
	"fmt"

	"github.com/onceover/onceover/internal/check/malware"
)

// dbHashesCmd is "onceover db hashes".
type dbHashesCmd struct {
	Out     string   `arg:"" help:"File to write; its name without .hashes is what findings call the list." type:"path"`
	Sources []string `arg:"" help:"Lists of hashes." type:"existingfile"`
}

// Help is shown by --help.
func (*dbHashesCmd) Help() string {
	return `A source is a plain list, one SHA-256 a line with comments after "#", or CSV as abuse.ch publishes it for MalwareBazaar. A line that is neither refuses the file. The compiled list goes into the directory hashes of the one that --rules names, with a name that ends in .hashes.

Examples:

  onceover db hashes rules/hashes/bazaar.hashes full.csv
  onceover db hashes rules/hashes/own.hashes incident-12.txt incident-13.txt`
}

// Run compiles.
func (c *dbHashesCmd) Run(std streams) error {
	n, err := malware.CompileHashes(c.Out, c.Sources...)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.Out, "%s: %d different hashes\n", c.Out, n)
	return err
}
