// Command matcher matches a list of packages against a generation, and does
// nothing else: test/bench measures it beside grype, which is given the same
// list, and by itself.
//
//	matcher -db FILE [-packages FILE] [-syft FILE] [-lookups FILE] [-result FILE]
//
// -packages is a report.Inventory, -syft a list in syft's own JSON, -lookups a
// list of ["ecosystem","name"] pairs to look up without matching. -result says
// where to write what was counted and measured.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/match"
	"github.com/onceover/onceover/internal/report"
)

// A result is what -result is given.
type result struct {
	Packages, Findings, Lookups, Entries int
	// Match and Lookup in nanoseconds.
	Match, Lookup time.Duration
}

func main() {
	db := flag.String("db", "", "generation")
	packages := flag.String("packages", "", "inventory")
	syft := flag.String("syft", "", "list of syft")
	lookups := flag.String("lookups", "", "pairs to look up")
	to := flag.String("result", os.DevNull, "where to write the result")
	flag.Parse()
	if err := run(*db, *packages, *syft, *lookups, *to); err != nil {
		fmt.Fprintln(os.Stderr, "matcher:", err)
		os.Exit(1)
	}
}

func run(path, packages, syft, lookups, to string) error {
	db, err := advisory.Open(path)
	if err != nil {
		return err
	}
	defer db.Close()
	var r result
	if lookups != "" {
		var pairs [][2]string
		if err := read(lookups, &pairs); err != nil {
			return err
		}
		start := time.Now()
		for _, p := range pairs {
			as, err := db.Affected(p[0], p[1])
			if err != nil {
				return err
			}
			r.Entries += len(as)
		}
		r.Lookups, r.Lookup = len(pairs), time.Since(start)
	}
	var inv report.Inventory
	switch {
	case packages != "":
		inv, err = readInventory(packages)
	case syft != "":
		inv, err = readSyft(syft)
	}
	if err != nil {
		return err
	}
	start := time.Now()
	fs, _, err := match.New(db).Inventory(inv, nil)
	if err != nil {
		return err
	}
	r.Packages, r.Findings, r.Match = len(inv.Packages), len(fs), time.Since(start)
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o644)
}

// readInventory reads the packages one by one: a decoder that is given the whole
// document holds all of it beside what it makes of it.
func readInventory(path string) (inv report.Inventory, err error) {
	f, err := os.Open(path)
	if err != nil {
		return inv, err
	}
	defer f.Close()
	d := json.NewDecoder(bufio.NewReaderSize(f, 1<<16))
	if _, err := d.Token(); err != nil {
		return inv, fmt.Errorf("read %s: %w", path, err)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return inv, fmt.Errorf("read %s: %w", path, err)
		}
		switch key {
		case "distro":
			err = d.Decode(&inv.Distro)
		case "packages":
			if _, err = d.Token(); err != nil {
				break
			}
			for err == nil && d.More() {
				var p report.Package
				if err = d.Decode(&p); err == nil {
					inv.Packages = append(inv.Packages, p)
				}
			}
			if err == nil {
				_, err = d.Token()
			}
		default:
			err = d.Decode(&json.RawMessage{})
		}
		if err != nil {
			return inv, fmt.Errorf("read %s: %w", path, err)
		}
	}
	return inv, nil
}

func read(path string, v any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := json.NewDecoder(bufio.NewReaderSize(f, 1<<16)).Decode(v); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// readSyft takes from syft's list what Onceover's own analysers would say.
func readSyft(path string) (report.Inventory, error) {
	var doc struct {
		Artifacts []struct {
			Name, Version, PURL string
			Metadata            json.RawMessage
		}
		Distro struct{ ID, VersionID, Name, VersionCodename string }
	}
	if err := read(path, &doc); err != nil {
		return report.Inventory{}, err
	}
	inv := report.Inventory{Distro: report.Distro{ID: doc.Distro.ID, VersionID: doc.Distro.VersionID, Name: doc.Distro.Name, Codename: doc.Distro.VersionCodename}}
	for _, a := range doc.Artifacts {
		kind, rest, ok := strings.Cut(strings.TrimPrefix(a.PURL, "pkg:"), "/")
		if !ok {
			continue // a program: grype looks those up by CPE
		}
		p := report.Package{Type: kind, Name: a.Name, Version: a.Version}
		var m struct {
			Source, SourceVersion, SourceRpm, OriginPackage, ModularityLabel string
		}
		if report.OSType(kind) && len(a.Metadata) > 0 {
			if err := json.Unmarshal(a.Metadata, &m); err != nil {
				return report.Inventory{}, fmt.Errorf("read %s: %s: %w", path, a.Name, err)
			}
		}
		p.Source, p.SourceVersion, p.Module = m.Source, m.SourceVersion, m.ModularityLabel
		switch kind {
		case report.TypeAPK:
			p.Source = m.OriginPackage
		case report.TypeRPM:
			p.Source, p.SourceVersion = sourceRPM(m.SourceRpm)
		case report.TypePython:
			p.Name = advisory.Name("PyPI", a.Name)
		case report.TypeJava:
			if group, _, ok := strings.Cut(rest, "/"); ok {
				p.Name = group + ":" + a.Name
			}
		}
		inv.Packages = append(inv.Packages, p)
	}
	return inv, nil
}

// sourceRPM takes a name like "bash-4.4.20-1.el8.src.rpm" apart.
func sourceRPM(file string) (name, version string) {
	s := strings.TrimSuffix(file, ".src.rpm")
	i := strings.LastIndexByte(s, '-')
	if i < 0 {
		return "", ""
	}
	j := strings.LastIndexByte(s[:i], '-')
	if j < 0 {
		return "", ""
	}
	return s[:j], s[j+1:]
}
