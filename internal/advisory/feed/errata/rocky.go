package errata

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/advisory/feed"
)

const (
	// rockyPage is how many advisories Rocky Linux's server gives at once.
	rockyPage = 100
	// maxRockyPages bounds the pages; there are about 90.
	maxRockyPages = 5000
)

type rocky struct{}

// Rocky is Rocky Linux's errata, as Apollo serves them in pages, the newest
// first: https://apollo.build.resf.org/api/v3/advisories/. The updateinfo.xml of
// its repositories has no streams, and no advisories of releases that are over.
func Rocky() feed.Fetched { return rocky{} }

func (rocky) Info() feed.Info {
	return feed.Info{Name: "rocky", Title: "Rocky Linux errata", Licence: "BSD-3-Clause", Replaces: []string{"Rocky Linux"}, ByRelease: true}
}

func (rocky) Remotes(ctx context.Context, base string, get func(context.Context, string) (string, error)) ([]feed.Remote, error) {
	if base == "" {
		base = "https://apollo.build.resf.org"
	}
	url := func(size, page int) string {
		return fmt.Sprintf("%s/api/v3/advisories/?size=%d&page=%d", base, size, page)
	}
	text, err := get(ctx, url(1, 1))
	if err != nil {
		return nil, err
	}
	var first struct {
		Total int `json:"total"`
	}
	if err := json.Unmarshal([]byte(text), &first); err != nil {
		return nil, fmt.Errorf("%s: %w", url(1, 1), err)
	}
	pages := (first.Total + rockyPage - 1) / rockyPage
	if pages < 1 || pages > maxRockyPages {
		return nil, fmt.Errorf("%s: %d advisories in all: %w", url(1, 1), first.Total, feed.ErrTooLarge)
	}
	var out []feed.Remote
	for p := 1; p <= pages; p++ {
		out = append(out, feed.Remote{URL: url(rockyPage, p), Name: fmt.Sprintf("page-%04d.json", p)})
	}
	return out, nil
}

func (rocky) Wants(name string) bool { return path.Ext(name) == ".json" }

type rockyAdvisory struct {
	Name        string `json:"name"`
	Synopsis    string `json:"synopsis"`
	Description string `json:"description"`
	Severity    string `json:"severity"`
	Published   string `json:"published_at"`
	Updated     string `json:"updated_at"`
	CVEs        []struct {
		CVE    string `json:"cve"`
		Vector string `json:"cvss3_scoring_vector"`
	} `json:"cves"`
	Packages []struct {
		NEVRA   string `json:"nevra"`
		Module  string `json:"module_name"`
		Stream  string `json:"module_stream"`
		Product string `json:"product_name"`
	} `json:"packages"`
}

func (rocky) Read(ctx context.Context, f feed.File, emit func(feed.Record) error) error {
	return readList(ctx, f, "advisories", emit, func(a *rockyAdvisory) (feed.Record, error) {
		r, err := a.record()
		if err != nil {
			return r, fmt.Errorf("advisory %.60q: %w", a.Name, err)
		}
		return r, nil
	})
}

func (a *rockyAdvisory) record() (feed.Record, error) {
	if !id.MatchString(a.Name) {
		return feed.Record{}, errID
	}
	if len(a.Packages) > maxBuilds {
		return feed.Record{}, fmt.Errorf("%d packages: %w", len(a.Packages), feed.ErrTooLarge)
	}
	r := feed.Record{ID: a.Name, Summary: a.Synopsis, Details: a.Description, Severity: a.Severity,
		Published: millis(a.Published), Modified: millis(a.Updated), URL: "https://errata.rockylinux.org/" + a.Name}
	var ids []string
	for _, c := range a.CVEs {
		ids = append(ids, c.CVE)
		if strings.HasPrefix(c.Vector, "CVSS:") {
			r.CVSS = append(r.CVSS, c.Vector)
		}
	}
	r.CVEs = cves(ids)
	var builds []build
	for _, p := range a.Packages {
		name, version, arch, err := nevra(p.NEVRA)
		if err != nil {
			return feed.Record{}, err
		}
		if arch == "src" {
			continue
		}
		eco, err := rockyEcosystem(p.Product)
		if err != nil {
			return feed.Record{}, err
		}
		b := build{ecosystem: eco, name: name, version: version}
		if p.Module != "" && p.Stream != "" {
			b.stream = p.Module + ":" + p.Stream
		}
		builds = append(builds, b)
	}
	r.Affected = affected(builds)
	return r, nil
}

// product is "Rocky Linux 9 x86_64" or "Rocky Linux 8.5 aarch64 (Legacy)".
var product = regexp.MustCompile(`^Rocky Linux ([0-9]+)(?:\.[0-9]+)? [a-z0-9_]+(?: \(.*\))?$`)

// rockyEcosystem is the ecosystem of a product. What is no release itself, like
// the rebuilds of interest groups ("Rocky Linux SIG Cloud 8 x86_64"), has
// versions that cannot be compared with those of the release, and stands apart.
func rockyEcosystem(name string) (string, error) {
	if m := product.FindStringSubmatch(name); m != nil {
		return "Rocky Linux:" + m[1], nil
	}
	rest, ok := strings.CutPrefix(name, "Rocky Linux ")
	if !ok || rest == "" {
		return "", fmt.Errorf("product %.60q", name)
	}
	return "Rocky Linux:" + rest, nil
}

// nevra takes "oci-umount-2:2.3.4-2.el8.x86_64.rpm" apart.
func nevra(s string) (name, version, arch string, err error) {
	rest := strings.TrimSuffix(s, ".rpm")
	if i := strings.LastIndexByte(rest, '.'); i >= 0 {
		rest, arch = rest[:i], rest[i+1:]
	}
	release := ""
	if i := strings.LastIndexByte(rest, '-'); i >= 0 {
		rest, release = rest[:i], rest[i+1:]
	}
	if i := strings.LastIndexByte(rest, '-'); i >= 0 {
		rest, version = rest[:i], rest[i+1:]
	}
	epoch, v, ok := strings.Cut(version, ":")
	if !ok {
		epoch, v = "", version
	}
	version, err = evr(epoch, v, release)
	if err != nil || rest == "" || arch == "" {
		return "", "", "", fmt.Errorf("%.100q is no name of a package", s)
	}
	return rest, version, arch, nil
}

// millis reads a time as Unix milliseconds, 0 for none.
func millis(s string) int64 {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return 0
	}
	return t.UnixMilli()
}
