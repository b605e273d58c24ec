package advisory

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/minisign"
)

// Public sources that Update uses by itself.
const (
	// DefaultURL is the public bucket of osv.dev
	// (https://google.github.io/osv.dev/data/#data-dumps).
	DefaultURL = "https://osv-vulnerabilities.storage.googleapis.com"
	// DefaultKEVURL is CISA's catalogue of known exploited
	// vulnerabilities.
	DefaultKEVURL = "https://www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json"
	// DefaultEPSSURL are the daily scores that FIRST publishes.
	DefaultEPSSURL = "https://epss.empiricalsecurity.com/epss_scores-current.csv.gz"
)

const (
	// maxEcosystems bounds a server's list, maxEcosystemName one of it.
	maxEcosystems    = 1000
	maxEcosystemName = 100
	// maxUpdateBytes bounds what one update downloads. The files of osv.dev
	// have some 2 GB.
	maxUpdateBytes = 16 << 30
	// saveEvery is how often the state is written while files come in: a
	// feed may have tens of thousands of them.
	saveEvery = time.Second
)

// defaultEcosystems are asked for where the server has no ecosystems.txt: all
// whose packages can be matched.
func defaultEcosystems() []string {
	return []string{"AlmaLinux", "Alpaquita", "Alpine", "Azure Linux", "BellSoft Hardened Containers",
		"Bitnami", "CRAN", "Chainguard", "Debian", "Docker Hardened Images", "Echo", "Go", "Hackage", "Hex", "Julia",
		"Mageia", "Maven", "MinimOS", "NuGet", "Packagist", "Pub", "PyPI", "Red Hat", "Rocky Linux",
		"RubyGems", "SUSE", "SwiftURL", "Ubuntu", "Wolfi", "crates.io", "npm", "openEuler", "openSUSE"}
}

// UpdateOptions say what to fetch.
type UpdateOptions struct {
	// URL of a directory laid out like osv.dev's bucket, or of a server
	// that has bundles (see Publisher); DefaultURL if empty.
	URL string
	// Keys are trusted: if there are any, only a server with bundles that
	// one of them signed is good enough.
	Keys []minisign.PublicKey
	// To is the generation to make or replace.
	To string
	// Cache keeps what was downloaded, so that the next update asks only
	// for what has changed; To + ".sources" if empty.
	Cache string
	// Ecosystems to fetch; the server's ecosystems.txt, or a list of our
	// own, if empty.
	Ecosystems []string
	// Feeds are the names of the primary feeds to fetch; see UsualFeeds.
	Feeds []string
	// FeedBases replace the publisher's address of a feed, by name.
	FeedBases map[string]string
	// KEVURL and EPSSURL are where these files are, beside the archives if
	// empty; with the DefaultURL their public places.
	KEVURL, EPSSURL string
	// Keep is how many former generations stay; see BuildOptions.Keep.
	Keep int
	// Force takes a new generation that lost most of the records of the
	// present one. Without it, it is refused with fault.Conflict.
	Force    bool
	Fetch    FetchOptions
	Progress func(Progress)
	Problem  func(Problem)
	Now      func() time.Time
}

// UpdateResult is what an update did.
type UpdateResult struct {
	Meta Meta
	// Rebuilt is false if nothing had changed and the generation stands.
	Rebuilt bool
	// Downloaded and Unchanged count files, Missing names ecosystems that
	// the server does not have.
	Downloaded, Unchanged int
	Missing               []string
	// FailedFeeds could not be fetched; the update went on without.
	FailedFeeds []FailedFeed
	// Mirror is set if the generation came as a bundle, and Delta if that
	// held the changes only. SignedBy is the id of the key that signed it.
	Mirror, Delta bool
	SignedBy      string
}

