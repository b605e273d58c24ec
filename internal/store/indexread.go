package store

import (
	"context"
	"database/sql"
	"maps"
)

const (
	sqlIndexImages = `SELECT content_id, id, name, version, local_type, size, updated_at FROM image {which}`
	sqlIndexHeld   = `SELECT k.image_id, COUNT(*) FROM container k {which} GROUP BY k.image_id`
)

// readSlots fills in some contents, or all. It returns the agents and the images
// of each.
func (x *index) readSlots(ctx context.Context, tx *sql.Tx, changed []slot, whole bool) ([][]string, [][]*picture, error) {
	byID := make(map[int64]int, len(changed))
	ids := make([]int64, len(changed))
	for i := range changed {
		ids[i] = changed[i].content
		byID[ids[i]] = i
	}
	hosts, pictures := make([][]string, len(changed)), make([][]*picture, len(changed))
	in := func(content int64) *slot {
		if i, ok := byID[content]; ok {
			return &changed[i]
		}
		return nil
	}
	agents := map[string]string{} // one copy of each id
	scans := x.factScans(in)
	maps.Copy(scans, map[string]func(*sql.Rows) error{
		sqlIndexImages: func(r *sql.Rows) error {
			p, content, err := scanPicture(r)
			if i, ok := byID[content]; ok {
				changed[i].images++
				pictures[i] = append(pictures[i], p)
			}
			return err
		},
		sqlIndexParts: func(r *sql.Rows) error {
			var content, part int64
			err := r.Scan(&content, &part)
			if i, ok := byID[content]; ok {
				changed[i].parts = append(changed[i].parts, part)
			}
			return err
		},
		sqlIndexHosts: func(r *sql.Rows) error {
			var content int64
			var agent string
			err := r.Scan(&content, &agent)
			if i, ok := byID[content]; ok {
				known, ok := agents[agent]
				if !ok {
					known = agent
					agents[agent] = agent
				}
				hosts[i] = append(hosts[i], known)
			}
			return err
		},
		sqlIndexContainer: func(r *sql.Rows) error {
			var content int64
			var n int32
			err := r.Scan(&content, &n)
			if i, ok := byID[content]; ok {
				changed[i].running = n
			}
			return err
		},
	})
	for query, scan := range scans {
		var err error
		if whole {
			err = each(ctx, tx, which(query, ""), nil, scan)
		} else {
			err = eachIn(ctx, tx, which(query, "WHERE content_id IN {in}"), ids, scan)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	containers := map[string]int32{} // by image
	count := func(r *sql.Rows) error {
		var image string
		var n int32
		err := r.Scan(&image, &n)
		containers[image] = n
		return err
	}
	var err error
	if whole {
		err = each(ctx, tx, which(sqlIndexHeld, ""), nil, count)
	} else {
		var images []string
		for _, list := range pictures {
			for _, p := range list {
				images = append(images, p.id)
			}
		}
		err = eachIn(ctx, tx, which(sqlIndexHeld, "WHERE k.image_id IN {in}"), images, count)
	}
	if err != nil {
		return nil, nil, err
	}
	for _, list := range pictures {
		for _, p := range list {
			p.containers = containers[p.id]
		}
	}
	return hosts, pictures, nil
}

func scanPicture(r *sql.Rows) (p *picture, content int64, err error) {
	p = &picture{}
	var kind string
	err = r.Scan(&content, &p.id, &p.name, &p.version, &kind, &p.size, &p.updated)
	p.kind = kind
	return p, content, err
}
