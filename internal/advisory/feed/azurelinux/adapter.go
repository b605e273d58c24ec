// Package azurelinux reads the OVAL of Azure Linux and of CBL-Mariner, as it
// was called before: one file for each release
// (https://github.com/microsoft/AzureLinuxVulnerabilityData), one definition
// for each CVE and source package.
//
// The release stands in the name of the file alone ("azurelinux-3.0-oval.xml",
// "cbl-mariner-2.0-oval.xml"), or at the end of a version (".azl3", ".cm2").
package azurelinux

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/oval"
)

const publisher = "https://raw.githubusercontent.com/microsoft/AzureLinuxVulnerabilityData/main"

// files that are published.
var files = []string{"azurelinux-3.0-oval.xml", "cbl-mariner-1.0-oval.xml", "cbl-mariner-2.0-oval.xml"}

// A Feed is Azure Linux.
type Feed struct{}

// New returns the feed.
func New() Feed { return Feed{} }

// Info implements feed.Feed.
func (Feed) Info() feed.Info {
	return feed.Info{Name: "azurelinux", Title: "Azure Linux vulnerability data (OVAL)", Licence: "MIT", Replaces: []string{"Azure Linux", "CBL-Mariner"}}
}

var namePattern = regexp.MustCompile(`^(?:azurelinux|cbl-mariner)-([0-9]+)\.[0-9]+-(?:preview-)?oval\.xml$`)

// Wants implements feed.Feed.
func (Feed) Wants(name string) bool { return path.Ext(name) == ".xml" }

// Remotes implements feed.Fetched.
func (Feed) Remotes(_ context.Context, base string, _ func(context.Context, string) (string, error)) ([]feed.Remote, error) {
	root := publisher
	if base != "" {
		root = strings.TrimSuffix(base, "/")
	}
	var out []feed.Remote
	for _, name := range files {
		out = append(out, feed.Remote{URL: root + "/" + name, Name: name})
	}
	return out, nil
}

// Read implements feed.Feed.
func (Feed) Read(ctx context.Context, f feed.File, emit func(feed.Record) error) error {
	release := ""
	if m := namePattern.FindStringSubmatch(path.Base(f.Name)); m != nil {
		release = m[1]
	}
	return oval.Resolve(ctx, f, func(d *oval.Definition, test func(string) (oval.Test, bool)) error {
		if d.Class != "vulnerability" {
			return nil
		}
		rec, err := record(d, release, test)
		if err != nil {
			return err
		}
		return emit(rec)
	})
}

var (
	cvePattern = regexp.MustCompile(`^CVE-[0-9]{4}-[0-9]{4,19}$`)
	tagPattern = regexp.MustCompile(`\.(?:azl|cm)([0-9]+)$`)
)

// record is what one definition says. Its title and description say nothing
// more, and are left out.
func record(d *oval.Definition, release string, test func(string) (oval.Test, bool)) (feed.Record, error) {
	rec := feed.Record{
		Severity: strings.TrimSpace(d.Severity),
		Modified: oval.Millis(d.AdvisoryDate),
	}
	for _, r := range d.References {
		if r.Source == "CVE" && cvePattern.MatchString(r.ID) {
			rec.CVEs = append(rec.CVEs, r.ID)
			rec.URL = r.URL
		}
	}
	if len(rec.CVEs) != 1 {
		return rec, fmt.Errorf("%s names %d CVEs", d.ID, len(rec.CVEs))
	}
	rec.ID = "AZL-" + rec.CVEs[0]
	ps := packages{test: test, byName: map[string]*feed.Affected{}}
	if err := ps.add(&d.Criteria); err != nil {
		return rec, fmt.Errorf("%s: %w", d.ID, err)
	}
	if len(ps.names) == 0 {
		return rec, fmt.Errorf("%s tests no package", d.ID)
	}
	for _, name := range ps.names {
		a := ps.byName[name]
		if release == "" {
			release = tagOf(a)
		}
		if release == "" {
			return rec, fmt.Errorf("%s: neither the name of the file nor a version tells the release", d.ID)
		}
		a.Ecosystem = "Azure Linux:" + release
		if strings.EqualFold(strings.TrimSpace(d.Patchable), "not applicable") {
			a.State, a.Ranges, a.Versions, a.Note = feed.StateNotAffected, nil, nil, "not applicable"
		}
		rec.Affected = append(rec.Affected, *a)
	}
	return rec, nil
}

// packages are what the criteria of a definition say, by package.
type packages struct {
	test   func(string) (oval.Test, bool)
	names  []string
	byName map[string]*feed.Affected
}

func (ps *packages) add(c *oval.Criteria) error {
	if c.Negate || c.Operator != "" && c.Operator != "AND" {
		return fmt.Errorf("criteria with operator %q, negate %v", c.Operator, c.Negate)
	}
	for _, cr := range c.Criterions {
		t, ok := ps.test(cr.TestRef)
		if !ok || cr.Negate {
			return fmt.Errorf("criterion %q refers to test %q", cr.Comment, cr.TestRef)
		}
		a := ps.byName[t.Name]
		if a == nil {
			a = &feed.Affected{Name: t.Name, Ranges: []feed.Range{{Introduced: "0"}}}
			ps.byName[t.Name] = a
			ps.names = append(ps.names, t.Name)
		}
		if t.EVR == "" {
			return fmt.Errorf("%s is compared with nothing", t.Name)
		}
		switch t.Operation {
		case "less than":
			a.Ranges[0].Fixed, a.Ranges[0].LastAffected = t.EVR, ""
		case "less than or equal":
			// Nothing is mended yet: it is the latest there is.
			a.Ranges[0].Fixed, a.Ranges[0].LastAffected = "", t.EVR
		case "greater than", "greater than or equal":
			a.Ranges[0].Introduced = t.EVR
		default:
			return fmt.Errorf("%s is tested for %q %s", t.Name, t.Operation, t.EVR)
		}
	}
	for i := range c.Criteria {
		if err := ps.add(&c.Criteria[i]); err != nil {
			return err
		}
	}
	return nil
}

// tagOf is the release that a version of a ends with.
func tagOf(a *feed.Affected) string {
	for _, v := range []string{a.Ranges[0].Fixed, a.Ranges[0].LastAffected, a.Ranges[0].Introduced} {
		if m := tagPattern.FindStringSubmatch(v); m != nil {
			return m[1]
		}
	}
	return ""
}
