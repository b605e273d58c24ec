package store

import (
	"context"
	"database/sql"
	"fmt"
)

// A RepoImage is software of one version that a vulnerability concerns, in the
// images of one name.
type RepoImage struct {
	Name            string
	App, AppVersion string
	Tags            []RepoTag
}

// A RepoTag is one of the images.
type RepoTag struct {
	ImageID, Version string
	Size             int64 // bytes
}

// RepoFilter narrows Store.RepoImages; Name and App are substrings.
type RepoFilter struct{ Name, ImageID, App string }

const (
	fromRepo = ` FROM vulnerability v CROSS JOIN finding f CROSS JOIN package p CROSS JOIN part_package pp CROSS JOIN content_part cp CROSS JOIN image i
WHERE f.vul_id = v.id AND p.id = f.package_id AND pp.package_id = f.package_id AND pp.counted = 1 AND cp.part_id = pp.part_id AND i.content_id = cp.content_id AND {where}`
	sqlCountRepo = `SELECT COUNT(*) FROM (SELECT DISTINCT i.name, p.name AS app, p.version` + fromRepo + `) t`
	sqlListRepo  = `SELECT i.name, p.name, p.version` + fromRepo + ` GROUP BY i.name, p.name, p.version ORDER BY i.name, p.name, p.version LIMIT ? OFFSET ?`
	// From the images of a name to what is in them: a part of a base image lies
	// in half of the fleet.
	sqlRepoTags = `SELECT i.id, i.version, i.size FROM image i WHERE {where} AND EXISTS (
SELECT 1 FROM vulnerability v CROSS JOIN package p CROSS JOIN finding f CROSS JOIN content_part cp CROSS JOIN part_package pp
WHERE v.advisory = ? AND p.name = ? AND p.version = ? AND f.package_id = p.id AND f.vul_id = v.id
AND cp.content_id = i.content_id AND pp.package_id = p.id AND pp.counted = 1 AND pp.part_id = cp.part_id)
ORDER BY i.version, i.id`
)

// RepoImages lists the images that one vulnerability concerns by their names and
// the software that it concerns in them.
func (s *Store) RepoImages(ctx context.Context, project, advisory string, f RepoFilter, p Page) (out []RepoImage, total int64, err error) {
	err = s.inView(ctx, func(tx *sql.Tx) error {
		q, args := f.where(project, advisory).query(sqlCountRepo)
		if err := tx.QueryRowContext(ctx, q, args...).Scan(&total); err != nil {
			return err
		}
		q, args = f.where(project, advisory).query(sqlListRepo, p.Limit, p.Offset)
		err := each(ctx, tx, q, args, func(r *sql.Rows) error {
			var i RepoImage
			err := r.Scan(&i.Name, &i.App, &i.AppVersion)
			out = append(out, i)
			return err
		})
		for n := range out {
			if err == nil {
				err = out[n].readTags(ctx, tx, project, advisory, f)
			}
		}
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list images by name: %w", err)
	}
	return out, total, nil
}

func (f RepoFilter) where(project, advisory string) *where {
	w := &where{}
	w.add("v.advisory = ? AND i.project_id = ?", advisory, project)
	w.contains("i.name", f.Name)
	w.equal("i.id", f.ImageID)
	w.contains("p.name", f.App)
	return w
}

func (i *RepoImage) readTags(ctx context.Context, tx *sql.Tx, project, advisory string, f RepoFilter) error {
	q, args := i.tagsWhere(project, f).query(sqlRepoTags, text(advisory), i.App, i.AppVersion)
	return each(ctx, tx, q, args, func(r *sql.Rows) error {
		var t RepoTag
		err := r.Scan(&t.ImageID, &t.Version, &t.Size)
		i.Tags = append(i.Tags, t)
		return err
	})
}

func (i *RepoImage) tagsWhere(project string, f RepoFilter) *where {
	w := &where{}
	w.add("i.project_id = ? AND i.name = ?", project, i.Name)
	w.equal("i.id", f.ImageID)
	return w
}
