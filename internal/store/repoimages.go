package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
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

const sqlRepoParts = `SELECT DISTINCT pp.part_id, p.name, p.version FROM vulnerability v CROSS JOIN finding f CROSS JOIN package p CROSS JOIN part_package pp
WHERE f.vul_id = v.id AND p.id = f.package_id AND pp.package_id = f.package_id AND pp.counted = 1 AND {where}`

// app is software of one version.
type app struct{ name, version string }

// RepoImages lists the images that one vulnerability concerns by their names and
// the software that it concerns in them. They are put together from the index: a
// part of a base image lies in half of the fleet.
func (s *Store) RepoImages(ctx context.Context, project, advisory string, f RepoFilter, p Page) (out []RepoImage, total int64, err error) {
	err = s.inFleet(ctx, func(tx *sql.Tx, revision int64) error {
		parts := map[int64][]app{}
		q, args := f.where(advisory).query(sqlRepoParts)
		err := each(ctx, tx, q, args, func(r *sql.Rows) error {
			var part int64
			var a app
			err := r.Scan(&part, &a.name, &a.version)
			parts[part] = append(parts[part], a)
			return err
		})
		if err != nil {
			return err
		}
		return s.index.view(revision, func() {
			out, total = s.index.repos(project, parts, f, p)
		})
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list images by name: %w", err)
	}
	return out, total, nil
}

func (f RepoFilter) where(advisory string) *where {
	w := &where{}
	w.add("v.advisory = ?", advisory)
	w.contains("p.name", f.App)
	return w
}

// repos are the images of a project that have some parts, by name and what of
// these parts they have. The caller holds the lock.
func (x *index) repos(project string, parts map[int64][]app, f RepoFilter, p Page) (out []RepoImage, total int64) {
	has := newBitmap(len(x.slots))
	for part := range parts {
		for _, at := range x.parts[part] {
			has.set(at)
		}
	}
	name, tags := "", map[app][]RepoTag{} // of the images with one name, which lie side by side
	end := func() {
		apps := slices.SortedFunc(maps.Keys(tags), func(a, b app) int {
			return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.version, b.version))
		})
		for _, a := range apps {
			if total >= p.Offset && total < p.Offset+p.Limit {
				out = append(out, RepoImage{name, a.name, a.version, tags[a]})
			}
			total++
		}
		clear(tags)
	}
	x.walk(project, ImageSelector{Name: text(f.Name)}, func(_ int32, m *picture, s *slot) {
		if !has.has(m.slot) || f.ImageID != "" && f.ImageID != m.id {
			return
		}
		if m.name != name {
			end()
			name = m.name
		}
		seen := map[app]bool{}
		for _, part := range s.parts {
			for _, a := range parts[part] {
				if !seen[a] {
					seen[a] = true
					tags[a] = append(tags[a], RepoTag{m.id, m.version, m.size})
				}
			}
		}
	})
	end()
	return out, total
}
