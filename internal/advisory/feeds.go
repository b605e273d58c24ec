package advisory

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/all"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/version"
)

// FeedsDir is the directory beside the OSV archives that holds primary feeds,
// one directory each.
const FeedsDir = "feeds"

const (
	// maxFeedBytes bounds one file of a feed without its compression. The
	// largest real ones, OVAL of a whole distribution, have 700 MB.
	maxFeedBytes = 8 << 30
	// maxFeedFiles bounds the files of a feed; Red Hat publishes 300,000.
	maxFeedFiles = 5_000_000
	// maxBadDocuments is the share of documents of a feed that may be
	// unreadable before the feed as a whole is taken for damaged.
	maxBadDocuments = 0.1
)

// A feedDir is a feed that is there to be read.
type feedDir struct {
	feed feed.Feed
	path string
}

// findFeeds lists the feeds below dir, sorted by name. A directory that no
// adapter reads is an error: its data would be missed in silence.
func findFeeds(dir string) ([]feedDir, error) {
	root := filepath.Join(dir, FeedsDir)
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("build advisory database: %w", err)
	}
	var out []feedDir
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		f := all.Find(e.Name())
		if f == nil {
			return nil, fault.New(fault.Invalid, "build advisory database: %s: there is no feed %q; there are: %s",
				root, e.Name(), strings.Join(FeedNames(), ", "))
		}
		out = append(out, feedDir{f, filepath.Join(root, e.Name())})
	}
	return out, nil
}

// FeedNames are the names of all feeds that can be read, sorted.
func FeedNames() []string {
	var out []string
	for _, f := range all.Feeds() {
		out = append(out, f.Info().Name)
	}
	return out
}

// A feedRun is one feed while it is read.
type feedRun struct {
	b         *builder
	feed      feed.Feed
	info      feed.Info
	files     int
	documents int
	bad       int
	latest    int64
}

// feed reads all files of one feed.
func (b *builder) feed(ctx context.Context, d feedDir) error {
	r := &feedRun{b: b, feed: d.feed, info: d.feed.Info(), latest: b.opts.Now().Add(24 * time.Hour).UnixMilli()}
	for _, eco := range r.info.Replaces {
		b.replaced[eco] = r.info
	}
	err := filepath.WalkDir(d.path, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".") ||
			strings.HasSuffix(p, ".part") || strings.HasSuffix(p, ".part.of") {
			return nil
		}
		rel, err := filepath.Rel(d.path, p)
		if err != nil {
			return err
		}
		return r.file(ctx, p, filepath.ToSlash(rel))
	})
	if err == nil && r.documents == 0 {
		err = fault.New(fault.Invalid, "%s holds no file of the feed", d.path)
	}
	if err == nil && float64(r.bad) > maxBadDocuments*float64(r.documents) {
		err = fault.New(fault.Unavailable, "%d of %d documents cannot be read", r.bad, r.documents)
	}
	if err != nil {
		return fmt.Errorf("build advisory database: feed %s: %w", r.info.Name, err)
	}
	return nil
}

// file reads one file on disk, which may be an archive of many.
func (r *feedRun) file(ctx context.Context, p, name string) error {
	f, err := os.Open(p)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	meta := FileMeta{Name: path.Join(FeedsDir, r.info.Name, name), Bytes: fi.Size(), Feed: r.info.Name}
	before := r.documents
	if path.Ext(name) == ".zip" {
		err = r.zip(ctx, f, fi.Size(), name, &meta)
	} else {
		err = r.stream(ctx, bufio.NewReaderSize(f, 1<<17), name, &meta)
	}
	if err != nil || r.documents == before {
		return err // not a file of the feed: a checksum, an index
	}
	if r.info.Licence != "" {
		meta.Licences = []string{r.info.Licence}
	}
	r.b.fed(r.info.Name, r.info.Title, r.info.Licence, meta)
	return nil
}

// stream takes compression and archives off.
func (r *feedRun) stream(ctx context.Context, in io.Reader, name string, meta *FileMeta) error {
	broken := func(err error) error { return &feed.Error{File: name, Err: err} }
	plain := name
	switch path.Ext(name) {
	case ".gz", ".tgz":
		z, err := gzip.NewReader(in)
		if err != nil {
			return broken(err)
		}
		in, plain = z, strings.TrimSuffix(name, ".gz")
	case ".bz2":
		in, plain = bzip2.NewReader(in), strings.TrimSuffix(name, ".bz2")
	case ".xz":
		z, err := newXZ(in)
		if err != nil {
			return broken(err)
		}
		in, plain = z, strings.TrimSuffix(name, ".xz")
	case ".zst":
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
		if err != nil {
			return broken(err)
		}
		defer z.Close()
		in, plain = z, strings.TrimSuffix(name, ".zst")
	}
	in = &boundedReader{r: in, left: maxFeedBytes}
	if path.Ext(plain) != ".tar" && path.Ext(plain) != ".tgz" {
		return r.document(ctx, feed.File{Name: plain, Reader: in}, meta)
	}
	for t := tar.NewReader(in); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return broken(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err := r.document(ctx, feed.File{Name: name + "!" + path.Clean(h.Name), Reader: t}, meta); err != nil {
			return err
		}
	}
}

