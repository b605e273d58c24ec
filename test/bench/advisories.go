package main

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/test/shareddata"
)

// What "bench advisories -check" holds the figures of the set as it is to; the
// tenfold set is held to ten times of it, and a tenth more.
const (
	maxCompileCPU  = 15.0 // seconds
	maxCompilePeak = 400.0
	maxSize        = 60.0
	maxLookup      = 10.0 // milliseconds for lookupPackages
	maxMatchPeak   = 40.0
	lookupPackages = 1000
	lookupRuns     = 7
	matchPackages  = 10000
	maxGrowth      = 11.0
)

// advisories measures a generation: compiling it, its size, looking up and
// matching; then the same on a set ten times as large, which it makes.
func advisories(ctx context.Context, args []string, out io.Writer) error {
	var osv string
	var rounds int
	var check, tenfoldToo bool
	f := flag.NewFlagSet("bench advisories", flag.ContinueOnError)
	f.StringVar(&osv, "osv", "", "directory with OSV archives (default: osv of the shared test data)")
	f.IntVar(&rounds, "rounds", 3, "rounds that are counted")
	f.BoolVar(&tenfoldToo, "tenfold", true, "measure a set ten times as large too")
	f.BoolVar(&check, "check", false, "fail where a figure is above its limit")
	if err := f.Parse(args); err != nil {
		return err
	}
	if rounds < 1 {
		return errors.New("-rounds: want at least 1")
	}
	if osv == "" {
		shared := shareddata.Find()
		if shared == "" {
			return errors.New("no advisory records: give -osv")
		}
		osv = filepath.Join(shared, "osv")
	}
	tmp, err := os.MkdirTemp("", "onceover-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	a := advisoryBench{tmp: tmp, onceover: filepath.Join(tmp, "onceover"), rounds: rounds}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", a.onceover, "./cmd/onceover")
	build.Dir, build.Env, build.Stderr = shareddata.Root(), append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build onceover: %w", err)
	}
	if a.matcher, err = buildMatcher(ctx, tmp); err != nil {
		return err
	}
	one, err := a.measure(ctx, "as it is", osv)
	if err != nil {
		return err
	}
	all := []figures{one}
	if tenfoldToo {
		dir := filepath.Join(tmp, "tenfold")
		if err := tenfold(ctx, osv, dir); err != nil {
			return fmt.Errorf("make the tenfold set: %w", err)
		}
		ten, err := a.measure(ctx, "ten times", dir)
		if err != nil {
			return err
		}
		all = append(all, ten)
	}
	if err := printFigures(out, all, rounds); err != nil {
		return err
	}
	if check {
		return checkFigures(all)
	}
	return nil
}

type advisoryBench struct {
	tmp, onceover, matcher string
	rounds                 int
}

// figures of one set of records: medians.
type figures struct {
	name             string
	records          int
	cpu              float64 // seconds
	wall             float64
	peak, size       float64 // megabytes
	lookup           float64 // milliseconds
	entries          int
	matchCPU         float64
	matchPeak        float64
	packages, finds  int
	lookupsAreOfSize int
}

