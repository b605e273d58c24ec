package scan

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/bits"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

// Limits on what one layer may put into its report, beyond which the rest is
// counted and left out.
const (
	// maxProblems is the number of problems listed.
	maxProblems = 10_000
	// maxPackages is the number of packages of one layer.
	maxPackages = 200_000
	// maxSymlinks is the number of symbolic links remembered for the merge,
	// maxWhiteouts that of whiteouts and opaque directories.
	maxSymlinks  = 500_000
	maxWhiteouts = 500_000
	// maxNames bounds the bytes of their paths and targets.
	maxNames = 64 << 20
	// maxEntries is the number of entries of a layer, as in package layer.
	maxEntries = 5_000_000
	// maxPath is the length of a path, as in package layer.
	maxPath = 4096
	// maxText is the length of a message.
	maxText = 500
)

// collector makes the reports of one layer of what workers send: one for each
// set of analysers.
type collector struct {
	diffID  string
	columns []*column
	// base is the report that takes the structure of the layer, and the
	// digests of files: that of the first column, if it is of CheckPackages.
	base    *report.LayerReport
	names   int64
	entries int64
	// programs and data are files with their digests: executables, and
	// others that count if nothing owns them.
	programs, data candidates
	// links counts symbolic links, whiteouts and opaques left out.
	links int64

	// deferred are the hard links that come again, at the file that was
	// begun and not ended.
	deferred []uint64
	at       begun
	// mark is the entry up to which all was said when a worker told so last,
	// and long says that the worker is at the file at for certain.
	mark    begun
	long    bool
	resets  int
	started bool
	hello   *hello
	end     *end
}

// column is what one set of analysers found.
type column struct {
	r *report.LayerReport
	// byPath is what each file said, by the hash of its path, so that a
	// later entry of the same path replaces it; stats the same of what stat
	// data said.
	byPath, stats map[uint64]said
	// loose are those of stats that are of kind report.SettingLoose, looseLeft
	// counts what did not fit.
	loose     map[uint64]said
	looseLeft int
	// packages counts what byPath holds.
	packages int
	dropped  int
	facts    int64
	problems int64 // those that are not listed
	lost     int64 // files whose facts did not fit
	// statBytes are those of stats, statsLeft counts what did not fit.
	statBytes, statsLeft int64
	// unfinished is why the report is not whole though the walk was.
	unfinished error
}

// begun is a file that a worker looks at.
type begun struct {
	n, sum uint64
	// want has a bit for each column that has to see the file.
	want uint64
	path string
}

// said is what one file said.
type said struct {
	path  string
	facts []report.Facts
}

func newCollector(l image.Layer, keys ...string) *collector {
	c := &collector{diffID: string(l.DiffID)}
	for _, k := range keys {
		c.columns = append(c.columns, &column{r: &report.LayerReport{Analyzers: k}})
	}
	c.reset()
	return c
}

// reset drops all that was said of the layer.
func (c *collector) reset() {
	old := *c
	*c = collector{
		diffID: old.diffID,
		// What the next worker has to know, and how far this one is.
		deferred: old.deferred, mark: old.mark, resets: old.resets, started: old.started, hello: old.hello,
	}
	for _, col := range old.columns {
		r := &report.LayerReport{DiffID: c.diffID, Analyzers: col.r.Analyzers}
		c.columns = append(c.columns, &column{r: r, byPath: map[uint64]said{}, stats: map[uint64]said{}, loose: map[uint64]said{}})
	}
	c.base = &report.LayerReport{}
	if check := report.CheckOf(c.columns[0].r.Analyzers); check == report.CheckPackages || check == "" {
		c.base = c.columns[0].r
	}
	c.base.Symlinks = map[string]string{}
}

// count adds to the ledger of every column.
func (c *collector) count(add report.Ledger) {
	for _, col := range c.columns {
		col.r.Ledger.Add(add)
	}
}

