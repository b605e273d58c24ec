package store

import (
	"context"
	"database/sql"
	"fmt"
)

// What an operator does about vulnerabilities, as HSS names it. Ignored ones and
// those that were repaired by hand stay so until VulNotIgnore.
const (
	VulIgnore      = "ignore"
	VulNotIgnore   = "not_ignore"
	VulRepaired    = "manual_repair"
	VulToWhitelist = "add_to_whitelist"
)

// Whether a vulnerability is handled: by a decision or a rule for its image, or by
// a rule for all images of the project, which follows. These go beside content_part
// "cp" and finding "f".
const (
	handledHere = `EXISTS (SELECT 1 FROM vul_handled h WHERE h.content_id = cp.content_id AND h.vul_id = f.vul_id)`
	handledAll  = `EXISTS (SELECT 1 FROM whitelist r WHERE r.vul_id = f.vul_id AND r.rule_type = 'all_images' AND r.project_id = `
	isHandled   = `(` + handledHere + ` OR ` + handledAll + `?))`
	// hasOpen and hasHandled hold for packages that count in an image of the
	// project in which the vulnerability is open, or handled. The second begins at
	// what is handled, which is less.
	hasOpen = `NOT ` + handledAll + `?) AND EXISTS (SELECT 1 FROM part_package px CROSS JOIN content_part cp CROSS JOIN image ix
WHERE px.package_id = f.package_id AND px.counted = 1 AND cp.part_id = px.part_id AND ix.content_id = cp.content_id AND ix.project_id = ? AND NOT ` + handledHere + `)`
	hasHandled = `(` + handledAll + `?) AND ` + hasImage + ` OR EXISTS (SELECT 1 FROM vul_handled hx CROSS JOIN image ix CROSS JOIN content_part cx CROSS JOIN part_package px
WHERE hx.vul_id = f.vul_id AND ix.content_id = hx.content_id AND ix.project_id = ? AND cx.content_id = hx.content_id AND px.part_id = cx.part_id AND px.package_id = f.package_id AND px.counted = 1))`
)

// handled selects by whether a vulnerability is handled in a content; nothing for
// nil.
func (w *where) handled(project string, is *bool) {
	switch {
	case is == nil:
	case *is:
		w.add(isHandled, project)
	default:
		w.add("NOT "+isHandled, project)
	}
}

// anywhere selects by whether a vulnerability is open, or handled, in some image of
// a project; with nil those that are in some image at all.
func (w *where) anywhere(project string, handled *bool) {
	switch {
	case handled == nil:
		w.add(hasImage, project)
	case *handled:
		w.add(hasHandled, project, project, project)
	default:
		w.add(hasOpen, project, project)
	}
}

const (
	sqlHandledOf  = `SELECT content_id, vul_id FROM vul_handled WHERE vul_id IN {in}`
	sqlHandledAll = `SELECT vul_id, project_id FROM whitelist WHERE rule_type = 'all_images' AND vul_id IN {in}`
	sqlContentsIn = `SELECT id FROM content WHERE project_id = $1`
)

// place is one advisory in one content.
type place struct{ content, vul int64 }

// handledPlaces tells where some advisories are handled.
type handledPlaces struct {
	here map[place]bool
	// all are the projects that have an advisory on the list for all images,
	// and projects those of the contents that this can concern.
	all      map[int64]map[string]bool
	projects map[int64]string
}

func (p handledPlaces) has(content, vul int64) bool {
	return p.here[place{content, vul}] || p.all[vul] != nil && p.all[vul][p.projects[content]]
}

// readHandled reads where some advisories are handled.
func readHandled(ctx context.Context, tx *sql.Tx, vuls []int64) (handledPlaces, error) {
	out := handledPlaces{map[place]bool{}, map[int64]map[string]bool{}, map[int64]string{}}
	err := eachIn(ctx, tx, sqlHandledOf, vuls, func(r *sql.Rows) error {
		var p place
		err := r.Scan(&p.content, &p.vul)
		out.here[p] = true
		return err
	})
	if err != nil {
		return out, fmt.Errorf("read what is handled: %w", err)
	}
	projects := map[string]bool{}
	err = eachIn(ctx, tx, sqlHandledAll, vuls, func(r *sql.Rows) error {
		var vul int64
		var project string
		err := r.Scan(&vul, &project)
		if out.all[vul] == nil {
			out.all[vul] = map[string]bool{}
		}
		out.all[vul][project], projects[project] = true, true
		return err
	})
	if err != nil {
		return out, fmt.Errorf("read whitelists: %w", err)
	}
	for project := range projects {
		ids, err := readInts(ctx, tx, sqlContentsIn, project)
		if err != nil {
			return out, fmt.Errorf("read contents: %w", err)
		}
		for _, id := range ids {
			out.projects[id] = project
		}
	}
	return out, nil
}
