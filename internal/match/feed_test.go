package match

import (
	"context"
	"maps"
	"path/filepath"
	"testing"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/advisory/feed/feedtest"
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
