// Package debian reads Debian's security tracker: the JSON that it publishes
// at https://security-tracker.debian.org/tracker/data/json, one object that
// holds source packages, their CVEs, and what is known of each release. What
// the values mean stands in
// https://security-team.debian.org/security_tracker.html.
//
// Beside it may lie the lists of advisories, data/DSA/list and data/DLA/list of
// https://salsa.debian.org/security-tracker-team/security-tracker. From them
// comes the id of the advisory that published a fix. They are named DSA.list
// and DLA.list here, so that they are read before the JSON.
package debian

import (
	"bufio"
	"context"
	"errors"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/advisory/feed"
)

const (
	publisher = "https://security-tracker.debian.org"
	lists     = "https://salsa.debian.org/security-tracker-team/security-tracker/-/raw/master"

	// maxLineBytes is the longest line of a list of advisories. The longest
	// real ones, kernels with hundreds of CVEs, have 20 kB.
	maxLineBytes = 1 << 20
	// maxListed bounds the fixes that the lists name; there are 30,000.
	maxListed = 1_000_000
)

// A Feed is the security tracker. It keeps in mind the fixes of the lists.
type Feed struct {
	// advisories are ids by the fix they published.
	advisories map[fix]string
}

type fix struct{ release, pkg, version string }

// New returns the feed.
func New() *Feed { return &Feed{advisories: map[fix]string{}} }

// Info implements feed.Feed.
func (*Feed) Info() feed.Info {
	return feed.Info{
		Name:         "debian",
		Title:        "Debian security tracker",
		Licence:      "MIT",
		Replaces:     []string{"Debian"},
		KeepsBundles: true,
		ByRelease:    true,
	}
}

// Remotes implements feed.Fetched.
func (*Feed) Remotes(_ context.Context, base string, _ func(context.Context, string) (string, error)) ([]feed.Remote, error) {
	tracker, salsa := publisher, lists
	if base != "" {
		tracker, salsa = base, base
	}
	return []feed.Remote{
		{URL: salsa + "/data/DLA/list", Name: "DLA.list"},
		{URL: salsa + "/data/DSA/list", Name: "DSA.list"},
		{URL: tracker + "/tracker/data/json", Name: "tracker.json"},
	}, nil
}

// Wants implements feed.Feed. A copy of the tracker's repository holds its
// configuration in JSON too.
func (*Feed) Wants(name string) bool {
	base := path.Base(name)
	return isList(name) || base == "json" || path.Ext(base) == ".json" && base != "config.json"
}

// isList reports whether the name is that of a list of advisories: our own
// for it, or the one in a copy of the tracker's repository.
func isList(name string) bool {
	for _, kind := range []string{"DSA", "DLA"} {
		if path.Base(name) == kind+".list" || strings.HasSuffix("/"+name, "/data/"+kind+"/list") {
			return true
		}
	}
	return false
}

// Read implements feed.Feed. It emits one record for each package of a CVE.
func (d *Feed) Read(ctx context.Context, f feed.File, emit func(feed.Record) error) error {
	if isList(f.Name) {
		return d.list(f)
	}
	s := feed.NewJSONStream(f)
	err := s.Object(func(pkg string) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return s.Object(func(id string) error {
			var i issue
			if err := s.Decode(&i); err != nil {
				return err
			}
			r, err := d.record(pkg, id, &i)
			if err != nil {
				return feed.Errorf(f.Name, s.Line(), "%s of %s: %w", id, pkg, err)
			}
			return emit(r)
		})
	})
	if err != nil {
		return err
	}
	return s.End()
}

// An issue is one CVE of one source package.
type issue struct {
	Description string             `json:"description"`
	Releases    map[string]release `json:"releases"`
}

// A release is what the tracker says of one release. FixedVersion may be there
// while the status is "open": then the fix is made and not in the archive yet.
type release struct {
	Status       string  `json:"status"`
	FixedVersion *string `json:"fixed_version"`
	Urgency      string  `json:"urgency"`
	NoDSA        string  `json:"nodsa"`
	NoDSAReason  string  `json:"nodsa_reason"`
}

var (
	errNoReleases = errors.New("no releases")
	errStatus     = errors.New("neither open, nor resolved, nor undetermined")
	cve           = regexp.MustCompile(`^CVE-[0-9]{4}-[0-9]{4,19}$`)
)

