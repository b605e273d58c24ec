// Package ubuntu reads Canonical's OVAL of CVEs, one file for each release:
// https://security-metadata.canonical.com/oval/com.ubuntu.noble.cve.oval.xml.bz2
// and its like (https://ubuntu.com/security/oval). Of the forms in which
// Canonical publishes, it alone says in one place what is fixed where, what is
// ignored, deferred or not looked at yet, and which of it needs Ubuntu Pro: the
// records in the OSV format have one form for everything that is not fixed, and
// the VEX documents no fixed versions.
//
// A criterion of a definition says its state in words, which are those of the
// tracker of CVEs behind it:
//
//	openssh source package in noble, is affected and has been fixed (note: '1:9.6p1-3ubuntu13.3').
//	gtk+2.0 source package in esm-infra/xenial, is affected and needs fixing.
//
// What it names is the source package, the release or the part of Ubuntu Pro
// that is meant, and the version. Tests, objects and states, which repeat that
// for each binary package, are passed over. Packages that are not affected are
// left out by Canonical.
package ubuntu

import (
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/advisory/feed"
)

const (
	publisher = "https://security-metadata.canonical.com/oval"

	// maxFiles bounds the files that the index names; there are about 20.
	maxFiles = 500
	// maxCriteria bounds what one definition nests; real ones nest four.
	maxCriteria = 100
	// maxEntries bounds the criteria of one definition. Those of the kernel
	// have some hundreds.
	maxEntries = 50_000
)

// A Feed is Ubuntu's OVAL.
type Feed struct{}

// New returns the feed.
func New() Feed { return Feed{} }

// Info implements feed.Feed.
func (Feed) Info() feed.Info {
	return feed.Info{
		Name:      "ubuntu",
		Title:     "Ubuntu OVAL of CVEs",
		Licence:   "CC-BY-SA-4.0",
		Large:     true,
		Replaces:  []string{"Ubuntu"},
		ByRelease: true,
	}
}

var fileName = regexp.MustCompile(`^com\.ubuntu\.[a-z0-9_-]+\.cve\.oval\.xml$`)

// Wants implements feed.Feed. The files about notices, packages and container
// manifests beside these say the same in other orders.
func (Feed) Wants(name string) bool { return fileName.MatchString(path.Base(name)) }

var link = regexp.MustCompile(`href="(?:[^"]*/)?(com\.ubuntu\.[a-z0-9_-]+\.cve\.oval\.xml\.bz2)"`)

