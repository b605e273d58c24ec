package oracle

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// A Side says who named something that the other did not.
type Side string

// The two sides.
const (
	OnlyOurs   Side = "onceover"
	OnlyOracle Side = "oracle"
)

// A Difference is one thing that only one side named.
type Difference struct {
	Side Side
	// Package, or the package of the finding.
	Package Item
	// ID of the finding; empty for a package.
	ID string
	// Paths are where the side that named it found the package.
	Paths []string
	// Here are the packages of the same type that the other side found in
	// the same files.
	Here []Item
	// Declared says that the other side lists the package as one that is
	// not installed.
	Declared bool
	// Owned says that a distribution's package owns the package's files.
	Owned bool
	// Elsewhere are the types under which the other side lists a package of
	// this name and version.
	Elsewhere []string
	// Aliases of the finding.
	Aliases []string
}

// A Rule explains differences.
type Rule struct {
	// Name is short, Reason says why the difference is right.
	Name, Reason string
	// Decides says what in the feed's record decides the difference; for
	// rules about findings.
	Decides string
	// Explains reports whether d is of this kind.
	Explains func(d Difference) bool
}

// Differences of packages, in order.
func Differences(ours, oracle List) []Difference {
	var ds []Difference
	collect := func(side Side, has, lacks List) {
		for _, i := range has.Items() {
			if _, ok := lacks[i]; ok {
				continue
			}
			d := Difference{Side: side, Package: i, Paths: has[i]}
			for _, o := range lacks.Items() {
				if o.Type == i.Type && meet(lacks[o], d.Paths) {
					d.Here = append(d.Here, o)
				}
			}
			ds = append(ds, d)
		}
	}
	collect(OnlyOurs, ours, oracle)
	collect(OnlyOracle, oracle, ours)
	return ds
}

// meet reports whether a file is in both lists; what lies inside an archive is
// found in the archive.
func meet(a, b []string) bool {
	for _, x := range a {
		x, _, _ = strings.Cut(x, "!")
		if slices.ContainsFunc(b, func(y string) bool {
			y, _, _ = strings.Cut(y, "!")
			return x == y
		}) {
			return true
		}
	}
	return false
}

// FindingDifferences are the differences of findings, in order. A finding is
// on the other side too if that has one of the same package with a name in
// common: the two sides fold records and choose among their ids differently.
func FindingDifferences(ours, oracle []Finding) []Difference {
	var ds []Difference
	collect := func(side Side, has, lacks []Finding) {
		names := map[Item]map[string]bool{}
		for _, f := range lacks {
			if names[f.Package] == nil {
				names[f.Package] = map[string]bool{}
			}
			for _, n := range f.Names() {
				names[f.Package][n] = true
			}
		}
		for _, f := range has {
			if !slices.ContainsFunc(f.Names(), func(n string) bool { return names[f.Package][n] }) {
				ds = append(ds, Difference{Side: side, Package: f.Package, ID: f.ID, Aliases: f.Aliases})
			}
		}
	}
	collect(OnlyOurs, ours, oracle)
	collect(OnlyOracle, oracle, ours)
	return ds
}

// Explain gives each difference the first rule that explains it. The table
// lists every difference, unexplained says how many have no rule, and used
// counts what each rule explained.
func Explain(ds []Difference, rules []Rule) (table string, unexplained int, used map[string]int) {
	used = map[string]int{}
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ONLY IN\tTYPE\tNAME\tVERSION\tVULNERABILITY\tWHERE\tRULE")
	for _, d := range ds {
		name := "UNEXPLAINED"
		if i := ruleFor(d, rules); i >= 0 {
			name = rules[i].Name
			used[name]++
		} else {
			unexplained++
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", d.Side, d.Package.Type, d.Package.Name, d.Package.Version, d.ID, strings.Join(d.Paths, " "), name)
	}
	w.Flush()
	for _, name := range slices.Sorted(maps.Keys(used)) {
		i := slices.IndexFunc(rules, func(r Rule) bool { return r.Name == name })
		fmt.Fprintf(&b, "rule %q explains %d: %s\n", name, used[name], rules[i].Reason)
	}
	return b.String(), unexplained, used
}

// ruleFor is the index of the first rule that explains d, or -1.
func ruleFor(d Difference, rules []Rule) int {
	return slices.IndexFunc(rules, func(r Rule) bool { return r.Explains(d) })
}
