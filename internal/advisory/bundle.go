package advisory

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	bolt "go.etcd.io/bbolt"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/minisign"
)

// BundleFormat is the version of the format of bundles, which docs/bundles.md
// describes.
const BundleFormat = 1

const (
	// bundleMagic is the first line of a bundle.
	bundleMagic = "onceover advisories\n"
	// maxBundleHeader bounds the second line.
	maxBundleHeader = 64 << 10
	// maxBundleBytes bounds the payload, packed and unpacked. All records
	// of osv.dev stay under a tenth of it.
	maxBundleBytes = 8 << 30
	// bundleWindow is how far back the compression looks; a bundle that
	// wants more memory than this to be unpacked is refused.
	bundleWindow = 8 << 20
	// SignatureSuffix is what the file of a signature is called behind the
	// name of what it signs.
	SignatureSuffix = ".minisig"
	// maxSignatureBytes bounds that file.
	maxSignatureBytes = 16 << 10
)

// Errors of bundles that can be told apart.
var (
	// ErrUnsigned means that there is no signature where one is needed.
	ErrUnsigned = errors.New("not signed")
	// ErrBase means that the generation that a delta starts from is not
	// here.
	ErrBase = errors.New("the base of the delta is not here")
	// ErrTruncated means that the end of the file is missing.
	ErrTruncated = errors.New("truncated")
)

// A BundleHeader is the second line of a bundle, as JSON.
type BundleHeader struct {
	Format int `json:"format"`
	// Schema of the generation.
	Schema int `json:"schema"`
	// Generation that the bundle holds or leads to, by its id.
	Generation string `json:"generation"`
	// Base is the generation that a delta starts from; "" for a whole one.
	Base string `json:"base,omitempty"`
	// Size of the payload in bytes as it lies in the file, and its
	// SHA-256.
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	// Unpacked is the size of the payload when it is unpacked.
	Unpacked int64 `json:"unpacked"`
	// Created is when the bundle was made, Built when the generation was
	// written, and NewestRecord when its newest record was modified.
	Created      time.Time `json:"created"`
	Built        time.Time `json:"built"`
	NewestRecord time.Time `json:"newest_record"`
	// Records of the generation, for people.
	Records int64 `json:"records"`
}

// ExportOptions say what to put into a bundle.
type ExportOptions struct {
	// From is the file of the generation.
	From string
	// Since is the file of the generation that a delta starts from; ""
	// for a whole bundle.
	Since string
	// To is the bundle to write. It appears when it is complete.
	To string
	// Sign signs it, into To + SignatureSuffix; nil for none.
	Sign *minisign.SecretKey
	// Now is the clock, time.Now if nil.
	Now func() time.Time
}

// Export writes a bundle.
func Export(ctx context.Context, o ExportOptions) (BundleHeader, error) {
	h, err := export(ctx, o)
	if err != nil {
		return BundleHeader{}, fmt.Errorf("export advisories: %w", err)
	}
	return h, nil
}

func export(ctx context.Context, o ExportOptions) (BundleHeader, error) {
	db, err := Open(o.From)
	if err != nil {
		return BundleHeader{}, err
	}
	defer db.Close()
	var base *DB
	if o.Since != "" {
		if base, err = Open(o.Since); err != nil {
			return BundleHeader{}, err
		}
		defer base.Close()
		if base.meta.ID == db.meta.ID {
			return BundleHeader{}, fault.New(fault.Conflict, "nothing has changed since generation %.12s", base.meta.ID)
		}
	}
	w, err := newWork(filepath.Dir(o.To), ".export-")
	if err != nil {
		return BundleHeader{}, err
	}
	defer w.close()
	m := db.meta
	h := BundleHeader{
		Format: BundleFormat, Schema: m.Schema, Generation: m.ID, Built: m.Built, Records: m.Records,
		NewestRecord: time.UnixMilli(m.DataDate).UTC(), Created: time.Now().UTC().Truncate(time.Second),
	}
	if o.Now != nil {
		h.Created = o.Now().UTC()
	}
	if base != nil {
		h.Base = base.meta.ID
	}
	payload := filepath.Join(w.dir, "payload")
	if err := h.pack(ctx, payload, db, base); err != nil {
		return BundleHeader{}, err
	}
	return h, h.finish(w.dir, payload, o)
}

// pack writes the payload and fills in what the header says about it.
func (h *BundleHeader) pack(ctx context.Context, path string, db, base *DB) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); e != nil && err == nil {
			err = e
		}
	}()
	sum := sha256.New()
	out := &counter{w: io.MultiWriter(f, sum)}
	z, err := zstd.NewWriter(out, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(bundleWindow), zstd.WithEncoderLevel(zstd.SpeedBetterCompression))
	if err != nil {
		return err
	}
	in := &counter{w: z}
	p := &packer{w: bufio.NewWriterSize(in, 1<<16)}
	if base == nil {
		err = p.whole(ctx, db)
	} else {
		err = p.delta(ctx, base, db)
	}
	if err == nil {
		err = p.end(db.meta)
	}
	if e := z.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	h.Size, h.Unpacked, h.SHA256 = out.n, in.n, hex.EncodeToString(sum.Sum(nil))
	return nil
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// finish puts header and payload together and, if wanted, signs them.
func (h *BundleHeader) finish(work, payload string, o ExportOptions) error {
	head, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("encode header: %w", err)
	}
	tmp := filepath.Join(work, "bundle")
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	in, err := os.Open(payload)
	if err != nil {
		return err
	}
	defer in.Close()
	sum := minisign.NewHash()
	all := io.MultiReader(strings.NewReader(bundleMagic), bytes.NewReader(head), strings.NewReader("\n"), in)
	if _, err := io.Copy(io.MultiWriter(f, sum), all); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	var sig []byte
	if o.Sign != nil {
		comment := fmt.Sprintf("timestamp:%d\tfile:%s\thashed\tgeneration:%s", h.Created.Unix(), oneLine(filepath.Base(o.To)), h.Generation)
		if sig, err = o.Sign.Sign(sum.Sum(nil), comment); err != nil {
			return err
		}
	}
	// A bundle without a signature is refused; one with that of another
	// would be called forged.
	if err := os.Remove(o.To + SignatureSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := replace(tmp, o.To); err != nil || sig == nil {
		return err
	}
	tmp = filepath.Join(work, "signature")
	if err := os.WriteFile(tmp, sig, 0o644); err != nil {
		return err
	}
	return replace(tmp, o.To+SignatureSuffix)
}

