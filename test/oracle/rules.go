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
		Name:   "program that a package owns",
		Reason: "Onceover knows programs and libraries by their content too, and lists those that a distribution's package owns as owned: they are matched through that package alone; syft leaves them out",
		Explains: func(d Difference) bool {
			return d.Side == OnlyOurs && d.Package.Type == report.TypeGeneric && d.Owned
		},
	},
	{
		Name:   "Windows program",
		Reason: "syft lists programs in the format of Windows without a version: the launchers that a Python wheel carries, the assemblies of a .NET runtime, which Onceover lists as the runtime that they belong to; without a version nothing can be matched",
		Explains: func(d Difference) bool {
			return d.Side == OnlyOracle && d.Package.Type == report.TypeGeneric && d.Package.Version == "" &&
				!slices.ContainsFunc(d.Paths, func(p string) bool { return !strings.HasSuffix(p, ".exe") && !strings.HasSuffix(p, ".dll") })
		},
	},
	{
		Name:     "jar without coordinates",
		Reason:   "nothing in the jar says its group (no pom.properties, no bundle name that ends in the artifact): onceover lists the artifact alone, or with the group under which it is known to be published; syft repeats the artifact as the group or takes a package from the manifest",
		Explains: sameJar(func(ours, syft, artifact string) bool { return ours == "" || syft == artifact }),
	},
	{
		Name:     "jar of a bundle",
		Reason:   "the jar has a Bundle-SymbolicName and no pom.properties. Bundle tools write group and artifact there and leave out what the artifact repeats: org.mongodb:mongodb-driver-core is org.mongodb.driver-core, org.tukaani:xz is org.tukaani.xz. onceover takes the artifact off again, syft takes the whole name for the group",
		Explains: sameJar(func(ours, syft, _ string) bool { return ours != "" && strings.HasPrefix(syft, ours+".") }),
	},
	{
		Name:   "jar of a Guice extension",
		Reason: "the jars have no pom.properties, and bundle names that are their packages (com.google.inject.servlet); they are published as com.google.inject.extensions (the pom.xml in Guice's sources), which is what onceover says",
		Explains: sameJar(func(ours, syft, _ string) bool {
			return ours == "com.google.inject.extensions" && (syft == "com.google.inject" || strings.HasPrefix(syft, "com.google.inject."))
		}),
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
		Reason: "the jar has no pom.properties; onceover names it by its file and knows its group, syft by the Extension-Name of its manifest, which three different jars of commons-logging share",
		Explains: func(d Difference) bool {
			return d.Package.Type == report.TypeJava && slices.ContainsFunc(d.Here, func(o Item) bool {
				g1, a1 := coordinates(d.Package)
				g2, a2 := coordinates(o)
				if d.Side == OnlyOracle {
					g1, a1, g2, a2 = g2, a2, g1, a1
				}
				return g1 == "commons-logging" && strings.HasPrefix(a1, g1) && g2 == "org.apache" && a2 == "logging" && o.Version == d.Package.Version
			})
		},
	},
}

// sameJar explains two names of one jar that have the artifact and the version
// in common, and groups for which ok holds.
func sameJar(ok func(ours, syft, artifact string) bool) func(Difference) bool {
	return func(d Difference) bool {
		return d.Package.Type == report.TypeJava && slices.ContainsFunc(d.Here, func(o Item) bool {
			ours, a1 := coordinates(d.Package)
			syft, a2 := coordinates(o)
			if d.Side == OnlyOracle {
				ours, syft = syft, ours
			}
			return a1 == a2 && o.Version == d.Package.Version && ours != syft && ok(ours, syft, a1)
		})
	}
}

func coordinates(i Item) (group, artifact string) {
	g, a, ok := strings.Cut(i.Name, ":")
	if !ok {
		return "", i.Name
	}
	return g, a
}

// findingRules explain differences from grype's findings. They rest on the
// records themselves, in the OSV archives in osv, and on the modularity labels
// of the installed packages.
func findingRules(osv string, modules map[Item]string) ([]Rule, error) {
	elsewhere, err := notForLinux(filepath.Join(osv, "Go.zip"))
	if err != nil {
		return nil, err
	}
	streams, err := moduleStreams(filepath.Join(osv, "AlmaLinux.zip"))
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
		{
			Name:   "folded",
			Reason: "several advisories of one distribution mend the same CVE of one package in turn; onceover makes one finding of them and names the others as aliases",
			Explains: func(d Difference) bool {
				return d.Side == OnlyOracle && d.Package.Type == report.TypeRPM && d.Alias != ""
			},
		},
		{
			Name:   "other module stream",
			Reason: "the record mends another stream of the module than the installed one; OSV says so in the summary alone, so that the record in grype's database holds for every stream",
			Explains: func(d Difference) bool {
				stream, label := streams[d.ID], modules[d.Package]
				return d.Side == OnlyOracle && stream != "" && label != "" && !strings.HasPrefix(label, stream+":")
			},
		},
	}, nil
}

// notForLinux are the Go records whose every affected import names operating
// systems, and never Linux.
func notForLinux(archive string) (map[string]bool, error) {
	type imports struct {
		EcosystemSpecific struct {
			Imports []struct {
				GOOS []string `json:"goos"`
			} `json:"imports"`
		} `json:"ecosystem_specific"`
	}
	ids := map[string]bool{}
	err := eachRecord(archive, func(id, _ string, affected []imports) {
		all, elsewhere := 0, 0
		for _, a := range affected {
			for _, i := range a.EcosystemSpecific.Imports {
				all++
				if len(i.GOOS) > 0 && !slices.Contains(i.GOOS, "linux") {
					elsewhere++
				}
			}
		}
		if all > 0 && all == elsewhere {
			ids[id] = true
		}
	})
	return ids, err
}

// moduleStreams are the streams that AlmaLinux records name in their summary,
// "Important: nodejs:20 security update".
func moduleStreams(archive string) (map[string]string, error) {
	streams := map[string]string{}
	err := eachRecord(archive, func(id, summary string, _ []struct{}) {
		for _, word := range strings.Fields(summary) {
			if name, stream, ok := strings.Cut(word, ":"); ok && name != "" && stream != "" {
				streams[id] = word
			}
		}
	})
	return streams, err
}

// eachRecord reads an OSV archive; A is what is wanted of an affected package.
func eachRecord[A any](archive string, do func(id, summary string, affected []A)) error {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer z.Close()
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			return err
		}
		var rec struct {
			ID       string `json:"id"`
			Summary  string `json:"summary"`
			Affected []A    `json:"affected"`
		}
		err = json.NewDecoder(r).Decode(&rec)
		r.Close()
		if err != nil {
			return fmt.Errorf("read %s: %w", f.Name, err)
		}
		do(rec.ID, rec.Summary, rec.Affected)
	}
	return nil
}
