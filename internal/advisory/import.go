package advisory

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/minisign"
)

// ImportOptions say what to put in place.
type ImportOptions struct {
	// File is a bundle or a finished generation.
	File string
	// To is the generation to make or replace.
	To string
	// Keys are trusted: if there are any, File needs a signature by one of
	// them in File + SignatureSuffix.
	Keys []minisign.PublicKey
	// AllowUnsigned takes a bundle without a signature, or with one that
	// no key is here for, if there are no Keys. A finished generation
	// needs it not: that is how files were carried over before there were
	// bundles.
	AllowUnsigned bool
	// Keep is how many former generations stay; see BuildOptions.Keep.
	Keep int

	// check may refuse the new generation for what the old one was.
	check func(old, next Meta) error
}

// Imported is what an import did.
type Imported struct {
	Meta Meta
	// Bundle and Delta say what the file was.
	Bundle, Delta bool
	// SignedBy is the id of the key that signed it, "" if none was asked
	// for.
	SignedBy string
	// Unchanged is set if the generation was the present one already.
	Unchanged bool
	// Older is set if the newest record of the generation that was
	// replaced is newer.
	Older bool
}

// Import puts a generation in place of the one at o.To, after every byte of it
// was checked. Its age stays that of the original. After an error everything
// is as before.
func Import(ctx context.Context, o ImportOptions) (Imported, error) {
	bundle, err := IsBundle(o.File)
	if err != nil {
		return Imported{}, fmt.Errorf("import: %w", err)
	}
	before, _ := Status(o.To) // the zero Meta if there is none
	var res Imported
	if bundle {
		res, err = importBundle(ctx, o, before)
	} else {
		res, err = importFile(ctx, o)
	}
	if err != nil {
		return Imported{}, fmt.Errorf("import %s: %w", o.File, err)
	}
	res.Older = res.Meta.DataDate < before.DataDate
	return res, nil
}

// importFile imports a finished generation. The copy is what will be used, so
// the copy is what is checked.
func importFile(ctx context.Context, o ImportOptions) (Imported, error) {
	fi, err := os.Stat(o.File)
	if err != nil {
		return Imported{}, err
	}
	if _, err := Status(o.File); err != nil { // before it is copied
		return Imported{}, err
	}
	w, err := newWork(filepath.Dir(o.To), ".import-")
	if err != nil {
		return Imported{}, err
	}
	defer w.close()
	cp := filepath.Join(w.dir, "generation")
	tmp, err := os.OpenFile(cp, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return Imported{}, err
	}
	if err := copyFile(tmp, o.File); err != nil {
		return Imported{}, err
	}
	var res Imported
	if len(o.Keys) > 0 {
		f, err := os.Open(cp)
		if err != nil {
			return Imported{}, err
		}
		defer f.Close()
		sum := minisign.NewHash()
		if _, err := io.Copy(sum, f); err != nil {
			return Imported{}, err
		}
		if res.SignedBy, err = checkSignature(o, sum.Sum(nil)); err != nil {
			return Imported{}, err
		}
	}
	res.Meta, err = settle(ctx, cp, fi.ModTime(), o)
	return res, err
}

// settle checks every byte of a file that came from elsewhere and puts it in
// place, as old as it was there.
func settle(ctx context.Context, from string, built time.Time, o ImportOptions) (Meta, error) {
	if err := os.Chtimes(from, built, built); err != nil {
		return Meta{}, err
	}
	m, err := verified(ctx, from)
	if err != nil {
		return Meta{}, err
	}
	var check func(Meta) error
	if o.check != nil {
		check = func(old Meta) error { return o.check(old, m) }
	}
	return m, place(from, o.To, o.Keep, check)
}

