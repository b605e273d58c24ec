package match

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/version"
)

// Warnings says what the findings of an inventory do not cover, each thing once,
// in a stable order.
func (m *Matcher) Warnings(inv report.Inventory) []string {
	return m.warnings(inv, distroEcosystems(inv.Distro, m.ecosystems))
}

// warnings says what the findings do not cover, each thing once, in a stable
// order.
func (m *Matcher) warnings(inv report.Inventory, ecos []string) []string {
	meta := m.db.Meta()
	var out []string
	if meta.Starter {
		note := meta.Note
		if note != "" {
			note = " (" + note + ")"
		}
		out = append(out, "findings rest on the built-in starter database"+note+": get the full one with `onceover db update`")
	}
	counts := map[string]int{}
	for _, p := range inv.Packages {
		if !p.Declared && p.OwnedBy == "" {
			counts[p.Type]++
		}
	}
	if end := endOfLife(inv.Distro, m.now()); end != "" {
		out = append(out, fmt.Sprintf("%s has had no security support since %s: what was found later may have no advisory", distroName(inv.Distro), end))
	}
	out = append(out, m.distroWarnings(inv.Distro, ecos, counts)...)
	var types []string
	for t := range counts {
		types = append(types, t)
	}
	slices.Sort(types)
	for _, t := range types {
		if eco := version.Ecosystem(t); eco != "" && !m.db.HasEcosystem(eco) {
			out = append(out, fmt.Sprintf("the advisory database has nothing for %s: %d packages are not matched", eco, counts[t]))
		}
	}
	if counts[report.TypeGeneric] > 0 {
		names, more := uncovered(inv.Packages)
		if len(names) > 0 {
			list := strings.Join(names, ", ")
			if more > 0 {
				list += fmt.Sprintf(" and %d more", more)
			}
			out = append(out, "no advisories are written for some programs that no package manager installed, they are not matched: "+list)
		}
		if len(names)+more < counts[report.TypeGeneric] && !m.db.HasEcosystem("Bitnami") && counts[report.TypeBitnami] == 0 {
			out = append(out, "the advisory database has nothing for Bitnami, whose advisories cover programs that no package manager installed")
		}
	}
	if meta.DataDate > 0 && !meta.Starter {
		if age := m.now().UnixMilli() - meta.DataDate; age > OldAfter.Milliseconds() {
			// The date, not the age: the same scan tomorrow says the same.
			out = append(out, fmt.Sprintf("the advisory database has nothing newer than %s: bring it up to date with `onceover db update`",
				time.UnixMilli(meta.DataDate).UTC().Format(time.DateOnly)))
		}
	}
	return out
}

// distroWarnings says which distribution packages nothing is known about, and
// where the advisories of another distribution stand in. counts has the number
// of packages of each type.
func (m *Matcher) distroWarnings(d report.Distro, ecos []string, counts map[string]int) []string {
	total := 0
	for t, n := range counts {
		if report.OSType(t) {
			total += n
		}
	}
	if total == 0 {
		return nil
	}
	if d.ID == "" {
		return []string{fmt.Sprintf("the image does not say which distribution it is: its %d distribution packages are not matched", total)}
	}
	if len(ecos) == 0 {
		like := ""
		if len(d.IDLike) > 0 {
			like = fmt.Sprintf(", and those of %s, which it is like, are not for its versions", d.IDLike[0])
		}
		return []string{fmt.Sprintf("no advisories for distribution %s%s: its %d packages are not matched", distroName(d), like, total)}
	}
	var out []string
	matched := 0
	for _, t := range slices.Sorted(maps.Keys(counts)) {
		n := counts[t]
		if !report.OSType(t) || n == 0 {
			continue
		}
		fit := slices.DeleteFunc(slices.Clone(ecos), func(e string) bool { return packageType(e) != t })
		// What an operator adds by the id stands beside the distribution's
		// advisories, not for them.
		if own := slices.DeleteFunc(slices.Clone(fit), byID); len(own) > 0 {
			fit = own
		}
		switch {
		case len(fit) == 0:
			out = append(out, fmt.Sprintf("no advisories for %s packages of %s: %d packages are not matched", t, distroName(d), n))
		case slices.ContainsFunc(fit, m.db.HasEcosystem):
			matched += n
		case bringYourOwn(fit[0]):
			out = append(out, fmt.Sprintf("no feed configured for %s: %d packages are not matched; import one, see docs/feeds.md", releaseName(fit[0]), n))
		default:
			out = append(out, fmt.Sprintf("the advisory database has nothing for %s: %d packages of %s are not matched", fit[0], n, distroName(d)))
		}
	}
	if t := resolve(d, m.ecosystems); t.parent != "" && matched > 0 {
		out = append(out, fmt.Sprintf("%d packages of %s are matched with the advisories of %s, %s", matched, distroName(d), t.parent, t.why))
	}
	return out
}

func distroName(d report.Distro) string {
	return strings.TrimSpace(d.ID + " " + d.VersionID)
}