// take books one message. An error means that the worker cannot be trusted.
func (c *collector) take(kind byte, body []byte) error {
	c.started = c.started || kind != msgHello && kind != msgBlob && kind != msgEnd
	c.long = kind == msgLong
	switch kind {
	case msgHello:
		c.hello = &hello{}
		return decode(body, c.hello)
	case msgDirs:
		n, err := c.hashes(body, &c.base.Dirs)
		c.count(report.Ledger{Dirs: n})
		return err
	case msgOthers:
		n, err := c.hashes(body, &c.base.Hides)
		c.count(report.Ledger{Others: n})
		return err
	case msgPassed:
		n, err := c.hashes(body, &c.base.Passed)
		c.count(report.Ledger{Files: n, Passed: n})
		return err
	case msgSymlink:
		return c.symlink(body)
	case msgWhiteout:
		return c.whiteout(body, &c.base.Whiteouts)
	case msgOpaque:
		return c.whiteout(body, &c.base.Opaques)
	case msgReset:
		if c.resets++; c.at.n != 0 || c.resets > 1 {
			return errMessage
		}
		c.reset()
		return nil
	case msgBegin:
		return c.begin(body)
	case msgLong:
		return nil
	case msgMark:
		if len(body) != 16 || c.at.n != 0 {
			return errMessage
		}
		c.mark = begun{n: binary.LittleEndian.Uint64(body), sum: binary.LittleEndian.Uint64(body[8:])}
		return nil
	case msgDeferred:
		if len(body) != 8 || c.at.n != binary.LittleEndian.Uint64(body) || c.at.n == 0 || len(c.deferred) >= maxEntries {
			return errMessage
		}
		c.deferred = append(c.deferred, c.at.n)
		c.at = begun{}
		return nil
	case msgResult:
		var rs []result
		if err := decode(body, &rs); err != nil {
			return err
		}
		if c.at.n == 0 {
			return errMessage
		}
		return c.results(rs, int64(len(body)))
	case msgNothing:
		if c.at.n == 0 {
			return errMessage
		}
		rs := make([]result, bits.OnesCount64(c.at.want))
		for i := range rs {
			n, k := binary.Uvarint(body)
			if k <= 0 || n > math.MaxInt64 {
				return errMessage
			}
			rs[i].Bytes, body = int64(n), body[k:]
		}
		if len(body) > 0 {
			return errMessage
		}
		return c.results(rs, 0)
	case msgStatFacts:
		return c.statFacts(body)
	case msgFile:
		return c.digest(body)
	case msgEnd:
		c.end = &end{}
		return decode(body, c.end)
	}
	return errMessage
}

func decode(body []byte, v any) error {
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("%w: %w", errMessage, err)
	}
	return nil
}

// hashes adds entries whose path does not matter.
func (c *collector) hashes(body []byte, to *report.Hashes) (int64, error) {
	if len(body)%8 != 0 {
		return 0, errMessage
	}
	n := int64(len(body) / 8)
	if c.entries += n; c.entries > maxEntries {
		return 0, errMessage
	}
	for ; len(body) > 0; body = body[8:] {
		h := binary.LittleEndian.Uint64(body)
		*to = append(*to, h)
		c.forget(h)
	}
	return n, nil
}

// name checks a path.
func (c *collector) name(b []byte) (string, error) {
	if c.entries++; c.entries > maxEntries {
		return "", errMessage
	}
	return cleanPath(b)
}

// cleanPath is b if that is the absolute path of an entry.
func cleanPath(b []byte) (string, error) {
	p := string(b)
	if len(p) > maxPath || !path.IsAbs(p) || path.Clean(p) != p {
		return "", errMessage
	}
	return p, nil
}

// room reports whether n more bytes of names may be kept.
func (c *collector) room(n int) bool {
	if c.names+int64(n) > maxNames {
		c.links++
		return false
	}
	c.names += int64(n)
	return true
}

func (c *collector) symlink(body []byte) error {
	if len(body) < 4 {
		return errMessage
	}
	n := binary.LittleEndian.Uint32(body)
	body = body[4:]
	if uint64(n) > uint64(len(body)) || len(body)-int(n) > maxPath {
		return errMessage
	}
	p, err := c.name(body[:n])
	if err != nil {
		return err
	}
	target := string(body[n:])
	c.count(report.Ledger{Symlinks: 1})
	h := report.PathHash(p)
	c.base.Hides = append(c.base.Hides, h)
	c.forget(h)
	if len(c.base.Symlinks) >= maxSymlinks {
		c.links++
	} else if c.room(len(p) + len(target)) {
		c.base.Symlinks[p] = target
	}
	return nil
}

func (c *collector) whiteout(body []byte, to *[]string) error {
	p, err := c.name(body)
	if err != nil {
		return err
	}
	if len(c.base.Whiteouts)+len(c.base.Opaques) >= maxWhiteouts {
		c.links++
	} else if c.room(len(p)) {
		*to = append(*to, p)
	}
	return nil
}

