// Package custom reads advisories in a format of our own, for distributions
// whose feeds are not public and for packages of one's own. The format is
// described in docs/feeds.md and docs/schema/advisory-v1.schema.json: one JSON
// object for each advisory, one a line in files named *.jsonl, one or an array
// of them in files named *.json.
//
// It is strict, because whoever writes a file by hand or by a program of his
// own has to learn what is wrong with it: a field that is not known, a value
// of another type, a state that does not exist, a version that cannot be
// compared are errors with their line, and nothing of the file is used.
package custom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	gocvss20 "github.com/pandatix/go-cvss/20"
	gocvss30 "github.com/pandatix/go-cvss/30"
	gocvss31 "github.com/pandatix/go-cvss/31"
	gocvss40 "github.com/pandatix/go-cvss/40"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/version"
)

// Limits on one advisory.
const (
	maxRecordBytes = 32 << 20
	maxTextBytes   = 64 << 10 // of a summary, a description, a note
	maxWordBytes   = 1024     // of anything else
	maxItems       = 100_000  // of a list
)

// A Feed reads files of the format.
type Feed struct{}

// New returns the feed.
func New() Feed { return Feed{} }

// Info implements feed.Feed.
func (Feed) Info() feed.Info {
	return feed.Info{Name: "custom", Title: "advisories in Onceover's own format"}
}

// Wants implements feed.Feed.
func (Feed) Wants(name string) bool {
	ext := path.Ext(name)
	return ext == ".jsonl" || ext == ".json"
}

// Read implements feed.Feed.
func (Feed) Read(ctx context.Context, f feed.File, emit func(feed.Record) error) error {
	r := &reader{JSONStream: feed.NewJSONStream(f), file: f.Name}
	lines := path.Ext(f.Name) == ".jsonl"
	n, array := 0, false // advisories so far; within an array
	for r.More() {
		if err := ctx.Err(); err != nil {
			return err
		}
		t, err := r.Token()
		if err != nil {
			return r.Wrap(err)
		}
		if t == json.Delim('[') && n == 0 && !array && !lines {
			array = true
			continue
		}
		if n > 0 && !lines && !array {
			return r.errorf("more than one advisory, and no array")
		}
		if t != json.Delim('{') {
			return r.errorf("%s, want an advisory, which is an object", describe(t))
		}
		n++
		rec, err := r.record()
		if err != nil {
			return err
		}
		if err := emit(rec); err != nil {
			return r.Wrap(err)
		}
	}
	if array {
		if err := r.Expect(']'); err != nil {
			return err
		}
	}
	if n == 0 {
		return r.errorf("no advisory in the file")
	}
	return r.End()
}

// A reader stands in one file.
type reader struct {
	*feed.JSONStream
	file string
	// start is the offset of the advisory at hand.
	start int64
}

func (r *reader) errorf(format string, args ...any) error {
	return feed.Errorf(r.file, r.Line(), format, args...)
}

// record reads an advisory whose brace has been taken.
func (r *reader) record() (feed.Record, error) {
	r.start = r.InputOffset()
	line := r.Line()
	var rec feed.Record
	err := r.fields("an advisory", func(key string) (err error) {
		switch key {
		case "id":
			rec.ID, err = r.word(key)
		case "cves":
			rec.CVEs, err = r.words(key, isCVE, "a CVE")
		case "aliases":
			rec.Aliases, err = r.words(key, nil, "")
		case "summary":
			rec.Summary, err = r.text(key)
		case "details":
			rec.Details, err = r.text(key)
		case "severity":
			rec.Severity, err = r.severity(key)
		case "cvss":
			rec.CVSS, err = r.words(key, isCVSS, "a CVSS vector")
		case "published":
			rec.Published, err = r.time(key)
		case "modified":
			rec.Modified, err = r.time(key)
		case "url":
			rec.URL, err = r.word(key)
			if err == nil && !strings.HasPrefix(rec.URL, "https://") && !strings.HasPrefix(rec.URL, "http://") {
				err = r.errorf("%s is %q, want an address that begins with https:// or http://", key, rec.URL)
			}
		case "licence":
			rec.Licence, err = r.word(key)
		case "source":
			rec.Source, err = r.word(key)
		case "affected":
			err = r.list(key, func() error {
				a, err := r.affected()
				rec.Affected = append(rec.Affected, a)
				return err
			})
		default:
			err = errUnknown
		}
		return err
	})
	switch {
	case err != nil:
		return rec, err
	case rec.ID == "":
		err = errors.New("the advisory has no id")
	case len(rec.Affected) == 0:
		err = fmt.Errorf("%s: affected is missing or empty", rec.ID)
	case len(rec.CVEs) == 0 && len(rec.Aliases) == 0 && rec.Summary == "" && rec.Details == "":
		err = fmt.Errorf("%s says neither cves nor aliases nor a summary: what is it about?", rec.ID)
	}
	if err != nil {
		return rec, feed.Errorf(r.file, line, "%w", err)
	}
	return rec, nil
}

