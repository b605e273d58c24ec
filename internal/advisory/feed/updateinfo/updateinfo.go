// Package updateinfo reads updateinfo.xml, the metadata by which repositories
// of rpm packages tell of their updates, and finds it in the repository. The
// elements are those that dnf and createrepo_c read and write
// (https://github.com/rpm-software-management/createrepo_c, updateinfo).
package updateinfo

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/advisory/feed"
)

// Limits on one update. The largest real ones, of kernels and of texlive, name
// 13,000 packages.
const (
	maxPackages   = 200_000
	maxReferences = 10_000
)

// An Update is one advisory.
type Update struct {
	// Type is "security", "bugfix", "enhancement" or "newpackage".
	Type        string       `xml:"type,attr"`
	Status      string       `xml:"status,attr"`
	ID          string       `xml:"id"`
	Title       string       `xml:"title"`
	Issued      Date         `xml:"issued"`
	Updated     Date         `xml:"updated"`
	Severity    string       `xml:"severity"`
	Release     string       `xml:"release"`
	Summary     string       `xml:"summary"`
	Description string       `xml:"description"`
	References  []Reference  `xml:"references>reference"`
	Collections []Collection `xml:"pkglist>collection"`
	// Line where it starts.
	Line int `xml:"-"`
}

// A Date stands in an attribute.
type Date struct {
	Date string `xml:"date,attr"`
}

// A Reference is one of the places that an update names.
type Reference struct {
	Href  string `xml:"href,attr"`
	ID    string `xml:"id,attr"`
	Title string `xml:"title,attr"`
	// Type is "cve", "bugzilla", "self" and the like.
	Type string `xml:"type,attr"`
}

// A Collection is the packages of one repository or module.
type Collection struct {
	// Short names it for programs: "amazon-linux-2", "F41".
	Short    string    `xml:"short,attr"`
	Name     string    `xml:"name"`
	Module   *Module   `xml:"module"`
	Packages []Package `xml:"package"`
}

// A Module is a build of a module stream.
type Module struct {
	Name   string `xml:"name,attr"`
	Stream string `xml:"stream,attr"`
}

// Label is "name:stream", "" for no module.
func (m *Module) Label() string {
	if m == nil || m.Name == "" || m.Stream == "" {
		return ""
	}
	return m.Name + ":" + m.Stream
}

// A Package is one rpm that has the update.
type Package struct {
	Name    string `xml:"name,attr"`
	Epoch   string `xml:"epoch,attr"`
	Version string `xml:"version,attr"`
	Release string `xml:"release,attr"`
	Arch    string `xml:"arch,attr"`
	// Source is the file name of the source rpm, where it is said.
	Source string `xml:"src,attr"`
}

// EVR is the version as rpm writes it; an epoch of 0 is left out.
func (p Package) EVR() string {
	v := p.Version + "-" + p.Release
	if p.Epoch != "" && p.Epoch != "0" {
		v = p.Epoch + ":" + v
	}
	return v
}

// Read calls fn for every update of a file. An error of fn is given the line
// of its update.
func Read(ctx context.Context, f feed.File, fn func(Update) error) error {
	s := feed.NewXMLStream(f)
	root := true
	return s.Elements(func(e xml.StartElement) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if root {
			root = false
			if e.Name.Local != "updates" {
				return feed.Errorf(f.Name, s.Line(), "the document is %q, want updates", e.Name.Local)
			}
			return nil
		}
		if e.Name.Local != "update" {
			return s.Pass()
		}
		u := Update{Line: s.Line()}
		if err := s.Decode(&u, e); err != nil {
			return err
		}
		if err := u.check(); err != nil {
			return feed.Errorf(f.Name, u.Line, "%w", err)
		}
		return fn(u)
	})
}