func (c *collector) begin(body []byte) error {
	const head = 24
	if len(body) < head || c.at.n != 0 {
		return errMessage
	}
	n, want := binary.LittleEndian.Uint64(body), binary.LittleEndian.Uint64(body[16:])
	p, err := c.name(body[head:])
	if err != nil || n == 0 || want == 0 || bits.Len64(want) > len(c.columns) {
		return errMessage
	}
	c.at = begun{n: n, sum: binary.LittleEndian.Uint64(body[8:]), want: want, path: p}
	return nil
}

// results books the outcome of the file that was begun: one result for each
// column that had to see it, in their order.
func (c *collector) results(rs []result, size int64) error {
	if len(rs) != bits.OnesCount64(c.at.want) {
		return errMessage
	}
	// All of it is checked before any of it is booked.
	for i := range rs {
		if err := rs[i].check(c.at.path); err != nil {
			return err
		}
	}
	at := c.at
	c.file(at.path)
	for i, col := range c.columns {
		l := &col.r.Ledger
		l.Files++
		if at.want>>i&1 == 0 {
			l.Passed++
			continue
		}
		col.result(at.path, rs[0], size)
		rs = rs[1:]
	}
	return nil
}

// file ends the file that was begun.
func (c *collector) file(p string) {
	h := report.PathHash(p)
	c.forget(h)
	if c.at.want&1 == 0 && c.base == c.columns[0].r {
		c.base.Passed = append(c.base.Passed, h)
	} else {
		c.base.Hides = append(c.base.Hides, h)
	}
	c.at = begun{}
}

// check refuses what no analyser says of the file at p.
func (r *result) check(p string) error {
	for i := range r.Facts {
		if err := checkFacts(&r.Facts[i]); err != nil {
			return err
		}
		// What a file holds is told of that file.
		f := &r.Facts[i]
		for j := range f.Secrets {
			if s := &f.Secrets[j]; s.Path != p || !plausibleSecret(s) {
				return errMessage
			}
		}
		for j := range f.Malware {
			if m := &f.Malware[j]; m.Path != p || !plausibleMalware(m) {
				return errMessage
			}
		}
		for j := range f.Settings {
			if s := &f.Settings[j]; s.Path != p || !plausibleSetting(s) {
				return errMessage
			}
		}
	}
	for i := range r.Problems {
		if !plausible(&r.Problems[i]) {
			return errMessage
		}
	}
	if r.Skipped != "" && !knownReason(r.Skipped) {
		return errMessage
	}
	return nil
}

// result books what a file said that was checked.
func (col *column) result(p string, r result, size int64) {
	l := &col.r.Ledger
	l.Bytes += max(0, r.Bytes)
	if r.Unfinished {
		col.unfinished = fmt.Errorf("%s: %s", p, r.Skipped)
	}
	for i := range r.Problems {
		col.problem(r.Problems[i])
	}
	switch {
	case r.Skipped != "":
		l.Skip(r.Skipped, 1)
	case len(r.Facts) > 0:
		l.Parsed++
	default:
		l.Examined++
	}
	if len(r.Facts) == 0 {
		return
	}
	if col.facts += size; col.facts > maxFacts {
		col.lost++
		return
	}
	n := 0
	for i := range r.Facts {
		n += packagesOf(&r.Facts[i])
	}
	if col.packages+n > maxPackages {
		col.dropped += n
		return
	}
	col.packages += n
	col.byPath[report.PathHash(p)] = said{p, r.Facts}
}

// statFacts books what stat data said.
func (c *collector) statFacts(body []byte) error {
	var d statFacts
	if err := decode(body, &d); err != nil {
		return err
	}
	p, err := cleanPath([]byte(d.Path))
	r := result{Facts: []report.Facts{d.Facts}}
	if err == nil && (d.Set < 0 || d.Set >= len(c.columns)) {
		err = errMessage
	}
	if err == nil {
		err = r.check(p)
	}
	if err != nil {
		return err
	}
	col := c.columns[d.Set]
	if len(d.Facts.Settings) == 1 && d.Facts.Settings[0].Kind == report.SettingLoose {
		col.loose[report.PathHash(p)] = said{p, r.Facts}
		if len(col.loose) > 2*report.MaxLoose {
			col.pruneLoose()
		}
		return nil
	}
	if len(col.stats) >= maxStatFactsKept || col.statBytes+int64(len(body)) > maxStatFacts {
		col.statsLeft++
		return nil
	}
	col.statBytes += int64(len(body))
	col.stats[report.PathHash(p)] = said{p, r.Facts}
	return nil
}

