package oracle

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/onceover/onceover/internal/report"
)

// osvTypes are the ecosystems of osv-scanner that have another name as the
// type of a package URL. What stands behind a colon is a release.
var osvTypes = map[string]string{
	"Debian": report.TypeDeb, "Ubuntu": report.TypeDeb, "Alpine": report.TypeAPK, "Go": report.TypeGo, "PyPI": report.TypePython,
	"Maven": report.TypeJava, "RubyGems": report.TypeGem, "npm": report.TypeNPM, "Packagist": report.TypeComposer, "crates.io": report.TypeCargo,
	"NuGet": report.TypeNuGet, "Hex": report.TypeHex, "CRAN": report.TypeCRAN,
	"AlmaLinux": report.TypeRPM, "Rocky Linux": report.TypeRPM, "Red Hat": report.TypeRPM, "SUSE": report.TypeRPM, "openEuler": report.TypeRPM,
}

// OSVArgs list every package of an image, and match none.
var OSVArgs = []string{"scan", "image", "--offline", "--all-packages", "--allow-no-lockfiles", "--verbosity", "error", "--format", "json"}

// OSVPackages is what osv-scanner finds in a docker-archive.
func (t Tools) OSVPackages(ctx context.Context, archive string) (List, error) {
	out, err := t.run(ctx, nil, t.OSVScanner, append(append([]string{}, OSVArgs...), "--archive", archive)...)
	if err != nil {
		return nil, err
	}
	return ReadOSV(out)
}

// ReadOSV reads the JSON output of osv-scanner for one image.
func ReadOSV(out []byte) (List, error) {
	var doc struct {
		Results []struct {
			Source   struct{ Path string }
			Packages []struct {
				Package struct {
					Name, Version, Ecosystem string
					OSPackageName            string `json:"os_package_name"`
				}
			}
		}
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		return nil, fmt.Errorf("read osv-scanner's report: %w", err)
	}
	list := List{}
	for _, r := range doc.Results {
		for _, p := range r.Packages {
			ecosystem, _, _ := strings.Cut(p.Package.Ecosystem, ":")
			i := Item{Type: ecosystem, Name: p.Package.Name, Version: p.Package.Version}
			if t, ok := osvTypes[ecosystem]; ok {
				i.Type = t
			}
			if p.Package.OSPackageName != "" {
				i.Name = p.Package.OSPackageName
			}
			list.add(i, r.Source.Path)
		}
	}
	return list, nil
}

// A Recall compares what Onceover found with what one peer found.
type Recall struct {
	Peer         string
	Ours, Theirs int
	// Missing is how many packages only the peer found without a rule that
	// says why; Explained is how many have one.
	Missing, Explained int
	// Used counts what each rule explained.
	Used        map[string]int
	Differences []Difference
	rules       []Rule
}

// Recall compares ours with what syft and osv-scanner find in a docker-archive.
func (t Tools) Recall(ctx context.Context, ours *Scan, archive string) ([]Recall, error) {
	syft, err := t.SyftPackages(ctx, "docker-archive:"+archive)
	if err != nil {
		return nil, err
	}
	osv, err := t.OSVPackages(ctx, archive)
	if err != nil {
		return nil, err
	}
	return []Recall{SyftRecall(ours, syft), OSVRecall(ours, osv)}, nil
}

// SyftRecall compares ours with a list of syft's.
func SyftRecall(ours *Scan, syft List) Recall { return recall("syft", ours, syft, syftRules()) }

// OSVRecall compares ours with a list of osv-scanner's.
func OSVRecall(ours *Scan, osv List) Recall { return recall("osv-scanner", ours, osv, osvRules()) }

func recall(peer string, ours *Scan, theirs List, rules []Rule) Recall {
	r := Recall{Peer: peer, Ours: len(ours.Packages), Theirs: len(theirs), Used: map[string]int{}, rules: rules}
	for _, d := range ours.Differences(theirs) {
		r.Differences = append(r.Differences, d)
		if d.Side == OnlyOurs {
			continue
		}
		if i := ruleFor(d, rules); i >= 0 {
			r.Explained++
			r.Used[rules[i].Name]++
		} else {
			r.Missing++
		}
	}
	return r
}

// Summary is one line.
func (r Recall) Summary() string {
	return fmt.Sprintf("onceover %d packages, %s %d; only %s: %d explained, %d missing", r.Ours, r.Peer, r.Theirs, r.Peer, r.Explained, r.Missing)
}

// Reasons names the rules that were needed, with how much each explains.
func (r Recall) Reasons() []string {
	var out []string
	for _, rule := range r.rules {
		if n := r.Used[rule.Name]; n > 0 {
			out = append(out, fmt.Sprintf("%s (%d)", rule.Name, n))
		}
	}
	return out
}

// Table lists what is missing; with all, also what a rule explains.
func (r Recall) Table(all bool) string {
	var ds []Difference
	for _, d := range r.Differences {
		if d.Side == OnlyOracle && (all || ruleFor(d, r.rules) < 0) {
			ds = append(ds, d)
		}
	}
	if len(ds) == 0 {
		return ""
	}
	table, _, _ := Explain(ds, r.rules)
	for _, d := range ds {
		if len(d.Here) > 0 && ruleFor(d, r.rules) < 0 {
			table += fmt.Sprintf("in place of %s: %v\n", d.Package, d.Here)
		}
	}
	return table
}
