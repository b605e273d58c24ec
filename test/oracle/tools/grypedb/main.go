// Command grypedb writes a vulnerability database for grype from OSV records,
// so that grype and Onceover draw their conclusions from the same facts.
//
//	grypedb -from DIR -to CACHEDIR [-ecosystems Debian,Alpine,…]
//
// DIR holds ECOSYSTEM.zip, or ECOSYSTEM/all.zip. CACHEDIR is what grype takes
// as GRYPE_DB_CACHE_DIR. Nothing is added to the records and nothing is left
// out: each affected package of an OSV record becomes one of grype's, each
// interval between an introduced and a fixed event one range. Withdrawn
// records are left out, as grype does with its own sources.
package main

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	v6 "github.com/anchore/grype/grype/db/v6"
	"github.com/spf13/afero"
)

func main() {
	from := flag.String("from", "", "directory with OSV archives")
	to := flag.String("to", "", "grype's database cache directory")
	names := flag.String("ecosystems", "Debian,Alpine,AlmaLinux,Go,npm,PyPI,RubyGems,Maven", "ecosystems to take")
	flag.Parse()
	if *from == "" || *to == "" {
		flag.Usage()
		os.Exit(2)
	}
	if err := build(*from, *to, strings.Split(*names, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "grypedb:", err)
		os.Exit(1)
	}
}

func build(from, to string, ecosystems []string) error {
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
	for _, e := range ecosystems {
		n, err := addArchive(w, from, e)
		if err != nil {
			return errors.Join(fmt.Errorf("add %s: %w", e, err), w.Close())
		}
		fmt.Printf("%s: %d records\n", e, n)
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

func addArchive(w v6.ReadWriter, from, ecosystem string) (int, error) {
	path := filepath.Join(from, ecosystem+".zip")
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		path = filepath.Join(from, ecosystem, "all.zip")
	}
	z, err := zip.OpenReader(path)
	if err != nil {
		return 0, err
	}
	defer z.Close()
	captured := time.Now().UTC()
	provider := &v6.Provider{ID: "osv-" + strings.ToLower(ecosystem), Version: "1", Processor: "onceover", DateCaptured: &captured}
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
		if r.Withdrawn != "" {
			continue
		}
		vulns = append(vulns, r.vulnerability(provider))
		affected = append(affected, r.affected())
	}
	// Packages refer to their vulnerability by the number that adding it
	// gives.
	if err := w.AddVulnerabilities(vulns...); err != nil {
		return 0, err
	}
	for i, v := range vulns {
		for _, a := range affected[i] {
			a.VulnerabilityID = v.ID
		}
		if err := w.AddAffectedPackages(affected[i]...); err != nil {
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
