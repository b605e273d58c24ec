// Command grypedb writes a vulnerability database for grype from OSV records,
// so that grype and Onceover draw their conclusions from the same facts.
//
//	grypedb -from DIR -to CACHEDIR [-rhel AlmaLinux]
//
// DIR holds ECOSYSTEM.zip, or ECOSYSTEM/all.zip. CACHEDIR is what grype takes
// as GRYPE_DB_CACHE_DIR. Nothing is added to the records: each affected package
// of an OSV record becomes one of grype's, each interval between an introduced
// and a fixed event one range. Left out are withdrawn records, as grype does
// with its own sources, and what grype has no place for; how many entries of
// which ecosystem those are is printed. grype looks all rebuilds of Red Hat
// Enterprise Linux up in one place: -rhel says whose records stand there.
package main

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v6 "github.com/anchore/grype/grype/db/v6"
	"github.com/spf13/afero"
)

func main() {
	from := flag.String("from", "", "directory with OSV archives")
	to := flag.String("to", "", "grype's database cache directory")
	rhel := flag.String("rhel", "AlmaLinux", "whose records stand for Red Hat Enterprise Linux: AlmaLinux, Rocky Linux or Red Hat")
	flag.Parse()
	if *from == "" || *to == "" {
		flag.Usage()
		os.Exit(2)
	}
	if err := build(*from, *to, *rhel); err != nil {
		fmt.Fprintln(os.Stderr, "grypedb:", err)
		os.Exit(1)
	}
}

func build(from, to, rhel string) error {
	dir := filepath.Join(to, fmt.Sprint(v6.ModelVersion))
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	w, err := v6.NewWriter(v6.Config{DBDirPath: dir})
	if err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	archives, err := filepath.Glob(filepath.Join(from, "*.zip"))
	if err != nil {
		return err
	}
	more, err := filepath.Glob(filepath.Join(from, "*", "all.zip"))
	if err != nil {
		return err
	}
	a := adder{w: w, rhel: rhel, left: map[string]int{}, seen: map[string]bool{}}
	for _, path := range append(archives, more...) {
		n, err := a.archive(path)
		if err != nil {
			return errors.Join(fmt.Errorf("add %s: %w", path, err), w.Close())
		}
		fmt.Printf("%s: %d records\n", path, n)
	}
	for _, e := range slices.Sorted(maps.Keys(a.left)) {
		fmt.Printf("no place for %s: %d entries\n", e, a.left[e])
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("close database: %w", err)
	}
	if err := v6.Hydrater()(dir); err != nil {
		return fmt.Errorf("index database: %w", err)
	}
	_, err = v6.WriteImportMetadata(afero.NewOsFs(), dir, "osv")
	return err
}

// An adder fills a database.
type adder struct {
	w    v6.ReadWriter
	rhel string
	left map[string]int  // entries that grype has no place for, by ecosystem
	seen map[string]bool // records; some stand in the archives of two ecosystems
}

func (a *adder) archive(path string) (int, error) {
	z, err := zip.OpenReader(path)
	if err != nil {
		return 0, err
	}
	defer z.Close()
	captured := time.Now().UTC()
	name := strings.TrimSuffix(path, "/all.zip")
	name = strings.ToLower(strings.TrimSuffix(filepath.Base(name), ".zip"))
	provider := &v6.Provider{ID: "osv-" + name, Version: "1", Processor: "onceover", DateCaptured: &captured}
	var vulns []*v6.VulnerabilityHandle
	var affected [][]*v6.AffectedPackageHandle
	for _, f := range z.File {
		if !strings.HasSuffix(f.Name, ".json") {
			continue
		}
		r, err := read(f)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", f.Name, err)
		}
		if r.Withdrawn != "" || a.seen[r.ID] {
			continue
		}
		a.seen[r.ID] = true
		vulns = append(vulns, r.vulnerability(provider))
		affected = append(affected, r.affected(a.rhel, a.left))
	}
	// Packages refer to their vulnerability by the number that adding it
	// gives.
	if err := a.w.AddVulnerabilities(vulns...); err != nil {
		return 0, err
	}
	for i, v := range vulns {
		for _, p := range affected[i] {
			p.VulnerabilityID = v.ID
		}
		if err := a.w.AddAffectedPackages(affected[i]...); err != nil {
			return 0, fmt.Errorf("%s: %w", v.Name, err)
		}
	}
	return len(vulns), nil
}

func read(f *zip.File) (record, error) {
	var r record
	rc, err := f.Open()
	if err != nil {
		return r, err
	}
	defer rc.Close()
	b, err := io.ReadAll(rc)
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(b, &r)
}
