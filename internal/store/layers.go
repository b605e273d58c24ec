package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

const (
	// maxReportBytes bounds a layer report as JSON.
	maxReportBytes = fleet.MaxPlainBytes
	// maxAsked is how many diff IDs one question may name. Engines stop
	// at 128 layers.
	maxAsked = 1024
	// zstdWindow bounds the memory of one decoder.
	zstdWindow = 8 << 20
)

const (
	sqlHasLayer = `SELECT 1 FROM layer_report WHERE diff_id = $1 AND analyzers = $2`
	sqlPutLayer = `INSERT INTO layer_report (diff_id, analyzers, body, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (diff_id, analyzers) DO NOTHING`
	sqlLayer    = `SELECT body FROM layer_report WHERE diff_id = $1 AND analyzers = $2`
)

var _ fleet.Reports = (*Store)(nil)

// MissingLayers implements fleet.Reports.
func (s *Store) MissingLayers(ctx context.Context, req fleet.MissingRequest) ([]image.Digest, error) {
	if len(req.DiffIDs) > maxAsked {
		return nil, fault.New(fault.TooLarge, "%d diff IDs: the limit is %d", len(req.DiffIDs), maxAsked)
	}
	missing := []image.Digest{}
	err := s.inView(ctx, func(tx *sql.Tx) error {
		asked := map[image.Digest]bool{}
		for _, d := range req.DiffIDs {
			if asked[d] {
				continue
			}
			asked[d] = true
			var one int
			err := tx.QueryRowContext(ctx, sqlHasLayer, string(d), req.Analyzers).Scan(&one)
			switch {
			case errors.Is(err, sql.ErrNoRows):
				missing = append(missing, d)
			case err != nil:
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for layer reports: %w", err)
	}
	return missing, nil
}

// PutLayer implements fleet.Reports. The first report of a layer stands.
func (s *Store) PutLayer(ctx context.Context, r *report.LayerReport) error {
	if !r.Complete {
		return fault.New(fault.Invalid, "layer report %s is not complete: it belongs to its image alone", r.DiffID)
	}
	if _, err := image.ParseDigest(r.DiffID); err != nil {
		return err
	}
	if r.Analyzers == "" {
		return fault.New(fault.Invalid, "layer report %s does not say which analysers made it", r.DiffID)
	}
	body, err := packReport(r)
	if err != nil {
		return err
	}
	if _, err := s.write.ExecContext(ctx, sqlPutLayer, r.DiffID, r.Analyzers, body, s.now().UnixMilli()); err != nil {
		return fmt.Errorf("store layer report: %w", err)
	}
	return nil
}

// layerReports reads the reports of an image, lowest layer first, those of its
// checks joined. Layers that lack one, here or in partial, are returned as
// missing.
func (s *Store) layerReports(ctx context.Context, img *fleet.ImageReport) (layers []*report.LayerReport, missing []string, err error) {
	type part struct{ diffID, key string }
	partial := map[part]*report.LayerReport{}
	for i := range img.Partial {
		p := &img.Partial[i]
		partial[part{p.DiffID, p.Analyzers}] = p
	}
	read := map[string]*report.LayerReport{}
	for _, d := range img.DiffIDs {
		id := string(d)
		r := read[id]
		if r == nil {
			var parts []*report.LayerReport
			keys := report.SplitKeys(img.Analyzers)
			for _, key := range keys {
				p, err := s.layerReport(ctx, id, key)
				if err != nil {
					return nil, nil, err
				}
				if p == nil {
					p = partial[part{id, key}]
				}
				if p != nil {
					parts = append(parts, p)
				}
			}
			if len(parts) == 0 || len(parts) < len(keys) {
				missing = append(missing, id)
				continue
			}
			r = report.Join(parts...)
			read[id] = r
		}
		layers = append(layers, r)
	}
	return layers, missing, nil
}

// layerReport is one stored report, or nil.
func (s *Store) layerReport(ctx context.Context, diffID, analyzers string) (*report.LayerReport, error) {
	var body []byte
	err := s.read.QueryRowContext(ctx, sqlLayer, diffID, analyzers).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read layer report: %w", err)
	}
	return unpackReport(body)
}

func packReport(r *report.LayerReport) ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode layer report: %w", err)
	}
	if len(b) > maxReportBytes {
		return nil, fault.New(fault.TooLarge, "layer report of %d bytes: the limit is %d", len(b), maxReportBytes)
	}
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdWindow))
	if err != nil {
		return nil, fmt.Errorf("compress layer report: %w", err)
	}
	if _, err := w.Write(b); err != nil {
		return nil, fmt.Errorf("compress layer report: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compress layer report: %w", err)
	}
	return out.Bytes(), nil
}

func unpackReport(body []byte) (*report.LayerReport, error) {
	r, err := zstd.NewReader(bytes.NewReader(body), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow))
	if err != nil {
		return nil, fmt.Errorf("read layer report: %w", err)
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxReportBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read layer report: %w", err)
	}
	if len(b) > maxReportBytes {
		return nil, fmt.Errorf("read layer report: more than %d bytes", maxReportBytes)
	}
	var out report.LayerReport
	if err := json.Unmarshal(b, &out); err != nil {
		return nil, fmt.Errorf("read layer report: %w", err)
	}
	return &out, nil
}
