package scan

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
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

// collector makes the report of one layer of what workers send.
type collector struct {
	r *report.LayerReport
	// byPath is what each file said, by the hash of its path, so that a
	// later entry of the same path replaces it.
	byPath map[uint64]said
	// packages counts what byPath holds.
	packages int
	dropped  int
	facts    int64
	names    int64
	entries  int64
	problems int64 // those that are not listed
	lost     int64 // files whose facts did not fit
	// programs and data are files with their digests: executables, and
	// others that count if nothing owns them.
	programs, data candidates
	// links counts symbolic links, whiteouts and opaques left out.
	links int64
	// unfinished is why the report is not whole though the walk was.
	unfinished error

	// deferred are the hard links that come again, at the file that was
	// begun and not ended.
	deferred []uint64
	at       begun
	resets   int
	started  bool
	hello    *hello
	end      *end
}

// begun is a file that a worker looks at.
type begun struct {
	n, sum uint64
	path   string
}

// said is what one file said.
type said struct {
	path  string
	facts []report.Facts
}

func newCollector(l image.Layer, analyzers string) *collector {
	c := &collector{r: &report.LayerReport{DiffID: string(l.DiffID), Analyzers: analyzers}}
	c.reset()
	return c
}

// reset drops all that was said of the layer.
func (c *collector) reset() {
	*c = collector{
		r:      &report.LayerReport{DiffID: c.r.DiffID, Analyzers: c.r.Analyzers, Symlinks: map[string]string{}},
		byPath: map[uint64]said{},
		// What the next worker has to know, and how far this one is.
		deferred: c.deferred, resets: c.resets, started: c.started, hello: c.hello,
	}
}

