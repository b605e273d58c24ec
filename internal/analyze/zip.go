package analyze

import (
	"archive/zip"
	"context"
	"errors"
)

// Limits of OpenZip. A Python application packed with the largest numeric
// libraries has 100 MB and 20,000 files, whose directory has 3 MB. Each entry of
// the directory costs memory, so it has a budget of its own.
const (
	maxZipBytes     = 256 << 20
	maxZipDirectory = 8 << 20
	maxZipEntries   = 50_000
	maxZipReadBytes = 64 << 20
)

// A Zip is a small archive of which some entries are of interest. What is
// inflated is for the caller to bound.
type Zip struct {
	Files []*zip.File
	b     *budgets
}

// budgets lets the directory be read on one budget and what it lists on another.
type budgets struct{ *Budget }

// OpenZip reads the directory of f. It returns nil without an error if f is no
// archive.
func OpenZip(ctx context.Context, f File) (*Zip, error) {
	if f.Size > maxZipBytes {
		return nil, Limited("bytes", f.Size, maxZipBytes)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b := &budgets{NewBudget(ctx, f, maxZipDirectory)}
	z, err := zip.NewReader(b, f.Size)
	if b.Err() != nil {
		return nil, b.Err()
	}
	if errors.Is(err, zip.ErrFormat) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if n := len(z.File); n > maxZipEntries {
		return nil, Limited("entries", int64(n), maxZipEntries)
	}
	b.Budget = NewBudget(ctx, f, maxZipReadBytes)
	return &Zip{Files: z.File, b: b}, nil
}

// Err is what ended the reading of entries: the context or the limit.
func (z *Zip) Err() error { return z.b.Err() }
