// Package secdb reads the security databases of distributions whose packages
// are apks: Alpine's at https://secdb.alpinelinux.org/, one file for each
// release and repository, and those of Wolfi and Chainguard, which have the
// same form in one file. A file lists, for each source package, the versions
// that fixed something and what they fixed; the version "0" stands for what
// never concerned the package (APKBUILD(5), secfixes).
//
// Wolfi's and Chainguard's records may not be used by everyone: see
// https://github.com/wolfi-dev/advisories and Chainguard's terms. The operator
// has to name these feeds.
package secdb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/advisory/feed"
)

const (
	// maxFiles bounds the files that an index names; Alpine has 50.
	maxFiles = 1000
	// maxPackages bounds those that wait for the release, and maxFixes what
	// one package lists. Alpine has 2,000 packages.
	maxPackages = 100_000
	maxFixes    = 100_000
)

// A Feed is the security database of one distribution.
type Feed struct {
	info feed.Info
	// ecosystem of its packages, to which Alpine adds the release.
	ecosystem string
	released  bool
	// prefix of the ids of records.
	prefix string
	// page of one vulnerability.
	page string
	// publisher is the address of security.json, or of Alpine's listing of
	// releases.
	publisher string
}

// Alpine is Alpine's database.
func Alpine() *Feed {
	return &Feed{
		info: feed.Info{
			Name:      "alpine",
			Title:     "Alpine security database",
			Licence:   "CC-BY-SA-4.0",
			Replaces:  []string{"Alpine"},
			ByRelease: true,
		},
		ecosystem: "Alpine",
		released:  true,
		prefix:    "ALPINE-",
		page:      "https://security.alpinelinux.org/vuln/",
		publisher: "https://secdb.alpinelinux.org",
	}
}

// Wolfi is Wolfi's database. OSV's records of Wolfi stay beside it: they say
// which GHSA and CVE are the same.
func Wolfi() *Feed {
	return &Feed{
		info:      feed.Info{Name: "wolfi", Title: "Wolfi security database", OptIn: true},
		ecosystem: "Wolfi",
		prefix:    "WOLFI-",
		page:      "https://images.chainguard.dev/security/",
		publisher: "https://packages.wolfi.dev/os",
	}
}

// Chainguard is the database of Chainguard's own packages, with the reserve
// made for Wolfi.
func Chainguard() *Feed {
	return &Feed{
		info:      feed.Info{Name: "chainguard", Title: "Chainguard security database", OptIn: true},
		ecosystem: "Chainguard",
		prefix:    "CHAINGUARD-",
		page:      "https://images.chainguard.dev/security/",
		publisher: "https://packages.cgr.dev/chainguard",
	}
}

// Info implements feed.Feed.
func (d *Feed) Info() feed.Info { return d.info }

// Wants implements feed.Feed.
func (d *Feed) Wants(name string) bool { return path.Ext(name) == ".json" }

var (
	releaseLink    = regexp.MustCompile(`href="((?:edge|v[0-9]+\.[0-9]+)/)"`)
	repositoryLink = regexp.MustCompile(`href="([a-z]+\.json)"`)
)

// Remotes implements feed.Fetched. It reads Alpine's listings: releases, and
// the repositories of each.
func (d *Feed) Remotes(ctx context.Context, base string, get func(context.Context, string) (string, error)) ([]feed.Remote, error) {
	if base == "" {
		base = d.publisher
	}
	if !d.released {
		return []feed.Remote{{URL: base + "/security.json", Name: "security.json"}}, nil
	}
	releases, err := links(ctx, base+"/", releaseLink, get)
	if err != nil {
		return nil, err
	}
	var out []feed.Remote
	for _, r := range releases {
		files, err := links(ctx, base+"/"+r, repositoryLink, get)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			out = append(out, feed.Remote{URL: base + "/" + r + f, Name: r + f})
		}
	}
	if len(out) > maxFiles {
		return nil, fmt.Errorf("%s lists %d files: %w", base, len(out), feed.ErrTooLarge)
	}
	return out, nil
}

