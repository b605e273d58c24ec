package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/report"
)

// maxHistory is how many rows of history a project keeps: the largest handling
// fits in whole.
const maxHistory = 1_000_000

const (
	sqlLastOperation = `SELECT id, through FROM vul_operation WHERE project_id = $1 ORDER BY id DESC LIMIT 1`
	sqlPutOperation  = `INSERT INTO vul_operation (project_id, id, action, done_by, done_at, remark, through) VALUES ($1, $2, $3, $4, $5, $6, $7)`
	sqlPutOperated   = `INSERT INTO vul_operation_image (project_id, vul_id, operation_id, image_id, package_id, handled) VALUES`
	sqlPutImageThen  = `INSERT INTO operated_image (id, content_id, config_digest, name, version) VALUES`
	sqlDigestsOf     = `SELECT id, config_digest FROM content WHERE id IN {in}`

	sqlOldOperations = `SELECT id FROM vul_operation WHERE project_id = $1 AND through <= $2`
	sqlForgetImages  = `DELETE FROM vul_operation_image WHERE project_id = $1 AND operation_id = $2`
	sqlForgetOp      = `DELETE FROM vul_operation WHERE project_id = $1 AND id = $2`
)

// putOperation writes down what was done, and forgets the oldest operations if
// there are too many rows.
func putOperation(ctx context.Context, tx *sql.Tx, project string, c chosen, action, by, remark string, nowMS int64) error {
	var id, through int64
	err := tx.QueryRowContext(ctx, sqlLastOperation, project).Scan(&id, &through)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("read history: %w", err)
	}
	id, through = id+1, through+c.num
	if _, err := tx.ExecContext(ctx, sqlPutOperation, project, id, action, by, nowMS, text(remark), through); err != nil {
		return fmt.Errorf("store operation: %w", err)
	}
	contents := map[int64]bool{}
	var rows, images [][]any
	for _, o := range c.found {
		contents[o.content] = true
		for _, i := range c.images[o.content] {
			rows = append(rows, []any{project, o.vul, id, i.id, o.pkg, boolInt(action != VulNotIgnore || o.listed)})
		}
	}
	err = eachIn(ctx, tx, sqlDigestsOf, sortedKeys(contents), func(r *sql.Rows) error {
		var content int64
		var digest string
		err := r.Scan(&content, &digest)
		for _, i := range c.images[content] {
			images = append(images, []any{i.id, content, digest, i.name, i.version})
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read digests of images: %w", err)
	}
	if err := putRows(ctx, tx, sqlPutImageThen, onConflictID, images); err != nil {
		return fmt.Errorf("store images of operation: %w", err)
	}
	if err := putRows(ctx, tx, sqlPutOperated, "", rows); err != nil {
		return fmt.Errorf("store images of operation: %w", err)
	}
	old, err := readInts(ctx, tx, sqlOldOperations, project, through-maxHistory)
	if err != nil {
		return fmt.Errorf("look for old operations: %w", err)
	}
	for _, id := range old {
		for _, q := range []string{sqlForgetImages, sqlForgetOp} {
			if _, err := tx.ExecContext(ctx, q, project, id); err != nil {
				return fmt.Errorf("forget old operations: %w", err)
			}
		}
	}
	return nil
}

// An Operated is an image in the history of a vulnerability.
type Operated struct {
	ImageID, ImageName, ImageVersion string
	ConfigDigest                     string
	Action, By, Remark               string
	At                               int64 // Unix milliseconds
	// Handled is whether it was handled afterwards.
	Handled bool
	// One of the packages that had it; Path is "" if it is not known any more.
	App, AppVersion, Path, Type string
	AgentID                     string // "" if no host holds the image any more
}

// HistoryFilter narrows Store.History. Texts are substrings, but for ImageID and
// Action.
type HistoryFilter struct {
	ImageID, ImageName string
	Action             string
	Handled            *bool
	By, Remark         string
	App, AppVersion    string
}

const (
	operatedFrom = `FROM vul_operation_image x CROSS JOIN vul_operation o CROSS JOIN operated_image i
WHERE o.project_id = x.project_id AND o.id = x.operation_id AND i.id = x.image_id AND {where}`
	sqlVulOperated   = `SELECT 1 FROM vul_operation_image x WHERE x.project_id = $1 AND x.vul_id = $2 LIMIT 1`
	sqlCountOperated = `SELECT COUNT(*) ` + operatedFrom
	sqlListOperated  = `SELECT t.image_id, t.name, t.version, t.config_digest, t.action, t.done_by, t.remark, t.done_at, t.handled, p.type, p.name, p.version,
COALESCE((SELECT MIN(pp.path) FROM content_part cp CROSS JOIN part_package pp WHERE cp.content_id = t.content_id AND pp.part_id = cp.part_id AND pp.package_id = t.package_id AND pp.counted = 1), ''),
COALESCE((SELECT MIN(h.agent_id) FROM image_host h WHERE h.image_id = t.image_id), '')
FROM (SELECT x.operation_id, x.image_id, i.name, i.version, i.config_digest, i.content_id, x.package_id, o.action, o.done_by, o.remark, o.done_at, x.handled ` + operatedFrom + `
ORDER BY x.operation_id DESC, x.image_id LIMIT ? OFFSET ?) t JOIN package p ON p.id = t.package_id ORDER BY t.operation_id DESC, t.image_id`
)

// History lists what was done about a vulnerability, newest first, a row for each
// image. Repairs by hand are kept and not listed, as in HSS. A vulnerability that
// was neither found nor handled is fault.NotFound.
func (s *Store) History(ctx context.Context, project, advisory string, f HistoryFilter, p Page) (out []Operated, total int64, err error) {
	total, err = s.list(ctx, historyWhere(project, advisory, f), sqlCountOperated, sqlListOperated, []any{p.Limit, p.Offset}, func(r *sql.Rows) error {
		var o Operated
		var handled int64
		var typ string
		err := r.Scan(&o.ImageID, &o.ImageName, &o.ImageVersion, &o.ConfigDigest, &o.Action, &o.By, &o.Remark, &o.At, &handled, &typ, &o.App, &o.AppVersion, &o.Path, &o.AgentID)
		o.Handled, o.Type = handled != 0, vulType(report.Package{Type: typ})
		out = append(out, o)
		return err
	})
	if err == nil && total == 0 {
		var one int
		err = s.read.QueryRowContext(ctx, sqlVulOperated, project, vulID(advisory)).Scan(&one)
		if errors.Is(err, sql.ErrNoRows) {
			err = s.read.QueryRowContext(ctx, sqlVulKnown, project, text(advisory)).Scan(&one)
		}
		if errors.Is(err, sql.ErrNoRows) {
			return nil, 0, fault.New(fault.NotFound, "vulnerability %s was not found in any image", advisory)
		}
	}
	if err != nil {
		return nil, 0, fmt.Errorf("list history: %w", err)
	}
	return out, total, nil
}

func historyWhere(project, advisory string, f HistoryFilter) *where {
	w := &where{}
	w.add("x.project_id = ? AND x.vul_id = ? AND o.action <> 'manual_repair'", project, vulID(advisory))
	w.equal("x.image_id", f.ImageID)
	w.contains("i.name", f.ImageName)
	w.equal("o.action", f.Action)
	if f.Handled != nil {
		w.add("x.handled = ?", boolInt(*f.Handled))
	}
	w.contains("o.done_by", f.By)
	w.contains("o.remark", f.Remark)
	a := &where{}
	a.contains("g.name", f.App)
	a.contains("g.version", f.AppVersion)
	if len(a.parts) > 0 {
		w.add("EXISTS (SELECT 1 FROM package g WHERE g.id = x.package_id AND "+a.text()+")", a.args...)
	}
	return w
}
