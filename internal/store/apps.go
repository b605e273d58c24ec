package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"math"
	"slices"
)

// An AppPlace is installed software in one place of one image.
type AppPlace struct {
	App
	Path, Layer string
	// Compliant is nil if no deny list is in use, or the software was not
	// judged by it yet.
	Compliant *bool

	ImageID, ImageName, ImageVersion string
	ScanTime                         int64 // of the image, Unix milliseconds
}

// AppFilter selects software; the zero value selects all.
type AppFilter struct {
	Name string // substring
	// NonCompliant selects what the deny list denies.
	NonCompliant bool
}

const (
	// What counts is never declared, and by far the most: the index of
	// part_package answers without the rows.
	sqlNamedCounted = `SELECT pp.part_id, COUNT(*) FROM part_package pp WHERE pp.counted = 1 AND pp.package_id IN {in} GROUP BY pp.part_id`
	sqlNamedOwned   = `SELECT pp.part_id, COUNT(*) FROM part_package pp WHERE pp.counted = 0 AND pp.declared = 0 AND pp.package_id IN {in} GROUP BY pp.part_id`

	sqlDeniedPlaces   = `SELECT pt.id, pt.denied FROM part pt WHERE pt.denied > 0`
	sqlDeniedPackages = `SELECT pt.id, pp.package_id FROM part pt CROSS JOIN non_compliant d CROSS JOIN part_package pp
WHERE pt.denied > 0 AND d.part_id = pt.id AND pp.part_id = d.part_id AND pp.n = d.n`

	sqlPlacedImages = `SELECT i.content_id, i.id, i.name, i.version, c.latest_scan_time FROM image i JOIN content c ON c.id = i.content_id WHERE i.content_id IN {in}
ORDER BY i.content_id, i.name, i.version, i.id`
	sqlPlacedApps = `SELECT cp.content_id, p.type, p.name, p.version, pp.path, pt.layer, pt.policy,
CASE pp.counted WHEN 1 THEN (SELECT COUNT(*) FROM finding f WHERE f.package_id = p.id) ELSE 0 END,
(SELECT COUNT(*) FROM non_compliant d WHERE d.part_id = pp.part_id AND d.n = pp.n)
FROM content_part cp CROSS JOIN part pt CROSS JOIN part_package pp CROSS JOIN package p
WHERE pt.id = cp.part_id AND pp.part_id = pt.id AND pp.declared = 0 AND p.id = pp.package_id AND {where}
ORDER BY cp.content_id, p.name, p.type, p.version, pp.path, pt.layer, pp.part_id, pp.n LIMIT ? OFFSET ?`
)

// of is the query of some places of contents, all of which lie in the parts, and
// are of the packages, that are named if there are any.
func (f AppFilter) of(contents, parts, packages []int64, limit, offset int64) (query string, args []any) {
	w := &where{}
	among(w, "cp.content_id", contents)
	if len(parts) > 0 {
		among(w, "cp.part_id", parts)
	}
	if len(packages) > 0 {
		among(w, "pp.package_id", packages)
	} else {
		w.contains("p.name", f.Name)
	}
	if f.NonCompliant {
		w.add("pt.denied > 0 AND EXISTS (SELECT 1 FROM non_compliant x WHERE x.part_id = pp.part_id AND x.n = pp.n)")
	}
	return w.query(sqlPlacedApps, limit, offset)
}