func links(ctx context.Context, url string, pattern *regexp.Regexp, get func(context.Context, string) (string, error)) ([]string, error) {
	text, err := get(ctx, url)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, m := range pattern.FindAllStringSubmatch(text, maxFiles+1) {
		out = append(out, m[1])
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s lists nothing that this feed reads", url)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// A pkg is one source package.
type pkg struct {
	Name     string              `json:"name"`
	Secfixes map[string][]string `json:"secfixes"`
	line     int
}

// release is the form of Alpine's distroversion.
var release = regexp.MustCompile(`^(edge|v[0-9]+\.[0-9]+)$`)

// Read implements feed.Feed. It emits one record for each package of a
// vulnerability. Packages that stand before the release, which they never do in
// files of Alpine, wait for it.
func (d *Feed) Read(ctx context.Context, f feed.File, emit func(feed.Record) error) error {
	var waiting []pkg
	listed := false
	ecosystem := d.ecosystem
	if d.released {
		ecosystem = ""
	}
	records := func(p pkg) error {
		for _, r := range d.records(ecosystem, p) {
			if err := emit(r); err != nil {
				return feed.Errorf(f.Name, p.line, "%w", err)
			}
		}
		return ctx.Err()
	}
	s := feed.NewJSONStream(f)
	err := s.Object(func(key string) error {
		switch key {
		case "distroversion":
			var version string
			if err := s.Decode(&version); err != nil {
				return err
			}
			if d.released && !release.MatchString(version) {
				return fmt.Errorf("no release: %.40q", version)
			}
			if d.released {
				ecosystem = d.ecosystem + ":" + version
			}
			return nil
		case "packages":
			listed = true
			return s.Array(func() error {
				var e struct {
					Pkg pkg `json:"pkg"`
				}
				if err := s.Decode(&e); err != nil {
					return err
				}
				e.Pkg.line = s.Line()
				if err := e.Pkg.check(); err != nil {
					return err
				}
				if ecosystem != "" {
					return records(e.Pkg)
				}
				if waiting = append(waiting, e.Pkg); len(waiting) > maxPackages {
					return fmt.Errorf("more than %d packages before the release: %w", maxPackages, feed.ErrTooLarge)
				}
				return nil
			})
		default:
			var other any
			return s.Decode(&other)
		}
	})
	if err == nil {
		err = s.End()
	}
	switch {
	case err != nil:
		return err
	case !listed:
		return feed.Errorf(f.Name, s.Line(), "no packages")
	case ecosystem == "":
		return feed.Errorf(f.Name, s.Line(), "no distroversion")
	}
	for _, p := range waiting {
		if err := records(p); err != nil {
			return err
		}
	}
	return nil
}

func (p *pkg) check() error {
	if p.Name == "" {
		return errors.New("a package without a name")
	}
	n := 0
	for v, ids := range p.Secfixes {
		if v == "" {
			return fmt.Errorf("%s: a fix without a version", p.Name)
		}
		n += len(ids)
	}
	if n > maxFixes {
		return fmt.Errorf("%s: %d fixes: %w", p.Name, n, feed.ErrTooLarge)
	}
	return nil
}

// records are those of one package, by id. A vulnerability that stands at
// several versions was not mended by the first: it has an entry for each.
func (d *Feed) records(ecosystem string, p pkg) []feed.Record {
	byID := map[string]*feed.Record{}
	for _, v := range slices.Sorted(maps.Keys(p.Secfixes)) {
		for _, text := range p.Secfixes[v] {
			for _, n := range names(text) {
				r := byID[n.id]
				if r == nil {
					r = &feed.Record{ID: d.prefix + n.id, CVEs: n.cves, URL: d.page + n.id}
					byID[n.id] = r
				}
				r.Aliases = append(r.Aliases, n.aliases...)
				a := feed.Affected{Ecosystem: ecosystem, Name: p.Name, State: feed.StateNotAffected}
				if text != n.id {
					a.Note = text
				}
				if v != "0" {
					a.State = feed.StateAffected
					a.Ranges = []feed.Range{{Introduced: "0", Fixed: v}}
				}
				r.Affected = append(r.Affected, a)
			}
		}
	}
	out := make([]feed.Record, 0, len(byID))
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		out = append(out, *byID[id])
	}
	return out
}

// A name is what one entry of a fix names.
type name struct {
	id            string
	cves, aliases []string
}

var (
	// Some entries write CVE_2019-2426.
	cve  = regexp.MustCompile(`\bCVE[-_]([0-9]{4}-[0-9]{4,19})\b`)
	ghsa = regexp.MustCompile(`\bGHSA(?:-[0-9a-z]{4}){3}\b`)
	// otherID is an id that is neither: XSA-…, TALOS-…, VSV00001.
	otherID = regexp.MustCompile(`^[A-Z]+[-_]?[A-Za-z0-9-]*[0-9][A-Za-z0-9._-]*$`)
)

// names reads one entry: most are a single CVE, some add other ids or a remark
// ("CVE-2017-2616 (+ regression fix)", "CVE N/A ZBX-11023"), and some are about
// several CVEs. A GHSA is the same vulnerability as the CVE it stands with;
// other ids stand for several. An entry without any id is its own.
func names(text string) []name {
	var cves []string
	for _, m := range cve.FindAllStringSubmatch(text, -1) {
		cves = append(cves, "CVE-"+m[1])
	}
	slices.Sort(cves)
	cves = slices.Compact(cves)
	same := ghsa.FindAllString(text, -1)
	switch {
	case len(cves) == 1:
		return []name{{cves[0], cves, same}}
	case len(cves) > 1:
		var out []name
		for _, c := range cves {
			out = append(out, name{id: c, cves: []string{c}})
		}
		return out
	case len(same) > 0:
		// The record's own id has the distribution in front.
		return []name{{id: same[0], aliases: same}}
	}
	for _, w := range strings.Fields(text) {
		if w = strings.Trim(w, "(),;"); otherID.MatchString(w) {
			return []name{{id: w, aliases: []string{w}}}
		}
	}
	if w := strings.Join(strings.Fields(text), "-"); w != "" {
		return []name{{id: w}}
	}
	return nil
}
