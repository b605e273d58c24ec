package advisory

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/version"
)

// smallFeed is the number of records below which a feed may lose most of them:
// a small one can do that by itself.
const smallFeed = 50

// shrunk reports what a new generation has lost against the old one: feeds that
// had records and have none, or that lost more than half of many. A server that
// answers with an empty list or an archive of nothing looks healthy otherwise,
// and a scanner that knows nothing finds nothing. Of ecosystems only those are
// looked at that were asked for, all if that is none.
func shrunk(old, next Meta, asked []string) error {
	if next.Records == 0 {
		return fault.New(fault.Conflict, "what was fetched holds no advisory at all: everything stays as it was, `--force` takes it all the same")
	}
	var lost []string
	judge := func(what string, before, after int64) {
		if before > 0 && after == 0 || before >= smallFeed && after < before/2 {
			lost = append(lost, fmt.Sprintf("%s %d records instead of %d", what, after, before))
		}
	}
	before, after := byBase(old), byBase(next)
	for _, eco := range slices.Sorted(maps.Keys(before)) {
		if len(asked) == 0 || slices.Contains(asked, eco) {
			judge(eco, before[eco], after[eco])
		}
	}
	judge("KEV", old.KEV, next.KEV)
	judge("EPSS", old.EPSS, next.EPSS)
	if lost == nil {
		return nil
	}
	more := ""
	if n := len(lost) - 5; n > 0 {
		lost, more = lost[:5], fmt.Sprintf(" and %d more", n)
	}
	return fault.New(fault.Conflict,
		"the new generation is refused, because it lost most of what the present one has: %s%s; the present one stays, `--force` takes the new one all the same",
		strings.Join(lost, ", "), more)
}

// byBase counts entries by ecosystem without release.
func byBase(m Meta) map[string]int64 {
	out := map[string]int64{}
	for eco, e := range m.Ecosystems {
		out[version.Base(eco)] += e.Records
	}
	return out
}
