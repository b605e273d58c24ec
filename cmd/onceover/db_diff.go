package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/export"
)

// maxShownChanges is how many changes of a kind are named without --full.
const maxShownChanges = 20

// dbDiffCmd is "onceover db diff".
type dbDiffCmd struct {
	From   string `arg:"" name:"a" help:"Older generation: a file, or the id of one that is kept, or its beginning."`
	To     string `arg:"" name:"b" optional:"" help:"Newer generation. Default: the present one."`
	DB     string `name:"db" help:"Database file beside which generations are kept. Default: ${database_file}." placeholder:"FILE" type:"path" env:"ONCEOVER_DB"`
	Format string `short:"f" help:"How to write the result: ${enum}." enum:"table,json" default:"table"`
	Full   bool   `help:"Name everything that changed, not the first few of each kind only."`
}

// Help is shown by --help.
func (*dbDiffCmd) Help() string {
	return `Tells which advisories came, went and changed, which packages may be judged differently for it, and about which CVEs the facts beside advisories changed.

Examples:

  onceover db diff 3f9a2c1d
  onceover db diff old.db new.db --format json --full`
}

// Run compares.
func (c *dbDiffCmd) Run(ctx context.Context, std streams) error {
	present := cmp.Or(c.DB, databaseFile())
	a, err := openGeneration(present, c.From)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := openGeneration(present, c.To)
	if err != nil {
		return err
	}
	defer b.Close()
	d, err := advisory.Compare(ctx, a, b)
	if err != nil {
		return err
	}
	r := newDiffReport(d, c.Full)
	if c.Format == "json" {
		return writeJSON(std.Out, r)
	}
	return r.write(std.Out)
}

// openGeneration opens a file or, if there is none of this name, the
// generation with this id at or beside present; "" is the present one.
func openGeneration(present, name string) (*advisory.DB, error) {
	path, err := generationFile(present, name)
	if err != nil {
		return nil, err
	}
	return advisory.Open(path)
}

func generationFile(present, name string) (string, error) {
	if name == "" {
		return present, nil
	}
	if _, err := os.Stat(name); err == nil || strings.ContainsRune(name, os.PathSeparator) {
		return name, nil
	}
	return advisory.Kept(present, name)
}

// diffReport is the result of "db diff" as JSON. Lists hold the first few of
// each kind, or all with --full.
type diffReport struct {
	SchemaVersion int    `json:"schema_version"`
	From          string `json:"from"`
	To            string `json:"to"`
	// Counts of everything.
	Counts struct {
		Packages int `json:"packages"`
		Added    int `json:"added"`
		Removed  int `json:"removed"`
		Changed  int `json:"changed"`
		CVEs     int `json:"cves"`
	} `json:"counts"`
	// Ecosystems counts touched packages.
	Ecosystems map[string]int `json:"ecosystems"`
	Full       bool           `json:"full"`
	Packages   []diffPackage  `json:"packages"`
	Added      []string       `json:"added"`
	Removed    []string       `json:"removed"`
	Changed    []string       `json:"changed"`
	CVEs       []string       `json:"cves"`
}

type diffPackage struct {
	Ecosystem string `json:"ecosystem"`
	Name      string `json:"name"`
}

func newDiffReport(d *advisory.Diff, full bool) diffReport {
	r := diffReport{SchemaVersion: 1, From: d.From, To: d.To, Full: full, Ecosystems: map[string]int{}}
	r.Counts.Packages, r.Counts.Added, r.Counts.Removed = len(d.Packages), len(d.Added), len(d.Removed)
	r.Counts.Changed, r.Counts.CVEs = len(d.Changed), len(d.CVEs)
	r.Packages = []diffPackage{}
	for i, k := range d.Packages {
		r.Ecosystems[k.Ecosystem]++
		if full || i < maxShownChanges {
			r.Packages = append(r.Packages, diffPackage(k))
		}
	}
	some := func(ids []string) []string {
		if !full && len(ids) > maxShownChanges {
			ids = ids[:maxShownChanges]
		}
		return append([]string{}, ids...) // never null
	}
	r.Added, r.Removed, r.Changed, r.CVEs = some(d.Added), some(d.Removed), some(d.Changed), some(d.CVEs)
	return r
}

func (r diffReport) write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "from\t%s\nto\t%s\n", r.From, r.To)
	fmt.Fprintf(w, "advisories\t%d added, %d removed, %d changed\n", r.Counts.Added, r.Counts.Removed, r.Counts.Changed)
	fmt.Fprintf(w, "packages\t%d may be judged differently\n", r.Counts.Packages)
	fmt.Fprintf(w, "cves\t%d with other facts\n", r.Counts.CVEs)
	if len(r.Ecosystems) > 0 {
		fmt.Fprintf(w, "\nECOSYSTEM\tPACKAGES\n")
		for _, eco := range slices.Sorted(maps.Keys(r.Ecosystems)) {
			fmt.Fprintf(w, "%s\t%d\n", export.Printable(eco), r.Ecosystems[eco])
		}
	}
	packages := make([]string, len(r.Packages))
	for i, p := range r.Packages {
		packages[i] = p.Ecosystem + " " + p.Name
	}
	for _, l := range []struct {
		title string
		shown []string
		all   int
	}{
		{"ADDED", r.Added, r.Counts.Added}, {"REMOVED", r.Removed, r.Counts.Removed}, {"CHANGED", r.Changed, r.Counts.Changed},
		{"PACKAGES", packages, r.Counts.Packages}, {"CVES", r.CVEs, r.Counts.CVEs},
	} {
		if l.all == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s\n", l.title)
		for _, s := range l.shown {
			fmt.Fprintf(w, "%s\n", export.Printable(s))
		}
		if n := l.all - len(l.shown); n > 0 {
			fmt.Fprintf(w, "and %d more, --full shows them\n", n)
		}
	}
	return w.Flush()
}

func writeJSON(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
