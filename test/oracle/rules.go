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

// findingRules explain differences from grype's findings in the image that was
// scanned. They rest on the records themselves, in the OSV archives in osv.
func findingRules(osv string, ours *Scan) ([]Rule, error) {
	elsewhere, err := notForLinux(filepath.Join(osv, "Go.zip"))
	if err != nil {
		return nil, err
	}
	errata, err := readErrata(filepath.Join(osv, "AlmaLinux.zip"), filepath.Join(osv, "RockyLinux.zip"))
	if err != nil {
		return nil, err
	}
	owned := map[Item]bool{}
	for i, is := range ours.Owned {
		if is {
			owned[i.withoutGroup()] = true
		}
	}
	oracleRPM := func(d Difference) bool { return d.Side == OnlyOracle && d.Package.Type == report.TypeRPM }
	return []Rule{
		{
			Name:    "other operating system",
			Reason:  "the record concerns other operating systems only, and the image is for Linux; grype does not read the field",
			Decides: "ecosystem_specific.imports of the record name operating systems (goos), and Linux is not among them",
			Explains: func(d Difference) bool {
				return d.Side == OnlyOracle && d.Package.Type == report.TypeGo && elsewhere[d.ID]
			},
		},
		{
			Name:    "owned by the distribution",
			Reason:  "a package of the distribution installed the files, and mends them without changing their upstream version: the distribution's records judge it, not those of the language",
			Decides: "the record gives a range of upstream releases; the distribution's record of the same CVE gives the version of its own package that has the fix",
			Explains: func(d Difference) bool {
				return d.Side == OnlyOracle && !report.OSType(d.Package.Type) && owned[d.Package]
			},
		},
		{
			Name:    "program without a package manager",
			Reason:  "Onceover judges a program that it knows by its content with Bitnami's records for it; grype looks programs up by CPE alone, which OSV records do not have",
			Decides: "package.ecosystem of the record is Bitnami and its range holds the version of the program",
			Explains: func(d Difference) bool {
				return d.Side == OnlyOurs && d.Package.Type == report.TypeGeneric &&
					slices.ContainsFunc(append([]string{d.ID}, d.Aliases...), func(id string) bool { return strings.HasPrefix(id, "BIT-") })
			},
		},
		{
			Name:    "not a vulnerability",
			Reason:  "the record announces mended errors and new features and names no CVE: no vulnerability is known by it; Onceover leaves such records out and says how many",
			Decides: "the id is ALBA, ALEA, RLBA or RLEA (bug fix, enhancement), and aliases, related and upstream of the record name no CVE",
			Explains: func(d Difference) bool {
				e, ok := errata[d.ID]
				return oracleRPM(d) && ok && !e.cve && (strings.HasPrefix(d.ID[1:], "LBA-") || strings.HasPrefix(d.ID[1:], "LEA-"))
			},
		},
		{
			Name:    "fix of a module, package of none",
			Reason:  "the record mends builds of a module stream, and the installed package was built outside of every module: the versions of the two have nothing to do with each other (perl 5.26 of the base system, module perl:5.32)",
			Decides: "every fixed version of the record for this package carries the mark of a module build (.module), the installed version does not",
			Explains: func(d Difference) bool {
				fixed := errata[d.ID].fixed[d.Package.Name]
				return oracleRPM(d) && len(fixed) > 0 && !moduleBuild(d.Package.Version) && ours.Modules[d.Package] == "" &&
					!slices.ContainsFunc(fixed, func(v string) bool { return !moduleBuild(v) })
			},
		},
		{
			Name:    "package that the record does not name",
			Reason:  "AlmaLinux names the binary packages that its advisory brings, and this is not one of them; grype takes the record because the source package of this one has the name of another that is listed (gcc for libgcc). Whether the list is complete only AlmaLinux can say; Onceover repeats it",
			Decides: "affected lists binary packages, the installed one is not among them",
			Explains: func(d Difference) bool {
				e, ok := errata[d.ID]
				return oracleRPM(d) && ok && len(e.fixed) > 0 && len(e.fixed[d.Package.Name]) == 0
			},
		},
		{
			Name:    "other module stream",
			Reason:  "the record mends another stream of the module than the installed one; OSV says so in the summary alone, so that the record in grype's database holds for every stream",
			Decides: "the summary of the record names the stream (\"nodejs:20\"), and the label of the installed package another",
			Explains: func(d Difference) bool {
				stream, label := errata[d.ID].stream, ours.Modules[d.Package]
				return oracleRPM(d) && stream != "" && label != "" && !strings.HasPrefix(label, stream+":")
			},
		},
		{
			Name:    "kernel headers",
			Reason:  "the record names kernel-headers, or its source kernel where the distribution names sources, with the version that has the fix; grype finds it and then drops it by a rule of its own, because headers are not run. Onceover repeats what the feed says",
			Decides: "affected names kernel-headers (AlmaLinux) or kernel (Rocky Linux), and its fixed version is above the installed one",
			Explains: func(d Difference) bool {
				fixed := errata[d.ID].fixed
				return d.Side == OnlyOurs && d.Package.Type == report.TypeRPM && d.Package.Name == "kernel-headers" && len(fixed["kernel-headers"])+len(fixed["kernel"]) > 0
			},
		},
	}, nil
}

func moduleBuild(v string) bool { return strings.Contains(v, ".module") }

// An erratum is what the rules need of an advisory of AlmaLinux or Rocky Linux.
type erratum struct {
	// cve says that the record names one; stream is the module stream of
	// its summary.
	cve    bool
	stream string
	// fixed versions by package.
	fixed map[string][]string
}

func readErrata(archives ...string) (map[string]erratum, error) {
	type affected struct {
		Package struct{ Name string }
		Ranges  []struct{ Events []map[string]string }
	}
	errata := map[string]erratum{}
	for _, archive := range archives {
		err := eachRecord(archive, func(r osvRecord, as []affected) {
			e := erratum{fixed: map[string][]string{}}
			for _, id := range slices.Concat(r.Aliases, r.Related, r.Upstream) {
				e.cve = e.cve || strings.HasPrefix(id, "CVE-")
			}
			// "Important: nodejs:20 security update"
			for _, word := range strings.Fields(r.Summary) {
				if name, stream, ok := strings.Cut(word, ":"); ok && name != "" && stream != "" {
					e.stream = word
				}
			}
			for _, a := range as {
				for _, g := range a.Ranges {
					for _, ev := range g.Events {
						if v := ev["fixed"]; v != "" {
							e.fixed[a.Package.Name] = append(e.fixed[a.Package.Name], v)
						}
					}
				}
			}
			errata[r.ID] = e
		})
		if err != nil {
			return nil, err
		}
	}
	return errata, nil
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
	err := eachRecord(archive, func(r osvRecord, affected []imports) {
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
			ids[r.ID] = true
		}
	})
	return ids, err
}

// An osvRecord is the head of a record.
type osvRecord struct {
	ID                         string
	Summary                    string
	Aliases, Related, Upstream []string
}

// eachRecord reads an OSV archive; A is what is wanted of an affected package.
func eachRecord[A any](archive string, do func(r osvRecord, affected []A)) error {
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
			osvRecord
			Affected []A
		}
		err = json.NewDecoder(r).Decode(&rec)
		r.Close()
		if err != nil {
			return fmt.Errorf("read %s: %w", f.Name, err)
		}
		do(rec.osvRecord, rec.Affected)
	}
	return nil
}