// Update fetches what has changed and builds a new generation from it. After
// an error the generation is as before, and what was downloaded is used by the
// next update.
func Update(ctx context.Context, o UpdateOptions) (UpdateResult, error) {
	if o.To == "" {
		return UpdateResult{}, fault.New(fault.Invalid, "update advisory database: no file to write")
	}
	if o.Cache == "" {
		o.Cache = o.To + ".sources"
	}
	d, err := newDownload(o)
	if err != nil {
		return UpdateResult{}, fmt.Errorf("update advisory database: %w", err)
	}
	defer d.close()
	idx, err := d.findIndex(ctx)
	if err != nil {
		return UpdateResult{}, fmt.Errorf("update advisory database: %w", err)
	}
	if idx != nil {
		res, err := d.mirror(ctx, *idx)
		if err != nil {
			return UpdateResult{}, fmt.Errorf("update advisory database: %w", err)
		}
		return res, nil
	}
	if err := o.mustBeSigned(); err != nil {
		return UpdateResult{}, fmt.Errorf("update advisory database: %w", err)
	}
	if err := d.all(ctx); err != nil {
		return UpdateResult{}, fmt.Errorf("update advisory database: %w", err)
	}
	if err := d.save(); err != nil {
		return UpdateResult{}, fmt.Errorf("update advisory database: %w", err)
	}
	res := d.result
	if m, err := Status(o.To); err == nil && d.built() == d.fingerprint(m.ID) {
		res.Meta = m
		return res, nil
	}
	b := BuildOptions{
		From: o.Cache, To: o.To, Source: sourceOf(cmp.Or(o.URL, DefaultURL)), Keep: o.Keep,
		Progress: o.Progress, Problem: o.Problem, Now: o.Now,
	}
	b.check = func(old, next Meta) error {
		if o.Force {
			return nil
		}
		return shrunk(old, next, o.Ecosystems)
	}
	res.Meta, err = Build(ctx, b)
	if err != nil {
		return UpdateResult{}, err
	}
	res.Rebuilt = true
	if err := os.WriteFile(d.builtPath(), []byte(d.fingerprint(res.Meta.ID)), 0o644); err != nil {
		return UpdateResult{}, fmt.Errorf("update advisory database: %w", err)
	}
	return res, nil
}

// buildFromURL downloads into a directory that is removed afterwards.
func buildFromURL(ctx context.Context, o BuildOptions) (Meta, error) {
	if o.To == "" {
		return Meta{}, fault.New(fault.Invalid, "build advisory database: no file to write")
	}
	w, err := newWork(filepath.Dir(o.To), ".fetch-")
	if err != nil {
		return Meta{}, fmt.Errorf("build advisory database: %w", err)
	}
	defer w.close()
	dir := w.dir
	d, err := newDownload(UpdateOptions{URL: o.From, To: o.To, Cache: dir, Fetch: o.Fetch, Progress: o.Progress})
	if err != nil {
		return Meta{}, fmt.Errorf("build advisory database: %w", err)
	}
	defer d.close()
	if err := d.all(ctx); err != nil {
		return Meta{}, fmt.Errorf("build advisory database: %w", err)
	}
	if o.Source == "" {
		o.Source = sourceOf(o.From)
	}
	o.From = dir
	return Build(ctx, o)
}

// A download brings the files of one server into a directory.
type download struct {
	o      UpdateOptions
	fetch  *fetcher
	lock   *os.File
	states map[string]fileState // by file name in the directory
	bytes  int64                // downloaded so far
	// saved is when the states were written, unsaved that they changed
	// since.
	saved   time.Time
	unsaved bool
	result  UpdateResult
}

