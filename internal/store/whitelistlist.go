package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// A Whitelist is a rule: one advisory that is handled in all images, or in some.
type Whitelist struct {
	ID, VulID, VulType, Scope, Description string
	CVEs                                   []VulCVE
	AddedBy                                string
	AddedAt                                int64 // Unix milliseconds
}

// WhitelistFilter narrows Store.Whitelists: VulName is a substring.
type WhitelistFilter struct{ VulName, VulType string }

const (
	ruleColumns   = `SELECT r.id, v.advisory, r.vul_type, r.rule_type, r.description, r.added_by, r.added_at FROM whitelist r CROSS JOIN vulnerability v WHERE v.id = r.vul_id AND `
	sqlCountRules = `SELECT COUNT(*) FROM whitelist r CROSS JOIN vulnerability v WHERE v.id = r.vul_id AND {where}`
	sqlListRules  = ruleColumns + `{where} ORDER BY r.added_at DESC, r.id LIMIT ? OFFSET ?`
	sqlOneRule    = ruleColumns + `r.id = $1 AND r.project_id = $2`
	sqlPageListed = `SELECT image_id, name FROM whitelist_image WHERE rule_id = $1 ORDER BY image_id LIMIT $2 OFFSET $3`
	sqlListChoice = `SELECT DISTINCT v.advisory FROM project_package pj CROSS JOIN finding f CROSS JOIN vulnerability v
WHERE f.package_id = pj.package_id AND v.id = f.vul_id AND {where} ORDER BY v.advisory LIMIT ? OFFSET ?`
)

func (f WhitelistFilter) where(project string) *where {
	w := &where{}
	w.add("r.project_id = ?", project)
	w.contains("v.advisory", f.VulName)
	w.equal("r.vul_type", f.VulType)
	return w
}

// Whitelists lists the rules of a project, the newest first.
func (s *Store) Whitelists(ctx context.Context, project string, f WhitelistFilter, p Page) (out []Whitelist, total int64, err error) {
	err = s.inView(ctx, func(tx *sql.Tx) error {
		w := f.where(project)
		q, args := w.query(sqlCountRules)
		if err := tx.QueryRowContext(ctx, q, args...).Scan(&total); err != nil {
			return err
		}
		q, args = w.query(sqlListRules, p.Limit, p.Offset)
		err := each(ctx, tx, q, args, func(r *sql.Rows) error {
			w, err := scanRule(r)
			out = append(out, w)
			return err
		})
		if err != nil {
			return err
		}
		for i := range out {
			if out[i].CVEs, err = readCVEs(ctx, tx, sqlVulCVEs, out[i].VulID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list whitelist: %w", err)
	}
	return out, total, nil
}

// A ListedImage is an image of a rule. It stays on the rule when it leaves the
// fleet, and is covered again when it comes back.
type ListedImage struct{ ID, Name string }

// Whitelist is one rule with a page of its images. An unknown one is
// fault.NotFound.
func (s *Store) Whitelist(ctx context.Context, project, id string, p Page) (out Whitelist, images []ListedImage, err error) {
	rule, err := strconv.ParseInt(id, 16, 64)
	if err != nil || ruleID(rule) != id {
		return out, nil, noRule(id)
	}
	err = s.inView(ctx, func(tx *sql.Tx) error {
		out, err = scanRule(tx.QueryRowContext(ctx, sqlOneRule, rule, project))
		if errors.Is(err, sql.ErrNoRows) {
			return noRule(id)
		}
		if err != nil {
			return err
		}
		if out.CVEs, err = readCVEs(ctx, tx, sqlVulCVEs, out.VulID); err != nil {
			return err
		}
		return each(ctx, tx, sqlPageListed, []any{rule, p.Limit, p.Offset}, func(r *sql.Rows) error {
			var i ListedImage
			err := r.Scan(&i.ID, &i.Name)
			images = append(images, i)
			return err
		})
	})
	if err != nil {
		return out, nil, fmt.Errorf("read whitelist rule: %w", err)
	}
	return out, images, nil
}

func scanRule(r interface{ Scan(...any) error }) (w Whitelist, err error) {
	var id int64
	err = r.Scan(&id, &w.VulID, &w.VulType, &w.Scope, &w.Description, &w.AddedBy, &w.AddedAt)
	w.ID = ruleID(id)
	return w, err
}

// VulChoices lists the advisories that a rule can be made for: those that concern
// an image, whether handled or not. name is a substring.
func (s *Store) VulChoices(ctx context.Context, project, typ, name string, p Page) (out []string, total int64, err error) {
	f := VulFilter{Type: typ, Name: name}
	if s.inMemory(f) {
		out, total, err = s.choicesHeld(ctx, project, f, p)
	} else {
		total, err = s.list(ctx, vulnerabilitiesWhere(project, f), sqlCountVuls, sqlListChoice, []any{p.Limit, p.Offset}, func(r *sql.Rows) error {
			var id string
			err := r.Scan(&id)
			out = append(out, id)
			return err
		})
	}
	if err != nil {
		return nil, 0, fmt.Errorf("list vulnerabilities for the whitelist: %w", err)
	}
	return out, total, nil
}

// choicesHeld is VulChoices from memory.
func (s *Store) choicesHeld(ctx context.Context, project string, f VulFilter, p Page) (out []string, total int64, err error) {
	f.Name = text(f.Name)
	err = s.inFleet(ctx, func(tx *sql.Tx, revision int64) error {
		out, total = nil, 0
		h, err := s.heldVuls(ctx, tx, project, revision)
		if err != nil {
			return err
		}
		for i := range h.list {
			v := &h.list[i]
			if !f.vulHolds(v) || !slices.ContainsFunc(v.findings, f.findingHolds) {
				continue
			}
			if total >= p.Offset && int64(len(out)) < p.Limit {
				out = append(out, v.advisory)
			}
			total++
		}
		return nil
	})
	return out, total, err
}
