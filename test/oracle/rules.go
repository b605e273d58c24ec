package oracle

import (
	"archive/zip"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/report"
)

// packageRules explain differences from syft's package lists.
var packageRules = []Rule{
	{
		Name:   "rpm key",
		Reason: "rpm keeps the public keys that it trusts as pseudo-packages; they are not software and no advisory names them",
		Explains: func(d Difference) bool {
			return d.Side == OnlyOracle && d.Package.Type == report.TypeRPM && d.Package.Name == "gpg-pubkey"
		},
	},
	{
		Name:   "Windows program",
		Reason: "syft lists the launchers for Windows that a Python wheel carries, without a version; nothing in a Linux image runs them and nothing can be matched",
		Explains: func(d Difference) bool {
			return d.Side == OnlyOracle && d.Package.Type == "binary" && d.Package.Version == "" &&
				!slices.ContainsFunc(d.Paths, func(p string) bool { return !strings.HasSuffix(p, ".exe") })
		},
	},
	{
		Name:   "jar without coordinates",
		Reason: "a jar without pom.properties does not say its group: onceover lists the artifact alone, syft makes a group up from the name or from a package in the manifest",
		Explains: func(d Difference) bool {
			return d.Package.Type == report.TypeJava && slices.ContainsFunc(d.Here, func(o Item) bool {
				g1, a1 := coordinates(d.Package)
				g2, a2 := coordinates(o)
				return a1 == a2 && o.Version == d.Package.Version && (g1 == "") != (g2 == "")
			})
		},
	},
	{
		Name:   "jar named twice",
		Reason: "the jar holds pom.properties, and both sides list what it says; syft lists the jar again under its file name, with a group that is made up or no version",
		Explains: func(d Difference) bool {
			g, a := coordinates(d.Package)
			madeUp := g == a || d.Package.Version == "" || strings.HasSuffix(g, ".ComparableVersion")
			return d.Side == OnlyOracle && d.Package.Type == report.TypeJava && madeUp &&
				slices.ContainsFunc(d.Here, func(o Item) bool { g, _ := coordinates(o); return g != "" })
		},
	},
	{
		Name:   "jar of an extension",
		Reason: "the jar has no pom.properties; onceover names it by its file, syft by the Extension-Name of its manifest, which three different jars of commons-logging share",
		Explains: func(d Difference) bool {
			return d.Package.Type == report.TypeJava && slices.ContainsFunc(d.Here, func(o Item) bool {
				g1, a1 := coordinates(d.Package)
				g2, a2 := coordinates(o)
				return g1 == "org.apache" && g2 == g1 && o.Version == d.Package.Version && a1 != a2 && (a1 == "logging" || a2 == "logging")
			})
		},
	},
}

func coordinates(i Item) (group, artifact string) {
	g, a, ok := strings.Cut(i.Name, ":")
	if !ok {
		return "", i.Name
	}
	return g, a
}

// findingRules explain differences from grype's findings; they rest on the
// records themselves, in the OSV archives in osv.
func findingRules(osv string) ([]Rule, error) {
	elsewhere, err := notForLinux(filepath.Join(osv, "Go.zip"))
	if err != nil {
		return nil, err
	}
	return []Rule{
		{
			Name:   "other operating system",
			Reason: "the record concerns other operating systems only (imports.goos); the image is for Linux, and grype does not read the field",
			Explains: func(d Difference) bool {
				return d.Side == OnlyOracle && d.Package.Type == report.TypeGo && elsewhere[d.ID]
			},
		},
	}, nil
}

// notForLinux are the Go records whose every affected import names operating
// systems, and never Linux.
func notForLinux(archive string) (map[string]bool, error) {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	ids := map[string]bool{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			return nil, err
		}
		var rec struct {
			ID       string `json:"id"`
			Affected []struct {
				EcosystemSpecific struct {
					Imports []struct {
						GOOS []string `json:"goos"`
					} `json:"imports"`
				} `json:"ecosystem_specific"`
			} `json:"affected"`
		}
		err = json.NewDecoder(r).Decode(&rec)
		r.Close()
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", f.Name, err)
		}
		imports, elsewhere := 0, 0
		for _, a := range rec.Affected {
			for _, i := range a.EcosystemSpecific.Imports {
				imports++
				if len(i.GOOS) > 0 && !slices.Contains(i.GOOS, "linux") {
					elsewhere++
				}
			}
		}
		if imports > 0 && imports == elsewhere {
			ids[rec.ID] = true
		}
	}
	return ids, nil
}