func (r *feedRun) zip(ctx context.Context, f *os.File, size int64, name string, meta *FileMeta) error {
	z, err := zip.NewReader(f, size)
	if err != nil {
		return &feed.Error{File: name, Err: err}
	}
	for _, e := range z.File {
		if !e.Mode().IsRegular() {
			continue
		}
		rc, err := e.Open()
		if err == nil {
			err = r.document(ctx, feed.File{Name: name + "!" + path.Clean(e.Name), Reader: &boundedReader{r: rc, left: maxFeedBytes}}, meta)
			rc.Close()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// document has one file read by the adapter.
func (r *feedRun) document(ctx context.Context, f feed.File, meta *FileMeta) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.files++; r.files > maxFeedFiles {
		return fault.New(fault.TooLarge, "more than %d files", maxFeedFiles)
	}
	if !r.feed.Wants(f.Name) {
		return nil
	}
	r.documents++
	f.Date = func(millis int64) { r.newest(meta, millis) }
	r.b.progress("read", path.Join(r.info.Name, f.Name), meta.Records, 0)
	if !r.info.Documents {
		return placed(f.Name, r.feed.Read(ctx, f, func(rec feed.Record) error { return r.add(rec, meta) }))
	}
	// A document counts as a whole or not at all.
	var records []feed.Record
	err := r.feed.Read(ctx, f, func(rec feed.Record) error { records = append(records, rec); return nil })
	if err == nil {
		for _, rec := range records {
			if err = placed(f.Name, r.add(rec, meta)); err != nil {
				break
			}
		}
	}
	var fatal spoolError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &fatal):
		return fatal.err
	}
	r.bad++
	meta.Bad++
	r.b.left(LeftBad)
	if r.b.opts.Problem != nil {
		r.b.opts.Problem(Problem{File: meta.Name, Record: f.Name, Err: err})
	}
	return nil
}

// placed names the file in an error that does not say where it arose. Readers
// of streams add the line to an error about a record when it passes them.
func placed(file string, err error) error {
	var e *feed.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	return &feed.Error{File: file, Err: err}
}

// add takes one record of the feed.
func (r *feedRun) add(rec feed.Record, meta *FileMeta) error {
	v, entries, err := r.convert(rec)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		r.b.left(LeftNoPackage)
		return nil
	}
	meta.Records++
	r.newest(meta, v.Modified)
	if len(v.CVEs) == 1 && v.Vector != "" {
		_, rank, _ := parseCVSS(v.Vector)
		if err := r.b.cveFact(v.CVEs[0], cveFact{kind: factLearned, rank: 20 + rank, score: v.Score, vector: v.Vector}); err != nil {
			return err
		}
	}
	entries = withoutPro(entries)
	if r.info.ByRelease {
		for _, a := range entries {
			r.b.spoken[a.Ecosystem] = true
		}
	}
	return r.b.spoolRecord(v, entries)
}

// newest notes the date of a record or file, unless it is in the future.
func (r *feedRun) newest(meta *FileMeta, millis int64) {
	if millis <= r.latest {
		meta.Newest = max(meta.Newest, millis)
	}
}

// convert checks a record and brings it into the form of a generation.
func (r *feedRun) convert(rec feed.Record) (Vuln, []Affected, error) {
	if err := checkString("id", rec.ID, maxIDBytes); err != nil {
		return Vuln{}, nil, err
	}
	if len(rec.Affected) > maxAffected || len(rec.Aliases)+len(rec.CVEs) > maxIDs {
		return Vuln{}, nil, fmt.Errorf("%s: %d packages, %d ids of other records: %w",
			rec.ID, len(rec.Affected), len(rec.Aliases)+len(rec.CVEs), errLimit)
	}
	ids := func(in []string, keep func(string) bool) []string {
		return sortedSet(slices.DeleteFunc(slices.Clone(in), func(id string) bool {
			return id == "" || id == rec.ID || len(id) > maxIDBytes || !utf8.ValidString(id) || !keep(id)
		}))
	}
	isCVE := func(id string) bool { return cvePattern.FindString(id) == id }
	v := Vuln{
		ID:        rec.ID,
		Summary:   cut(strings.TrimSpace(rec.Summary), maxSummaryBytes),
		Details:   cut(strings.TrimSpace(rec.Details), maxDetailsBytes),
		Aliases:   ids(rec.Aliases, func(string) bool { return true }),
		CVEs:      ids(append(slices.Clone(rec.CVEs), cvePattern.FindString(rec.ID)), isCVE),
		Severity:  vendorSeverity(rec.Severity),
		Published: max(0, rec.Published),
		Modified:  max(0, rec.Modified),
		Licence:   rec.Licence,
	}
	if isCVE(rec.ID) {
		v.CVEs = sortedSet(append(v.CVEs, rec.ID))
	}
	if v.Summary == "" {
		line, _, _ := strings.Cut(v.Details, "\n")
		v.Summary = cut(line, maxSummaryBytes)
	}
	if len(rec.URL) <= maxURLBytes && (strings.HasPrefix(rec.URL, "https://") || strings.HasPrefix(rec.URL, "http://")) {
		v.URL = rec.URL
	}
	if v.Licence == "" {
		v.Licence = r.info.Licence
	}
	v.Score, v.Vector = bestVector(vectors(rec.CVSS))
	source := r.info.Name
	if rec.Source != "" {
		source += ":" + rec.Source
	}
	entries := make([]Affected, 0, len(rec.Affected))
	for i := range rec.Affected {
		a, err := r.affected(&rec.Affected[i], rec.ID)
		if err != nil {
			return Vuln{}, nil, fmt.Errorf("%s: %w", rec.ID, err)
		}
		if a.Ecosystem != "" {
			a.Source = source
			entries = append(entries, a)
		}
	}
	return v, entries, nil
}

