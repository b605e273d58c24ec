package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/onceover/onceover/internal/fault"
)

// An ImageName is an image as a picker shows it.
type ImageName struct {
	ID, Name, Version string
	CreatedAt         int64 // Unix milliseconds
}

const (
	sqlImageHeldBy = `SELECT COUNT(*) FROM image i JOIN content c ON c.id = i.content_id JOIN image_host h ON h.image_id = i.id WHERE {where}`
)

// ImageNames lists images by name and version; keyword is a part of
// "name:version".
func (s *Store) ImageNames(ctx context.Context, project, keyword string, p Page) (out []ImageName, total int64, err error) {
	keyword = text(keyword)
	err = s.inFleet(ctx, func(_ *sql.Tx, revision int64) error {
		out, total = nil, 0
		return s.index.view(revision, func() {
			s.index.walk(project, ImageSelector{}, func(_ int32, m *picture, _ *slot) {
				if !m.named(keyword) {
					return
				}
				if total >= p.Offset && total < p.Offset+p.Limit {
					out = append(out, ImageName{m.id, m.name, m.version, m.updated})
				}
				total++
			})
		})
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list names of images: %w", err)
	}
	return out, total, nil
}

// named reports whether a keyword is part of "name:version".
func (p *picture) named(keyword string) bool {
	if strings.Contains(p.name, keyword) || strings.Contains(p.version, keyword) {
		return true
	}
	return strings.Contains(keyword, ":") && strings.Contains(p.name+":"+p.version, keyword)
}

// ContainersOf lists the containers that a host has of an image. The image is
// named by its id and by everything else that is known of it: if one of these is
// not so, or the host does not hold it, that is fault.NotFound.
func (s *Store) ContainersOf(ctx context.Context, project, imageID string, k ImageKey, p Page) ([]Container, int64, error) {
	q, args := heldByWhere(project, imageID, k).query(sqlImageHeldBy)
	var n int64
	if err := s.read.QueryRowContext(ctx, q, args...).Scan(&n); err != nil {
		return nil, 0, fmt.Errorf("find image of host: %w", err)
	}
	if n == 0 {
		return nil, 0, fault.New(fault.NotFound, "there is no image %s with this digest, name, version and agent", imageID)
	}
	out, total, err := s.containers(ctx, containersOfWhere(project, imageID, k.AgentID), p)
	if err != nil {
		return nil, 0, fmt.Errorf("list containers of image: %w", err)
	}
	return out, total, nil
}

func heldByWhere(project, imageID string, k ImageKey) *where {
	w := &where{}
	w.add("i.id = ? AND i.project_id = ?", imageID, project)
	k.add(w, project, "h.agent_id")
	return w
}

func containersOfWhere(project, imageID, agent string) *where {
	w := &where{}
	w.add("k.image_id = ? AND k.agent_id = ? AND k.project_id = ?", imageID, agent, project)
	return w
}

// RiskTotals counts images by the worst that was found in them.
type RiskTotals struct{ All, High, Risky, Unscanned int64 }

// RiskTotals counts the images of a project: all, those with high risk, those
// with any, and those of which no scan has succeeded yet.
func (s *Store) RiskTotals(ctx context.Context, project string) (out RiskTotals, err error) {
	err = s.inFleet(ctx, func(_ *sql.Tx, revision int64) (err error) {
		out, err = remember(&s.remembered, revision, "risk totals "+project, func() (n RiskTotals, err error) {
			err = s.index.view(revision, func() {
				s.index.walk(project, ImageSelector{}, func(_ int32, _ *picture, c *slot) {
					n.All++
					n.High += boolInt(c.level == "High")
					n.Risky += boolInt(c.level == "High" || c.level == "Medium" || c.level == "Low")
					n.Unscanned += boolInt(c.scanned == 0)
				})
			})
			return n, err
		})
		return err
	})
	if err != nil {
		return RiskTotals{}, fmt.Errorf("count images at risk: %w", err)
	}
	return out, nil
}
