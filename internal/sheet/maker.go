package sheet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"time"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/store"
)

const (
	// maxFileBytes is the largest file.
	maxFileBytes = 2 << 30
	// lookEvery is how often Run looks for tasks that another server accepted
	// or left behind.
	lookEvery = 5 * time.Second
	// giveBackTime bounds how long a server that ends takes to give its task
	// back.
	giveBackTime = 5 * time.Second
)

var (
	errTooLarge = fault.New(fault.TooLarge, "the file would be larger than %d bytes: ask for fewer records, or for some of the images", maxFileBytes)
	errEnough   = errors.New("all records that were asked for")
)

// A Maker makes the files of exports.
type Maker struct {
	store *store.Store
	log   *slog.Logger
}

// New makes a Maker; log is slog.Default() if nil.
func New(st *store.Store, log *slog.Logger) *Maker {
	if log == nil {
		log = slog.Default()
	}
	return &Maker{st, log}
}

// Run makes one file after the other until ctx is done, and gives the one that is
// not whole then back. A process has one Maker that runs.
func (m *Maker) Run(ctx context.Context) {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	if err := m.store.TakeBackExports(ctx); err != nil && ctx.Err() == nil {
		m.log.ErrorContext(ctx, "take exports back", "err", err)
	}
	for {
		for made := true; made && ctx.Err() == nil; {
			var err error
			if made, err = m.Next(ctx); err != nil && ctx.Err() == nil {
				m.log.ErrorContext(ctx, "make export", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-m.store.ExportAdded():
		case <-t.C:
		}
	}
}

// Next makes the file of the task that has waited longest. made is false if none
// waits. A file that cannot be made is begun again when its lease has lapsed, and
// given up in the end; the error says why.
func (m *Maker) Next(ctx context.Context) (made bool, err error) {
	e, err := m.store.LeaseExport(ctx)
	if err != nil || e == nil {
		return false, err
	}
	begin := time.Now()
	records, err := m.make(ctx, e)
	switch {
	case err == nil:
		m.log.InfoContext(ctx, "export done", "task", e.ID, "kind", e.Query.Kind, "format", e.Format, "records", records, "bytes", e.Size, "elapsed", time.Since(begin))
		return true, nil
	case ctx.Err() != nil:
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBackTime)
		defer cancel()
		return true, m.store.ReleaseExport(after, e)
	case errors.Is(err, store.ErrLeaseLost):
		// Another server makes it, or nobody wants it any more.
		m.log.WarnContext(ctx, "export was taken over", "task", e.ID)
		return true, nil
	case fault.CodeOf(err) == fault.TooLarge || e.Attempts >= store.MaxExportAttempts:
		e.State, e.Reason = store.ExportFailure, reason(err)
		return true, errors.Join(err, m.store.EndExport(ctx, e))
	}
	return true, err
}

// reason is what the one who asked is told.
func reason(err error) string {
	if fault.CodeOf(err) == fault.Internal {
		return "internal error; the server's log has more under the task id"
	}
	return err.Error()
}

// make writes the file, keeps the lease meanwhile, and ends the task.
func (m *Maker) make(ctx context.Context, e *store.Export) (records int64, err error) {
	leased, lose := context.WithCancelCause(ctx)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		m.keep(leased, e, lose)
	}()
	records, err = m.write(leased, e)
	lost := context.Cause(leased)
	lose(nil)
	<-kept
	if lost != nil && ctx.Err() == nil {
		return records, lost
	}
	if err != nil {
		return records, fmt.Errorf("make export %s: %w", e.ID, err)
	}
	e.State = store.ExportSuccess
	return records, m.store.EndExport(ctx, e)
}

// keep renews the lease until ctx is done, and ends it if the lease is lost.
func (m *Maker) keep(ctx context.Context, e *store.Export, lose context.CancelCauseFunc) {
	t := time.NewTicker(store.ExportLease / 4)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			switch err := m.store.KeepExport(ctx, e); {
			case errors.Is(err, store.ErrLeaseLost):
				lose(err)
				return
			case err != nil && ctx.Err() == nil:
				m.log.WarnContext(ctx, "keep lease of export", "task", e.ID, "err", err)
			}
		}
	}
}

// write streams the records of all tenants, and says in e what the file is.
func (m *Maker) write(ctx context.Context, e *store.Export) (records int64, err error) {
	file, ok := reportFiles[e.Query.Kind]
	if !ok {
		return 0, fmt.Errorf("there is no report %q", e.Query.Kind)
	}
	to := &pieces{ctx: ctx, store: m.store, export: e, sum: sha256.New()}
	t, err := newTable(e.Format, file.name, file.columns, to)
	if err != nil {
		return 0, err
	}
	cells := make([]string, len(file.columns))
	for _, tenant := range e.Tenants {
		if records == e.MaxRecords {
			break
		}
		err := m.store.Report(ctx, tenant, e.Query, func(r store.ReportRow) error {
			if records == e.MaxRecords {
				return errEnough
			}
			records++
			for i, c := range file.columns {
				cells[i] = c.value(&r)
			}
			return t.row(cells)
		})
		if err != nil && !errors.Is(err, errEnough) {
			return records, err
		}
	}
	if err := t.Close(); err != nil {
		return records, err
	}
	if err := to.flush(); err != nil {
		return records, err
	}
	e.FileName = "onceover-" + file.name + "-" + time.UnixMilli(e.CreatedAt).UTC().Format("20060102T150405Z") + suffix(e.Format)
	e.Size, e.Digest = to.size, hex.EncodeToString(to.sum.Sum(nil))
	return records, nil
}

func suffix(format string) string {
	if format == store.FormatXLSX {
		return ".xlsx"
	}
	return ".zip"
}

// pieces is a file in the store. Each piece is a transaction of its own, and others
// write between them.
type pieces struct {
	ctx    context.Context
	store  *store.Store
	export *store.Export
	n      int64
	buf    []byte
	size   int64
	sum    hash.Hash
}

// Write implements io.Writer.
func (p *pieces) Write(b []byte) (int, error) {
	written := len(b)
	if p.size += int64(len(b)); p.size > maxFileBytes {
		return 0, errTooLarge
	}
	p.sum.Write(b) // never fails
	for len(b) > 0 {
		n := min(len(b), store.ExportPiece-len(p.buf))
		p.buf, b = append(p.buf, b[:n]...), b[n:]
		if len(p.buf) == store.ExportPiece {
			if err := p.flush(); err != nil {
				return 0, err
			}
		}
	}
	return written, nil
}

// flush stores what is there as a piece.
func (p *pieces) flush() error {
	if len(p.buf) == 0 {
		return nil
	}
	if err := p.store.PutExportChunk(p.ctx, p.export, p.n, p.buf); err != nil {
		return err
	}
	p.n++
	p.buf = p.buf[:0]
	return nil
}