// check tidies an update up, and fails if it lacks what it is about.
func (u *Update) check() error {
	u.ID, u.Title = strings.TrimSpace(u.ID), strings.TrimSpace(u.Title)
	if u.ID == "" {
		return fmt.Errorf("an update has no id")
	}
	if len(u.References) > maxReferences {
		return fmt.Errorf("%s: %d references: %w", u.ID, len(u.References), feed.ErrTooLarge)
	}
	n := 0
	for i := range u.Collections {
		n += len(u.Collections[i].Packages)
		for _, p := range u.Collections[i].Packages {
			if p.Name == "" || p.Version == "" || p.Release == "" {
				return fmt.Errorf("%s: package %q of version %q and release %q", u.ID, p.Name, p.Version, p.Release)
			}
		}
	}
	if n > maxPackages {
		return fmt.Errorf("%s: %d packages: %w", u.ID, n, feed.ErrTooLarge)
	}
	return nil
}

var cvePattern = regexp.MustCompile(`CVE-[0-9]{4}-[0-9]{4,19}`)

// CVEs are those that the references name, by their id or title, sorted.
func (u *Update) CVEs() []string {
	var out []string
	for _, r := range u.References {
		out = append(out, cvePattern.FindAllString(r.ID+" "+r.Title, -1)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// layouts of dates, all of them in UTC.
var layouts = []string{"2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly, time.RFC3339}

// Millis is the date in Unix milliseconds, 0 if it is none: dates only inform.
func (d Date) Millis() int64 {
	for _, l := range layouts {
		if t, err := time.Parse(l, strings.TrimSpace(d.Date)); err == nil {
			return max(0, t.UnixMilli())
		}
	}
	return 0
}

// Affected are the packages of one collection as a record has them, each name
// and version once: architectures are not told apart. Source rpms are not
// installed and left out. begin gives the first affected version for a fix.
func (c *Collection) Affected(ecosystem string, begin func(Package) string) []feed.Affected {
	var out []feed.Affected
	seen := map[[2]string]bool{}
	for _, p := range c.Packages {
		k := [2]string{p.Name, p.EVR()}
		if p.Arch == "src" || p.Arch == "nosrc" || seen[k] {
			continue
		}
		seen[k] = true
		from := "0"
		if begin != nil {
			from = begin(p)
		}
		out = append(out, feed.Affected{
			Ecosystem: ecosystem,
			Name:      p.Name,
			Ranges:    []feed.Range{{Introduced: from, Fixed: p.EVR()}},
			Stream:    c.Module.Label(),
		})
	}
	slices.SortStableFunc(out, func(a, b feed.Affected) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Locate finds updateinfo in the repomd.xml of the repository at base, an
// address that ends with a slash. The name of the file there is returned too,
// which tells its compression; both are empty if the repository has none.
func Locate(base, repomd string) (address, name string, err error) {
	var md struct {
		Data []struct {
			Type     string `xml:"type,attr"`
			Location struct {
				Href string `xml:"href,attr"`
			} `xml:"location"`
		} `xml:"data"`
	}
	if err := xml.Unmarshal([]byte(repomd), &md); err != nil {
		return "", "", fmt.Errorf("parse repomd.xml of %s: %w", base, err)
	}
	for _, d := range md.Data {
		if d.Type != "updateinfo" || d.Location.Href == "" {
			continue
		}
		u, err := url.Parse(base)
		if err != nil {
			return "", "", fmt.Errorf("parse address of repository: %w", err)
		}
		href, err := url.Parse(d.Location.Href)
		if err != nil || href.IsAbs() || href.Host != "" || strings.HasPrefix(href.Path, "/") || slices.Contains(strings.Split(href.Path, "/"), "..") {
			return "", "", fmt.Errorf("parse repomd.xml of %s: updateinfo at %q", base, d.Location.Href)
		}
		// The name begins with a checksum in most repositories.
		name := path.Base(href.Path)
		if _, rest, ok := strings.Cut(name, "updateinfo"); ok {
			name = "updateinfo" + rest
		}
		return u.JoinPath(href.Path).String(), name, nil
	}
	return "", "", nil
}
