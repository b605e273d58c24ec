package match

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/report"
)

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
	if n := counts[report.TypeDeb] + counts[report.TypeAPK] + counts[report.TypeRPM]; n > 0 {
		switch {
		case inv.Distro.ID == "":
			out = append(out, fmt.Sprintf("the image does not say which distribution it is: its %d distribution packages are not matched", n))
		case len(ecos) == 0:
			out = append(out, fmt.Sprintf("no advisories for distribution %s: its %d packages are not matched", distroName(inv.Distro), n))
		case !slices.ContainsFunc(ecos, m.db.HasEcosystem):
			out = append(out, fmt.Sprintf("the advisory database has nothing for %s: %d packages of %s are not matched", ecos[0], n, distroName(inv.Distro)))
		}
	}
	var types []string
	for t := range counts {
		types = append(types, t)
	}
	slices.Sort(types)
	for _, t := range types {
		if eco := languageEcosystem(t); eco != "" && !m.db.HasEcosystem(eco) {
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

func distroName(d report.Distro) string {
	return strings.TrimSpace(d.ID + " " + d.VersionID)
}
