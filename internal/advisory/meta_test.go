package advisory

import (
	"encoding/json"
	"fmt"
	"testing"
)

// TestManyFiles notes as many files as a publisher of single documents has:
// the description of the generation stays one that can be read, and counts all.
func TestManyFiles(t *testing.T) {
	b := &builder{named: map[string]int{}, meta: Meta{Feeds: map[string]FeedMeta{}}}
	const n = 300_000
	for i := range n {
		feed := "redhat"
		if i%3 == 0 {
			feed = "suse"
		}
		b.fed(feed, feed, "", FileMeta{Name: fmt.Sprintf("feeds/%s/2024/cve-2024-%d.json", feed, i), Feed: feed, Bytes: 2, Records: 1, Newest: int64(i)})
	}
	raw, err := json.Marshal(b.meta)
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) > maxMetaBytes {
		t.Errorf("a description of %d bytes: above %d it cannot be read", len(raw), maxMetaBytes)
	}
	files, records := 0, int64(0)
	for _, f := range b.meta.Files {
		files += 1 + f.More
		records += f.Records
	}
	if files != n || records != n || b.meta.Feeds["redhat"].Records+b.meta.Feeds["suse"].Records != n {
		t.Errorf("%d files with %d records, want %d: feeds %+v", files, records, n, b.meta.Feeds)
	}
}
