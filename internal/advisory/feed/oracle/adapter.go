// Package oracle reads the OVAL of Oracle Linux, one file that has the errata
// of all releases (https://linux.oracle.com/security/oval/).
//
// Its criteria say in their comments what they test: "Oracle Linux 8 is
// installed", "Oracle Linux arch is x86_64", "Module nodejs:18 is enabled",
// "bash is earlier than 0:4.4.20-4.el8_6", "bash is signed with the Oracle Linux
// 8 key".
package oracle

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/oval"
)

const publisher = "https://linux.oracle.com/security/oval"

// A Feed is the errata of Oracle Linux.
type Feed struct{}

// New returns the feed.
func New() Feed { return Feed{} }

// Info implements feed.Feed.
func (Feed) Info() feed.Info {
	return feed.Info{Name: "oracle", Title: "Oracle Linux errata (OVAL)", Replaces: []string{"Oracle Linux"}}
}

// Wants implements feed.Feed.
func (Feed) Wants(name string) bool { return path.Ext(name) == ".xml" }

// Remotes implements feed.Fetched.
func (Feed) Remotes(_ context.Context, base string, _ func(context.Context, string) (string, error)) ([]feed.Remote, error) {
	root := publisher
	if base != "" {
		root = strings.TrimSuffix(base, "/")
	}
	const name = "com.oracle.elsa-all.xml.bz2"
	return []feed.Remote{{URL: root + "/" + name, Name: name}}, nil
}

var (
	titlePattern  = regexp.MustCompile(`^(EL[SBE]A-[0-9]{4}-[0-9-]+):\s*(.*?)\s*(\([A-Z/]+\))?$`)
	vectorPattern = regexp.MustCompile(`^[0-9.]+/(CVSS:3\.[01]/.+)$`)
	cvePattern    = regexp.MustCompile(`^CVE-[0-9]{4}-[0-9]{4,19}$`)
)

// Read implements feed.Feed.
func (Feed) Read(ctx context.Context, f feed.File, emit func(feed.Record) error) error {
	definitions, emitted := 0, 0
	err := oval.Read(ctx, f, func(d *oval.Definition) error {
		if d.Class != "patch" {
			return nil
		}
		definitions++
		rec, err := record(d)
		if err != nil {
			return feed.Errorf(f.Name, d.Line, "%w", err)
		}
		if len(rec.CVEs) == 0 && !strings.HasPrefix(rec.ID, "ELSA-") || len(rec.Affected) == 0 {
			return nil // a bug fix or an enhancement
		}
		emitted++
		return emit(rec)
	})
	if err == nil && definitions > 0 && emitted == 0 {
		err = feed.Errorf(f.Name, 1, "none of %d definitions names a package that is earlier than another", definitions)
	}
	return err
}

func record(d *oval.Definition) (feed.Record, error) {
	rec := feed.Record{
		Summary:   d.Title,
		Details:   d.Description,
		Severity:  strings.TrimSpace(d.Advisory.Severity),
		Published: d.Advisory.Issued.Millis(),
		Modified:  d.Advisory.Updated.Millis(),
	}
	if m := titlePattern.FindStringSubmatch(strings.Join(strings.Fields(d.Title), " ")); m != nil {
		rec.ID, rec.Summary = m[1], m[2]
	}
	if rec.Modified == 0 {
		rec.Modified = rec.Published
	}
	for _, r := range d.References {
		switch {
		case strings.EqualFold(r.Source, "elsa"):
			rec.ID, rec.URL = r.ID, r.URL
		case strings.EqualFold(r.Source, "cve") && cvePattern.MatchString(r.ID):
			rec.CVEs = append(rec.CVEs, r.ID)
		}
	}
	if rec.ID == "" {
		return rec, fmt.Errorf("%s has no id of an erratum: %q", d.ID, d.Title)
	}
	var vectors []string
	for _, c := range d.Advisory.CVEs {
		if id := strings.TrimSpace(c.ID); cvePattern.MatchString(id) {
			rec.CVEs = append(rec.CVEs, id)
		}
		if m := vectorPattern.FindStringSubmatch(c.CVSS3); m != nil {
			vectors = append(vectors, m[1])
		}
	}
	slices.Sort(rec.CVEs)
	rec.CVEs = slices.Compact(rec.CVEs)
	if len(rec.CVEs) == 1 {
		rec.CVSS = vectors // of several CVEs none speaks for all
	}
	w := walker{seen: map[string]bool{}}
	for _, p := range d.Platforms {
		if r := release(p); r != "" {
			w.platforms = append(w.platforms, r)
		}
	}
	w.walk(&d.Criteria, "", "")
	rec.Affected = w.out
	return rec, nil
}

// release is "8" of "Oracle Linux 8".
func release(platform string) string {
	r, ok := strings.CutPrefix(strings.TrimSpace(platform), "Oracle Linux ")
	if !ok {
		return ""
	}
	return r
}

// A walker gathers what criteria say. Architectures are not told apart.
type walker struct {
	platforms []string
	seen      map[string]bool
	out       []feed.Affected
}

// walk goes down with what criterions above and beside have said: the release
// that is installed and the stream that is enabled.
func (w *walker) walk(c *oval.Criteria, release, stream string) {
	for _, t := range c.Criterions {
		if r := t.Between("Oracle Linux ", " is installed"); r != "" {
			release = r
		}
		if m := t.Between("Module ", " is enabled"); m != "" {
			stream = m
		}
	}
	for _, t := range c.Criterions {
		name, evr, ok := t.Earlier()
		if !ok || evr == "0" {
			continue
		}
		releases := w.platforms
		if release != "" {
			releases = []string{release}
		}
		for _, r := range releases {
			w.add(r, name, evr, stream)
		}
	}
	for i := range c.Criteria {
		w.walk(&c.Criteria[i], release, stream)
	}
}

func (w *walker) add(release, name, evr, stream string) {
	eco := "Oracle Linux:" + release + Variant(evr)
	key := strings.Join([]string{eco, name, evr, stream}, " ")
	if w.seen[key] {
		return
	}
	w.seen[key] = true
	w.out = append(w.out, feed.Affected{Ecosystem: eco, Name: name, Stream: stream,
		Ranges: []feed.Range{{Introduced: "0", Fixed: evr}}})
}

// Variant is what an ecosystem of Oracle Linux ends with for builds that have
// errata of their own: those that Ksplice can patch while they run, and those
// of modules validated for FIPS. Their releases and those of normal builds do
// not compare.
func Variant(evr string) string {
	switch {
	case strings.Contains(evr, ".ksplice"):
		return ":ksplice"
	case strings.Contains(evr, "_fips"), strings.Contains(evr, ".fips"):
		return ":fips"
	default:
		return ""
	}
}
