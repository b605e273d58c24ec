package advisory

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Files beside the archives that add to what is known about CVEs. Their
// formats are described in docs/advisories.md.
const (
	FileKEV       = "kev.json"
	FileEPSS      = "epss.csv"
	FileEPSSGzip  = "epss.csv.gz"
	FileEnrich    = "cve-enrich.jsonl"
	FileEnrichZst = "cve-enrich.jsonl.zst"
)

const (
	// maxKEVBytes bounds the catalogue, which has 1.2 MB in 2026.
	maxKEVBytes = 64 << 20
	// maxEnrichBytes bounds the other files, uncompressed.
	maxEnrichBytes = 4 << 30
	// maxEnrichLine bounds one CVE of the enrichment file.
	maxEnrichLine = 1 << 20
	// maxDescriptionBytes is where descriptions of CVEs are cut.
	maxDescriptionBytes = 2000
)

// enrich reads the files that are there.
func (b *builder) enrich(ctx context.Context, dir string) error {
	for _, f := range []struct {
		name string
		read func(context.Context, string, io.Reader) error
	}{
		{FileKEV, b.readKEV},
		{FileEPSS, b.readEPSS}, {FileEPSSGzip, b.readEPSS},
		{FileEnrich, b.readEnrich}, {FileEnrichZst, b.readEnrich},
	} {
		if err := b.enrichFile(ctx, filepath.Join(dir, f.name), f.read); err != nil {
			return fmt.Errorf("build advisory database: read %s: %w", f.name, err)
		}
	}
	return nil
}

func (b *builder) enrichFile(ctx context.Context, path string, read func(context.Context, string, io.Reader) error) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var r io.Reader = bufio.NewReaderSize(f, 1<<17)
	switch filepath.Ext(path) {
	case ".gz":
		gz, err := gzip.NewReader(r)
		if err != nil {
			return err
		}
		r = gz
	case ".zst":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
		if err != nil {
			return err
		}
		defer z.Close()
		r = z
	}
	b.progress("read", filepath.Base(path), 0, 0)
	return read(ctx, filepath.Base(path), &boundedReader{r: r, left: maxEnrichBytes})
}

// boundedReader fails, instead of ending, when its limit is crossed.
type boundedReader struct {
	r    io.Reader
	left int64
}

func (l *boundedReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, errLimit
	}
	return n, err
}

