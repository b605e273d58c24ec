// Package fedora reads the updates of Fedora Linux: the updateinfo.xml of the
// repository "updates" of each release, which Bodhi
// (https://bodhi.fedoraproject.org) writes.
//
// It names binary packages. Bodhi's own JSON names builds of source packages
// without the epochs that tell their packages' versions, and is not read.
package fedora

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/updateinfo"
)

const publisher = "https://dl.fedoraproject.org/pub/fedora/linux/updates"

// A Feed is the updates of Fedora.
type Feed struct{}

// New returns the feed.
func New() Feed { return Feed{} }

// Info implements feed.Feed.
func (Feed) Info() feed.Info {
	return feed.Info{Name: "fedora", Title: "Fedora updates", Replaces: []string{"Fedora"}}
}

// Wants implements feed.Feed.
func (Feed) Wants(name string) bool {
	return path.Ext(name) == ".xml" && strings.Contains(path.Base(name), "updateinfo")
}

// shortPattern is "F41", and "F39M" for modules.
var shortPattern = regexp.MustCompile(`^F([0-9]+)(M?)$`)

// Read implements feed.Feed. Updates of EPEL, of flatpaks and of containers
// are passed over: they are not for packages of Fedora.
func (Feed) Read(ctx context.Context, f feed.File, emit func(feed.Record) error) error {
	return updateinfo.Read(ctx, f, func(u updateinfo.Update) error {
		cves := u.CVEs()
		if u.Type != "security" && len(cves) == 0 {
			return nil
		}
		rec := feed.Record{
			ID:        u.ID,
			CVEs:      cves,
			Summary:   u.Title,
			Details:   u.Description,
			Severity:  u.Severity,
			Published: u.Issued.Millis(),
			Modified:  u.Updated.Millis(),
			URL:       "https://bodhi.fedoraproject.org/updates/" + u.ID,
		}
		if rec.Modified == 0 {
			rec.Modified = rec.Published
		}
		for i := range u.Collections {
			c := &u.Collections[i]
			m := shortPattern.FindStringSubmatch(c.Short)
			if m == nil {
				continue
			}
			if m[2] != "" && c.Module.Label() == "" {
				return feed.Errorf(f.Name, u.Line, "%s: collection %q names no module", u.ID, c.Short)
			}
			rec.Affected = append(rec.Affected, c.Affected("Fedora:"+m[1], nil)...)
		}
		if len(rec.Affected) == 0 {
			return nil
		}
		return emit(rec)
	})
}

var releasePattern = regexp.MustCompile(`href="([0-9]+)/"`)

// Remotes implements feed.Fetched: the releases that have updates, from the
// index of the directory. The repository for one processor names the packages of
// all.
func (Feed) Remotes(ctx context.Context, base string, get func(ctx context.Context, url string) (string, error)) ([]feed.Remote, error) {
	root := publisher
	if base != "" {
		root = strings.TrimSuffix(base, "/")
	}
	index, err := get(ctx, root+"/")
	if err != nil {
		return nil, fmt.Errorf("list releases of Fedora: %w", err)
	}
	var releases []int
	for _, m := range releasePattern.FindAllStringSubmatch(index, -1) {
		if n, err := strconv.Atoi(m[1]); err == nil {
			releases = append(releases, n)
		}
	}
	slices.Sort(releases)
	releases = slices.Compact(releases)
	if len(releases) == 0 {
		return nil, fmt.Errorf("list releases of Fedora: none in %s/", root)
	}
	var out []feed.Remote
	for _, n := range releases {
		repo := fmt.Sprintf("%s/%d/Everything/x86_64/", root, n)
		md, err := get(ctx, repo+"repodata/repomd.xml")
		if err != nil {
			return nil, fmt.Errorf("read repository of Fedora %d: %w", n, err)
		}
		address, name, err := updateinfo.Locate(repo, md)
		if err != nil {
			return nil, err
		}
		if address != "" {
			out = append(out, feed.Remote{URL: address, Name: fmt.Sprintf("%d/%s", n, name)})
		}
	}
	return out, nil
}