func (a advisoryBench) measure(ctx context.Context, name, osv string) (figures, error) {
	db := filepath.Join(a.tmp, strings.ReplaceAll(name, " ", "-")+".db")
	compile := row{name: "compile", argv: []string{a.onceover, "db", "build", "--from", osv, "--to", db}}
	for range a.rounds {
		if err := ctx.Err(); err != nil {
			return figures{}, err
		}
		c, err := measure(nil, compile.argv...)
		if err != nil {
			return figures{}, err
		}
		compile.costs = append(compile.costs, c)
	}
	fi, err := os.Stat(db)
	if err != nil {
		return figures{}, err
	}
	s, err := sampleRecords(osv)
	if err != nil {
		return figures{}, err
	}
	lookups, packages, result := filepath.Join(a.tmp, "lookups.json"), filepath.Join(a.tmp, "packages.json"), filepath.Join(a.tmp, "result.json")
	if err := errors.Join(writeJSON(lookups, s.lookups), writeJSON(packages, s.inventory)); err != nil {
		return figures{}, err
	}
	var r matcherResult
	var times []float64
	matchRow := row{name: "match", argv: []string{a.matcher, "-db", db, "-packages", packages, "-result", result}}
	for range a.rounds {
		// Milliseconds are easily disturbed: several processes a round, and
		// nobody who watches them. They look at the clock themselves.
		for range lookupRuns {
			if b, err := exec.CommandContext(ctx, a.matcher, "-db", db, "-lookups", lookups, "-result", result).CombinedOutput(); err != nil {
				return figures{}, fmt.Errorf("look up: %w: %s", err, b)
			}
			if err := readJSON(result, &r); err != nil {
				return figures{}, err
			}
			times = append(times, float64(r.Lookup.Microseconds())/1000)
		}
		c, err := measure(nil, matchRow.argv...)
		if err != nil {
			return figures{}, err
		}
		matchRow.costs = append(matchRow.costs, c)
	}
	slices.Sort(times)
	out := figures{
		name: name, records: s.records, size: megabytes(fi.Size()), lookup: times[len(times)/2], entries: r.Entries,
		cpu: compile.median().CPU.Seconds(), wall: compile.median().Wall.Seconds(), peak: megabytes(compile.median().Peak),
		matchCPU: matchRow.median().CPU.Seconds(), matchPeak: megabytes(matchRow.median().Peak), lookupsAreOfSize: len(s.lookups),
	}
	if err := readJSON(result, &r); err != nil {
		return figures{}, err
	}
	out.packages, out.finds = r.Packages, r.Findings
	return out, nil
}

// A recordSample is what is looked up and matched.
type recordSample struct {
	records   int
	lookups   [][2]string
	inventory report.Inventory
}

// sampleRecords takes packages evenly from all that the records name: as names
// to look up, and as the packages of one image of Debian 12 at versions that
// some record calls fixed, so that older advisories hold no more and newer ones
// do. Where the records name too few that such an image can have, the rest are
// packages that no record names, as in real images.
func sampleRecords(osv string) (recordSample, error) {
	archives, err := filepath.Glob(filepath.Join(osv, "*.zip"))
	if err != nil {
		return recordSample{}, err
	}
	type pair = [2]string
	fixed := map[pair]string{}
	n := 0
	for _, path := range archives {
		z, err := zip.OpenReader(path)
		if err != nil {
			return recordSample{}, err
		}
		for _, f := range z.File {
			n++
			var r struct {
				Affected []struct {
					Package struct{ Ecosystem, Name string }
					Ranges  []struct{ Events []map[string]string }
				}
			}
			rc, err := f.Open()
			if err == nil {
				err = json.NewDecoder(rc).Decode(&r)
				rc.Close()
			}
			if err != nil {
				return recordSample{}, errors.Join(fmt.Errorf("read %s: %w", f.Name, err), z.Close())
			}
			for _, a := range r.Affected {
				k := pair{a.Package.Ecosystem, a.Package.Name}
				if k[0] == "" || k[1] == "" {
					continue
				}
				for _, g := range a.Ranges {
					for _, e := range g.Events {
						// The highest as text: nearly up to date, and the
						// same in every run.
						if v := e["fixed"]; v != "" && v != "0" && v > fixed[k] {
							fixed[k] = v
						}
					}
				}
			}
		}
		if err := z.Close(); err != nil {
			return recordSample{}, err
		}
	}
	s := recordSample{records: n, inventory: report.Inventory{Distro: report.Distro{ID: "debian", VersionID: "12"}}}
	var all, fits []pair
	for k := range fixed {
		all = append(all, k)
		if _, ok := imageTypes[k[0]]; ok {
			fits = append(fits, k)
		}
	}
	order := func(a, b pair) int { return strings.Compare(a[0]+"\x00"+a[1], b[0]+"\x00"+b[1]) }
	slices.SortFunc(all, order)
	slices.SortFunc(fits, order)
	for i := range min(lookupPackages, len(all)) {
		s.lookups = append(s.lookups, all[i*len(all)/lookupPackages])
	}
	// Half of the packages of an image at most have ever had an advisory.
	known := min(matchPackages/2, len(fits))
	for i := range known {
		k := fits[i*len(fits)/known]
		s.inventory.Packages = append(s.inventory.Packages, report.Package{Type: imageTypes[k[0]], Name: k[1], Version: fixed[k], Path: "/" + k[1]})
	}
	for i := known; i < matchPackages; i++ {
		s.inventory.Packages = append(s.inventory.Packages, report.Package{Type: report.TypeDeb, Name: fmt.Sprintf("package-%d", i), Version: "1.0-1", Path: "/var/lib/dpkg/status"})
	}
	return s, nil
}

