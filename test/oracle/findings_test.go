package oracle

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/test/fixture"
	"github.com/onceover/onceover/test/shareddata"
)

var update = flag.Bool("update", false, "write docs/oracle-findings.md")

// A findingImage is compared finding by finding.
type findingImage struct {
	name string
	// rhel is whose records stand for Red Hat's, alone in grype's database:
	// the image has nothing else. None means AlmaLinux, beside all others.
	rhel string
	// quiet says that the records name nothing in the image: the comparison
	// shows that neither side makes something up.
	quiet bool
	// bench says that it is a set of images for measurements, which are
	// compared where they have been made.
	bench bool
}

var findingImages = []findingImage{
	{name: "debian-web"}, {name: "recall"}, {name: "app"}, {name: "scratch-go"}, {name: "node"}, {name: "rpm"},
	{name: "alpine-3.6.5", quiet: true}, {name: "alpine-3.9.6", quiet: true}, {name: "alpine-3.10.9"}, {name: "alpine-3.12.12", quiet: true},
	{name: "alpine-3.14.10", quiet: true}, {name: "alpine-3.16.9"}, {name: "alpine-3.18.9", quiet: true}, {name: "alpine-3.20.3", quiet: true},
	{name: "rpm-centos8-as-almalinux8"}, {name: "rpm-centos8-as-rocky8", rhel: "Rocky Linux", quiet: true}, {name: "rpm-mariner2-as-azurelinux3"},
	// Distributions without records: CentOS 7, SLES, Mariner 2.
	{name: "rpm-centos7", rhel: "Red Hat", quiet: true}, {name: "rpm-sle15", quiet: true}, {name: "rpm-mariner2", quiet: true},
	{name: fixture.BenchJava, bench: true}, {name: fixture.BenchNode, bench: true}, {name: fixture.BenchPython, bench: true}, {name: fixture.BenchLarge, bench: true},
}