// readKEV reads CISA's catalogue of known exploited vulnerabilities
// (https://www.cisa.gov/known-exploited-vulnerabilities-catalog).
func (b *builder) readKEV(_ context.Context, name string, r io.Reader) error {
	raw, err := io.ReadAll(&boundedReader{r: r, left: maxKEVBytes})
	if err != nil {
		return err
	}
	var doc struct {
		Released        string `json:"dateReleased"`
		Vulnerabilities []struct {
			CVE  string `json:"cveID"`
			Date string `json:"dateAdded"`
		} `json:"vulnerabilities"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return err
	}
	for _, v := range doc.Vulnerabilities {
		if err := b.cveFact(v.CVE, cveFact{kind: factKEV, text: cut(v.Date, 32)}); err != nil {
			return err
		}
	}
	b.fact("kev", "CISA's catalogue of known exploited vulnerabilities", "CC0-1.0", FileMeta{
		Name: name, Bytes: int64(len(raw)), Records: int64(len(doc.Vulnerabilities)), Newest: b.past(millis(doc.Released))})
	return nil
}

// past is a date of a feed, 0 if it claims to be of the future.
func (b *builder) past(ms int64) int64 {
	if ms > b.opts.Now().Add(24*time.Hour).UnixMilli() {
		return 0
	}
	return ms
}

// readEPSS reads the scores that FIRST publishes daily: comment lines, a
// header "cve,epss,percentile", and a line for each CVE
// (https://www.first.org/epss/data_stats).
func (b *builder) readEPSS(ctx context.Context, name string, r io.Reader) error {
	in := bufio.NewReader(r)
	meta := FileMeta{Name: name, Newest: b.past(epssDate(in))}
	c := csv.NewReader(in)
	c.Comment = '#'
	c.FieldsPerRecord = -1
	c.ReuseRecord = true
	for {
		row, err := c.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if len(row) < 3 || row[0] == "cve" {
			continue
		}
		score, err1 := strconv.ParseFloat(row[1], 64)
		rank, err2 := strconv.ParseFloat(row[2], 64)
		if err1 != nil || err2 != nil || !(score >= 0 && score <= 1 && rank >= 0 && rank <= 1) {
			meta.Bad++
			continue
		}
		meta.Records++
		if err := b.cveFact(strings.Clone(row[0]), cveFact{kind: factEPSS, score: score, score2: rank}); err != nil {
			return err
		}
	}
	meta.Bytes = c.InputOffset()
	b.fact("epss", "FIRST's scores of how likely a vulnerability is to be exploited", "", meta)
	return nil
}

// fact notes a file of facts about CVEs. Its date is not that of advisories.
func (b *builder) fact(name, title, licence string, m FileMeta) {
	m.Feed = name
	if licence != "" {
		m.Licences = []string{licence}
	}
	b.meta.Files = append(b.meta.Files, m)
	f := b.meta.Feeds[name]
	b.meta.Feeds[name] = FeedMeta{Title: title, Licence: licence, Records: f.Records + m.Records, Date: max(f.Date, m.Newest)}
}

// epssDate looks for the date in the comment that the file begins with:
// "#model_version:v2025.03.14,score_date:2026-08-01T00:00:00+0000". 0 if there
// is none.
func epssDate(r *bufio.Reader) int64 {
	head, _ := r.Peek(256) // a file that cannot be read is met later
	line, _, _ := strings.Cut(string(head), "\n")
	if !strings.HasPrefix(line, "#") {
		return 0
	}
	_, date, _ := strings.Cut(line, "score_date:")
	date, _, _ = strings.Cut(strings.TrimSpace(date), ",")
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05-0700", time.DateOnly} {
		if t, err := time.Parse(layout, date); err == nil && t.Year() >= earliestModified {
			return t.UnixMilli()
		}
	}
	return 0
}

// readEnrich reads one JSON object a line: id, cvss (a list of {v: vector, s:
// score}), pub (date) and d (description).
func (b *builder) readEnrich(ctx context.Context, name string, r io.Reader) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, maxEnrichLine)
	meta := FileMeta{Name: name}
	for sc.Scan() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var row struct {
			ID   string `json:"id"`
			CVSS []struct {
				V string `json:"v"`
			} `json:"cvss"`
			Pub string `json:"pub"`
			D   string `json:"d"`
		}
		meta.Bytes += int64(len(sc.Bytes())) + 1
		if err := json.Unmarshal(sc.Bytes(), &row); err != nil || cvePattern.FindString(row.ID) != row.ID {
			meta.Bad++
			if b.opts.Problem != nil {
				b.opts.Problem(Problem{File: name, Record: cut(row.ID, 64), Err: errors.Join(err, errors.New("not a CVE"))})
			}
			continue
		}
		meta.Records++
		ss := make([]severity, len(row.CVSS))
		for i, c := range row.CVSS {
			ss[i].Score = c.V
		}
		score, vector := bestVector(ss)
		pub := row.Pub
		if len(pub) == len("2006-01-02") {
			pub += "T00:00:00Z"
		}
		f := cveFact{kind: factEnrich, score: score, vector: vector, published: millis(pub), text: cut(row.D, maxDescriptionBytes)}
		if err := b.cveFact(row.ID, f); err != nil {
			return err
		}
	}
	if err := sc.Err(); err != nil {
		return err
	}
	b.fact("cve-enrich", "texts, dates and vectors of CVEs", "", meta)
	return nil
}

// A cveFact is one thing that one source says about a CVE.
type cveFact struct {
	kind      factKind
	rank      int // of a learned vector: the higher the better
	score     float64
	score2    float64
	vector    string
	published int64
	text      string
}

type factKind byte

const (
	factNamed   factKind = iota // a record of the generation names the CVE
	factLearned                 // CVSS, from a record
	factKEV
	factEPSS
	factEnrich
)

func (b *builder) cveFact(id string, f cveFact) error {
	if id == "" || cvePattern.FindString(id) != id {
		return nil
	}
	e := encoder{byte(f.kind)}
	e.uint(uint64(f.rank))
	e.fixed(f.score, 5)
	e.fixed(f.score2, 5)
	e.string(f.vector)
	e.int(f.published)
	e.string(f.text)
	if err := b.spool.add(append([]byte{kindCVE}, id...), e); err != nil {
		return spoolError{err}
	}
	return nil
}

// joinCVE joins the facts about one CVE. ok is false if nothing is worth
// keeping: no record names it, or nothing is known beside the name.
func joinCVE(id string, values [][]byte) (c CVE, ok bool, err error) {
	c.ID = id
	named, learned := false, -1
	for _, v := range values {
		if len(v) == 0 {
			return c, false, errCorrupt
		}
		d := decoder{s: string(v[1:])}
		f := cveFact{kind: factKind(v[0]), rank: int(d.uint()), score: d.fixed(5), score2: d.fixed(5),
			vector: d.string(), published: d.int(), text: d.string()}
		if err := d.err(); err != nil {
			return c, false, err
		}
		switch f.kind {
		case factNamed:
			named = true
		case factLearned: // facts come in the order of their kinds
			if f.rank > learned {
				learned, c.Score, c.Vector = f.rank, f.score, f.vector
			}
		case factKEV:
			c.KEV, c.KEVDate = true, f.text
		case factEPSS:
			c.EPSS, c.Percentile = f.score, f.score2
		case factEnrich:
			if f.vector != "" {
				c.Score, c.Vector = f.score, f.vector
			}
			c.Published, c.Description = f.published, f.text
		}
	}
	return c, named && c != CVE{ID: id}, nil
}
