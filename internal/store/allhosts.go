package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"

	"github.com/onceover/onceover/internal/fleet"
)

const (
	sqlAgentsInOrder = `SELECT a.id FROM agent a WHERE {where} ORDER BY a.host_name, a.id`
	sqlEnginesOf     = `SELECT DISTINCT h.agent_id, h.engine FROM image_host h WHERE h.project_id = $1`
	sqlPageHosts     = `SELECT a.id, a.last_seen, a.host_name, a.host_id, a.version, a.private_ip, a.public_ip, '', a.engines FROM agent a WHERE a.id IN {in}`

	sqlContainersInOrder = `SELECT k.container_id, k.agent_id, k.engine FROM container k WHERE k.project_id = $1`
	sqlPageContainers    = `SELECT k.agent_id, k.engine, k.container_id, k.name, a.host_id, a.host_name, k.pod_id, k.pod_name, a.private_ip, a.public_ip, k.entry_point
FROM container k JOIN agent a ON a.id = k.agent_id WHERE {where} ORDER BY k.image_id`
)

func agentsWhere(project, agentID, hostName string) *where {
	w := &where{}
	w.add("a.project_id = ?", project)
	w.equal("a.id", agentID)
	w.contains("a.host_name", hostName)
	return w
}

// allHosts is Hosts for all images. Which engines of a host hold images follows
// the index, what is said of the host does not and is read each time.
func (s *Store) allHosts(ctx context.Context, project, agentID, hostName string, p Page) (out []Host, total int64, err error) {
	type holder struct{ agent, engine string }
	err = s.inFleet(ctx, func(tx *sql.Tx, revision int64) error {
		engines, err := remember(&s.remembered, revision, "engines "+project, func() (map[string][]string, error) {
			engines := map[string][]string{}
			err := each(ctx, tx, sqlEnginesOf, []any{project}, func(r *sql.Rows) error {
				var h holder
				err := r.Scan(&h.agent, &h.engine)
				engines[h.agent] = append(engines[h.agent], h.engine)
				return err
			})
			for _, list := range engines {
				slices.Sort(list)
			}
			return engines, err
		})
		if err != nil {
			return err
		}
		var all []holder
		q, args := agentsWhere(project, agentID, hostName).query(sqlAgentsInOrder)
		err = each(ctx, tx, q, args, func(r *sql.Rows) error {
			var agent string
			err := r.Scan(&agent)
			for _, e := range engines[agent] {
				all = append(all, holder{agent, e})
			}
			return err
		})
		if err != nil {
			return err
		}
		var page []holder
		page, total = PageOf(all, p)
		ids := map[string]bool{}
		for _, h := range page {
			ids[h.agent] = true
		}
		hosts := map[string]Host{}
		known := map[string][]fleet.Engine{}
		err = eachIn(ctx, tx, sqlPageHosts, slices.Sorted(maps.Keys(ids)), func(r *sql.Rows) error {
			h, engines, err := s.scanHost(r)
			hosts[h.AgentID], known[h.AgentID] = h, engines
			return err
		})
		if err != nil {
			return err
		}
		out = nil
		for _, h := range page {
			if host, ok := hosts[h.agent]; ok {
				out = append(out, host.of(h.engine, known[h.agent]))
			}
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list hosts: %w", err)
	}
	return out, total, nil
}

// A containerKey is one container, under however many names of its image it is
// stored.
type containerKey struct{ id, agent, engine string }

func (k containerKey) compare(o containerKey) int {
	return cmp.Or(cmp.Compare(k.id, o.id), cmp.Compare(k.agent, o.agent), cmp.Compare(k.engine, o.engine))
}

func containersWhere(project string, page []containerKey) *where {
	w := &where{}
	w.add("k.project_id = ?", project)
	ids := make([]string, len(page))
	for i, k := range page {
		ids[i] = k.id
	}
	among(w, "k.container_id", ids)
	return w
}

// allContainers is Containers for all images.
func (s *Store) allContainers(ctx context.Context, project string, p Page) (out []Container, total int64, err error) {
	err = s.inFleet(ctx, func(tx *sql.Tx, revision int64) error {
		all, err := remember(&s.remembered, revision, "containers "+project, func() ([]containerKey, error) {
			var all []containerKey
			one := map[string]string{} // copy of each agent and engine
			err := each(ctx, tx, sqlContainersInOrder, []any{project}, func(r *sql.Rows) error {
				var k containerKey
				err := r.Scan(&k.id, &k.agent, &k.engine)
				for _, w := range []*string{&k.agent, &k.engine} {
					if known, ok := one[*w]; ok {
						*w = known
					} else {
						one[*w] = *w
					}
				}
				all = append(all, k)
				return err
			})
			slices.SortFunc(all, containerKey.compare)
			return slices.Clip(slices.Compact(all)), err
		})
		if err != nil {
			return err
		}
		page, n := PageOf(all, p)
		total = n
		out = nil
		if len(page) == 0 {
			return nil
		}
		rows := map[containerKey]Container{}
		q, args := containersWhere(project, page).query(sqlPageContainers)
		err = each(ctx, tx, q, args, func(r *sql.Rows) error {
			c, err := scanContainer(r)
			if k := (containerKey{c.ID, c.AgentID, c.Engine}); rows[k].ID == "" {
				rows[k] = c
			}
			return err
		})
		if err != nil {
			return err
		}
		for _, k := range page {
			if c, ok := rows[k]; ok {
				out = append(out, c)
			}
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list containers: %w", err)
	}
	return out, total, nil
}