func importBundle(ctx context.Context, o ImportOptions, before Meta) (Imported, error) {
	f, err := os.Open(o.File)
	if err != nil {
		return Imported{}, err
	}
	defer f.Close()
	h, start, err := bundleHeader(f)
	if err != nil {
		return Imported{}, err
	}
	res := Imported{Bundle: true, Delta: h.Base != ""}
	if res.SignedBy, err = h.checkFile(ctx, f, start, o); err != nil {
		return Imported{}, err
	}
	if err := h.checkSchema(); err != nil {
		return Imported{}, err
	}
	if before.ID == h.Generation {
		// Unless it is damaged: then this mends it.
		if m, err := verified(ctx, o.To); err == nil {
			res.Meta, res.Unchanged = m, true
			return res, nil
		}
	}
	var base *DB
	if h.Base != "" {
		if base, err = openBase(h, o.To, before); err != nil {
			return Imported{}, err
		}
		defer base.Close()
	}
	w, err := newWork(filepath.Dir(o.To), ".import-")
	if err != nil {
		return Imported{}, err
	}
	defer w.close()
	if _, err := f.Seek(start, io.SeekStart); err != nil {
		return Imported{}, err
	}
	tmp := filepath.Join(w.dir, "generation")
	if err := h.unpack(ctx, f, base, tmp); err != nil {
		return Imported{}, err
	}
	res.Meta, err = settle(ctx, tmp, h.Built, o)
	return res, err
}

// checkFile checks signature and checksum in one pass through the file.
func (h BundleHeader) checkFile(ctx context.Context, f *os.File, start int64, o ImportOptions) (signedBy string, err error) {
	if len(o.Keys) == 0 && !o.AllowUnsigned {
		what := "nobody has signed the bundle"
		if _, err := os.Stat(o.File + SignatureSuffix); err == nil {
			what = "the bundle is signed, and no key is here to check it"
		}
		return "", fault.New(fault.Forbidden, "%s: give the public key of who made it with --key or --keys, or take it without proof of where it comes from with --allow-unsigned: %w", what, ErrUnsigned)
	}
	all, payload := minisign.NewHash(), sha256.New()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	r := &cancelReader{ctx, f}
	if _, err := io.CopyN(all, r, start); err != nil {
		return "", err
	}
	if _, err := io.Copy(io.MultiWriter(all, payload), r); err != nil {
		return "", err
	}
	if len(o.Keys) > 0 {
		if signedBy, err = checkSignature(o, all.Sum(nil)); err != nil {
			return "", err
		}
	}
	if hex.EncodeToString(payload.Sum(nil)) != h.SHA256 {
		return "", fault.New(fault.Invalid, "the bundle was damaged on its way, copy it again: %w", errChecksum)
	}
	return signedBy, nil
}

// checkSignature checks the signature beside o.File by the hash of the file.
func checkSignature(o ImportOptions, sum []byte) (signedBy string, err error) {
	path := o.File + SignatureSuffix
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fault.New(fault.Forbidden, "a key is configured and there is no %s: carry it over with the file, or have the file signed: %w", path, ErrUnsigned)
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSignatureBytes))
	if err != nil {
		return "", err
	}
	sig, err := minisign.ParseSignature(text)
	if err != nil {
		return "", fault.New(fault.Forbidden, "%s: %w", path, err)
	}
	key, err := minisign.Verify(o.Keys, sig, sum)
	if err != nil {
		return "", fault.New(fault.Forbidden, "refused, get it again from who made it and check with them which key they use: %w", err)
	}
	return key.ID.String(), nil
}

// openBase opens the generation that a delta starts from.
func openBase(h BundleHeader, to string, present Meta) (*DB, error) {
	path, err := Kept(to, h.Base)
	if err == nil {
		return Open(path)
	}
	if fault.CodeOf(err) != fault.NotFound {
		return nil, err
	}
	if present.ID == "" {
		return nil, fault.New(fault.NotFound, "it is a delta from generation %.12s, and no generation is here: import a whole bundle first: %w", h.Base, ErrBase)
	}
	return nil, fault.New(fault.NotFound, "it is a delta from generation %.12s, which is not here: have a whole bundle made, or one with --since %.12s: %w", h.Base, present.ID, ErrBase)
}

// cancelReader ends when its context does.
type cancelReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancelReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
