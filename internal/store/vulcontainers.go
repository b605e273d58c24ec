package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"iter"
	"maps"
	"slices"
)

// A VulContainer is a running container made from an image that a vulnerability
// concerns. An image with several names stands here under one of them.
type VulContainer struct {
	Container
	ImageID, ImageName, ImageVersion string
	Severity                         int64 // the worst report.SeverityRank in the image
	FirstSeen, ScanTime              int64 // Unix milliseconds
	Handled                          bool
}

// VulContainerFilter narrows Store.VulContainers.
type VulContainerFilter struct {
	Type       string
	Severities []int64 // of the container's row; nil for all
	Name       string  // substring
	// SeenFrom and SeenTo bound FirstSeen, inclusive, each by itself.
	SeenFrom, SeenTo *int64
	Handled          *bool // nil for both
}

const (
	sqlFirstScans = `SELECT c.id, c.first_scan_time, c.latest_scan_time FROM content c WHERE c.id IN {in}`
	// A container stands in the table once for each name of its image.
	sqlRunningOf = `SELECT i.content_id, k.agent_id, k.engine, k.container_id, MIN(i.id) FROM image i CROSS JOIN container k
WHERE {where} AND k.image_id = i.id AND k.running = 1
GROUP BY i.content_id, k.agent_id, k.engine, k.container_id ORDER BY i.content_id, k.agent_id, k.engine, k.container_id LIMIT ? OFFSET ?`
	// Who looks for a part of a name looks through all names.
	sqlRunningNamed = `SELECT k.image_id, k.agent_id, k.engine, k.container_id FROM container k WHERE k.running = 1 AND {where}`
	sqlRunningRows  = `SELECT k.image_id, k.agent_id, k.engine, k.container_id, k.name, a.host_id, a.host_name, k.pod_id, k.pod_name, a.private_ip, a.public_ip, k.entry_point, i.name, i.version
FROM container k JOIN image i ON i.id = k.image_id JOIN agent a ON a.id = k.agent_id WHERE (k.image_id, k.agent_id, k.engine, k.container_id) IN (VALUES {keys})`
)

// exposed is a content that a vulnerability concerns and of which containers run.
type exposed struct {
	weighed
	severity, firstSeen, scanTime int64
	handled                       bool
}

// runningKey is a row of the table of containers.
type runningKey struct{ image, agent, engine, container string }

