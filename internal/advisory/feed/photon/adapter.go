// Package photon reads what is published about Photon OS: the metadata of CVEs,
// one JSON file for each release
// (https://packages.vmware.com/photon/photon_cve_metadata/), and the OVAL of
// its advisories (https://packages.vmware.com/photon/photon_oval_definitions/).
//
// The metadata has one object for each CVE and package: res_ver is the version
// that resolves it, "NA" if there is none. Not all ids are CVEs: Black Duck has
// its own ("BDSA-2025-13833"), and some are placeholders ("UNK-1", "Re").
package photon

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/oval"
)

const publisher = "https://packages.vmware.com/photon"

// A Feed is Photon OS.
type Feed struct{}

// New returns the feed.
func New() Feed { return Feed{} }

// Info implements feed.Feed.
func (Feed) Info() feed.Info {
	return feed.Info{Name: "photon", Title: "Photon OS CVE metadata and advisories", Replaces: []string{"Photon OS"}, KeepsBundles: true}
}

var (
	metadataName = regexp.MustCompile(`^cve_data_photon([0-9]+\.[0-9]+)\.json$`)
	ovalName     = regexp.MustCompile(`^com\.vmware\.phsa-photon[0-9]+\.xml$`)
)

// Wants implements feed.Feed. The name of a file of metadata tells the release.
func (Feed) Wants(name string) bool {
	name = path.Base(name)
	return metadataName.MatchString(name) || ovalName.MatchString(name)
}

// Remotes implements feed.Fetched: the releases that photon_versions.json
// names. The metadata says all that the OVAL says, but for the ids of the
// advisories.
func (Feed) Remotes(ctx context.Context, base string, get func(ctx context.Context, url string) (string, error)) ([]feed.Remote, error) {
	root := publisher
	if base != "" {
		root = strings.TrimSuffix(base, "/")
	}
	root += "/photon_cve_metadata/"
	text, err := get(ctx, root+"photon_versions.json")
	if err != nil {
		return nil, fmt.Errorf("list releases of Photon OS: %w", err)
	}
	var versions struct {
		Branches []string `json:"branches"`
	}
	if err := json.Unmarshal([]byte(text), &versions); err != nil {
		return nil, fmt.Errorf("list releases of Photon OS: parse photon_versions.json: %w", err)
	}
	var out []feed.Remote
	for _, b := range versions.Branches {
		name := "cve_data_photon" + b + ".json"
		if !metadataName.MatchString(name) {
			continue // a branch in the making: "dev"
		}
		out = append(out, feed.Remote{URL: root + name, Name: name})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("list releases of Photon OS: photon_versions.json names none")
	}
	return out, nil
}

// Read implements feed.Feed.
func (Feed) Read(ctx context.Context, f feed.File, emit func(feed.Record) error) error {
	if m := metadataName.FindStringSubmatch(path.Base(f.Name)); m != nil {
		return readMetadata(ctx, f, "Photon OS:"+m[1], emit)
	}
	return readOVAL(ctx, f, emit)
}

// entry is what is said of one CVE and package.
type entry struct {
	ID       string  `json:"cve_id"`
	Package  string  `json:"pkg"`
	Score    float64 `json:"cve_score"`
	Affected string  `json:"aff_ver"`
	Resolved string  `json:"res_ver"`
	Status   string  `json:"status"`
}

func readMetadata(ctx context.Context, f feed.File, eco string, emit func(feed.Record) error) error {
	s := feed.NewJSONStream(f)
	err := s.Array(func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		var e entry
		if err := s.Decode(&e); err != nil {
			return err
		}
		rec, ok, err := e.record(eco)
		if err != nil || !ok {
			return err
		}
		return emit(rec)
	})
	if err != nil {
		return err
	}
	return s.End()
}

var (
	cvePattern = regexp.MustCompile(`^CVE-[0-9]{4}-[0-9]{4,19}$`)
	bdsa       = regexp.MustCompile(`^BDSA-[0-9]{4}-[0-9]+$`)
)

