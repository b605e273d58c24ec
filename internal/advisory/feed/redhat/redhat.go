// Package redhat reads Red Hat's CSAF VEX documents, one for each CVE
// (https://security.access.redhat.com/data/csaf/v2/vex/, described at
// https://redhatproductsecurity.github.io/security-data-guidelines/csaf-vex/).
//
// A document names binary packages where it says "fixed": the version and the
// architecture stand in their package URLs. Where it says "known_affected",
// "known_not_affected" or "under_investigation" it names mostly source packages, whose
// package URLs have arch=src and no version, for there is no build to name.
// Both are kept apart: an entry for a source package is named as rpm names
// those, "openssl.src", and one of a module stream as Red Hat names it,
// "nodejs:18/nodejs.src". Package match looks both up for each rpm, so that no version of a binary
// is compared with that of its source: perl-Carp 1.50 comes from perl 5.32.
//
// Products are told apart by their CPE, which is spelled as OSV's Red Hat records
// spell it: "cpe:/o:redhat:rhel_eus:9.2::baseos" is the ecosystem
// "Red Hat:rhel_eus:9.2::baseos".
//
// Left out are images, which have their own vulnerabilities under another
// name, builds of source packages, and packages with debugging symbols, which
// hold no code that runs.
package redhat

import (
	"bufio"
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	packageurl "github.com/package-url/packageurl-go"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/csaf"
)

const (
	// address is where Red Hat publishes.
	address = "https://security.access.redhat.com/data/csaf/v2/vex/"
	// changesDir holds what is newer than the archive, and deletions what
	// has been taken back since.
	changesDir = "changes"
	deletions  = changesDir + "/deletions.csv"
	// maxChanges bounds the documents that are fetched one by one. Some
	// hundred change in a day, and an archive is made every few days.
	maxChanges = 50_000
	// maxRows bounds the lists of changes, which have a row for every document.
	maxRows = 5_000_000
)

// A Feed reads the documents of one directory.
type Feed struct {
	// newer are documents, by the name of their file, that stand beside the
	// archive: what the archive says of them is old. deleted tells when
	// documents were taken back.
	newer   map[string]bool
	deleted map[string]time.Time
}

// New returns a Feed that has read nothing.
func New() *Feed { return &Feed{newer: map[string]bool{}, deleted: map[string]time.Time{}} }

// Info implements feed.Feed.
func (*Feed) Info() feed.Info {
	return feed.Info{
		Name: "redhat", Title: "Red Hat CSAF VEX", Licence: "CC-BY-4.0",
		Replaces: []string{"Red Hat"}, Documents: true, Large: true,
	}
}

// Wants implements feed.Feed.
func (*Feed) Wants(name string) bool {
	base := csaf.FileName(name)
	return name == deletions || strings.HasPrefix(base, "cve-") && path.Ext(base) == ".json"
}

// Read implements feed.Feed. Single documents come before the archive, as
// "changes" comes before "csaf_vex".
func (f *Feed) Read(_ context.Context, file feed.File, emit func(feed.Record) error) error {
	if file.Name == deletions {
		return rows(file.Name, file, func(name string, at time.Time) bool {
			f.deleted[csaf.FileName(name)] = at
			return true
		})
	}
	base := csaf.FileName(file.Name)
	archive, _, archived := strings.Cut(file.Name, "!")
	if archived && f.outdated(archive, base) {
		return nil
	}
	d, err := csaf.Read(file)
	if err != nil {
		return err
	}
	if !archived {
		f.newer[base] = true
	}
	if d.Category != "csaf_vex" {
		return d.Errorf(d.Category, "a document of category %.50q, want csaf_vex", d.Category)
	}
	if d.Status == "deleted" {
		return nil
	}
	for i := range d.Vulnerabilities {
		r, err := record(d, &d.Vulnerabilities[i])
		if err != nil {
			return err
		}
		if len(r.Affected) == 0 {
			continue
		}
		if err := emit(r); err != nil {
			return err
		}
	}
	return nil
}

// outdated reports whether a document of an archive has been replaced or deleted
// since the archive was made.
func (f *Feed) outdated(archive, base string) bool {
	if f.newer[base] {
		return true
	}
	at, ok := f.deleted[base]
	if !ok {
		return false
	}
	made, err := archiveDate(csaf.FileName(archive))
	return err != nil || !at.Before(made)
}

// archiveDate is the day in the name of an archive.
func archiveDate(name string) (time.Time, error) {
	m := archivePattern.FindStringSubmatch(name)
	if m == nil {
		return time.Time{}, fmt.Errorf("%.100q is no name of an archive", name)
	}
	return time.Parse(time.DateOnly, m[1])
}

