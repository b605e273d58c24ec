// Package amazon reads the advisories of Amazon Linux (ALAS): the
// updateinfo.xml of each repository, as the package manager of a host fetches
// it. Repositories are found through the mirror.list of each and, for the
// extras of Amazon Linux 2, through extras-catalog.json
// (https://docs.aws.amazon.com/linux/al2/ug/al2-extras.html).
package amazon

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/updateinfo"
)

// A Feed is ALAS.
type Feed struct{}

// New returns the feed.
func New() Feed { return Feed{} }

// Info implements feed.Feed.
func (Feed) Info() feed.Info {
	return feed.Info{Name: "amazon", Title: "Amazon Linux security advisories (ALAS)", Replaces: []string{"Amazon Linux"}}
}

// Wants implements feed.Feed.
func (Feed) Wants(name string) bool {
	return path.Ext(name) == ".xml" && strings.Contains(path.Base(name), "updateinfo")
}

// Read implements feed.Feed.
func (Feed) Read(ctx context.Context, f feed.File, emit func(feed.Record) error) error {
	return updateinfo.Read(ctx, f, func(u updateinfo.Update) error {
		cves := u.CVEs()
		if u.Type != "security" && len(cves) == 0 {
			return nil // a bug fix
		}
		rec := feed.Record{
			ID:        u.ID,
			CVEs:      cves,
			Summary:   u.Title,
			Details:   u.Description,
			Severity:  u.Severity,
			Published: u.Issued.Millis(),
			Modified:  u.Updated.Millis(),
			URL:       address(u.ID),
		}
		if _, title, ok := strings.Cut(u.Title, u.ID+": "); ok {
			rec.Summary = title
		}
		for i := range u.Collections {
			c := &u.Collections[i]
			release, topic := collection(c.Short, u.ID)
			if release == "" {
				return feed.Errorf(f.Name, u.Line, "%s: collection %q is of no release of Amazon Linux", u.ID, c.Short)
			}
			rec.Affected = append(rec.Affected, c.Affected("Amazon Linux:"+release, begin(topic))...)
		}
		return emit(rec)
	})
}

var (
	shortPattern = regexp.MustCompile(`^amazon-linux-(ami|2|20[0-9]{2})(?:---(.+))?$`)
	idPattern    = regexp.MustCompile(`^ALAS(2|20[0-9]{2})?([A-Z][^ ]*?)?-(20[0-9]{2}-[0-9]+)$`)
)

// collection is the release that a collection is of, and the topic of extras.
// The id stands in for a collection without a name.
func collection(short, id string) (release, topic string) {
	if m := shortPattern.FindStringSubmatch(short); m != nil {
		if m[1] == "ami" {
			m[1] = "1"
		}
		return m[1], m[2]
	}
	if m := idPattern.FindStringSubmatch(id); m != nil && short == "" {
		release = m[1]
		if release == "" {
			release = "1"
		}
		return release, strings.ToLower(m[2])
	}
	return "", ""
}

var topicNumber = regexp.MustCompile(`[0-9]+(\.[0-9]+)*$`)

// begin gives the first version that an update of a topic concerns. Packages
// of extras share names with those of the core and of other topics: a topic
// that is called after a version concerns versions from that one on, or a fix
// for kernel 5.15 would call each kernel 5.10 affected.
func begin(topic string) func(updateinfo.Package) string {
	number := topicNumber.FindString(topic)
	return func(p updateinfo.Package) string {
		if number == "" || p.Version != number && !strings.HasPrefix(p.Version, number+".") {
			return "0"
		}
		if p.Epoch != "" && p.Epoch != "0" {
			return p.Epoch + ":" + number
		}
		return number
	}
}

// address is the page of an advisory. The number of the release stands in its
// path and not in its name.
func address(id string) string {
	m := idPattern.FindStringSubmatch(id)
	if m == nil {
		return ""
	}
	dir := ""
	if m[1] != "" {
		dir = "AL" + m[1] + "/"
	}
	return "https://alas.aws.amazon.com/" + dir + "ALAS" + m[2] + "-" + m[3] + ".html"
}