// take books one message. An error means that the worker cannot be trusted.
func (c *collector) take(kind byte, body []byte) error {
	c.started = c.started || kind != msgHello && kind != msgBlob && kind != msgEnd
	switch kind {
	case msgHello:
		c.hello = &hello{}
		return decode(body, c.hello)
	case msgDirs:
		n, err := c.hashes(body, &c.r.Dirs)
		c.r.Ledger.Dirs += n
		return err
	case msgOthers:
		n, err := c.hashes(body, &c.r.Hides)
		c.r.Ledger.Others += n
		return err
	case msgPassed:
		n, err := c.hashes(body, &c.r.Passed)
		c.r.Ledger.Files += n
		c.r.Ledger.Passed += n
		return err
	case msgSymlink:
		return c.symlink(body)
	case msgWhiteout:
		return c.whiteout(body, &c.r.Whiteouts)
	case msgOpaque:
		return c.whiteout(body, &c.r.Opaques)
	case msgReset:
		if c.resets++; c.at.n != 0 || c.resets > 1 {
			return errMessage
		}
		c.reset()
		return nil
	case msgBegin:
		return c.begin(body)
	case msgDeferred:
		if len(body) != 8 || c.at.n != binary.LittleEndian.Uint64(body) || c.at.n == 0 || len(c.deferred) >= maxEntries {
			return errMessage
		}
		c.deferred = append(c.deferred, c.at.n)
		c.at = begun{}
		return nil
	case msgResult:
		var r result
		if err := decode(body, &r); err != nil {
			return err
		}
		if c.at.n == 0 {
			return errMessage
		}
		return c.result(r, int64(len(body)))
	case msgFile:
		return c.file(body)
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
	c.r.Ledger.Symlinks++
	h := report.PathHash(p)
	c.r.Hides = append(c.r.Hides, h)
	c.forget(h)
	if len(c.r.Symlinks) >= maxSymlinks {
		c.links++
	} else if c.room(len(p) + len(target)) {
		c.r.Symlinks[p] = target
	}
	return nil
}

func (c *collector) whiteout(body []byte, to *[]string) error {
	p, err := c.name(body)
	if err != nil {
		return err
	}
	if len(c.r.Whiteouts)+len(c.r.Opaques) >= maxWhiteouts {
		c.links++
	} else if c.room(len(p)) {
		*to = append(*to, p)
	}
	return nil
}

func (c *collector) begin(body []byte) error {
	if len(body) < 16 || c.at.n != 0 {
		return errMessage
	}
	n := binary.LittleEndian.Uint64(body)
	p, err := c.name(body[16:])
	if err != nil || n == 0 {
		return errMessage
	}
	c.at = begun{n: n, sum: binary.LittleEndian.Uint64(body[8:]), path: p}
	return nil
}

// result books the outcome of the file that was begun.
func (c *collector) result(r result, size int64) error {
	// All of it is checked before any of it is booked.
	n := 0
	for i := range r.Facts {
		if err := checkFacts(&r.Facts[i]); err != nil {
			return err
		}
		n += packagesOf(&r.Facts[i])
	}
	for i := range r.Facts {
		for j := range r.Facts[i].Secrets {
			// What a file holds is told of that file.
			if s := &r.Facts[i].Secrets[j]; s.Path != c.at.path || !plausibleSecret(s) {
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
	p := c.at.path
	c.at = begun{}
	l := &c.r.Ledger
	l.Files++
	l.Bytes += max(0, r.Bytes)
	h := report.PathHash(p)
	c.r.Hides = append(c.r.Hides, h)
	c.forget(h)
	if r.Unfinished {
		c.unfinished = fmt.Errorf("%s: %w", p, errTime)
	}
	for i := range r.Problems {
		c.problem(r.Problems[i])
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
		return nil
	}
	if c.facts += size; c.facts > maxFacts {
		c.lost++
		return nil
	}
	if c.packages+n > maxPackages {
		c.dropped += n
		return nil
	}
	c.packages += n
	c.byPath[h] = said{p, r.Facts}
	return nil
}

// skip books the file that a worker did not survive.
func (c *collector) skip(reason, message string) {
	p := c.at.path
	c.at = begun{}
	c.r.Ledger.Files++
	c.r.Ledger.Skip(reason, 1)
	h := report.PathHash(p)
	c.r.Hides = append(c.r.Hides, h)
	c.forget(h)
	c.problem(report.Problem{Path: p, Analyzer: "layer", Message: message, Reason: reason})
}

// forget drops what an earlier entry of the same path said.
func (c *collector) forget(h uint64) {
	if len(c.byPath) == 0 {
		return
	}
	old, ok := c.byPath[h]
	if !ok {
		return
	}
	for i := range old.facts {
		c.packages -= packagesOf(&old.facts[i])
	}
	delete(c.byPath, h)
}

func (c *collector) problem(p report.Problem) {
	if len(c.r.Problems) >= maxProblems {
		c.problems++
		return
	}
	p.Message = cut(p.Message, maxText)
	c.r.Problems = append(c.r.Problems, p)
}

// note adds a problem of the layer itself. It is never left out.
func (c *collector) note(format string, args ...any) {
	c.r.Problems = append(c.r.Problems, report.Problem{Analyzer: "layer", Message: cut(fmt.Sprintf(format, args...), maxText)})
}

// finish closes the report. err is why the layer was not read to its end, or
// is not to be relied on; nil if all is well.
func (c *collector) finish(err error) *report.LayerReport {
	r := c.r
	if err != nil {
		c.note("%s", err)
	} else if c.unfinished != nil {
		err = c.unfinished // has a problem of its own
	}
	r.Complete = err == nil
	if c.problems > 0 {
		c.note("%d more problems: the limit of a layer is %d", c.problems, maxProblems)
	}
	if c.dropped > 0 {
		c.note("%d packages left out: the limit of a layer is %d", c.dropped, maxPackages)
	}
	if c.lost > 0 {
		c.note("what %d files say is left out: the limit of a layer is %d bytes", c.lost, maxFacts)
	}
	if c.links > 0 {
		c.note("%d symbolic links and whiteouts left out: the limits of a layer are %d, %d and %d bytes", c.links, maxSymlinks, maxWhiteouts, maxNames)
	}
	// What is left out may hide or change what the layers below hold.
	r.Complete = r.Complete && c.links == 0 && c.lost == 0
	files := make([]said, 0, len(c.byPath))
	for _, s := range c.byPath {
		files = append(files, s)
	}
	slices.SortFunc(files, func(a, b said) int { return cmp.Compare(a.path, b.path) })
	secrets := 0
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
			secrets += len(f.Secrets)
			r.Secrets = append(r.Secrets, f.Secrets[:min(len(f.Secrets), report.MaxSecrets-len(r.Secrets))]...)
		}
	}
	if secrets > report.MaxSecrets {
		c.note("%d secrets left out: the limit of a layer is %d", secrets-report.MaxSecrets, report.MaxSecrets)
	}
	c.settleFiles()
	r.Normalize()
	return r
}

func knownReason(s string) bool {
	switch s {
	case skipDamaged, skipTooLarge, skipUnread, skipPanic, skipTime, skipMemory, skipForbid:
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