func newDownload(o UpdateOptions) (*download, error) {
	if o.URL == "" {
		o.URL = DefaultURL
		if o.KEVURL == "" {
			o.KEVURL = DefaultKEVURL
		}
		if o.EPSSURL == "" {
			o.EPSSURL = DefaultEPSSURL
		}
	}
	u, err := url.Parse(o.URL)
	if err != nil || !isURL(o.URL) || u.Host == "" {
		return nil, fault.New(fault.Invalid, "%q is not an http or https URL", o.URL)
	}
	o.URL = strings.TrimRight(o.URL, "/")
	if err := os.MkdirAll(o.Cache, 0o755); err != nil {
		return nil, err
	}
	d := &download{o: o, states: map[string]fileState{}}
	d.lock, err = os.OpenFile(filepath.Join(o.Cache, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(d.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		d.lock.Close()
		return nil, fault.New(fault.Conflict, "another update is running in %s", o.Cache)
	}
	if raw, err := os.ReadFile(d.statePath()); err == nil {
		// A state that cannot be read only costs a full download.
		if json.Unmarshal(raw, &d.states) != nil {
			d.states = map[string]fileState{}
		}
	}
	d.fetch = newFetcher(o.Fetch, func(file string, done, total int64) {
		if o.Progress != nil {
			o.Progress(Progress{Stage: "download", File: strings.TrimPrefix(file, o.URL+"/"), Done: done, Total: total})
		}
	})
	return d, nil
}

func (d *download) close() {
	if d.unsaved {
		_ = d.save() // a state that is lost costs a download
	}
	d.lock.Close()
}

func (d *download) statePath() string { return filepath.Join(d.o.Cache, "state.json") }

// builtPath holds the fingerprint of the last build. Comparing it, and not only
// what this run downloaded, also builds what an update fetched that failed
// later on.
func (d *download) builtPath() string { return filepath.Join(d.o.Cache, "built") }

func (d *download) built() string {
	b, err := os.ReadFile(d.builtPath())
	if err != nil {
		return ""
	}
	return string(b)
}

// fingerprint names a generation and the files it was built from.
func (d *download) fingerprint(id string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "generation %s schema %d\n", id, Schema)
	for _, name := range slices.Sorted(maps.Keys(d.states)) {
		fmt.Fprintf(&b, "%s %s\n", d.states[name].SHA256, name)
	}
	d.byHand(&b)
	return b.String()
}

func (d *download) all(ctx context.Context) error {
	ecos, err := d.ecosystems(ctx)
	if err != nil {
		return err
	}
	var gone []string
	for _, eco := range ecos {
		ok, err := d.ecosystem(ctx, eco)
		if err != nil {
			return err
		}
		if !ok {
			d.result.Missing = append(d.result.Missing, eco)
		}
	}
	if len(d.o.Ecosystems) == 0 {
		// What was there before and is not listed any more stays as it
		// was, and grows old.
		for name := range d.states {
			// Those of feeds lie in directories.
			if eco, ok := strings.CutSuffix(name, ".zip"); ok && !strings.Contains(eco, "/") && !slices.Contains(ecos, eco) {
				gone = append(gone, eco)
			}
		}
		slices.Sort(gone)
	}
	if len(d.result.Missing) == len(ecos) {
		return fault.New(fault.NotFound, "%s has none of the archives asked for: %s", d.o.URL, strings.Join(ecos[:min(len(ecos), 5)], ", "))
	}
	d.result.Missing = append(d.result.Missing, gone...)
	extras := []struct{ name, at string }{{FileKEV, d.o.KEVURL}, {FileEPSSGzip, d.o.EPSSURL}, {FileEnrichZst, ""}}
	for _, e := range extras {
		at := e.at
		if at == "" {
			at = d.o.URL + "/" + e.name
		}
		if _, err := d.file(ctx, at, e.name); err != nil && !errors.Is(err, errNotServed) {
			return err
		}
	}
	return d.feeds(ctx)
}

// ecosystems is the list to fetch, without releases: "Debian" holds them all.
func (d *download) ecosystems(ctx context.Context) ([]string, error) {
	ecos := d.o.Ecosystems
	if len(ecos) == 0 {
		text, err := d.fetch.list(ctx, d.o.URL+"/ecosystems.txt")
		switch {
		case errors.Is(err, errNotServed):
			return defaultEcosystems(), nil
		case err != nil:
			return nil, err
		}
		ecos = strings.Split(text, "\n")
	}
	var out []string
	for _, e := range ecos {
		e, _, _ = strings.Cut(strings.TrimSpace(e), ":")
		if len(e) > maxEcosystemName || strings.ContainsAny(e, "<>{}\x00") {
			return nil, fault.New(fault.Unavailable, "%s/ecosystems.txt is no list of ecosystems: %.40q; %s", d.o.URL, e, hintPortal)
		}
		if e == "" || strings.ContainsAny(e, "/\\") || strings.HasPrefix(e, ".") || e == "GIT" || e == "[EMPTY]" {
			continue
		}
		out = append(out, e)
	}
	out = sortedSet(out)
	if len(out) == 0 || len(out) > maxEcosystems {
		return nil, fault.New(fault.Invalid, "a list of %d ecosystems, want 1 to %d", len(out), maxEcosystems)
	}
	return out, nil
}

// ecosystem fetches one archive. Servers lay them out as <ecosystem>/all.zip
// or as <ecosystem>.zip; the one that worked last time is asked first.
func (d *download) ecosystem(ctx context.Context, eco string) (bool, error) {
	name := eco + ".zip"
	urls := []string{
		d.o.URL + "/" + url.PathEscape(eco) + "/all.zip",
		d.o.URL + "/" + url.PathEscape(name),
	}
	if tight := strings.ReplaceAll(eco, " ", ""); tight != eco {
		urls = append(urls, d.o.URL+"/"+url.PathEscape(tight+".zip"))
	}
	if known := d.states[name].URL; slices.Contains(urls, known) {
		urls = slices.DeleteFunc(urls, func(u string) bool { return u == known })
		urls = slices.Insert(urls, 0, known)
	}
	for _, u := range urls {
		ok, err := d.file(ctx, u, name)
		if errors.Is(err, errNotServed) {
			continue
		}
		return ok, err
	}
	return false, nil
}

func (d *download) file(ctx context.Context, from, name string) (bool, error) {
	dest := filepath.Join(d.o.Cache, name)
	state, changed, err := d.fetch.get(ctx, from, dest, d.states[name])
	if err != nil {
		return false, err
	}
	if !changed {
		d.result.Unchanged++
		return true, nil
	}
	if err := checkDownload(dest); err != nil {
		os.Remove(dest)
		return false, fault.New(fault.Unavailable, "%s is not what its name says: %w; %s", from, err, hintPortal)
	}
	if d.bytes += state.Size; d.bytes > maxUpdateBytes {
		os.Remove(dest)
		return false, fault.New(fault.TooLarge, "%s: all files of this update together have more than %d bytes", from, int64(maxUpdateBytes))
	}
	d.result.Downloaded++
	d.states[name] = state
	d.unsaved = true
	if time.Since(d.saved) < saveEvery {
		return true, nil // close does it
	}
	return true, d.save()
}

// hintPortal is said where something else came than was asked for.
const hintPortal = "if that goes on, a proxy or login page may answer in place of the server"

// checkDownload looks whether a file begins, and an archive also ends, as its
// name says. A page that says "log in first" with status 200 does not.
func checkDownload(path string) error {
	magic := ""
	switch filepath.Ext(path) {
	case ".zip":
		z, err := zip.OpenReader(path)
		if err != nil {
			return err
		}
		return z.Close()
	case ".gz":
		magic = "\x1f\x8b"
	case ".zst":
		magic = "\x28\xb5\x2f\xfd"
	case ".json":
		magic = "{"
	default:
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, 64)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	head = bytes.TrimLeft(head[:n], "\xef\xbb\xbf \t\r\n")
	if !bytes.HasPrefix(head, []byte(magic)) {
		return fmt.Errorf("it begins with %.20q", head)
	}
	return nil
}

func (d *download) save() error {
	raw, err := json.MarshalIndent(d.states, "", "\t")
	if err != nil {
		return fmt.Errorf("keep state of downloads: %w", err)
	}
	tmp := d.statePath() + ".new"
	if err := os.WriteFile(tmp, raw, 0o644); err != nil {
		return fmt.Errorf("keep state of downloads: %w", err)
	}
	if err := os.Rename(tmp, d.statePath()); err != nil {
		return fmt.Errorf("keep state of downloads: %w", err)
	}
	d.saved, d.unsaved = time.Now(), false
	return nil
}

func copyFile(to *os.File, from string) (err error) {
	defer func() {
		if e := to.Close(); e != nil && err == nil {
			err = e
		}
	}()
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := to.ReadFrom(f); err != nil {
		return err
	}
	return to.Sync()
}

// Status describes the generation at path without keeping it open.
func Status(path string) (Meta, error) {
	db, err := Open(path)
	if err != nil {
		return Meta{}, err
	}
	m := db.Meta()
	return m, db.Close()
}
