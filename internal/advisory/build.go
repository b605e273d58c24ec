package advisory

import (
	"archive/zip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/version"
)

// Limits on what a build reads.
const (
	// maxRecordBytes is the largest record, by bytes actually read. The
	// largest real ones, Linux kernels that list every version, stay
	// under 10 MB.
	maxRecordBytes = 32 << 20
	// maxZipEntries is the largest number of records of one ecosystem.
	maxZipEntries = 2_000_000
	// spoolBytes is what a build keeps in memory before it sorts to disk.
	spoolBytes = 64 << 20
)

// Usual values of Meta.Source: records that were fetched from osv.dev itself,
// and records in its format from anywhere else, whoever made them.
const (
	SourceOSVDev = "osv.dev"
	SourceOSV    = "osv"
)

// sourceOf is the Meta.Source of records from a URL.
func sourceOf(url string) string {
	if strings.TrimSuffix(url, "/") == DefaultURL {
		return SourceOSVDev
	}
	return SourceOSV
}

// BuildOptions say what to compile.
type BuildOptions struct {
	// From is a directory, or the http or https URL of one, that holds
	// <ecosystem>.zip or <ecosystem>/all.zip, and if wanted the files
	// kev.json, epss.csv[.gz] and cve-enrich.jsonl[.zst].
	From string
	// To is the file to write. It is replaced only when everything went
	// well.
	To string
	// Source is what Meta.Source says; SourceOSV if empty.
	Source string
	// Progress is called now and then. May be nil.
	Progress func(Progress)
	// Problem is called for every record that had to be left out because
	// it cannot be read. It must be safe for concurrent use. May be nil.
	Problem func(Problem)
	// Now is the clock, time.Now if nil: records that claim to have been
	// modified in the future say nothing about the age of the data.
	Now func() time.Time
	// Fetch are the settings for a From that is a URL.
	Fetch FetchOptions
	// Keep is how many former generations stay beside To (see Kept):
	// DefaultKeep if 0, none if negative.
	Keep int

	// check may refuse the new generation for what the old one was.
	check func(old, next Meta) error
}

// Progress is how far a build or an update has come.
type Progress struct {
	// Stage is "download", "read" or "write".
	Stage string
	// File that is being worked on.
	File string
	// Done and Total are records while reading and bytes while
	// downloading; Total is 0 if unknown.
	Done, Total int64
}

// Problem is one record or file that could not be read.
type Problem struct {
	File, Record string
	Err          error
}

// Build compiles a generation. A record that cannot be read is counted and
// reported; an archive that cannot be opened ends the build. If it ends, the
// file at o.To is as before.
func Build(ctx context.Context, o BuildOptions) (Meta, error) {
	if isURL(o.From) {
		return buildFromURL(ctx, o)
	}
	files, err := findArchives(o.From)
	if err != nil {
		return Meta{}, err
	}
	feeds, err := findFeeds(o.From)
	if err != nil {
		return Meta{}, err
	}
	if len(files) == 0 && len(feeds) == 0 {
		return Meta{}, fault.New(fault.Invalid, "build advisory database: no <ecosystem>.zip, no <ecosystem>/all.zip and no %s/<feed> in %s", FeedsDir, o.From)
	}
	b, err := newBuilder(o)
	if err != nil {
		return Meta{}, err
	}
	defer b.close()
	// Feeds first: what they say replaces OSV records.
	for _, f := range feeds {
		if err := b.feed(ctx, f); err != nil {
			return Meta{}, err
		}
	}
	for _, f := range files {
		if err := b.archive(ctx, f); err != nil {
			return Meta{}, err
		}
	}
	if err := b.enrich(ctx, o.From); err != nil {
		return Meta{}, err
	}
	return b.write(ctx)
}

type archiveFile struct{ path, name string }

// findArchives lists the archives in order of their names.
func findArchives(dir string) ([]archiveFile, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.NotFound, "build advisory database: no directory %s", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("build advisory database: %w", err)
	}
	var out []archiveFile
	for _, e := range entries {
		name := e.Name()
		if name == FeedsDir {
			continue
		}
		if strings.HasSuffix(name, ".zip") && !e.IsDir() {
			out = append(out, archiveFile{filepath.Join(dir, name), name})
			continue
		}
		inner := filepath.Join(dir, name, "all.zip")
		if fi, err := os.Stat(inner); err == nil && fi.Mode().IsRegular() {
			out = append(out, archiveFile{inner, name + "/all.zip"})
		}
	}
	return out, nil
}

