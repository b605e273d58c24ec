package store

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
)

// named is what the filter says of names.
func (f ImageFilter) named() ImageSelector {
	if f.Name == "" {
		return ImageSelector{}
	}
	return ImageSelector{Name: text(f.Name), Version: text(f.Version)}
}

// keep is the rest of the filter as the index is asked by it, nil if it selects
// all. What the index does not know, of hosts, containers and software, is looked
// up first.
func (s *Store) keep(ctx context.Context, tx *sql.Tx, revision int64, project string, f ImageFilter) (func(*picture, *slot) bool, error) {
	var among []map[string]bool // images
	if w := f.host(); len(w.parts) > 0 {
		w.add("a.project_id = ?", project)
		q, args := w.query(sqlHostAgents)
		agents, err := readStrings(ctx, tx, q, args...)
		if err != nil {
			return nil, err
		}
		set := map[string]bool{}
		if err := eachIn(ctx, tx, sqlHostImages, agents, scanInto(set)); err != nil {
			return nil, err
		}
		among = append(among, set)
	}
	if w := f.container(); len(w.parts) > 0 {
		w.add("k.project_id = ?", project)
		q, args := w.query(sqlContainerImages)
		set, err := remember(&s.selections, revision, q+fmt.Sprint(args), func() (map[string]bool, error) {
			set := map[string]bool{}
			return set, each(ctx, tx, q, args, scanInto(set))
		})
		if err != nil {
			return nil, err
		}
		among = append(among, set)
	}
	var with map[int64]bool // contents
	if f.AppName != "" {
		places, _, err := s.readPlaces(ctx, tx, AppFilter{Name: f.AppName})
		if err != nil {
			return nil, err
		}
		with = s.index.withParts(project, places)
	}
	if f.IsZero() {
		return nil, nil
	}
	status, kind := text(f.Status), text(f.LocalType)
	updated, scanned := pair(f.UpdatedFrom, f.UpdatedTo), pair(f.ScannedFrom, f.ScannedTo)
	return func(m *picture, s *slot) bool {
		switch {
		case status != "" && s.status != status, kind != "" && m.kind != kind, f.Size != nil && m.size != *f.Size,
			updated && (m.updated < *f.UpdatedFrom || m.updated > *f.UpdatedTo),
			scanned && (s.status != StatusSuccess || s.scanned < *f.ScannedFrom || s.scanned > *f.ScannedTo),
			f.HasVul != nil && (s.status != StatusSuccess || s.hasVul != *f.HasVul),
			f.HasContainer != nil && m.containers > 0 != *f.HasContainer,
			with != nil && !with[s.content]:
			return false
		}
		for _, set := range among {
			if !set[m.id] {
				return false
			}
		}
		return true
	}, nil
}

func scanInto(set map[string]bool) func(*sql.Rows) error {
	return func(r *sql.Rows) error {
		var v string
		err := r.Scan(&v)
		set[v] = true
		return err
	}
}

// key stands for the filter in the sets that are kept; nil if it asks for what
// may change without the index.
func (f ImageFilter) key(project string) any {
	if len(f.host().parts)+len(f.container().parts) > 0 || f.AppName != "" {
		return nil
	}
	n := func(p *int64) string {
		if p == nil {
			return "-"
		}
		return strconv.FormatInt(*p, 10)
	}
	is := func(p *bool) string {
		if p == nil {
			return "-"
		}
		return strconv.FormatBool(*p)
	}
	return [12]string{project, f.Name, f.Version, f.Status, f.LocalType, n(f.Size), n(f.UpdatedFrom), n(f.UpdatedTo), n(f.ScannedFrom), n(f.ScannedTo), is(f.HasVul), is(f.HasContainer)}
}

// withParts are the contents of a project that have one of some parts.
func (x *index) withParts(project string, parts map[int64]int64) map[int64]bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	out := map[int64]bool{}
	for _, c := range x.placedIn(project, parts) {
		out[c.id] = true
	}
	return out
}