// VulContainers lists the running containers of a project that one vulnerability
// concerns, in an order that stays the same. Which images are concerned is asked
// of the index: in SQL that is a join of half the fleet for a vulnerability of a
// base image.
func (s *Store) VulContainers(ctx context.Context, project, advisory string, f VulContainerFilter, p Page) (out []VulContainer, total int64, err error) {
	err = s.inFleet(ctx, func(tx *sql.Tx, revision int64) error {
		out, total = nil, 0
		found, err := s.exposed(ctx, tx, revision, project, advisory, f)
		if err != nil || len(found) == 0 {
			return err
		}
		byID := make(map[int64]*exposed, len(found))
		var h holders
		for i := range found {
			byID[found[i].id] = &found[i]
			h.contents = append(h.contents, found[i].weighed)
			total += found[i].running
		}
		var keys []runningKey
		var contents []int64 // of keys
		add := func(r *sql.Rows) error {
			var content int64
			var k runningKey
			err := r.Scan(&content, &k.agent, &k.engine, &k.container, &k.image)
			if byID[content] != nil {
				keys, contents = append(keys, k), append(contents, content)
			}
			return err
		}
		if f.Name == "" {
			ids, skip := h.slice(p, func(c weighed) int64 { return c.running })
			if len(ids) > 0 { // none past the end
				query, args := ofContents(ids).query(sqlRunningOf, p.Limit, skip)
				err = each(ctx, tx, query, args, add)
			}
		} else {
			var found []contentRunning
			found, err = s.runningNamed(ctx, tx, revision, project, f, byID)
			found, total = PageOf(found, p)
			for _, c := range found {
				keys, contents = append(keys, c.runningKey), append(contents, c.content)
			}
		}
		if err != nil {
			return err
		}
		if out, err = readRunning(ctx, tx, keys); err != nil {
			return err
		}
		if err := readSeen(ctx, tx, byID, contents); err != nil {
			return err
		}
		for i := range out {
			c := byID[contents[i]]
			out[i].Severity, out[i].FirstSeen, out[i].ScanTime = c.severity, c.firstSeen, c.scanTime
			out[i].Handled = c.handled
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list containers of vulnerability: %w", err)
	}
	return out, total, nil
}

// contentRunning is a row of the table of containers with the content of its image.
type contentRunning struct {
	content int64
	runningKey
}

// runningNamed are the running containers of some contents with a part of a name,
// each under one name of its image.
func (s *Store) runningNamed(ctx context.Context, tx *sql.Tx, revision int64, project string, f VulContainerFilter, of map[int64]*exposed) (out []contentRunning, err error) {
	q, args := f.where(project).query(sqlRunningNamed)
	byImage, err := remember(&s.selections, revision, q+fmt.Sprint(args), func() (map[string][]contentRunning, error) {
		byImage := map[string][]contentRunning{}
		return byImage, each(ctx, tx, q, args, func(r *sql.Rows) error {
			var c contentRunning
			err := r.Scan(&c.image, &c.agent, &c.engine, &c.container)
			byImage[c.image] = append(byImage[c.image], c)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	err = s.index.view(revision, func() {
		s.index.walk(project, ImageSelector{}, func(_ int32, m *picture, o *slot) {
			if of[o.content] == nil {
				return
			}
			for _, c := range byImage[m.id] {
				c.content = o.content
				out = append(out, c)
			}
		})
	})
	order := func(a, b contentRunning) int {
		return cmp.Or(cmp.Compare(a.content, b.content), cmp.Compare(a.agent, b.agent), cmp.Compare(a.engine, b.engine), cmp.Compare(a.container, b.container))
	}
	slices.SortFunc(out, func(a, b contentRunning) int { return cmp.Or(order(a, b), cmp.Compare(a.image, b.image)) })
	return slices.CompactFunc(out, func(a, b contentRunning) bool { return order(a, b) == 0 }), err
}

func ofContents(ids []int64) *where {
	w := &where{}
	among(w, "i.content_id", ids)
	return w
}

func (f VulContainerFilter) where(project string) *where {
	w := &where{}
	w.add("k.project_id = ?", project)
	w.contains("k.name", f.Name)
	return w
}

// exposed are the contents with running containers that a vulnerability
// concerns, by id.
func (s *Store) exposed(ctx context.Context, tx *sql.Tx, revision int64, project, advisory string, f VulContainerFilter) ([]exposed, error) {
	h, err := s.heldVuls(ctx, tx, project, revision)
	if err != nil {
		return nil, err
	}
	v := h.find(advisory)
	if v == nil {
		return nil, nil
	}
	parts := v.worstOfParts(VulFilter{Type: f.Type})
	var out []exposed
	err = s.index.running(project, revision, maps.Keys(parts), func(sl *slot) {
		c := exposed{weighed: weighed{sl.content, int64(sl.images), int64(sl.running)}, severity: -1}
		for _, part := range sl.parts {
			if w, ok := parts[part]; ok {
				if c.severity < 0 || w.seen < c.firstSeen {
					c.firstSeen = w.seen
				}
				c.severity = max(c.severity, w.severity)
			}
		}
		c.handled = h.handled.has(project, sl.content, v.id)
		if f.Handled != nil && *f.Handled != c.handled {
			return
		}
		if f.Severities == nil || slices.Contains(f.Severities, c.severity) {
			out = append(out, c)
		}
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(out, func(a, b exposed) int { return cmp.Compare(a.id, b.id) })
	if f.SeenFrom == nil && f.SeenTo == nil {
		return out, nil
	}
	byID, ids := make(map[int64]*exposed, len(out)), make([]int64, len(out))
	for i := range out {
		ids[i] = out[i].id
		byID[ids[i]] = &out[i]
	}
	err = readSeen(ctx, tx, byID, ids)
	return slices.DeleteFunc(out, func(c exposed) bool {
		return f.SeenFrom != nil && c.firstSeen < *f.SeenFrom || f.SeenTo != nil && c.firstSeen > *f.SeenTo
	}), err
}

// readSeen adds the times of some contents. A finding is known for its package,
// so an image has it from its own first scan on.
func readSeen(ctx context.Context, tx *sql.Tx, byID map[int64]*exposed, ids []int64) error {
	return eachIn(ctx, tx, sqlFirstScans, distinctInts(ids), func(r *sql.Rows) error {
		var id, first, latest int64
		err := r.Scan(&id, &first, &latest)
		c := byID[id]
		c.firstSeen, c.scanTime = max(c.firstSeen, first), latest
		return err
	})
}

// readRunning reads the rows of some containers, in the order of their keys.
func readRunning(ctx context.Context, tx *sql.Tx, keys []runningKey) ([]VulContainer, error) {
	args := func(k runningKey) []any { return []any{k.image, k.agent, k.engine, k.container} }
	rows, err := readKeyed(ctx, tx, sqlRunningRows, keys, args, func(r *sql.Rows) (k runningKey, c VulContainer, err error) {
		err = r.Scan(&c.ImageID, &c.AgentID, &c.Engine, &c.ID, &c.Name, &c.HostID, &c.HostName, &c.PodID, &c.PodName,
			&c.PrivateIP, &c.PublicIP, &c.EntryPoint, &c.ImageName, &c.ImageVersion)
		return runningKey{c.ImageID, c.AgentID, c.Engine, c.ID}, c, err
	})
	if err != nil {
		return nil, err
	}
	out := make([]VulContainer, len(keys)) // a row for each, in step with the caller's
	for i, k := range keys {
		out[i] = rows[k]
	}
	return out, nil
}

// running is like having for contents of which containers run.
func (x *index) running(project string, revision int64, parts iter.Seq[int64], do func(*slot)) error {
	return x.view(revision, func() {
		x.having(project, parts, nil, func(s *slot) {
			if s.running > 0 {
				do(s)
			}
		})
	})
}
