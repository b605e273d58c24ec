package scan

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onceover/onceover/internal/layer"
	"github.com/onceover/onceover/internal/report"
)

// Limits on the digests of the files of one layer.
const (
	// maxHashed is the size of a file that is hashed.
	maxHashed = 1 << 30
	// maxHashedBytes is how much is hashed in all. It is a small part of
	// the processor time that a layer may take.
	maxHashedBytes = 16 << 30
	// maxKnownLinks is how many digests are remembered for hard links.
	maxKnownLinks = 200_000
	// hashBlock is how much is read at a time.
	hashBlock = 128 << 10
	// headBytes is how much of a file tells its kind.
	headBytes = 8
	// maxCandidates is how many files that may turn out to be owned wait for
	// the end of the layer, and maxCandidateNames the bytes of their paths.
	maxCandidates     = 100_000
	maxCandidateNames = 16 << 20
)

// Reasons in the ledger for digests that are missing.
const (
	leftLarge  = "too-large"
	leftBudget = "byte-limit"
	leftUnread = "unreadable"
	leftMany   = "too-many"
)

// leftOut are the reasons by the number that a worker sends; 0 is none.
var leftOut = [...]string{"", leftLarge, leftBudget, leftUnread}

const (
	noReason = iota
	reasonLarge
	reasonBudget
	reasonUnread
)

// A hashed file is what a worker says of a file: its digest, or why there is
// none.
type hashed struct {
	size   int64
	mode   uint32
	kind   byte // number in report.Kinds
	reason byte // number in leftOut
	sum    report.SHA256
}

// hasher takes the digests of a layer's files. A stream is hashed as it goes
// by, since what its package database owns may be known at its end only; of a
// directory the executables are read first, and in a second walk the files
// that turned out to have no owner.
type hasher struct {
	dir    bool
	second bool
	limits hashLimits // layer is what is left
	buf    []byte
	// owned are the files that the layer's own databases list.
	owned report.Hashes
	// known are digests that another name of the file may have too: by the
	// hash of its path, or of its inode in a directory.
	known map[uint64]hashed
	// pending are links whose content comes later.
	pending map[uint64]bool
}

// hashLimits are the limits that a test lowers: bytes of one file, and of all
// that are hashed.
type hashLimits struct{ file, layer int64 }

func newHasher(dir bool, limits hashLimits) *hasher {
	limits.file, limits.layer = cmp.Or(limits.file, maxHashed), cmp.Or(limits.layer, maxHashedBytes)
	return &hasher{dir: dir, limits: limits, buf: make([]byte, hashBlock), known: map[uint64]hashed{}, pending: map[uint64]bool{}}
}

// facts remembers what a file says of owners.
func (h *hasher) facts(list []report.Facts) {
	if h == nil || !h.dir {
		return
	}
	for i := range list {
		r := report.LayerReport{Ownership: list[i].Ownership}
		h.owned = append(h.owned, r.OwnedFiles()...)
	}
}

// digest tells the digest of a file; c is its content if it is open.
func (w *worker) digest(e *layer.Entry, c *layer.Content) {
	h := w.hash
	if h == nil {
		return
	}
	at := report.PathHash(e.Path)
	mode := modeOf(e.Info)
	if h.second {
		if _, owned := slices.BinarySearch(h.owned, at); owned || report.KindByName(e.Path, mode) != "" {
			return // not wanted, or hashed already
		}
	}
	if e.Again && !h.pending[at] {
		return // told when its name was met first
	}
	size := e.Info.Size()
	if c != nil {
		size = c.Size
	}
	if size == 0 {
		return
	}
	link := linkOf(e)
	if f, ok := h.known[link]; ok && link != 0 {
		if h.second && f.kind != 0 {
			return
		}
		w.tellFile(e.Path, f)
		return
	}
	f, told := w.hashFile(e, c, hashed{size: size, mode: mode}, at)
	if !told {
		return
	}
	if link == 0 && !h.dir {
		link = at
	}
	if link != 0 && len(h.known) < maxKnownLinks {
		h.known[link] = f
	}
	w.tellFile(e.Path, f)
}

// linked tells the digest of a hard link in a stream, if it is that of a file
// met before.
func (w *worker) linked(e *layer.Entry) bool {
	if w.hash == nil {
		return true
	}
	f, ok := w.hash.known[linkOf(e)]
	if ok = ok && e.LinkTo != ""; ok {
		w.tellFile(e.Path, f)
	}
	return ok
}