// AllApps lists the installed software of all images of a project, image by
// image, one row for each place. A fleet has many millions of rows: they are
// counted in memory, and only those of the page are read.
func (s *Store) AllApps(ctx context.Context, project string, f AppFilter, p Page) (out []AppPlace, total int64, err error) {
	version := policyVersion(s.policy.Load())
	err = s.inFleet(ctx, func(tx *sql.Tx, revision int64) error {
		out = nil
		places, packages, err := s.readPlaces(ctx, tx, f)
		if err != nil {
			return err
		}
		list := func() (heap, error) { return s.index.placed(project, revision, places) }
		var all heap
		if places == nil {
			all, err = remember(&s.remembered, revision, "software "+project, list)
		} else {
			all, err = list()
		}
		if err != nil {
			return err
		}
		var page []piled
		total, page = all.page(p)
		images, err := readPlacedImages(ctx, tx, page)
		if err != nil {
			return err
		}
		parts := map[int64][]int64{} // that have what is asked for
		if places != nil {
			parts = s.index.partsOf(idsOf(page))
		}
		for group := range slices.Chunk(page, maxTogether) {
			if places == nil {
				break // each has many
			}
			// Few rows of each: they are read whole, for many at a time.
			rows, err := f.readTogether(ctx, tx, group, parts, places, packages, version)
			if err != nil {
				return err
			}
			for _, c := range group {
				for i, im := range images[c.id] {
					from := max(0, p.Offset-c.before-int64(i)*c.apps)
					list, _ := PageOf(rows[c.id], Page{Offset: from, Limit: p.Limit - int64(len(out))})
					for _, a := range list {
						a.ImageID, a.ImageName, a.ImageVersion, a.ScanTime = im.ImageID, im.ImageName, im.ImageVersion, im.ScanTime
						out = append(out, a)
					}
				}
			}
		}
		if places != nil {
			return nil
		}
		for _, c := range page {
			for i, im := range images[c.id] {
				// The rows of this image are numbered from c.before + i*c.apps.
				from := max(0, p.Offset-c.before-int64(i)*c.apps)
				n := min(p.Limit-int64(len(out)), c.apps-from)
				if n <= 0 {
					continue
				}
				query, args := f.of([]int64{c.id}, nil, nil, n, from)
				err := each(ctx, tx, query, args, func(r *sql.Rows) error {
					_, a, err := scanAppPlace(r, version)
					a.ImageID, a.ImageName, a.ImageVersion, a.ScanTime = im.ImageID, im.ImageName, im.ImageVersion, im.ScanTime
					out = append(out, a)
					return err
				})
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list software of all images: %w", err)
	}
	return out, total, nil
}

const (
	// maxTogether is how many contents one statement is asked for the software
	// of.
	maxTogether = 64
	// maxNamed is how many packages it is asked for instead of for a part of
	// their name.
	maxNamed = 256
)

// readTogether reads the places that the filter selects of some contents, in the
// order of lists.
func (f AppFilter) readTogether(ctx context.Context, tx *sql.Tx, group []piled, parts map[int64][]int64, places map[int64]int64, packages []int64, version string) (map[int64][]AppPlace, error) {
	with := map[int64]bool{}
	for _, c := range group {
		for _, p := range parts[c.id] {
			if places[p] > 0 {
				with[p] = true
			}
		}
	}
	out := map[int64][]AppPlace{}
	if len(packages) > maxNamed {
		packages = nil
	}
	query, args := f.of(idsOf(group), slices.Sorted(maps.Keys(with)), packages, math.MaxInt64, 0)
	err := each(ctx, tx, query, args, func(r *sql.Rows) error {
		content, a, err := scanAppPlace(r, version)
		out[content] = append(out[content], a)
		return err
	})
	return out, err
}

// scanAppPlace reads a row of sqlPlacedApps; version is that of the deny list in
// use.
func scanAppPlace(r *sql.Rows, version string) (content int64, a AppPlace, err error) {
	var policy string
	var denied int64
	err = r.Scan(&content, &a.Type, &a.Name, &a.Version, &a.Path, &a.Layer, &policy, &a.VulNum, &denied)
	if denied > 0 || version != "" && policy == version {
		a.Compliant = new(denied == 0)
	}
	return content, a, err
}

// readPlaces counts the places in each part that a filter selects, nil for all
// of them, and finds the packages that it names.
func (s *Store) readPlaces(ctx context.Context, tx *sql.Tx, f AppFilter) (places map[int64]int64, packages []int64, err error) {
	if f == (AppFilter{}) {
		return nil, nil, nil
	}
	places = map[int64]int64{}
	count := func(r *sql.Rows) error {
		var part, n int64
		err := r.Scan(&part, &n)
		places[part] += n
		return err
	}
	if f.Name == "" {
		return places, nil, each(ctx, tx, sqlDeniedPlaces, nil, count)
	}
	if packages, err = s.packageNames.with(ctx, tx, f.Name); err != nil {
		return nil, nil, err
	}
	if f.NonCompliant {
		return places, packages, each(ctx, tx, sqlDeniedPackages, nil, func(r *sql.Rows) error {
			var part, pkg int64
			err := r.Scan(&part, &pkg)
			if _, is := slices.BinarySearch(packages, pkg); is {
				places[part]++
			}
			return err
		})
	}
	for _, query := range []string{sqlNamedCounted, sqlNamedOwned} {
		if err := eachIn(ctx, tx, query, packages, count); err != nil {
			return nil, nil, err
		}
	}
	return places, packages, nil
}

// readPlacedImages are the images of some contents, as rows without software.
func readPlacedImages(ctx context.Context, tx *sql.Tx, page []piled) (map[int64][]AppPlace, error) {
	images := map[int64][]AppPlace{}
	err := eachIn(ctx, tx, sqlPlacedImages, idsOf(page), func(r *sql.Rows) error {
		var content int64
		var a AppPlace
		err := r.Scan(&content, &a.ImageID, &a.ImageName, &a.ImageVersion, &a.ScanTime)
		images[content] = append(images[content], a)
		return err
	})
	return images, err
}

// A placedContent is a content with its numbers of images and of places of
// software.
type placedContent struct{ id, images, apps int64 }

// placed finds the contents of a project that have images and software, by id:
// all software if places is nil, else what these parts have.
func (x *index) placed(project string, revision int64, places map[int64]int64) (out heap, err error) {
	err = x.view(revision, func() { out = pile(x.placedIn(project, places)) })
	return out, err
}

// placedIn is placed for a caller that holds the lock.
func (x *index) placedIn(project string, places map[int64]int64) []placedContent {
	var out []placedContent
	add := func(s *slot, apps int64) {
		if apps > 0 {
			out = append(out, placedContent{s.content, int64(s.images), apps})
		}
	}
	if places == nil {
		x.each(project, func(s *slot) { add(s, int64(s.apps)) })
	} else {
		x.having(project, maps.Keys(places), nil, func(s *slot) {
			var apps int64
			for _, part := range s.parts {
				apps += places[part]
			}
			add(s, apps)
		})
	}
	slices.SortFunc(out, func(a, b placedContent) int { return cmp.Compare(a.id, b.id) })
	return out
}

// piled is a content of which rows are in a page; before is how many rows come
// before its first.
type piled struct {
	placedContent
	before int64
}

func idsOf(page []piled) []int64 {
	ids := make([]int64, len(page))
	for i, c := range page {
		ids[i] = c.id
	}
	return ids
}

// A heap is contents with their rows one on the other.
type heap []piled

func pile(contents []placedContent) heap {
	out := make(heap, len(contents))
	total := int64(0)
	for i, c := range contents {
		out[i] = piled{c, total}
		total += c.images * c.apps
	}
	return out
}

// page counts the rows, and finds the contents that hold a page.
func (h heap) page(p Page) (total int64, page []piled) {
	if len(h) == 0 {
		return 0, nil
	}
	last := h[len(h)-1]
	total = last.before + last.images*last.apps
	from, _ := slices.BinarySearchFunc(h, p.Offset, func(c piled, at int64) int {
		if c.before+c.images*c.apps <= at {
			return -1
		}
		return 1
	})
	for _, c := range h[from:] {
		if c.before >= p.Offset+p.Limit {
			break
		}
		page = append(page, c)
	}
	return total, page
}
