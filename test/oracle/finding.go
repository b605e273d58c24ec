package oracle

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/onceover/onceover/internal/report"
)

// A Finding is one vulnerability of one package as either side names it.
type Finding struct {
	// Package without the group of a Java package: grype's report has none.
	Package Item
	// ID of the OSV record; Aliases are its other names, and the ids of the
	// records that were folded into it.
	ID      string
	Aliases []string
}

// Names are the ids under which the finding is known.
func (f Finding) Names() []string { return append([]string{f.ID}, f.Aliases...) }

// Compare orders findings by package and id.
func (f Finding) Compare(o Finding) int {
	return cmp.Or(f.Package.Compare(o.Package), cmp.Compare(f.ID, o.ID))
}

func (f Finding) String() string { return f.Package.String() + " " + f.ID }

// GrypeFindings is what grype finds in an image with the database in db.
func (t Tools) GrypeFindings(ctx context.Context, target, db string) ([]Finding, error) {
	out, err := t.run(ctx, []string{"GRYPE_DB_CACHE_DIR=" + db}, t.Grype, target, "-q", "-o", "json")
	if err != nil {
		return nil, err
	}
	return readGrype(out)
}

// withoutGroup is a Java package by its artifact alone.
func (i Item) withoutGroup() Item {
	if i.Type == report.TypeJava {
		_, i.Name = coordinates(i)
	}
	return i
}

func readGrype(out []byte) ([]Finding, error) {
	var doc struct {
		Matches []struct {
			Vulnerability struct {
				ID string
			}
			Artifact struct{ Name, Version, Type string }
		}
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		return nil, fmt.Errorf("read grype's report: %w", err)
	}
	var fs []Finding
	for _, m := range doc.Matches {
		i := Item{Type: m.Artifact.Type, Name: m.Artifact.Name, Version: m.Artifact.Version}
		if t, ok := types[i.Type]; ok {
			i.Type = t
		}
		i.normalize()
		i = i.withoutGroup()
		fs = append(fs, Finding{Package: i, ID: m.Vulnerability.ID})
	}
	slices.SortFunc(fs, Finding.Compare)
	return slices.CompactFunc(fs, func(a, b Finding) bool { return a.Compare(b) == 0 }), nil
}