// target is the image as the two programs want it.
func (i findingImage) target(t *testing.T) (ours, theirs string) {
	if !i.bench {
		img := fixture.Image(t, i.name)
		return "oci:" + img.OCI, "oci-dir:" + img.OCI
	}
	if !fixture.BenchBuilt(i.name) {
		t.Skipf("images %q have not been made: go run ./test/bench peers makes them", i.name)
	}
	b, err := fixture.BuildBench(t.Context(), i.name, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	return "docker-archive:" + b.Archive, "docker-archive:" + b.Archive
}

// TestFindings compares the findings of "onceover scan" with grype's, both on
// the same advisory records.
func TestFindings(t *testing.T) {
	tools := Find(t)
	osv := filepath.Join(shareddata.Dir(t), "osv")
	bin := build(t)
	ourDB := filepath.Join(t.TempDir(), "advisories.db")
	command(t, bin, "db", "build", "--from", osv, "--to", ourDB)
	var doc findingsDoc
	for _, i := range findingImages {
		t.Run(i.name, func(t *testing.T) {
			target, peer := i.target(t)
			grypeDB, err := tools.Database(t.Context(), osv, i.rhel)
			if err != nil {
				t.Fatal(err)
			}
			ours := scan(t, bin, target, "--db", ourDB)
			for p := range ours.Packages {
				if i.rhel != "" && p.Type != report.TypeRPM {
					t.Errorf("%s %s: grype has no records but %s's here", p.Type, p.Name, i.rhel)
				}
			}
			theirs, err := tools.GrypeFindings(t.Context(), peer, grypeDB)
			if err != nil {
				t.Fatal(err)
			}
			if len(theirs) == 0 && !i.quiet {
				t.Fatal("grype found nothing: the comparison would say nothing")
			}
			rules, err := findingRules(osv, ours)
			if err != nil {
				t.Fatal(err)
			}
			ds := FindingDifferences(ours.Findings, theirs)
			table, unexplained, used := Explain(ds, rules)
			t.Logf("%s: onceover %d findings, grype %d, %d differences\n%s", i.name, len(ours.Findings), len(theirs), len(ds), table)
			if unexplained > 0 {
				t.Errorf("%d differences are unexplained", unexplained)
			}
			doc.add(i, len(ours.Packages), len(ours.Findings), len(theirs), ds, rules, used)
		})
	}
	if len(doc.rows) < len(findingImages) {
		return // some were left out
	}
	for _, r := range doc.rules {
		if doc.used[r.Name] == 0 {
			t.Errorf("rule %q explains nothing: remove it", r.Name)
		}
	}
	if *update && !t.Failed() {
		if err := os.WriteFile(filepath.Join(shareddata.Root(), "docs", "oracle-findings.md"), doc.markdown(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// A findingsDoc gathers what docs/oracle-findings.md says.
type findingsDoc struct {
	rows    []string
	rules   []Rule
	used    map[string]int
	images  map[string][]string
	example map[string]Difference
}

func (d *findingsDoc) add(i findingImage, packages, ours, theirs int, ds []Difference, rules []Rule, used map[string]int) {
	if d.used == nil {
		d.used, d.images, d.example = map[string]int{}, map[string][]string{}, map[string]Difference{}
	}
	d.rules = rules
	name := i.name
	if i.bench {
		name += " (benchmark)"
	}
	d.rows = append(d.rows, fmt.Sprintf("| %s | %d | %d | %d | %d |", name, packages, ours, theirs, len(ds)))
	for _, r := range rules {
		if used[r.Name] > 0 {
			d.used[r.Name] += used[r.Name]
			d.images[r.Name] = append(d.images[r.Name], i.name)
		}
	}
	for _, one := range ds {
		if n := ruleFor(one, rules); n >= 0 {
			if _, ok := d.example[rules[n].Name]; !ok {
				d.example[rules[n].Name] = one
			}
		}
	}
}

func (d *findingsDoc) markdown() []byte {
	var b bytes.Buffer
	fmt.Fprint(&b, `# Findings beside grype's

Written by `+"`ONCEOVER_REQUIRE_ORACLES=1 go test ./test/oracle -run 'TestFindings$' -timeout 60m -update`"+`; the
test fails on a difference that no rule below explains, and on a rule that explains none.

Both sides have the same OSV records: Onceover a generation, grype a database of its own version 6 that
`+"`test/oracle/tools/grypedb`"+` writes from the same archives. grype has no distribution for Alpaquita, BellSoft's and
Docker's hardened images, and looks AlmaLinux, Rocky Linux and Red Hat up in one place: each of these is compared with a
database of its own. A finding is the same on both sides if the package is, and if the two have a name of the
vulnerability in common; folding and the choice of the id are no differences. That is why the numbers of findings differ
where no difference is counted: Onceover makes one finding where several records are about one vulnerability.

Images whose name ends in "as" another distribution have the package database of the first under the os-release of the
second, because the second has records here.

| Image | Packages | Onceover's findings | grype's | Differences |
| --- | --- | --- | --- | --- |
`)
	for _, r := range d.rows {
		fmt.Fprintln(&b, r)
	}
	fmt.Fprint(&b, "\n## Why they differ\n\n| Rule | Findings | Only in | Images | Example | What the record says | Why Onceover is as it is |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	rules := slices.Clone(d.rules)
	slices.SortStableFunc(rules, func(a, b Rule) int { return d.used[b.Name] - d.used[a.Name] })
	for _, r := range rules {
		e := d.example[r.Name]
		side := "grype"
		if e.Side == OnlyOurs {
			side = "Onceover"
		}
		fmt.Fprintf(&b, "| %s | %d | %s | %s | %s %s, %s | %s | %s |\n", r.Name, d.used[r.Name], side, strings.Join(d.images[r.Name], ", "),
			e.Package.Name, e.Package.Version, e.ID, r.Decides, r.Reason)
	}
	return b.Bytes()
}