func (r *reader) affected() (feed.Affected, error) {
	var a feed.Affected
	if err := r.Expect('{'); err != nil {
		return a, err
	}
	line := r.Line()
	err := r.fields("affected", func(key string) (err error) {
		switch key {
		case "ecosystem":
			if a.Ecosystem, err = r.word(key); err == nil {
				err = r.ecosystem(a.Ecosystem)
			}
		case "name":
			a.Name, err = r.word(key)
		case "ranges":
			err = r.list(key, func() error {
				g, err := r.versions()
				a.Ranges = append(a.Ranges, g)
				return err
			})
		case "versions":
			a.Versions, err = r.words(key, nil, "")
		case "state":
			var s string
			if s, err = r.word(key); err == nil {
				var ok bool
				if a.State, ok = feed.ParseState(s); !ok {
					err = r.errorf("state is %q, want affected, wont-fix, deferred, not-affected or undetermined", s)
				}
			}
		case "stream":
			a.Stream, err = r.word(key)
			if name, stream, ok := strings.Cut(a.Stream, ":"); err == nil && (!ok || name == "" || stream == "") {
				err = r.errorf("stream is %q, want name:stream, as nodejs:18", a.Stream)
			}
		case "advisory":
			a.Advisory, err = r.word(key)
		case "note":
			a.Note, err = r.text(key)
		case "severity":
			a.Severity, err = r.severity(key)
		case "cvss":
			a.CVSS, err = r.words(key, isCVSS, "a CVSS vector")
		default:
			err = errUnknown
		}
		return err
	})
	if err != nil {
		return a, err
	}
	if err := checked(a); err != nil {
		return a, feed.Errorf(r.file, line, "%w", err)
	}
	return a, nil
}

// checked looks at what only the whole of an entry shows.
func checked(a feed.Affected) error {
	if a.Ecosystem == "" || a.Name == "" {
		return errors.New("affected needs an ecosystem and a name")
	}
	open := a.State == feed.StateNotAffected || a.State == feed.StateUndetermined
	if len(a.Ranges)+len(a.Versions) == 0 && !open {
		return fmt.Errorf(`%s is %s, but no range and no version says which; {"introduced": "0"} means all`, a.Name, a.State)
	}
	versions := slices.Clone(a.Versions)
	for _, g := range a.Ranges {
		versions = append(versions, g.Introduced, g.Fixed, g.LastAffected)
	}
	for _, v := range versions {
		if v == "" {
			continue
		}
		if _, err := version.Compare(a.Ecosystem, v, v); err != nil {
			return fmt.Errorf("%s: version %q: %w", a.Name, v, err)
		}
	}
	for _, g := range a.Ranges {
		end := g.Fixed + g.LastAffected
		if end == "" || g.Introduced == "0" {
			continue
		}
		if c, err := version.Compare(a.Ecosystem, g.Introduced, end); err != nil || c > 0 {
			return fmt.Errorf("%s: the range from %q ends before it begins, at %q", a.Name, g.Introduced, end)
		}
	}
	return nil
}

func (r *reader) versions() (feed.Range, error) {
	var g feed.Range
	if err := r.Expect('{'); err != nil {
		return g, err
	}
	line := r.Line()
	err := r.fields("a range", func(key string) (err error) {
		switch key {
		case "introduced":
			g.Introduced, err = r.word(key)
		case "fixed":
			g.Fixed, err = r.word(key)
		case "last_affected":
			g.LastAffected, err = r.word(key)
		default:
			err = errUnknown
		}
		return err
	})
	if err != nil {
		return g, err
	}
	if g.Introduced == "" {
		return g, feed.Errorf(r.file, line, `a range has no introduced; "0" means from the first version on`)
	}
	if g.Fixed != "" && g.LastAffected != "" {
		return g, feed.Errorf(r.file, line, "a range has both fixed and last_affected")
	}
	return g, nil
}

// ecosystem checks that versions of an ecosystem can be compared, and that a
// distribution is named with its release, without which no image is matched.
func (r *reader) ecosystem(eco string) error {
	if !version.Known(eco) {
		return r.errorf("ecosystem %q is not known; see docs/distributions.md", eco)
	}
	base, release, ok := strings.Cut(eco, ":")
	if id, v, ok := strings.Cut(release, ":"); slices.Contains([]string{"rpm", "deb", "apk"}, base) && (!ok || id == "" || v == "" || id != strings.ToLower(id)) {
		return r.errorf("ecosystem %q is not %s:id:release, with the id and release of os-release and the id in lower case", eco, base)
	}
	if (!ok || release == "") && slices.Contains(released, base) {
		return r.errorf("ecosystem %q does not say the release; see docs/distributions.md", eco)
	}
	return nil
}