// Remotes implements feed.Fetched.
func (Feed) Remotes(ctx context.Context, base string, get func(context.Context, string) (string, error)) ([]feed.Remote, error) {
	if base == "" {
		base = publisher
	}
	text, err := get(ctx, base+"/")
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	var out []feed.Remote
	for _, m := range link.FindAllStringSubmatch(text, 2*maxFiles) {
		if !names[m[1]] {
			names[m[1]] = true
			out = append(out, feed.Remote{URL: base + "/" + m[1], Name: m[1]})
		}
	}
	switch {
	case len(out) == 0:
		return nil, fmt.Errorf("%s/ lists no OVAL of CVEs", base)
	case len(out) > maxFiles:
		return nil, fmt.Errorf("%s/ lists %d files: %w", base, len(out), feed.ErrTooLarge)
	}
	slices.SortFunc(out, func(a, b feed.Remote) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// A definition is one CVE of one release.
type definition struct {
	Class       string   `xml:"class,attr"`
	ID          string   `xml:"id,attr"`
	Title       string   `xml:"metadata>title"`
	Platforms   []string `xml:"metadata>affected>platform"`
	Description string   `xml:"metadata>description"`
	References  []struct {
		Source string `xml:"source,attr"`
		ID     string `xml:"ref_id,attr"`
	} `xml:"metadata>reference"`
	Severity string   `xml:"metadata>advisory>severity"`
	Public   string   `xml:"metadata>advisory>public_date"`
	CVEs     []cveTag `xml:"metadata>advisory>cve"`
	Criteria criteria `xml:"criteria"`
}

type cveTag struct {
	ID       string `xml:",chardata"`
	Priority string `xml:"priority,attr"`
	Vector   string `xml:"cvss_vector,attr"`
	USNs     string `xml:"usns,attr"`
}

type criteria struct {
	Criteria   []criteria `xml:"criteria"`
	Criterions []struct {
		Comment string `xml:"comment,attr"`
	} `xml:"criterion"`
}

// Read implements feed.Feed.
func (Feed) Read(ctx context.Context, f feed.File, emit func(feed.Record) error) error {
	s := feed.NewXMLStream(f)
	root, any := false, false
	err := s.Elements(func(e xml.StartElement) error {
		if !root && e.Name.Local != "oval_definitions" {
			return fmt.Errorf("<%s> is no OVAL", e.Name.Local)
		}
		root = true
		if e.Name.Local == "timestamp" {
			var made string
			if err := s.Decode(&made, e); err != nil {
				return err
			}
			f.Dated(date(made))
			return nil
		}
		if e.Name.Local != "definition" {
			return nil
		}
		any = true
		if err := ctx.Err(); err != nil {
			return err
		}
		line := s.Line()
		var d definition
		if err := s.Decode(&d, e); err != nil {
			return err
		}
		if d.Class != "vulnerability" {
			return nil // what tells the release
		}
		r, err := d.record()
		if err == nil {
			err = emit(r)
		}
		if err != nil {
			return feed.Errorf(f.Name, line, "%s: %w", d.ID, err)
		}
		return nil
	})
	if err == nil && !any {
		return feed.Errorf(f.Name, s.Line(), "no definitions")
	}
	return err
}

var (
	cve          = regexp.MustCompile(`CVE-[0-9]{4}-[0-9]{4,19}`)
	errNoCVE     = errors.New("no CVE")
	errNoRelease = errors.New("no release of Ubuntu")
	errNested    = errors.New("criteria are nested too deeply")
	errManifold  = fmt.Errorf("more than %d criteria: %w", maxEntries, feed.ErrTooLarge)
)

func (d *definition) record() (feed.Record, error) {
	id := ""
	for _, r := range d.References {
		if r.Source == "CVE" && id == "" {
			id = cve.FindString(r.ID)
		}
	}
	if id == "" {
		id = cve.FindString(d.Title)
	}
	if id == "" {
		return feed.Record{}, errNoCVE
	}
	text, _, _ := strings.Cut(d.Description, "Update Instructions:")
	r := feed.Record{
		ID: "UBUNTU-" + id, CVEs: []string{id}, Severity: d.Severity, Published: date(d.Public),
		Details: strings.TrimSpace(text), URL: "https://ubuntu.com/security/" + id,
	}
	notice := ""
	for _, c := range d.CVEs {
		if strings.TrimSpace(c.ID) != id {
			continue
		}
		if c.Vector != "" {
			r.CVSS = append(r.CVSS, c.Vector)
		}
		if c.Priority != "" && r.Severity == "" {
			r.Severity = c.Priority
		}
		// Which of several notices is about which package is not said.
		if c.USNs != "" && !strings.Contains(c.USNs, ",") {
			notice = "USN-" + c.USNs
		}
	}
	comments, err := d.Criteria.comments(nil, 0)
	if err != nil {
		return feed.Record{}, err
	}
	unknown := ""
	for _, c := range comments {
		a, ok, err := d.affected(c)
		if err != nil {
			return feed.Record{}, err
		}
		if !ok {
			if unknown == "" && !kernel.MatchString(c) {
				unknown = c
			}
			continue
		}
		if len(a.Ranges) > 0 && a.Ranges[0].Fixed != "" {
			a.Advisory = notice
		}
		r.Affected = append(r.Affected, a)
	}
	if len(r.Affected) == 0 && unknown != "" {
		return feed.Record{}, fmt.Errorf("no criterion names a package: %.200q", unknown)
	}
	return r, nil
}

func (c *criteria) comments(out []string, depth int) ([]string, error) {
	if depth > maxCriteria {
		return nil, errNested
	}
	for _, t := range c.Criterions {
		out = append(out, t.Comment)
	}
	if len(out) > maxEntries {
		return nil, errManifold
	}
	for i := range c.Criteria {
		var err error
		if out, err = c.Criteria[i].comments(out, depth+1); err != nil {
			return nil, err
		}
	}
	return out, nil
}

var (
	// about is a criterion about a package: its name, the release or the part
	// of Ubuntu Pro, and the state.
	about = regexp.MustCompile(`^(?:\(CVE-[0-9-]+\) )?(?:The )?'?([a-z0-9][a-z0-9+.-]*)'? ?(?:source package|package|kernel) in ([a-z0-9./-]+),? (.+)$`)
	// ignored is how older files say it, without the release.
	ignored = regexp.MustCompile(`^(?:\(CVE-[0-9-]+\) )?'?([a-z0-9][a-z0-9+.-]*)'?()?: (while related to the CVE in some way, .+)$`)
	// kernel is a criterion about what runs, which an image does not show.
	kernel = regexp.MustCompile(`(?i)^(?:is )?(?:the )?kernel\b`)
	note   = regexp.MustCompile(`\(note: '(.*)'\)\.?$`)
)

// affected reads one criterion; ok is false if it is about no package, but the
// kernel that runs.
func (d *definition) affected(comment string) (a feed.Affected, ok bool, err error) {
	m := about.FindStringSubmatch(comment)
	if m == nil {
		m = ignored.FindStringSubmatch(comment)
	}
	if m == nil {
		return feed.Affected{}, false, nil
	}
	release, err := d.release()
	if err != nil {
		return feed.Affected{}, false, err
	}
	a.Name = m[1]
	a.Ecosystem = "Ubuntu:" + product(m[2]) + release
	a.State, a.Ranges, a.Note = state(m[3])
	return a, true, nil
}

// product is how the OSV schema names the part of Ubuntu Pro that a criterion
// is about: "esm-apps/noble", "trusty/esm" or "fips-updates/jammy"; nothing for
// the release itself.
func product(in string) string {
	part, release, ok := strings.Cut(in, "/")
	switch {
	case !ok:
		return ""
	case strings.HasPrefix(part, "esm-") || release == "esm":
		return "Pro:"
	case strings.HasPrefix(part, "fips"):
		return "Pro:FIPS" + strings.TrimPrefix(part, "fips") + ":"
	case part == "realtime":
		return "Pro:Realtime:"
	default:
		return "Pro:" + part + ":"
	}
}

var platform = regexp.MustCompile(`\bUbuntu ([0-9]{2}\.[0-9]{2})( LTS)?`)

// release is the number of the release that the definition is about, as the OSV
// schema writes it: "24.04:LTS", "25.10".
func (d *definition) release() (string, error) {
	for _, text := range append(slices.Clone(d.Platforms), d.Title) {
		m := platform.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		if m[2] != "" {
			return m[1] + ":LTS", nil
		}
		return m[1], nil
	}
	return "", errNoRelease
}

// state reads the words for a state. Words that nobody knows yet stand for an
// open vulnerability: what has changed is told by the note, and nothing is lost.
func state(words string) (feed.State, []feed.Range, string) {
	said := ""
	if m := note.FindStringSubmatch(words); m != nil {
		said = m[1]
	}
	version := ""
	if said != "" && said[0] >= '0' && said[0] <= '9' && !strings.ContainsAny(said, " \t") {
		version, said = said, ""
	}
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(words, p) })
	}
	open := []feed.Range{{Introduced: "0"}}
	switch {
	case has("ignore", "not be fixed", "not to fix", "no longer supported"):
		return feed.StateWontFix, open, said
	case has("defer"):
		return feed.StateDeferred, open, said
	case has("not affected", "not vulnerable", "is related to the CVE"):
		// The last are the words for a release that came with a version
		// that was never affected.
		return feed.StateNotAffected, nil, cmp.Or(said, version)
	case has("has been fixed", "pending publication") && version != "":
		return feed.StateAffected, []feed.Range{{Introduced: "0", Fixed: version}}, said
	case has("has been fixed"):
		// Fixed, and nobody wrote down where.
		return feed.StateUndetermined, nil, strings.TrimSuffix(words, ".")
	case has("may need fixing", "pending evaluation"):
		return feed.StateUndetermined, nil, said
	case has("needs fixing", "pending publication"):
		return feed.StateAffected, open, said
	default:
		return feed.StateAffected, open, words
	}
}

// date reads "2023-06-21 05:15:00 UTC", "2026-11-20T01:02:03" and variants as
// Unix milliseconds, 0 for anything else.
func date(s string) int64 {
	s = strings.TrimSpace(s)
	for _, layout := range []string{"2006-01-02 15:04:05 MST", time.RFC3339, "2006-01-02T15:04:05", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UnixMilli()
		}
	}
	return 0
}