// unhashed tells that a file could not be opened.
func (w *worker) unhashed(e *layer.Entry, skipped string) {
	if w.hash == nil || e.Info.Size() == 0 {
		return
	}
	f := hashed{size: e.Info.Size(), mode: modeOf(e.Info), reason: reasonUnread}
	if skipped == skipTooLarge {
		f.reason = reasonLarge
	}
	f.kind = kindNumber(report.KindByName(e.Path, f.mode))
	w.tellFile(e.Path, f)
}

// hashFile reads a file. told is false if there is nothing to tell, or not yet.
func (w *worker) hashFile(e *layer.Entry, c *layer.Content, f hashed, at uint64) (_ hashed, told bool) {
	h := w.hash
	f.kind = kindNumber(report.KindByName(e.Path, f.mode))
	var r io.Reader
	if c != nil {
		r = io.NewSectionReader(c, 0, c.Size)
	} else {
		s, err := e.Stream()
		switch {
		case errors.Is(err, layer.ErrDeferred):
			h.pending[at] = true
			return f, false
		case errors.Is(err, layer.ErrLimit):
			f.reason = reasonLarge
			return f, true
		case err != nil:
			w.note(err)
			f.reason = reasonUnread
			return f, true
		}
		defer s.Close()
		r = s
	}
	n, err := io.ReadFull(r, h.buf[:headBytes])
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		w.note(err)
		f.reason = reasonUnread
		return f, true
	}
	f.kind = kindNumber(report.KindOf(e.Path, f.mode, h.buf[:n]))
	switch {
	case h.dir && (f.kind == 0) != h.second:
		return f, false
	case f.size > h.limits.file:
		f.reason = reasonLarge
		return f, true
	case f.size > h.limits.layer:
		f.reason = reasonBudget
		return f, true
	}
	h.limits.layer -= f.size
	digest := sha256.New()
	digest.Write(h.buf[:n])
	// No more is read than was asked for, should the file grow.
	read, err := copyHash(w.ctx, digest, io.LimitReader(r, f.size-int64(n)), h.buf)
	if err != nil {
		w.note(err)
		f.reason = reasonUnread
		return f, true
	}
	f.size = int64(n) + read
	digest.Sum(f.sum[:0])
	return f, true
}