func record(d *csaf.Document, v *csaf.Vulnerability) (feed.Record, error) {
	if v.CVE == "" {
		return feed.Record{}, d.Errorf("vulnerabilities", "a vulnerability without a CVE")
	}
	r := feed.Record{
		ID: "REDHAT-" + v.CVE, CVEs: []string{v.CVE},
		Summary: cmp.Or(v.Title, d.Title), Details: v.Note("description"),
		Severity:  d.Severity,
		Published: cmp.Or(v.Published, d.Published), Modified: d.Modified,
		URL: "https://access.redhat.com/security/cve/" + v.CVE,
	}
	if len(v.Scores) > 0 {
		r.CVSS = v.Scores[0].Vectors
	}
	type key struct {
		ecosystem, name, stream, fixed, advisory, note, severity, cvss string
		state                                                          feed.State
	}
	seen := map[key]bool{}
	for _, o := range v.Verdicts() {
		a, ok := affected(d, &o)
		if !ok {
			continue
		}
		// What is the same for all is said once.
		if strings.EqualFold(a.Severity, r.Severity) {
			a.Severity = ""
		}
		if slices.Equal(a.CVSS, r.CVSS) {
			a.CVSS = nil
		}
		// There is a product for each architecture.
		k := key{a.Ecosystem, a.Name, a.Stream, "", a.Advisory, a.Note, a.Severity, strings.Join(a.CVSS, " "), a.State}
		if len(a.Ranges) > 0 {
			k.fixed = a.Ranges[0].Fixed
		}
		if !seen[k] {
			seen[k] = true
			r.Affected = append(r.Affected, a)
		}
	}
	slices.SortStableFunc(r.Affected, func(a, b feed.Affected) int {
		return cmp.Or(cmp.Compare(a.Ecosystem, b.Ecosystem), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Stream, b.Stream),
			cmp.Compare(a.State, b.State), cmp.Compare(a.Advisory, b.Advisory))
	})
	return r, nil
}

// affected is what a verdict says of one package; ok is false for what is no
// package of a distribution.
func affected(d *csaf.Document, o *csaf.Verdict) (feed.Affected, bool) {
	eco := ecosystem(o.Product.Base().CPE)
	p, ok := component(o.Product)
	if eco == "" || !ok {
		return feed.Affected{}, false
	}
	a := feed.Affected{Ecosystem: eco, Name: p.name, Stream: p.stream, Severity: o.Impact, CVSS: o.Vectors}
	if p.source {
		a.Name = p.name + ".src"
		if p.stream != "" {
			a.Name = p.stream + "/" + a.Name
		}
	}
	switch {
	case o.Status.IsFixed():
		if p.source || p.version == "" {
			return feed.Affected{}, false
		}
		a.Ranges = []feed.Range{{Introduced: "0", Fixed: p.version}}
		if r := o.Remediation("vendor_fix"); r != nil {
			a.Advisory = advisoryID(r.URL)
		}
	case o.Status.IsAffected():
		a.Ranges = []feed.Range{{Introduced: "0"}}
		a.State, a.Note = unfixed(o)
	case o.Status == csaf.UnderInvestigation:
		a.State = feed.StateUndetermined
	default:
		// What the impact would be is of no account.
		a.State, a.Note, a.Severity, a.CVSS = feed.StateNotAffected, o.Flag, "", nil
	}
	return a, true
}

// unfixed tells what Red Hat means to do: its words stand in the remediation.
func unfixed(o *csaf.Verdict) (feed.State, string) {
	if r := o.Remediation("no_fix_planned"); r != nil {
		return feed.StateWontFix, r.Details // "Will not fix", "Out of support scope"
	}
	if r := o.Remediation("none_available"); r != nil {
		if strings.EqualFold(r.Details, "Fix deferred") {
			return feed.StateDeferred, r.Details
		}
		return feed.StateAffected, r.Details // "Affected"
	}
	return feed.StateAffected, ""
}

var errataPattern = regexp.MustCompile(`RH[SBE]A-[0-9]{4}:[0-9]+`)

func advisoryID(url string) string { return errataPattern.FindString(url) }

var cpePattern = regexp.MustCompile(`^cpe:/[ao]:redhat:([a-z0-9_-]+:[A-Za-z0-9._:~-]+)$`)

// ecosystem is the one of a product, "" if its CPE is none of a release of
// Red Hat.
func ecosystem(cpe string) string {
	m := cpePattern.FindStringSubmatch(cpe)
	if m == nil {
		return ""
	}
	return "Red Hat:" + strings.TrimRight(m[1], ":")
}

// A pkg is a package as a product names it.
type pkg struct {
	name, version, stream string
	source                bool
}

var streamPattern = regexp.MustCompile(`^[A-Za-z0-9_.+-]+:[A-Za-z0-9_.+-]+$`)