// released are distributions that have releases.
var released = []string{
	"AlmaLinux", "Alibaba Cloud Linux", "Alpaquita", "Alpine", "Amazon Linux", "Anolis OS", "Azure Linux", "CBL-Mariner",
	"Debian", "EulerOS", "Fedora", "Huawei Cloud EulerOS", "Kylin", "Kylin Desktop", "Mageia", "OpenCloudOS", "Oracle Linux",
	"Photon OS", "Red Hat", "Rocky Linux", "SUSE", "TencentOS", "UOS", "UOS Desktop", "Ubuntu", "deepin", "openEuler",
	"openKylin", "openSUSE",
}

// errUnknown becomes an error about a field that the format does not have.
var errUnknown = errors.New("unknown field")

// fields reads an object whose brace has been taken; fn reads the value of
// one key.
func (r *reader) fields(what string, fn func(key string) error) error {
	seen := map[string]bool{}
	for r.More() {
		t, err := r.Token()
		if err != nil {
			return r.Wrap(err)
		}
		key := t.(string)
		if seen[key] {
			return r.errorf("%s has %s twice", what, key)
		}
		seen[key] = true
		switch err := fn(key); {
		case errors.Is(err, errUnknown):
			return r.errorf("%s has no field %q", what, cut(key))
		case err != nil:
			return r.Wrap(err)
		}
		if r.InputOffset()-r.start > maxRecordBytes {
			return r.errorf("an advisory of more than %d bytes: %w", maxRecordBytes, feed.ErrTooLarge)
		}
	}
	return r.Expect('}')
}

// list reads an array; fn reads one item.
func (r *reader) list(key string, fn func() error) error {
	n := 0
	return r.Array(func() error {
		if n++; n > maxItems {
			return r.errorf("%s has more than %d items: %w", key, maxItems, feed.ErrTooLarge)
		}
		return fn()
	})
}

// text reads a string that may have lines.
func (r *reader) text(key string) (string, error) {
	t, err := r.Token()
	if err != nil {
		return "", r.Wrap(err)
	}
	s, ok := t.(string)
	if !ok {
		return "", r.errorf("%s is %s, want a string", key, describe(t))
	}
	if len(s) > maxTextBytes {
		return "", r.errorf("%s has %d bytes, the limit is %d: %w", key, len(s), maxTextBytes, feed.ErrTooLarge)
	}
	return s, nil
}

// word reads a string that is not empty and has neither control characters
// nor blanks at its ends.
func (r *reader) word(key string) (string, error) {
	s, err := r.text(key)
	if err != nil {
		return "", err
	}
	switch {
	case s == "" || strings.TrimSpace(s) != s:
		return "", r.errorf("%s is %q: empty, or with blanks at its ends", key, cut(s))
	case len(s) > maxWordBytes:
		return "", r.errorf("%s has %d bytes, the limit is %d: %w", key, len(s), maxWordBytes, feed.ErrTooLarge)
	case strings.ContainsFunc(s, func(c rune) bool { return unicode.IsControl(c) || c == utf8.RuneError }):
		return "", r.errorf("%s is %q, with characters that cannot be shown", key, cut(s))
	}
	return s, nil
}

func (r *reader) words(key string, is func(string) bool, want string) ([]string, error) {
	var out []string
	err := r.list(key, func() error {
		s, err := r.word(key)
		if err == nil && is != nil && !is(s) {
			err = r.errorf("%s has %q, which is not %s", key, cut(s), want)
		}
		out = append(out, s)
		return err
	})
	return out, err
}

func (r *reader) severity(key string) (string, error) {
	s, err := r.word(key)
	if err != nil {
		return "", err
	}
	switch strings.ToLower(s) {
	case "critical", "high", "important", "medium", "moderate", "low":
		return s, nil
	}
	return "", r.errorf("%s is %q, want critical, high, important, medium, moderate or low", key, cut(s))
}

// time reads a time of RFC 3339 as Unix milliseconds.
func (r *reader) time(key string) (int64, error) {
	s, err := r.word(key)
	if err != nil {
		return 0, err
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return 0, r.errorf("%s is %q, want a time as in 2026-01-02T15:04:05Z (RFC 3339)", key, cut(s))
	}
	return t.UnixMilli(), nil
}

var cvePattern = regexp.MustCompile(`^CVE-[0-9]{4}-[0-9]{4,19}$`)

func isCVE(s string) bool { return cvePattern.MatchString(s) }

func isCVSS(s string) bool {
	var err error
	switch {
	case strings.HasPrefix(s, "CVSS:4.0/"):
		_, err = gocvss40.ParseVector(s)
	case strings.HasPrefix(s, "CVSS:3.1/"):
		_, err = gocvss31.ParseVector(s)
	case strings.HasPrefix(s, "CVSS:3.0/"):
		_, err = gocvss30.ParseVector(s)
	default:
		_, err = gocvss20.ParseVector(s)
	}
	return err == nil
}

// describe names a token of JSON for people.
func describe(t json.Token) string {
	switch t := t.(type) {
	case nil:
		return "null"
	case string:
		return fmt.Sprintf("the string %q", cut(t))
	case json.Delim:
		if t == '[' {
			return "an array"
		}
		return "an object"
	default:
		return fmt.Sprint(t)
	}
}

func cut(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}
