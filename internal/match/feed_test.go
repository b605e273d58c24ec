package match

import (
	"context"
	"maps"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/advisory/feed/feedtest"
	"github.com/onceover/onceover/internal/report"
)

// fromFeed builds a generation from the files of one feed alone.
func fromFeed(t testing.TB, name string, files map[string][]byte) *Matcher {
	t.Helper()
	below := map[string][]byte{}
	for n, b := range maps.All(files) {
		below[advisory.FeedsDir+"/"+name+"/"+n] = b
	}
	to := filepath.Join(t.TempDir(), "test.db")
	_, err := advisory.Build(context.Background(), advisory.BuildOptions{From: feedtest.Dir(t, below), To: to,
		Problem: func(p advisory.Problem) { t.Errorf("record %s: %v", p.Record, p.Err) }})
	if err != nil {
		t.Fatal(err)
	}
	db, err := advisory.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return New(db)
}

// ownID is the id that a distribution's record about one CVE has: it is told by
// the CVE alone in some places.
var ownID = regexp.MustCompile(`^[A-Z]+-(CVE-.+)$`)

// feedBriefs are briefs with the CVE for the id of records about one.
func feedBriefs(fs []report.Finding) []brief {
	out := briefs(fs)
	for i := range out {
		out[i].ID = ownID.ReplaceAllString(out[i].ID, "$1")
	}
	return out
}