// record is what an entry says; ok is false for placeholders.
func (e entry) record(eco string) (rec feed.Record, ok bool, err error) {
	if e.ID == "" || e.Package == "" || e.Status == "" {
		return rec, false, fmt.Errorf("entry of id %q, package %q and status %q", e.ID, e.Package, e.Status)
	}
	rec.ID = "PHOTON-" + e.ID
	switch {
	case cvePattern.MatchString(e.ID):
		rec.CVEs = []string{e.ID}
	case bdsa.MatchString(e.ID):
		rec.Aliases = []string{e.ID}
	default:
		return rec, false, nil
	}
	a := feed.Affected{Ecosystem: eco, Name: e.Package, Severity: word(e.Score)}
	resolved := e.Resolved != "" && e.Resolved != "NA"
	switch {
	case e.Status == "Not Affected":
		a.State = feed.StateNotAffected
	case resolved:
		a.Ranges = []feed.Range{{Introduced: "0", Fixed: e.Resolved}}
	case e.Status == "Fixed":
		a.State, a.Note = feed.StateUndetermined, "fixed, and no version says where"
	default:
		a.Ranges, a.Note = []feed.Range{{Introduced: "0"}}, e.Status
	}
	rec.Affected = []feed.Affected{a}
	return rec, true, nil
}

// word is the level of a CVSS score, which the feed has without a vector
// (CVSS v3.1 specification, section 5).
func word(score float64) string {
	switch {
	case score >= 9:
		return "critical"
	case score >= 7:
		return "high"
	case score >= 4:
		return "medium"
	case score > 0:
		return "low"
	default:
		return ""
	}
}

// An advisory's id stands in a reference as "PHSA:00001:5.0:184": the number
// of a file, the release, and the number of the advisory there.
var phsaPattern = regexp.MustCompile(`^PHSA:[0-9]+:([0-9]+\.[0-9]+):([0-9]+)$`)

func readOVAL(ctx context.Context, f feed.File, emit func(feed.Record) error) error {
	definitions, emitted := 0, 0
	err := oval.Read(ctx, f, func(d *oval.Definition) error {
		if d.Class != "patch" {
			return nil
		}
		definitions++
		rec, err := advisory(d)
		if err != nil {
			return feed.Errorf(f.Name, d.Line, "%w", err)
		}
		if len(rec.Affected) == 0 {
			return nil
		}
		emitted++
		return emit(rec)
	})
	if err == nil && definitions > 0 && emitted == 0 {
		err = feed.Errorf(f.Name, 1, "none of %d definitions names a package that is earlier than another", definitions)
	}
	return err
}

func advisory(d *oval.Definition) (feed.Record, error) {
	rec := feed.Record{
		Summary:   d.Title,
		Details:   d.Description,
		Severity:  d.Advisory.Severity,
		Published: d.Advisory.Issued.Millis(),
		Modified:  d.Advisory.Updated.Millis(),
	}
	if _, title, ok := strings.Cut(d.Title, " "); ok && strings.HasPrefix(d.Title, "PHSA-") {
		rec.Summary = title
	}
	release := ""
	for _, r := range d.References {
		if m := phsaPattern.FindStringSubmatch(r.ID); m != nil {
			n, err := strconv.Atoi(m[2])
			if err != nil {
				return rec, fmt.Errorf("%s: %q: %w", d.ID, r.ID, err)
			}
			release = m[1]
			rec.ID, rec.URL = fmt.Sprintf("PHSA-%d-%s-%04d", time.UnixMilli(rec.Published).UTC().Year(), m[1], n), r.URL
		}
	}
	if release == "" || rec.Published == 0 {
		return rec, fmt.Errorf("%s has no date, or no id of an advisory: %q", d.ID, d.Title)
	}
	for _, c := range d.Advisory.CVEs {
		if id := strings.TrimSpace(c.ID); cvePattern.MatchString(id) {
			rec.CVEs = append(rec.CVEs, id)
		}
	}
	seen := map[string]bool{}
	var walk func(c *oval.Criteria)
	walk = func(c *oval.Criteria) {
		for _, t := range c.Criterions {
			name, evr, ok := t.Earlier()
			if !ok || seen[name+" "+evr] {
				continue
			}
			seen[name+" "+evr] = true
			rec.Affected = append(rec.Affected, feed.Affected{Ecosystem: "Photon OS:" + release, Name: name,
				Ranges: []feed.Range{{Introduced: "0", Fixed: evr}}})
		}
		for i := range c.Criteria {
			walk(&c.Criteria[i])
		}
	}
	walk(&d.Criteria)
	return rec, nil
}
