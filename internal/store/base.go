package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/onceover/onceover/internal/check/baseimage"
	"github.com/onceover/onceover/internal/image"
)

const (
	// maxStacks bounds the images that are read of one stack of layers. A
	// base image is shown with fewer names.
	maxStacks = 200
	// chainBatch is how many older contents get their chain IDs at a time.
	chainBatch = 32
	// noChain is content_detail.chain of an image without layers.
	noChain = "-"
)

const (
	sqlFillChain   = `UPDATE content_detail SET chain = $1, steps = $2 WHERE content_id = $3 AND chain = ''`
	sqlNoChain     = `SELECT content_id, diff_ids, config FROM content_detail WHERE chain = '' LIMIT $1`
	sqlBaseOf      = `SELECT c.config_digest, d.diff_ids, d.config, d.distro, d.system_layer FROM content_detail d JOIN content c ON c.id = d.content_id WHERE d.content_id = $1`
	sqlImagesBuilt = `SELECT c.config_digest, d.steps, i.name, i.version FROM content_detail d CROSS JOIN content c CROSS JOIN image i
WHERE d.chain = $1 AND d.steps < $2 AND c.id = d.content_id AND c.project_id = $3 AND i.content_id = c.id ORDER BY d.content_id, i.name, i.version, i.id LIMIT $4`
)

// chainOf is what is kept of a stack of layers and a configuration, to find
// images that were built on them.
func chainOf(diffIDs []image.Digest, config []byte) (chain string, steps int64) {
	if cfg, err := image.ParseConfig(config); err == nil {
		steps = int64(len(cfg.History))
	}
	if len(diffIDs) == 0 {
		return noChain, steps
	}
	ids := image.ChainIDs(diffIDs)
	return string(ids[len(ids)-1]), steps
}

// fillChains works out the chain IDs of contents that were stored before they
// were kept. It returns how many they were.
func (s *Store) fillChains(ctx context.Context) (total int, err error) {
	return inBatches("work out chain IDs", func() (n int, err error) {
		err = s.inTx(ctx, func(tx *sql.Tx) error {
			var rows [][]any
			err := each(ctx, tx, sqlNoChain, []any{chainBatch}, func(r *sql.Rows) error {
				var content int64
				var ids, config []byte
				if err := r.Scan(&content, &ids, &config); err != nil {
					return err
				}
				var diffIDs []image.Digest
				if err := json.Unmarshal(ids, &diffIDs); err != nil {
					return fmt.Errorf("read diff IDs: %w", err)
				}
				config, _, err := s.openConfig(content, config)
				if err != nil {
					return err
				}
				chain, steps := chainOf(diffIDs, config)
				rows = append(rows, []any{chain, steps, content})
				return nil
			})
			if err != nil {
				return err
			}
			n = len(rows)
			for _, row := range rows {
				if _, err := tx.ExecContext(ctx, sqlFillChain, row...); err != nil {
					return err
				}
			}
			return nil
		})
		return n, err
	})
}

// stacks is the baseimage.Fleet of one project, for one image.
type stacks struct {
	tx      *sql.Tx
	project string
	whole   image.Digest // of the image itself
	steps   int
}

// Stacks implements baseimage.Fleet. Each chain ID is one look-up.
func (f stacks) Stacks(ctx context.Context, chainIDs []image.Digest) ([]baseimage.Candidate, error) {
	var out []baseimage.Candidate
	for _, chain := range chainIDs {
		below := int64(1) << 40
		if chain == f.whole {
			below = int64(f.steps) // its base has a shorter history
		}
		err := each(ctx, f.tx, sqlImagesBuilt, []any{string(chain), below, f.project, maxStacks}, func(r *sql.Rows) error {
			c := baseimage.Candidate{ChainID: chain, Names: make([]image.Ref, 1)}
			err := r.Scan(&c.ConfigDigest, &c.Steps, &c.Names[0].Name, &c.Names[0].Tag)
			if c.Names[0].Name == Untagged {
				c.Names = nil
			}
			out = append(out, c)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Bases lists what an image was built from, nearest first; osName is a substring
// of the system's name. An unknown image is fault.NotFound; one that was not
// scanned has none.
func (s *Store) Bases(ctx context.Context, project, imageID, osName string) ([]baseimage.Base, error) {
	content, err := s.contentOf(ctx, project, imageID)
	if err != nil {
		return nil, err
	}
	var out []baseimage.Base
	err = s.inView(ctx, func(tx *sql.Tx) error {
		var in baseimage.Input
		var ids, config, distro []byte
		err := tx.QueryRowContext(ctx, sqlBaseOf, content).Scan(&in.ConfigDigest, &ids, &config, &distro, &in.SystemLayer)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := json.Unmarshal(ids, &in.DiffIDs); err != nil {
			return fmt.Errorf("read diff IDs: %w", err)
		}
		if err := json.Unmarshal(distro, &in.Distro); err != nil {
			return fmt.Errorf("read distribution: %w", err)
		}
		if config, _, err = s.openConfig(content, config); err != nil {
			return err
		}
		if cfg, err := image.ParseConfig(config); err == nil {
			in.Labels, in.History = cfg.Labels, cfg.History
		}
		fleet := stacks{tx: tx, project: project, steps: len(in.History)}
		if n := len(in.DiffIDs); n > 0 {
			fleet.whole = image.ChainIDs(in.DiffIDs)[n-1]
		}
		out, err = baseimage.Identify(ctx, in, fleet)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find base images: %w", err)
	}
	if osName == "" {
		return out, nil
	}
	var fit []baseimage.Base
	for _, b := range out {
		if strings.Contains(b.OSName, osName) {
			fit = append(fit, b)
		}
	}
	return fit, nil
}
