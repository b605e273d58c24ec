package errata

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/onceover/onceover/internal/advisory/feed"
)

// almaReleases are the releases that AlmaLinux has errata for.
var almaReleases = []string{"8", "9", "10"}

type alma struct{}

// Alma is AlmaLinux's errata: https://errata.almalinux.org/8/errata.full.json
// and the same of the other releases.
func Alma() feed.Fetched { return alma{} }

func (alma) Info() feed.Info {
	return feed.Info{Name: "alma", Title: "AlmaLinux errata", Licence: "MIT", Replaces: []string{"AlmaLinux"}, ByRelease: true}
}

func (alma) Remotes(_ context.Context, base string, _ func(context.Context, string) (string, error)) ([]feed.Remote, error) {
	if base == "" {
		base = "https://errata.almalinux.org"
	}
	var out []feed.Remote
	for _, r := range almaReleases {
		name := r + "/errata.full.json"
		out = append(out, feed.Remote{URL: base + "/" + name, Name: name})
	}
	return out, nil
}

func (alma) Wants(name string) bool { return path.Base(name) == "errata.full.json" }

// almaAdvisory is one advisory; dates are Unix seconds.
type almaAdvisory struct {
	ID          string `json:"id"`
	Issued      int64  `json:"issued_date"`
	Updated     int64  `json:"updated_date"`
	Severity    string `json:"severity"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Packages    []struct {
		Name    string `json:"name"`
		Epoch   string `json:"epoch"`
		Version string `json:"version"`
		Release string `json:"release"`
		Arch    string `json:"arch"`
		// Module is "name:stream:version:context:arch", or nothing.
		Module string `json:"module"`
	} `json:"packages"`
	References []struct {
		ID   string `json:"id"`
		Type string `json:"type"`
		HRef string `json:"href"`
	} `json:"references"`
}

func (alma) Read(ctx context.Context, f feed.File, emit func(feed.Record) error) error {
	return readList(ctx, f, "data", emit, func(a *almaAdvisory) (feed.Record, error) {
		r, err := a.record(f.Name)
		if err != nil {
			return r, fmt.Errorf("advisory %.60q: %w", a.ID, err)
		}
		return r, nil
	})
}

var (
	errID        = errors.New("no id of an advisory")
	errNoRelease = errors.New("no release: neither a page of its own nor the directory tells it")
	almaPage     = regexp.MustCompile(`^https://errata\.almalinux\.org/([0-9]+)/`)
	number       = regexp.MustCompile(`^[0-9]+$`)
)

func (a *almaAdvisory) record(file string) (feed.Record, error) {
	if !id.MatchString(a.ID) {
		return feed.Record{}, errID
	}
	if len(a.Packages) > maxBuilds {
		return feed.Record{}, fmt.Errorf("%d packages: %w", len(a.Packages), feed.ErrTooLarge)
	}
	r := feed.Record{ID: a.ID, Summary: a.Title, Details: a.Description, Severity: a.Severity,
		Published: a.Issued * 1000, Modified: a.Updated * 1000}
	release := path.Base(path.Dir(file))
	if !number.MatchString(release) {
		release = ""
	}
	var ids []string
	for _, ref := range a.References {
		switch ref.Type {
		case "cve":
			ids = append(ids, ref.ID)
		case "self":
			r.URL = ref.HRef
			if m := almaPage.FindStringSubmatch(ref.HRef); m != nil {
				release = m[1]
			}
		}
	}
	if release == "" {
		return feed.Record{}, errNoRelease
	}
	if r.URL == "" {
		r.URL = "https://errata.almalinux.org/" + release + "/" + strings.ReplaceAll(a.ID, ":", "-") + ".html"
	}
	r.CVEs = cves(ids)
	var builds []build
	for _, p := range a.Packages {
		if p.Arch == "src" {
			continue
		}
		v, err := evr(p.Epoch, p.Version, p.Release)
		if err != nil {
			return feed.Record{}, fmt.Errorf("package %q: %w", p.Name, err)
		}
		builds = append(builds, build{"AlmaLinux:" + release, p.Name, stream(p.Module), v})
	}
	r.Affected = affected(builds)
	return r, nil
}

// stream is "name:stream" of a module.
func stream(module string) string {
	part := strings.SplitN(module, ":", 3)
	if len(part) < 2 {
		return ""
	}
	return part[0] + ":" + part[1]
}
