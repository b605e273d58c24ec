package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

const (
	sqlScanned     = `SELECT analyzers, diff_ids, config FROM content_detail WHERE content_id = $1`
	sqlRunsOfImage = `SELECT COUNT(*) FROM container WHERE image_id = $1 AND running = 1`
	sqlNameOfImage = `SELECT i.name, i.version, c.config_digest FROM image i JOIN content c ON c.id = i.content_id WHERE i.id = $1`
	sqlOtherNames  = `SELECT digest FROM image_digest WHERE image_id = $1 ORDER BY digest`
)

// Merged is an image as its last scan saw it.
type Merged struct {
	Name, Version string
	ConfigDigest  image.Digest
	// Digests are those of its manifests, sorted.
	Digests []image.Digest
	// Analyzers are the keys of the layer reports that were merged, Layers
	// these reports, in the order of the image.
	Analyzers string
	Layers    []*report.LayerReport
	Inventory report.Inventory
	Config    image.Config
	// Running says that a container of the image runs on a host.
	Running bool
}

// lastScan is what the last scan of a content was made from: its layers with the
// keys of its reports, and the configuration as the registry has it. The report is
// nil if there was no scan.
func (s *Store) lastScan(ctx context.Context, content int64) (img *fleet.ImageReport, config []byte, err error) {
	img = &fleet.ImageReport{}
	var list []byte
	err = s.read.QueryRowContext(ctx, sqlScanned, content).Scan(&img.Analyzers, &list, &config)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, nil, fmt.Errorf("read scan of image: %w", err)
	}
	if len(config) == 0 || len(list) == 0 {
		return nil, nil, nil
	}
	if err := json.Unmarshal(list, &img.DiffIDs); err != nil {
		return nil, nil, fmt.Errorf("read diff IDs: %w", err)
	}
	if config, _, err = s.openConfig(content, config); err != nil {
		return nil, nil, fmt.Errorf("read scan of image: %w", err)
	}
	return img, config, nil
}

// Merged merges the layer reports of an image once more. An unknown image is
// fault.NotFound; one that was not scanned yet, or of which not every layer
// report is kept, is fault.Conflict.
func (s *Store) Merged(ctx context.Context, project, imageID string) (*Merged, error) {
	content, err := s.contentOf(ctx, project, imageID)
	if err != nil {
		return nil, err
	}
	img, raw, err := s.lastScan(ctx, content)
	if err != nil {
		return nil, err
	}
	if img == nil {
		return nil, fault.New(fault.Conflict, "image %s has not been scanned yet", imageID)
	}
	out := &Merged{Analyzers: img.Analyzers}
	if out.Config, err = image.ParseConfig(raw); err != nil {
		return nil, fmt.Errorf("read image configuration: %w", err)
	}
	layers, missing, err := s.layerReports(ctx, img)
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		return nil, fault.New(fault.Conflict, "%d of %d layer reports of image %s are not kept: scan it again", len(missing), len(img.DiffIDs), imageID)
	}
	out.Layers, out.Inventory = layers, report.Merge(layers)
	err = s.read.QueryRowContext(ctx, sqlNameOfImage, imageID).Scan(&out.Name, &out.Version, &out.ConfigDigest)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.New(fault.NotFound, "there is no image %s", imageID) // gone meanwhile
	}
	if err != nil {
		return nil, fmt.Errorf("read image: %w", err)
	}
	err = s.inView(ctx, func(tx *sql.Tx) error {
		digests, err := readStrings(ctx, tx, sqlOtherNames, imageID)
		for _, d := range digests {
			out.Digests = append(out.Digests, image.Digest(d))
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read digests of image: %w", err)
	}
	var running int64
	if err := s.read.QueryRowContext(ctx, sqlRunsOfImage, imageID).Scan(&running); err != nil {
		return nil, fmt.Errorf("count containers: %w", err)
	}
	out.Running = running > 0
	return out, nil
}
