package match

import (
	"strings"

	"github.com/onceover/onceover/internal/report"
)

// compact gives the texts of a finding memory of their own. They are parts of
// the records that they were read from, whose descriptions would stay in memory
// for as long as the finding does: several times what the finding itself takes.
func compact(f *report.Finding) {
	own := [...]*string{&f.ID, &f.Severity, &f.Vector, &f.Summary, &f.URL, &f.FixedVersion,
		&f.ExploitedSince, &f.Evidence.Record, &f.Evidence.Note}
	n := 0
	for _, s := range own {
		n += len(*s)
	}
	for _, ids := range [...][]string{f.CVEs, f.Aliases} {
		for _, s := range ids {
			n += len(s)
		}
	}
	var b strings.Builder
	b.Grow(n)
	for _, s := range own {
		b.WriteString(*s)
	}
	for _, ids := range [...][]string{f.CVEs, f.Aliases} {
		for _, s := range ids {
			b.WriteString(s)
		}
	}
	rest := b.String()
	take := func(s string) string {
		s, rest = rest[:len(s)], rest[len(s):]
		return s
	}
	for _, s := range own {
		*s = take(*s)
	}
	// The lists may be shared with the record.
	for _, ids := range [...]*[]string{&f.CVEs, &f.Aliases} {
		if len(*ids) == 0 {
			continue
		}
		out := make([]string, len(*ids))
		for i, s := range *ids {
			out[i] = take(s)
		}
		*ids = out
	}
}