// component is the package of a product; ok is false if it is none, or one
// that no image holds.
func component(o *csaf.Product) (pkg, bool) {
	leaf := o.Leaf()
	var p pkg
	switch {
	case len(leaf.PURLs) > 0:
		u, err := packageurl.FromString(leaf.PURLs[0])
		if err != nil || u.Type != packageurl.TypeRPM || u.Name == "" {
			return pkg{}, false
		}
		q := u.Qualifiers.Map()
		p = pkg{name: u.Name, version: u.Version, stream: shortStream(q["rpmmod"]), source: q["arch"] == "src"}
		if e := q["epoch"]; e != "" && e != "0" && p.version != "" {
			p.version = e + ":" + p.version
		}
	case strings.Contains(leaf.ID, "/"):
		// "nodejs:18/nodejs" is a source package of a module; all else
		// with a slash is an image.
		module, name, _ := strings.Cut(leaf.ID, "/")
		if !streamPattern.MatchString(module) || name == "" {
			return pkg{}, false
		}
		p = pkg{name: name, stream: module, source: true}
	default:
		name, version, arch, ok := csaf.SplitRPM(leaf.ID)
		if !ok {
			// Documents of early times name source packages without a
			// package URL.
			name, arch = leaf.ID, "src"
		}
		p = pkg{name: name, version: version, source: arch == "src"}
	}
	if p.stream == "" {
		p.stream = moduleOf(o)
	}
	debug := strings.HasSuffix(p.name, "-debuginfo") || strings.HasSuffix(p.name, "-debugsource") ||
		strings.Contains(p.name, "-debuginfo-common")
	return p, !debug
}

// moduleOf is the stream of the module that a product is part of: in documents
// of earlier times a product of its own, between the package and the release
// ("pkg:rpmmod/redhat/nodejs@18:9020020231023152346:rhel9"); today the end of
// the product's id ("…::nodejs:18").
func moduleOf(o *csaf.Product) string {
	for p := o.Platform; p != nil; p = p.Platform {
		if p.Component == nil {
			break
		}
		for _, s := range p.Leaf().PURLs {
			if rest, ok := strings.CutPrefix(s, "pkg:rpmmod/redhat/"); ok {
				return shortStream(strings.Replace(rest, "@", ":", 1))
			}
		}
	}
	if _, module, ok := strings.Cut(o.ID, "::"); ok && streamPattern.MatchString(module) {
		return module
	}
	return ""
}

// shortStream is "name:stream" of "name:stream:version:context", "" of
// anything else: some documents have the name of a release there.
func shortStream(label string) string {
	name, rest, ok := strings.Cut(label, ":")
	s, _, _ := strings.Cut(rest, ":")
	if !ok || name == "" || s == "" {
		return ""
	}
	return name + ":" + s
}

// Remotes implements feed.Fetched: the archive, and one by one what has been
// changed since.
func (*Feed) Remotes(ctx context.Context, base string, get func(ctx context.Context, url string) (string, error)) ([]feed.Remote, error) {
	base = strings.TrimSuffix(cmp.Or(base, address), "/") + "/"
	text, err := get(ctx, base+"archive_latest.txt")
	if err != nil {
		return nil, err
	}
	archive := strings.TrimSpace(text)
	made, err := archiveDate(archive)
	if err != nil {
		return nil, feed.Errorf("archive_latest.txt", 1, "%w", err)
	}
	out := []feed.Remote{{URL: base + archive, Name: archive}, {URL: base + "deletions.csv", Name: deletions}}
	if text, err = get(ctx, base+"changes.csv"); err != nil {
		return nil, err
	}
	err = rows("changes.csv", strings.NewReader(text), func(name string, at time.Time) bool {
		if at.Before(made) {
			return false // the newest come first
		}
		if documentPattern.MatchString(name) {
			out = append(out, feed.Remote{URL: base + name, Name: changesDir + "/" + name})
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	if len(out) > maxChanges {
		return nil, feed.Errorf("changes.csv", maxChanges, "more than %d documents are newer than %s: %w", maxChanges, archive, feed.ErrTooLarge)
	}
	return out, nil
}

var (
	archivePattern  = regexp.MustCompile(`^csaf_vex_([0-9]{4}-[0-9]{2}-[0-9]{2})\.tar\.zst$`)
	documentPattern = regexp.MustCompile(`^[0-9]{4}/cve-[0-9]{4}-[0-9]+\.json$`)
)

// rows reads a list of documents and times until fn returns false.
func rows(file string, in io.Reader, fn func(name string, at time.Time) bool) error {
	c := csv.NewReader(bufio.NewReader(in))
	c.FieldsPerRecord, c.ReuseRecord = 2, true
	for n := 1; ; n++ {
		row, err := c.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return feed.Errorf(file, n, "%w", err)
		}
		line, _ := c.FieldPos(0)
		at, err := time.Parse(time.RFC3339, row[1])
		if err != nil {
			return feed.Errorf(file, line, "%w", err)
		}
		if n > maxRows {
			return feed.Errorf(file, line, "more than %d rows: %w", maxRows, feed.ErrTooLarge)
		}
		if !fn(row[0], at) {
			return nil
		}
	}
}