// A repository is one directory of the feed.
type repository struct{ name, mirrors string }

const (
	cdn    = "https://cdn.amazonlinux.com"
	legacy = "http://repo.us-west-2.amazonaws.com"
)

// Remotes implements feed.Fetched. Repositories for one processor name the
// packages of all that the release has.
func (Feed) Remotes(ctx context.Context, base string, get func(ctx context.Context, url string) (string, error)) ([]feed.Remote, error) {
	at := func(host, p string) string {
		if base != "" {
			host = strings.TrimSuffix(base, "/")
		}
		return host + p
	}
	repos := []repository{
		{"1/updates", at(legacy, "/2018.03/updates/x86_64/mirror.list")},
		{"2/core", at(cdn, "/2/core/latest/x86_64/mirror.list")},
		{"2023/core", at(cdn, "/al2023/core/mirrors/latest/x86_64/mirror.list")},
		{"2023/kernel-livepatch", at(cdn, "/al2023/kernel-livepatch/mirrors/latest/x86_64/mirror.list")},
		{"2023/nvidia", at(cdn, "/al2023/nvidia/mirrors/latest/x86_64/mirror.list")},
	}
	topics, err := extras(ctx, at(cdn, "/2/extras-catalog.json"), get)
	if err != nil {
		return nil, err
	}
	for _, t := range topics {
		repos = append(repos, repository{"2/extras/" + t, at(cdn, "/2/extras/"+t+"/latest/x86_64/mirror.list")})
	}
	var out []feed.Remote
	for _, r := range repos {
		remote, err := locate(ctx, base, r, get)
		if err != nil {
			return nil, err
		}
		if remote.URL != "" {
			out = append(out, remote)
		}
	}
	slices.SortFunc(out, func(a, b feed.Remote) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

var topicPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]*$`)

func extras(ctx context.Context, catalog string, get func(ctx context.Context, url string) (string, error)) ([]string, error) {
	text, err := get(ctx, catalog)
	if err != nil {
		return nil, fmt.Errorf("list extras of Amazon Linux 2: %w", err)
	}
	var c struct {
		Topics []struct {
			Name string `json:"n"`
		} `json:"topics"`
	}
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return nil, fmt.Errorf("list extras of Amazon Linux 2: parse %s: %w", catalog, err)
	}
	var out []string
	for _, t := range c.Topics {
		if !topicPattern.MatchString(t.Name) {
			return nil, fmt.Errorf("list extras of Amazon Linux 2: %s has a topic %q", catalog, t.Name)
		}
		out = append(out, t.Name)
	}
	return out, nil
}

// locate follows the first mirror of a repository to its updateinfo. A
// repository without one gives nothing.
func locate(ctx context.Context, base string, r repository, get func(ctx context.Context, url string) (string, error)) (feed.Remote, error) {
	list, err := get(ctx, r.mirrors)
	if err != nil {
		return feed.Remote{}, fmt.Errorf("find mirror of %s: %w", r.name, err)
	}
	mirror, _, _ := strings.Cut(strings.TrimSpace(list), "\n")
	u, err := url.Parse(strings.TrimSpace(mirror))
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return feed.Remote{}, fmt.Errorf("find mirror of %s: %s names %q", r.name, r.mirrors, mirror)
	}
	if base != "" {
		own, err := url.Parse(base)
		if err != nil {
			return feed.Remote{}, fmt.Errorf("find mirror of %s: %w", r.name, err)
		}
		u = own.JoinPath(u.Path)
	}
	repo := strings.TrimSuffix(u.String(), "/") + "/"
	md, err := get(ctx, repo+"repodata/repomd.xml")
	if err != nil {
		return feed.Remote{}, fmt.Errorf("read repository %s: %w", r.name, err)
	}
	address, name, err := updateinfo.Locate(repo, md)
	if err != nil || address == "" {
		return feed.Remote{}, err
	}
	return feed.Remote{URL: address, Name: r.name + "/" + name}, nil
}