// pruneLoose keeps those of loose that have the first paths, so that it does not
// matter in which order they come.
func (col *column) pruneLoose() {
	if len(col.loose) <= report.MaxLoose {
		return
	}
	for _, s := range byPaths(col.loose)[report.MaxLoose:] {
		delete(col.loose, report.PathHash(s.path))
		col.looseLeft++
	}
}

// byPaths are the values by path.
func byPaths(m map[uint64]said) []said {
	return slices.SortedFunc(maps.Values(m), func(a, b said) int { return cmp.Compare(a.path, b.path) })
}

// skip books the file that a worker did not survive.
func (c *collector) skip(reason, message string) {
	at := c.at
	c.file(at.path)
	for i, col := range c.columns {
		l := &col.r.Ledger
		l.Files++
		if at.want>>i&1 == 0 {
			l.Passed++
			continue
		}
		l.Skip(reason, 1)
		col.problem(report.Problem{Path: at.path, Analyzer: "layer", Message: message, Reason: reason})
		if col.unfinished == nil {
			col.unfinished = fmt.Errorf("%s: %s", at.path, message)
		}
	}
}

// forget drops what an earlier entry of the same path said.
func (c *collector) forget(h uint64) {
	for _, col := range c.columns {
		delete(col.stats, h)
		delete(col.loose, h)
		if len(col.byPath) == 0 {
			continue
		}
		old, ok := col.byPath[h]
		if !ok {
			continue
		}
		for i := range old.facts {
			col.packages -= packagesOf(&old.facts[i])
		}
		delete(col.byPath, h)
	}
}

func (col *column) problem(p report.Problem) {
	if len(col.r.Problems) >= maxProblems {
		col.problems++
		return
	}
	p.Message = cut(p.Message, maxText)
	col.r.Problems = append(col.r.Problems, p)
}

// note adds a problem of the layer itself. It is never left out.
func (col *column) note(format string, args ...any) {
	col.r.Problems = append(col.r.Problems, report.Problem{Analyzer: "layer", Message: cut(fmt.Sprintf(format, args...), maxText)})
}

// finish closes the reports, in the order of the sets. err is why the layer was
// not read to its end, or is not to be relied on; nil if all is well.
func (c *collector) finish(err error) []*report.LayerReport {
	out := make([]*report.LayerReport, len(c.columns))
	for i, col := range c.columns {
		links := int64(0)
		if col.r == c.base {
			links = c.links
		}
		out[i] = col.finish(err, links)
	}
	c.settleFiles()
	for _, r := range out {
		r.Normalize()
	}
	return out
}

func (col *column) finish(err error, links int64) *report.LayerReport {
	r := col.r
	if err != nil {
		col.note("%s", err)
	} else if col.unfinished != nil {
		err = col.unfinished // has a problem of its own
	}
	r.Complete = err == nil
	if col.problems > 0 {
		col.note("%d more problems: the limit of a layer is %d", col.problems, maxProblems)
	}
	if col.dropped > 0 {
		col.note("%d packages left out: the limit of a layer is %d", col.dropped, maxPackages)
	}
	if col.lost > 0 {
		col.note("what %d files say is left out: the limit of a layer is %d bytes", col.lost, maxFacts)
	}
	if col.pruneLoose(); col.looseLeft > 0 {
		col.note("%d files that everyone may write are left out: the limit of a layer is %d", col.looseLeft, report.MaxLoose)
	}
	if col.statsLeft > 0 {
		col.note("modes and owners of %d files and directories are left out: the limits of a layer are %d and %d bytes", col.statsLeft, maxStatFactsKept, maxStatFacts)
	}
	if links > 0 {
		col.note("%d symbolic links and whiteouts left out: the limits of a layer are %d, %d and %d bytes", links, maxSymlinks, maxWhiteouts, maxNames)
	}
	// What is left out may hide or change what the layers below hold.
	r.Complete = r.Complete && links == 0 && col.lost == 0
	// What files hold comes first, so that limits leave out the other.
	files := slices.Concat(byPaths(col.byPath), byPaths(col.stats), byPaths(col.loose))
	secrets, malware, settings := 0, 0, 0
	for _, s := range files {
		for _, f := range s.facts {
			r.Packages = append(r.Packages, f.Packages...)
			if f.Database != nil {
				r.Databases = append(r.Databases, *f.Database)
			}
			r.Ownership = append(r.Ownership, f.Ownership...)
			if f.OSRelease != nil {
				if r.OSReleases == nil {
					r.OSReleases = map[string]map[string]string{}
				}
				r.OSReleases[s.path] = f.OSRelease
			}
			r.Secrets, secrets = upTo(r.Secrets, f.Secrets, report.MaxSecrets, secrets)
			r.Malware, malware = upTo(r.Malware, f.Malware, report.MaxMalware, malware)
			r.Settings, settings = upTo(r.Settings, f.Settings, report.MaxSettings, settings)
		}
	}
	for _, left := range []struct {
		what   string
		n, max int
	}{{"secrets", secrets, report.MaxSecrets}, {"findings of malware", malware, report.MaxMalware}, {"settings", settings, report.MaxSettings}} {
		if left.n > left.max {
			col.note("%d %s left out: the limit of a layer is %d", left.n-left.max, left.what, left.max)
		}
	}
	return r
}