// imageTypes are ecosystems whose packages one image of Debian can have.
var imageTypes = map[string]string{
	"Debian:12": report.TypeDeb, "Go": report.TypeGo, "npm": report.TypeNPM, "PyPI": report.TypePython, "Maven": report.TypeJava,
	"RubyGems": report.TypeGem, "crates.io": report.TypeCargo, "Packagist": report.TypeComposer, "NuGet": report.TypeNuGet, "Bitnami": report.TypeBitnami,
}

func writeJSON(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}

func printFigures(out io.Writer, all []figures, rounds int) error {
	fmt.Fprintf(out, "medians of %d rounds; MB are 10^6 bytes\n", rounds)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "\tlimit\t")
	for _, f := range all {
		fmt.Fprintf(w, "%s\t", f.name)
	}
	if len(all) > 1 {
		fmt.Fprint(w, "ratio\t")
	}
	fmt.Fprintln(w)
	for _, l := range []struct {
		name, limit, format string
		get                 func(figures) float64
	}{
		{"records", "", "%.0f", func(f figures) float64 { return float64(f.records) }},
		{"compile, CPU s", fmt.Sprint(maxCompileCPU), "%.2f", func(f figures) float64 { return f.cpu }},
		{"compile, wall s", "", "%.2f", func(f figures) float64 { return f.wall }},
		{"compile, peak MB", fmt.Sprint(maxCompilePeak), "%.0f", func(f figures) float64 { return f.peak }},
		{"generation, MB", fmt.Sprint(maxSize), "%.1f", func(f figures) float64 { return f.size }},
		{"packages looked up", "", "%.0f", func(f figures) float64 { return float64(f.lookupsAreOfSize) }},
		{"look-up of all, ms", fmt.Sprint(maxLookup), "%.2f", func(f figures) float64 { return f.lookup }},
		{"entries read", "", "%.0f", func(f figures) float64 { return float64(f.entries) }},
		{"packages matched", "", "%.0f", func(f figures) float64 { return float64(f.packages) }},
		{"findings", "", "%.0f", func(f figures) float64 { return float64(f.finds) }},
		{"match, CPU s", "", "%.3f", func(f figures) float64 { return f.matchCPU }},
		{"match, peak MB", fmt.Sprint(maxMatchPeak), "%.1f", func(f figures) float64 { return f.matchPeak }},
	} {
		fmt.Fprintf(w, "%s\t%s\t", l.name, l.limit)
		for _, f := range all {
			fmt.Fprintf(w, l.format+"\t", l.get(f))
		}
		if len(all) > 1 {
			fmt.Fprintf(w, "%.1f\t", l.get(all[1])/l.get(all[0]))
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// checkFigures compares with the limits. The tenfold set has to grow by no
// more than it is larger, and memory has to grow by less.
func checkFigures(all []figures) error {
	var errs []error
	over := func(f figures, what string, is, limit float64) {
		if is > limit {
			errs = append(errs, fmt.Errorf("%s: %s is %.2f, limit %.2f", f.name, what, is, limit))
		}
	}
	one := all[0]
	over(one, "compile, CPU s", one.cpu, maxCompileCPU)
	over(one, "compile, peak MB", one.peak, maxCompilePeak)
	over(one, "generation, MB", one.size, maxSize)
	over(one, "look-up, ms", one.lookup, maxLookup)
	over(one, "match, peak MB", one.matchPeak, maxMatchPeak)
	for _, f := range all[1:] {
		over(f, "compile, CPU s", f.cpu, one.cpu*maxGrowth)
		over(f, "compile, peak MB", f.peak, one.peak*maxGrowth)
		over(f, "generation, MB", f.size, one.size*maxGrowth)
		over(f, "look-up, ms", f.lookup, maxLookup*maxGrowth)
		over(f, "match, peak MB", f.matchPeak, maxMatchPeak*maxGrowth)
	}
	return errors.Join(errs...)
}