func copyHash(ctx context.Context, to io.Writer, from io.Reader, buf []byte) (n int64, err error) {
	for {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		k, err := from.Read(buf)
		n += int64(k)
		_, _ = to.Write(buf[:k]) // a hash takes everything
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

func kindNumber(kind string) byte { return byte(slices.Index(report.Kinds[:], kind)) }

// modeOf is the mode as in stat(2), without the type.
func modeOf(info fs.FileInfo) uint32 {
	m := info.Mode()
	out := uint32(m.Perm())
	if m&fs.ModeSetuid != 0 {
		out |= unix.S_ISUID
	}
	if m&fs.ModeSetgid != 0 {
		out |= unix.S_ISGID
	}
	return out
}

// linkOf is what the names of a file with several have in common, 0 for a file
// of which no other name is known.
func linkOf(e *layer.Entry) uint64 {
	if e.LinkTo != "" {
		return report.PathHash(e.LinkTo)
	}
	st, ok := e.Info.Sys().(*unix.Stat_t)
	if !ok || st.Nlink < 2 {
		return 0
	}
	// One layer lies on one file system, as good as always; the mixture
	// keeps two apart all the same.
	const odd = 0x9e3779b97f4a7c15
	return max(1, st.Ino^uint64(st.Dev)*odd)
}

// unowned walks a directory once more for the files without an owner.
func (w *worker) unowned(walk func(layer.Visitor) error) error {
	slices.Sort(w.hash.owned)
	w.hash.second = true
	return walk(func(e *layer.Entry) error {
		if e.Kind == layer.File {
			w.digest(e, nil)
		}
		return cmp.Or(w.ctx.Err(), w.out.err)
	})
}

// hashedBytes is the length of a message about a file without its path.
const hashedBytes = 8 + 4 + 1 + 1 + sha256.Size

func (w *worker) tellFile(name string, f hashed) {
	b := make([]byte, 0, hashedBytes)
	b = binary.LittleEndian.AppendUint64(b, uint64(f.size))
	b = binary.LittleEndian.AppendUint32(b, f.mode)
	b = append(b, f.kind, f.reason)
	b = append(b, f.sum[:]...)
	w.out.send(msgFile, b, []byte(name))
}

// parseFile reads what tellFile sent.
func parseFile(body []byte) (c candidate, err error) {
	if len(body) < hashedBytes {
		return c, errMessage
	}
	p, err := cleanPath(body[hashedBytes:])
	size, kind, reason := int64(binary.LittleEndian.Uint64(body)), body[12], body[13]
	if err != nil || size <= 0 || int(kind) >= len(report.Kinds) || int(reason) >= len(leftOut) {
		return c, errMessage
	}
	c = candidate{hash: report.PathHash(p), reason: leftOut[reason], File: report.File{
		Path: p, Size: size, Mode: binary.LittleEndian.Uint32(body[8:]) & 0o7777, Kind: report.Kinds[kind],
	}}
	copy(c.SHA256[:], body[14:])
	return c, nil
}

// A candidate is a file that may come into the report.
type candidate struct {
	report.File
	hash   uint64
	reason string // why it has no digest
}

// candidates keep those files whose paths have the lowest hashes: which they
// are must not hang on the order of the layer, which is another for each of its
// forms.
type candidates struct {
	files []candidate
	bytes int
	// cut is the lowest hash that was dropped, if any was.
	cut     uint64
	dropped int64
}

func (c *candidates) add(f candidate, files, bytes int) {
	if c.dropped > 0 && f.hash >= c.cut {
		c.dropped++
		return
	}
	c.files = append(c.files, f)
	c.bytes += len(f.Path)
	if len(c.files) >= 2*files || c.bytes >= 2*bytes {
		c.trim(files, bytes)
	}
}

// trim puts the files in order of their hashes and drops what is too much.
func (c *candidates) trim(files, bytes int) {
	slices.SortStableFunc(c.files, func(a, b candidate) int { return cmp.Compare(a.hash, b.hash) })
	c.files = slices.CompactFunc(c.files, func(a, b candidate) bool { return a.hash == b.hash })
	c.bytes = 0
	for i := range c.files {
		if n := len(c.files[i].Path); i == files || c.bytes+n > bytes {
			c.cut = c.files[i].hash
			c.dropped += int64(len(c.files) - i)
			clear(c.files[i:])
			c.files = c.files[:i]
			return
		}
		c.bytes += len(c.files[i].Path)
	}
}

// digest books one message about a file.
func (c *collector) digest(body []byte) error {
	f, err := parseFile(body)
	if err != nil {
		return err
	}
	if f.Kind != "" {
		c.programs.add(f, report.MaxFiles, maxCandidateNames)
	} else {
		c.data.add(f, maxCandidates, maxCandidateNames)
	}
	return nil
}

// managerDirs are the directories in which distributions' package managers keep
// their books. No package lists what is in there, and it is not unowned for that.
func managerDirs(r *report.LayerReport) map[string]bool {
	out := map[string]bool{}
	for i := range r.Databases {
		if d := &r.Databases[i]; len(d.Packages) > 0 && report.OSType(d.Packages[0].Type) {
			out[path.Dir(d.Path)] = true
		}
	}
	for i := range r.Ownership {
		if typ, _, _ := strings.Cut(r.Ownership[i].Owner, ":"); report.OSType(typ) {
			out[path.Dir(r.Ownership[i].Path)] = true
		}
	}
	return out
}

// settleFiles puts the files into the report: executables first, then those that
// the databases of the layer do not list, if it has any, and that are not the
// databases' own.
func (c *collector) settleFiles() {
	r := c.base
	r.FilesRead = c.end != nil && c.end.Files
	c.programs.trim(report.MaxFiles, maxCandidateNames)
	owned := r.OwnedFiles()
	if len(owned) == 0 {
		c.data = candidates{}
	}
	c.data.trim(maxCandidates, maxCandidateNames)
	left := c.programs.dropped + c.data.dropped
	managers := managerDirs(r)
	for i, list := range [][]candidate{c.programs.files, c.data.files} {
		for _, f := range list {
			_, f.Owned = slices.BinarySearch(owned, f.hash)
			switch {
			case i == 1 && (f.Owned || managers[path.Dir(f.Path)]):
			case f.reason != "":
				r.Ledger.LeaveOut(f.reason, 1)
			case len(r.Files) == report.MaxFiles:
				left++
			default:
				r.Files = append(r.Files, f.File)
				r.Ledger.Hashed++
				r.Ledger.HashedBytes += f.Size
			}
		}
	}
	if left > 0 {
		r.Ledger.LeaveOut(leftMany, left)
	}
}
