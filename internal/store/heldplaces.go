package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
)

const sqlDecisionsOn = `SELECT d.content_id, d.rule_id, d.action FROM vul_handled d WHERE d.vul_id = $1`

// A partFact is what an advisory says of a part.
type partFact struct {
	severity, pkg int64
	linux, app    bool
}

func (f partFact) and(g partFact) partFact {
	return partFact{max(f.severity, g.severity), min(f.pkg, g.pkg), f.linux || g.linux, f.app || g.app}
}

// types are as those of an occurrence.
func (f partFact) types() string {
	switch {
	case f.linux && f.app:
		return VulApp + "," + VulLinux
	case f.app:
		return VulApp
	default:
		return VulLinux
	}
}

// chooseHeld is choose for vulnerabilities that are named, from memory: one may be
// in most of the fleet.
func (s *Store) chooseHeld(ctx context.Context, tx *sql.Tx, project string, revision int64, h Handling) (c chosen, err error) {
	if _, err := knownVuls(ctx, tx, project, h.Vuls); err != nil {
		return c, err
	}
	held, err := s.heldVuls(ctx, tx, project, revision)
	if err != nil {
		return c, err
	}
	c.images = map[int64][]named{}
	added := map[int64]bool{}
	for _, advisory := range h.Vuls {
		if v := held.find(advisory); v != nil && !added[v.id] {
			added[v.id] = true
			if err := s.addHeld(ctx, tx, project, revision, h, held, v, &c); err != nil {
				return c, err
			}
		}
	}
	for _, o := range c.found {
		c.num += int64(len(c.images[o.content]))
	}
	if c.num > MaxHandled {
		return c, errTooMany()
	}
	return c, nil
}

// addHeld adds where one advisory is.
func (s *Store) addHeld(ctx context.Context, tx *sql.Tx, project string, revision int64, h Handling, held *heldVuls, v *heldVul, c *chosen) error {
	decided := map[int64]occurrence{}
	if !held.handled.nowhere(v.id) {
		err := each(ctx, tx, sqlDecisionsOn, []any{v.id}, func(r *sql.Rows) error {
			var content, rule int64
			var action string
			err := r.Scan(&content, &rule, &action)
			o := decided[content]
			if rule == 0 {
				o.decision = action
			} else {
				o.listed = true
			}
			decided[content] = o
			return err
		})
		if err != nil {
			return fmt.Errorf("read decisions: %w", err)
		}
	}
	everywhere := slices.Contains(held.handled.all[v.id], project)
	facts := map[int64]partFact{}
	for i, x := range v.findings {
		f := partFact{x.severity, x.pkg, !x.app, x.app}
		for _, p := range v.parts[i] {
			if other, ok := facts[p]; ok {
				facts[p] = other.and(f)
			} else {
				facts[p] = f
			}
		}
	}
	return s.index.view(revision, func() {
		s.index.having(project, v.partsWith(VulFilter{}), nil, func(at *slot) {
			fact, any := partFact{}, false
			for _, p := range at.parts {
				if f, ok := facts[p]; ok && any {
					fact = fact.and(f)
				} else if ok {
					fact, any = f, true
				}
			}
			o := decided[at.content]
			o.place, o.severity, o.pkg, o.types, o.listed = place{at.content, v.id}, fact.severity, fact.pkg, fact.types(), o.listed || everywhere
			if !h.keeps(o) {
				return
			}
			c.found = append(c.found, o)
			if c.images[at.content] == nil {
				c.images[at.content] = at.named()
			}
		})
	})
}

// named are the images of a content by id.
func (s *slot) named() []named {
	out := make([]named, len(s.pictures))
	for i, m := range s.pictures {
		out[i] = named{m.id, m.name, m.version, s.content}
	}
	slices.SortFunc(out, func(a, b named) int { return cmp.Compare(a.id, b.id) })
	return out
}