func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return '_'
		}
		return r
	}, s)
}

// IsBundle reports whether the file at path begins as a bundle does.
func IsBundle(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	head := make([]byte, len(bundleMagic))
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, err
	}
	return string(head[:n]) == bundleMagic, nil
}

// ReadBundleHeader reads the header of the bundle at path. It checks that the
// header makes sense and the file is as long as it says, nothing more.
func ReadBundleHeader(path string) (BundleHeader, error) {
	f, err := os.Open(path)
	if err != nil {
		return BundleHeader{}, err
	}
	defer f.Close()
	h, _, err := bundleHeader(f)
	return h, err
}

// bundleHeader also returns where the payload begins.
func bundleHeader(f *os.File) (h BundleHeader, start int64, err error) {
	fi, err := f.Stat()
	if err != nil {
		return h, 0, err
	}
	h, start, err = parseBundleHeader(f)
	if err != nil {
		return h, 0, err
	}
	switch end := start + h.Size; {
	case fi.Size() < end:
		return h, 0, fault.New(fault.Invalid, "the bundle is %w: %d bytes of %d are here, copy it again", ErrTruncated, fi.Size(), end)
	case fi.Size() > end:
		return h, 0, fault.New(fault.Invalid, "the bundle has %d bytes too many, copy it again", fi.Size()-end)
	}
	return h, start, nil
}

func parseBundleHeader(r io.Reader) (h BundleHeader, start int64, err error) {
	b := bufio.NewReaderSize(io.LimitReader(r, int64(len(bundleMagic)+maxBundleHeader)), 4096)
	magic := make([]byte, len(bundleMagic))
	if n, err := io.ReadFull(b, magic); string(magic[:n]) != bundleMagic {
		if strings.HasPrefix(bundleMagic, string(magic[:n])) {
			return h, 0, fault.New(fault.Invalid, "the bundle is %w in its first line: copy it again", ErrTruncated)
		}
		return h, 0, fault.New(fault.Invalid, "not a bundle of advisories: %w", errors.Join(errCorrupt, err))
	}
	line, err := b.ReadBytes('\n')
	if err != nil {
		if len(line) >= maxBundleHeader {
			return h, 0, fault.New(fault.TooLarge, "the header of the bundle has more than %d bytes", maxBundleHeader)
		}
		return h, 0, fault.New(fault.Invalid, "the bundle is %w in its header: copy it again", ErrTruncated)
	}
	if err := json.Unmarshal(line, &h); err != nil {
		return h, 0, fault.New(fault.Invalid, "the header of the bundle is damaged: %w", err)
	}
	return h, int64(len(bundleMagic) + len(line)), h.check()
}

func (h BundleHeader) check() error {
	isSum := func(s string) bool { return len(s) == sha256.Size*2 && isHex(s) }
	switch {
	case h.Format != BundleFormat:
		return fault.New(fault.Invalid, "the bundle has format %d, this program reads %d: use a program as new as the one that made it, or make it with one as old", h.Format, BundleFormat)
	case !isSum(h.Generation) || h.Base != "" && !isSum(h.Base) || !isSum(h.SHA256) || h.Generation == h.Base:
		return fault.New(fault.Invalid, "the header of the bundle is damaged: an id or checksum makes no sense")
	case h.Size < 0 || h.Unpacked < 0 || h.Size > maxBundleBytes || h.Unpacked > maxBundleBytes:
		return fault.New(fault.TooLarge, "the bundle holds %d bytes, %d unpacked, the limit is %d", h.Size, h.Unpacked, int64(maxBundleBytes))
	}
	return nil
}

// checkSchema is apart from check: that a bundle is forged matters more.
func (h BundleHeader) checkSchema() error {
	if h.Schema == Schema {
		return nil
	}
	return fault.New(fault.Invalid, "the bundle has schema %d, this program reads %d: export it again with a program of this version", h.Schema, Schema)
}

// unpack writes the generation that a bundle holds into a new file. base
// is nil for a whole bundle. r is at the payload.
func (h BundleHeader) unpack(ctx context.Context, r io.Reader, base *DB, path string) error {
	sum := sha256.New()
	packed := io.TeeReader(io.LimitReader(r, h.Size), sum)
	z, err := zstd.NewReader(packed, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(bundleWindow), zstd.WithDecoderMaxMemory(maxBundleBytes))
	if err != nil {
		return err
	}
	defer z.Close()
	u := newUnpacker(&boundedReader{r: z, left: h.Unpacked})
	if base == nil {
		err = u.into(ctx, nil, h.Generation, path)
	} else {
		err = base.view(func(tx *bolt.Tx) error { return u.into(ctx, tx, h.Generation, path) })
	}
	if err != nil {
		return err
	}
	// The file was read a second time: it has to be what was checked.
	if _, err := io.Copy(io.Discard, packed); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != h.SHA256 {
		return fault.New(fault.Invalid, "the bundle changed while it was read: %w", errChecksum)
	}
	return nil
}
