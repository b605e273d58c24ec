package updateinfo

import (
	"context"
	"path"
	"strings"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/version"
)

// A Feed is updateinfo.xml of any repository, for distributions that publish
// their advisories in no other form. What a repository is for does not stand
// in the file: the first directory of its name is the ecosystem ("Anolis
// OS:8/BaseOS/updateinfo.xml").
type Feed struct{}

// New returns the feed.
func New() Feed { return Feed{} }

// Info implements feed.Feed.
func (Feed) Info() feed.Info {
	return feed.Info{Name: "updateinfo", Title: "updateinfo.xml of rpm repositories"}
}

// Wants implements feed.Feed.
func (Feed) Wants(name string) bool {
	return strings.Contains(name, "/") && path.Ext(name) == ".xml" && strings.Contains(path.Base(name), "updateinfo")
}

// Read implements feed.Feed.
func (Feed) Read(ctx context.Context, f feed.File, emit func(feed.Record) error) error {
	eco, _, _ := strings.Cut(f.Name, "/")
	base, release, _ := strings.Cut(eco, ":")
	if !version.Known(eco) || release == "" {
		return feed.Errorf(f.Name, 1, "%q is no ecosystem with a release, as %q; see docs/distributions.md", base, "Anolis OS:8")
	}
	return Read(ctx, f, func(u Update) error {
		rec := feed.Record{
			ID:        u.ID,
			CVEs:      u.CVEs(),
			Summary:   u.Title,
			Details:   u.Description,
			Severity:  u.Severity,
			Published: u.Issued.Millis(),
			Modified:  u.Updated.Millis(),
		}
		if u.Type != "security" && len(rec.CVEs) == 0 {
			return nil // a bug fix
		}
		if rec.Modified == 0 {
			rec.Modified = rec.Published
		}
		for _, r := range u.References {
			if r.Type == "self" {
				rec.URL = r.Href
			}
		}
		for i := range u.Collections {
			rec.Affected = append(rec.Affected, u.Collections[i].Affected(eco, nil)...)
		}
		if len(rec.Affected) == 0 {
			return nil
		}
		return emit(rec)
	})
}