func (d *Feed) record(pkg, id string, i *issue) (feed.Record, error) {
	r := feed.Record{ID: id, Details: i.Description, URL: publisher + "/tracker/" + id}
	if cve.MatchString(id) {
		r.ID = "DEBIAN-" + id
		r.CVEs = []string{id}
	}
	if len(i.Releases) == 0 {
		return feed.Record{}, errNoReleases
	}
	for name, rel := range i.Releases {
		a, err := d.affected(pkg, name, rel)
		if err != nil {
			return feed.Record{}, err
		}
		r.Affected = append(r.Affected, a)
	}
	slices.SortFunc(r.Affected, func(a, b feed.Affected) int { return strings.Compare(a.Ecosystem, b.Ecosystem) })
	return r, nil
}

func (d *Feed) affected(pkg, codename string, rel release) (feed.Affected, error) {
	a := feed.Affected{
		Ecosystem: "Debian:" + number(codename),
		Name:      pkg,
		Note:      note(rel),
		// Stars mark an urgency that the tracker set by itself.
		Severity: strings.TrimRight(rel.Urgency, "*"),
	}
	fixed := ""
	if rel.FixedVersion != nil {
		fixed = *rel.FixedVersion
	}
	switch rel.Status {
	case "resolved":
		// "0" says that no version of this release was ever affected. A
		// release without a fixed version has lost what was affected.
		if fixed == "0" || fixed == "" {
			a.State = feed.StateNotAffected
			return a, nil
		}
		a.Advisory = d.advisories[fix{codename, pkg, fixed}]
	case "open":
		if fixed == "0" {
			fixed = ""
		}
		a.State = openState(rel)
	case "undetermined":
		a.State = feed.StateUndetermined
		return a, nil
	default:
		return feed.Affected{}, errStatus
	}
	a.Ranges = []feed.Range{{Introduced: "0", Fixed: fixed}}
	return a, nil
}

// openState tells what Debian is going to do about an issue. A note without a
// reason only says that there will be no advisory of its own for it.
func openState(rel release) feed.State {
	switch {
	case rel.NoDSAReason == "ignored" || rel.Urgency == "end-of-life":
		return feed.StateWontFix
	case rel.NoDSAReason == "postponed":
		return feed.StateDeferred
	default:
		return feed.StateAffected
	}
}

// note is why a release is as it is: what the tracker notes, or an urgency
// that stands for a decision.
func note(rel release) string {
	if rel.NoDSA == "" && (rel.Urgency == "unimportant" || rel.Urgency == "end-of-life") {
		return rel.Urgency
	}
	return rel.NoDSA
}

// number is the number of a release (https://www.debian.org/releases/).
// Unstable has none, and one whose number is not settled yet keeps its name.
func number(codename string) string {
	for i, name := range []string{
		"etch", "lenny", "squeeze", "wheezy", "jessie", "stretch", "buster", "bullseye", "bookworm", "trixie", "forky", "duke",
	} {
		if name == codename {
			return []string{"4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"}[i]
		}
	}
	return codename
}

var (
	heading = regexp.MustCompile(`^\[[^\]]*\] (D[SL]A-[0-9]+(?:-[0-9]+)?) `)
	build   = regexp.MustCompile(`^\s+\[([a-z]+)\] - (\S+) ([^<\s]\S*)`)
)

// list learns which advisory published which fix:
//
//	[02 Nov 2023] DSA-5546-1 chromium - security update
//		{CVE-2023-5480 CVE-2023-5482}
//		[bookworm] - chromium 119.0.6045.105-1~deb12u1
func (d *Feed) list(f feed.File) error {
	sc := bufio.NewScanner(f)
	sc.Buffer(make([]byte, 0, 64<<10), maxLineBytes)
	line, id := 0, ""
	for sc.Scan() {
		line++
		text := sc.Text()
		switch {
		case strings.TrimSpace(text) == "":
		case text[0] != ' ' && text[0] != '\t':
			m := heading.FindStringSubmatch(text)
			if m == nil {
				return feed.Errorf(f.Name, line, "no heading of an advisory: %.80q", text)
			}
			id = m[1]
		case id == "":
			return feed.Errorf(f.Name, line, "a line of no advisory: %.80q", text)
		default:
			if m := build.FindStringSubmatch(text); m != nil {
				// The newest advisory stands first. Where several name one
				// version, the oldest published it.
				d.advisories[fix{strings.Clone(m[1]), strings.Clone(m[2]), strings.Clone(m[3])}] = strings.Clone(id)
			}
		}
		if len(d.advisories) > maxListed {
			return feed.Errorf(f.Name, line, "more than %d fixes: %w", maxListed, feed.ErrTooLarge)
		}
	}
	if err := sc.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			err = feed.ErrTooLarge
		}
		return feed.Errorf(f.Name, line+1, "read: %w", err)
	}
	return nil
}
