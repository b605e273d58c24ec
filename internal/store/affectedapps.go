package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/report"
)

// An AffectedApp is software of one name that a vulnerability concerns.
type AffectedApp struct {
	Name string
	// Ranges of versions that decided, ">= 0, < 2.3-4"; empty where the
	// advisory has none.
	Ranges []string
	Places []AffectedPlace
}

// An AffectedPlace is a version of it in a place. Path is empty for a package
// of the distribution: what lies where is said by its database alone.
type AffectedPlace struct{ Version, Path string }

const (
	sqlContainerContents = `SELECT DISTINCT i.content_id FROM container k JOIN image i ON i.id = k.image_id WHERE k.project_id = $1 AND k.container_id = $2`
	// From what the images have to what is known against it: a vulnerability
	// may concern thousands of versions in the fleet.
	sqlAffectedPlaces = `SELECT p.name, p.version, pp.path, f.vul_type, f.evidence
FROM vulnerability v CROSS JOIN content_part cp CROSS JOIN part_package pp CROSS JOIN finding f CROSS JOIN package p
WHERE pp.part_id = cp.part_id AND pp.counted = 1 AND f.package_id = pp.package_id AND f.vul_id = v.id AND p.id = pp.package_id AND {where}
ORDER BY p.name, p.version, pp.path, p.id`
)

// AffectedApps lists what a vulnerability concerns in an image, by name, if it is
// handled there or open, as is asked. An unknown image is fault.NotFound.
func (s *Store) AffectedApps(ctx context.Context, project, imageID, advisory string, handled bool, p Page) ([]AffectedApp, int64, error) {
	content, err := s.contentOf(ctx, project, imageID)
	if err != nil {
		return nil, 0, err
	}
	return s.affectedApps(ctx, project, []int64{content}, advisory, handled, p)
}

// ContainerApps is AffectedApps for the image that a container was made from,
// whether or not it runs.
func (s *Store) ContainerApps(ctx context.Context, project, containerID, advisory string, handled bool, p Page) ([]AffectedApp, int64, error) {
	var contents []int64
	err := s.inView(ctx, func(tx *sql.Tx) (err error) {
		contents, err = readInts(ctx, tx, sqlContainerContents, project, text(containerID))
		return err
	})
	switch {
	case err != nil:
		return nil, 0, fmt.Errorf("find container: %w", err)
	case len(contents) == 0:
		return nil, 0, fault.New(fault.NotFound, "there is no container %s", containerID)
	}
	return s.affectedApps(ctx, project, contents, advisory, handled, p)
}

func (s *Store) affectedApps(ctx context.Context, project string, contents []int64, advisory string, handled bool, p Page) ([]AffectedApp, int64, error) {
	var all []AffectedApp
	q, args := affectedPlacesWhere(project, contents, advisory, handled).query(sqlAffectedPlaces)
	err := s.inFleet(ctx, func(tx *sql.Tx, revision int64) error {
		all = nil
		if is, err := s.mayConcern(ctx, tx, project, revision, advisory, contents); err != nil || !is {
			return err
		}
		return each(ctx, tx, q, args, func(r *sql.Rows) error {
			var name, vulType, evidence string
			var place AffectedPlace
			if err := r.Scan(&name, &place.Version, &place.Path, &vulType, &evidence); err != nil {
				return err
			}
			var e report.Evidence
			if err := json.Unmarshal([]byte(evidence), &e); err != nil {
				return fmt.Errorf("read evidence: %w", err)
			}
			if vulType == VulLinux {
				place.Path = ""
			}
			if n := len(all); n == 0 || all[n-1].Name != name {
				all = append(all, AffectedApp{Name: name})
			}
			all[len(all)-1].add(place, e.Range)
			return nil
		})
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list affected software: %w", err)
	}
	out, total := PageOf(all, p)
	return out, total, nil
}

// mayConcern is false if a vulnerability concerns none of some contents.
func (s *Store) mayConcern(ctx context.Context, tx *sql.Tx, project string, revision int64, advisory string, contents []int64) (bool, error) {
	if !s.inMemory(VulFilter{}) {
		return true, nil
	}
	h, err := s.heldVuls(ctx, tx, project, revision)
	if err != nil {
		return false, err
	}
	v := h.find(advisory)
	return v != nil && len(v.worstIn(s.index.partsOf(contents), VulFilter{})) > 0, nil
}

func affectedPlacesWhere(project string, contents []int64, advisory string, handled bool) *where {
	w := &where{}
	w.add("v.advisory = ?", advisory)
	among(w, "cp.content_id", contents)
	w.handled(project, &handled)
	return w
}

// add takes in a place, which comes next to its equals.
func (a *AffectedApp) add(place AffectedPlace, versions string) {
	if n := len(a.Places); n == 0 || a.Places[n-1] != place {
		a.Places = append(a.Places, place)
	}
	if versions != "" && !slices.Contains(a.Ranges, versions) {
		a.Ranges = append(a.Ranges, versions)
	}
}