func vectors(cvss []string) []severity {
	out := make([]severity, len(cvss))
	for i, v := range cvss {
		out[i].Score = v
	}
	return out
}

// affected checks one entry. One without an ecosystem is left out.
func (r *feedRun) affected(in *feed.Affected, id string) (Affected, error) {
	if err := checkString("package", in.Name, maxNameBytes); err != nil {
		return Affected{}, err
	}
	if err := checkString("ecosystem", in.Ecosystem, maxNameBytes); err != nil {
		return Affected{}, err
	}
	if !version.Known(in.Ecosystem) {
		r.b.left(LeftUnknown)
		return Affected{}, nil
	}
	if len(in.Ranges) > maxEvents || len(in.Versions) > maxVersions {
		return Affected{}, fmt.Errorf("%s: %d ranges, %d versions: %w", in.Name, len(in.Ranges), len(in.Versions), errLimit)
	}
	eco := in.Ecosystem
	a := Affected{
		ID: id, Ecosystem: eco, Name: Name(eco, in.Name), State: in.State, Stream: in.Stream,
		Advisory: in.Advisory, Note: cut(strings.TrimSpace(in.Note), feed.MaxNoteBytes),
		Severity: vendorSeverity(in.Severity),
	}
	a.Score, a.Vector = bestVector(vectors(in.CVSS))
	for _, g := range in.Ranges {
		if g.Introduced == "" || g.Fixed != "" && g.LastAffected != "" {
			return Affected{}, fmt.Errorf("%s: a range from %q to %q or %q", in.Name, g.Introduced, g.Fixed, g.LastAffected)
		}
		for _, v := range []string{g.Introduced, g.Fixed, g.LastAffected} {
			if v == "" {
				continue
			}
			if _, err := version.Compare(eco, v, "0"); err != nil {
				return Affected{}, fmt.Errorf("%s: version %q: %w", in.Name, cut(v, 100), err)
			}
		}
		a.Ranges = append(a.Ranges, Range{Introduced: g.Introduced, Fixed: g.Fixed, LastAffected: g.LastAffected})
	}
	slices.SortStableFunc(a.Ranges, func(x, y Range) int {
		c, err := compareFromZero(eco, x.Introduced, y.Introduced)
		if err != nil {
			return strings.Compare(x.Introduced, y.Introduced)
		}
		return c
	})
	a.Ranges = slices.Compact(a.Ranges)
	a.Versions = extraVersions(eco, in.Versions, a.Ranges)
	if len(a.Ranges) == 0 && len(a.Versions) == 0 && a.State != feed.StateNotAffected && a.State != feed.StateUndetermined {
		return Affected{}, fmt.Errorf("%s: %s, and no version that is", in.Name, a.State)
	}
	return a, nil
}

// maxNamedFiles is how many files of one feed a generation names. Red Hat and
// SUSE publish a file for each advisory: the rest stands together under the
// name of the last, with FileMeta.More.
const maxNamedFiles = 1_000

// fed notes one file of a feed.
func (b *builder) fed(name, title, licence string, m FileMeta) {
	if b.named[name]++; b.named[name] <= maxNamedFiles {
		b.meta.Files = append(b.meta.Files, m)
	} else {
		i := len(b.meta.Files) - 1
		for b.meta.Files[i].Feed != m.Feed {
			i--
		}
		b.meta.Files[i].join(m)
	}
	f := b.meta.Feeds[name]
	f.Title, f.Licence = title, licence
	f.Records += m.Records
	f.Date = max(f.Date, m.Newest)
	b.meta.Feeds[name] = f
	b.meta.DataDate = max(b.meta.DataDate, m.Newest)
}

// join adds what another file says.
func (m *FileMeta) join(o FileMeta) {
	m.More += 1 + o.More
	m.Bytes += o.Bytes
	m.Records += o.Records
	m.Bad += o.Bad
	m.Newest = max(m.Newest, o.Newest)
	m.Licences = sortedSet(slices.Concat(m.Licences, o.Licences))
}