// A builder gathers facts in a spool and writes them in order.
type builder struct {
	opts  BuildOptions
	work  *work
	spool *spool
	// replaced says, by ecosystem without release, which feed stands in for
	// its OSV records.
	replaced map[string]feed.Info
	// spoken has the ecosystems, with release, that feeds with ByRelease
	// speak of.
	spoken map[string]bool
	// named counts the files of each feed.
	named map[string]int

	mu   sync.Mutex
	meta Meta
}

func newBuilder(o BuildOptions) (*builder, error) {
	if o.To == "" {
		return nil, fault.New(fault.Invalid, "build advisory database: no file to write")
	}
	if o.Source == "" {
		o.Source = SourceOSV
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	work, err := newWork(filepath.Dir(o.To), ".build-")
	if err != nil {
		return nil, fmt.Errorf("build advisory database: %w", err)
	}
	return &builder{
		opts:     o,
		work:     work,
		spool:    newSpool(work.dir, spoolBytes),
		replaced: map[string]feed.Info{},
		spoken:   map[string]bool{},
		named:    map[string]int{},
		meta: Meta{Schema: Schema, Source: o.Source, Left: map[string]int64{}, Ecosystems: map[string]EcosystemMeta{},
			Feeds: map[string]FeedMeta{}},
	}, nil
}

func (b *builder) close() { b.work.close() }

func (b *builder) progress(stage, file string, done, total int64) {
	if b.opts.Progress != nil {
		b.opts.Progress(Progress{stage, file, done, total})
	}
}

func (b *builder) left(reason string) {
	b.mu.Lock()
	b.meta.Left[reason]++
	b.mu.Unlock()
}

// archive reads all records of one zip. Order does not matter: the spool
// sorts.
func (b *builder) archive(ctx context.Context, f archiveFile) error {
	zr, err := zip.OpenReader(f.path)
	if err != nil {
		return fault.New(fault.Unavailable, "build advisory database: read %s: %w", f.name, err)
	}
	defer zr.Close()
	if len(zr.File) > maxZipEntries {
		return fault.New(fault.TooLarge, "build advisory database: %s holds %d records, the limit is %d", f.name, len(zr.File), maxZipEntries)
	}
	fi, err := os.Stat(f.path)
	if err != nil {
		return fmt.Errorf("build advisory database: %w", err)
	}
	meta := FileMeta{Name: f.name, Bytes: fi.Size()}
	latest := b.opts.Now().Add(24 * time.Hour).UnixMilli()
	var mu sync.Mutex
	licences := map[string]bool{}
	var seen int64

	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, e := range zr.File {
		if !strings.HasSuffix(e.Name, ".json") {
			continue
		}
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error {
			v, err := b.record(e)
			mu.Lock()
			defer mu.Unlock()
			if seen++; seen%4096 == 0 {
				b.progress("read", f.name, seen, int64(len(zr.File)))
			}
			var fatal spoolError
			switch {
			case errors.As(err, &fatal):
				return fatal.err
			case err != nil:
				meta.Bad++
				b.left(LeftBad)
				if b.opts.Problem != nil {
					b.opts.Problem(Problem{File: f.name, Record: e.Name, Err: err})
				}
			case v != nil:
				meta.Records++
				meta.Feed = b.opts.Source
				if v.Modified <= latest {
					meta.Newest = max(meta.Newest, v.Modified)
				}
				if v.Licence != "" {
					licences[v.Licence] = true
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("build advisory database: read %s: %w", f.name, err)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("build advisory database: read %s: %w", f.name, err)
	}
	for l := range licences {
		meta.Licences = append(meta.Licences, l)
	}
	slices.Sort(meta.Licences)
	b.progress("read", f.name, seen, seen)
	b.fed(b.opts.Source, "records in the OSV format", "", meta)
	return nil
}

// spoolError is an error that is not the record's fault.
type spoolError struct{ err error }

func (e spoolError) Error() string { return e.err.Error() }

// record reads one record; nil if it is left out on purpose.
func (b *builder) record(e *zip.File) (*Vuln, error) {
	f, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxRecordBytes+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxRecordBytes {
		return nil, fmt.Errorf("a record of more than %d bytes: %w", maxRecordBytes, errLimit)
	}
	r, err := parseRecord(raw)
	if err != nil {
		return nil, err
	}
	return b.add(r)
}

func (b *builder) add(r *record) (*Vuln, error) {
	if r.Withdrawn != "" {
		b.left(LeftWithdrawn)
		return nil, nil
	}
	v := r.vuln()
	if err := b.learn(r, v); err != nil {
		return nil, err
	}
	if r.notSecurity() {
		b.left(LeftNotSecurity)
		return nil, nil
	}
	entries := slices.DeleteFunc(withoutPro(r.packages(b.left)), func(a Affected) bool {
		by, ok := b.replaced[version.Base(a.Ecosystem)]
		ok = ok && !(by.KeepsBundles && r.bundles()) && (!by.ByRelease || b.spoken[a.Ecosystem])
		if ok {
			b.left(LeftReplaced)
		}
		return ok
	})
	if len(entries) == 0 {
		return nil, nil
	}
	return &v, b.spoolRecord(v, entries)
}

// spoolRecord takes one record that is ready to be sorted.
func (b *builder) spoolRecord(v Vuln, entries []Affected) error {
	for _, a := range entries {
		var e encoder
		e.string(a.ID)
		e = binary.BigEndian.AppendUint64(e, uint64(v.Modified))
		e.affected(a)
		if err := b.spool.add(append([]byte{kindPackage}, packageKey(a.Ecosystem, a.Name)...), e); err != nil {
			return spoolError{err}
		}
	}
	val := binary.BigEndian.AppendUint64(nil, uint64(v.Modified))
	if err := b.spool.add(append([]byte{kindVuln}, v.ID...), append(val, encodeVuln(v)...)); err != nil {
		return spoolError{err}
	}
	for _, id := range v.CVEs {
		if err := b.cveFact(id, cveFact{kind: factNamed}); err != nil {
			return err
		}
	}
	return nil
}

// learn takes the CVSS vector of a CVE from a record that is about this one
// CVE and no other.
func (b *builder) learn(r *record, v Vuln) error {
	if len(v.CVEs) != 1 {
		return nil
	}
	score, vector := v.Score, v.Vector
	if vector == "" {
		for i := range r.Affected {
			a := &r.Affected[i]
			if _, s, vec := packageSeverity(a, specific{}, parseSpecific(a.Database)); vec != "" {
				score, vector = s, vec
				break
			}
		}
	}
	if vector == "" {
		return nil
	}
	_, rank, _ := parseCVSS(vector)
	trust := 1
	switch {
	case v.ID == v.CVEs[0]:
		trust = 4
	case strings.HasPrefix(v.ID, "GHSA-"):
		trust = 3
	case !r.bundles():
		trust = 2
	}
	return b.cveFact(v.CVEs[0], cveFact{kind: factLearned, rank: trust*10 + rank, score: score, vector: vector})
}

// Kinds of spool entries. Their order is that of the buckets.
const (
	kindCVE     = 'c'
	kindPackage = 'p'
	kindVuln    = 'v'
)

// base counts for HasEcosystem.
func (b *builder) count(key string, entries int) {
	eco, _, _ := strings.Cut(key, "\x00")
	m := b.meta.Ecosystems[eco]
	m.Packages++
	m.Records += int64(entries)
	b.meta.Ecosystems[eco] = m
	b.meta.Packages++
}

// joinAffected joins the entries of one package. Of several copies of one
// advisory the newest counts; equally new ones are joined, because one record
// may list a package several times and some databases spread an advisory over
// several records.
func joinAffected(values [][]byte) ([]Affected, error) {
	type entry struct {
		modified uint64
		a        Affected
		raw      string
	}
	var out []entry
	for _, v := range values {
		d := decoder{s: string(v)}
		id := d.string()
		if d.bad || d.left() < 8 {
			return nil, errCorrupt
		}
		e := entry{modified: binary.BigEndian.Uint64([]byte(d.s[d.at : d.at+8])), raw: d.s[d.at+8:]}
		d.at += 8
		d.affected(&e.a)
		if err := d.err(); err != nil {
			return nil, err
		}
		// Values are sorted by id and then by time.
		if n := len(out); n > 0 && out[n-1].a.ID == id {
			if out[n-1].modified < e.modified {
				out = slices.DeleteFunc(out, func(o entry) bool { return o.a.ID == id })
			} else if out[n-1].raw == e.raw {
				continue
			}
		}
		out = append(out, e)
	}
	as := make([]Affected, len(out))
	for i, e := range out {
		as[i] = e.a
	}
	slices.SortStableFunc(as, func(a, b Affected) int { return strings.Compare(a.ID, b.ID) })
	return as, nil
}

// joinVuln joins the copies of one advisory: texts of the newest, ids of all.
func joinVuln(id string, values [][]byte) (Vuln, error) {
	var out Vuln
	for _, v := range values { // oldest first
		if len(v) < 8 {
			return Vuln{}, errCorrupt
		}
		n, err := decodeVuln(id, string(v[8:]))
		if err != nil {
			return Vuln{}, err
		}
		n.Aliases = sortedSet(append(n.Aliases, out.Aliases...))
		n.CVEs = sortedSet(append(n.CVEs, out.CVEs...))
		if out.Published != 0 && (n.Published == 0 || out.Published < n.Published) {
			n.Published = out.Published
		}
		out = n
	}
	return out, nil
}