// upTo adds more to list, as far as its limit goes, and counts all of it.
func upTo[T any](list, more []T, limit, all int) ([]T, int) {
	return append(list, more[:min(len(more), limit-len(list))]...), all + len(more)
}

func knownReason(s string) bool {
	switch s {
	case skipDamaged, skipTooLarge, skipUnread, skipPanic, skipTime, skipMemory, skipForbid, skipUnasked:
		return true
	}
	return false
}

// checkFacts refuses facts that no analyser makes, and takes out what only the
// merge may say.
func checkFacts(f *report.Facts) error {
	check := func(ps []report.Package) bool {
		for i := range ps {
			p := &ps[i]
			if p.Type == "" || p.Name == "" || !absolute(p.Path) {
				return false
			}
			p.Layer, p.OwnedBy = "", ""
		}
		return true
	}
	ok := check(f.Packages)
	if f.Database != nil {
		ok = ok && absolute(f.Database.Path) && check(f.Database.Packages)
	}
	for _, o := range f.Ownership {
		ok = ok && absolute(o.Path)
	}
	if !ok {
		return fmt.Errorf("%w: a package or database lacks its name or path", errMessage)
	}
	f.Problems = nil
	return nil
}

func plausible(p *report.Problem) bool {
	p.Layer = ""
	return (p.Path == "" || absolute(p.Path)) && utf8.ValidString(p.Message) && (p.Reason == "" || knownReason(p.Reason))
}

// plausibleSecret takes out what only the merge may say.
func plausibleSecret(s *report.Secret) bool {
	s.Layer, s.Deleted = "", false
	short := true
	for _, t := range []string{s.Rule, s.Title, s.Kind, s.Severity, s.Masked, s.Context} {
		short = short && len(t) <= maxText && utf8.ValidString(t)
	}
	return short && s.Rule != "" && s.Line >= 0 && s.Column >= 0 && s.Length >= 0
}

// plausibleMalware takes out what only the merge may say.
func plausibleMalware(m *report.Malware) bool {
	m.Layer, m.Deleted = "", false
	short := len(m.Inner) <= 4*maxPath && utf8.ValidString(m.Inner)
	for _, t := range []string{m.Name, m.Family, m.Type, m.Severity, m.Description, m.SHA256, m.Engine, m.Rule, m.Evidence} {
		short = short && len(t) <= maxText && utf8.ValidString(t)
	}
	return short && m.Rule != "" && m.Size >= 0 && m.Offset >= -1
}

// plausibleSetting takes out what only the merge may say.
func plausibleSetting(s *report.Setting) bool {
	s.Layer = ""
	return s.Kind != "" && len(s.Kind) <= maxText && len(s.Body) > 0 && len(s.Body) <= report.MaxSettingBytes
}

// absolute reports whether p is a clean path from the root of the image. The
// part after "!" may lie inside an archive and be anything.
func absolute(p string) bool {
	return strings.HasPrefix(p, "/") && (path.Clean(p) == p || strings.Contains(p, "!"))
}

func packagesOf(f *report.Facts) int {
	n := len(f.Packages)
	if f.Database != nil {
		n += len(f.Database.Packages)
	}
	return n
}
