package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/onceover/onceover/internal/check/secret"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

// maxSecrets bounds the secrets kept of one content, the worst first.
const maxSecrets = 10_000

// What an operator does about a secret, as HSS names it.
const (
	SecretIgnore      = "ignore"
	SecretDoNotIgnore = "do_not_ignore"
)

// SetSecretRules replaces the rules by which image configurations are looked at
// when their images are scanned; until then they are those of the program.
func (s *Store) SetSecretRules(e *secret.Engine) { s.secretRules.Store(e) }

// configSecrets are those in an image configuration, if the image was looked
// at for secrets. What cannot be looked at is told of and no more: nothing else
// depends on it.
func (s *Store) configSecrets(ctx context.Context, analyzers string, cfg image.Config) []report.Secret {
	if !report.Has(analyzers, report.CheckSecrets) {
		return nil
	}
	e, err := s.secretRules.Load(), error(nil)
	if e == nil {
		e, err = secret.Builtin()
	}
	var out []report.Secret
	if err == nil {
		out, err = e.ScanImage(ctx, cfg)
	}
	if err != nil {
		s.log.WarnContext(ctx, "secrets of an image configuration may be missing", "err", err)
	}
	return out
}

// A secretRow is a row of secret, and of content_secret.
type secretRow struct {
	id int64
	report.Secret
}

// secretRows are the secrets of an outcome, the worst first. An id is made from
// the layer, or the image whose configuration it is, and from the place and the
// rule: it is the same for all images with the layer and for each scan. No part
// of the value is in it.
func secretRows(job jobState, out *outcome) []secretRow {
	all := slices.Concat(out.inConfig, out.inventory.Secrets)
	slices.SortStableFunc(all, report.Secret.Compare)
	var rows []secretRow
	at := map[int64]int{}
	same := map[int64]int{}
	for _, x := range all {
		x.Rule, x.Title, x.Kind, x.Path, x.Masked, x.Context = text(x.Rule), text(x.Title), text(x.Kind), text(x.Path), text(x.Masked), text(x.Context)
		place := []string{"secret", job.project, cmp.Or(x.Layer, string(job.config)), x.Rule, x.Path, strconv.Itoa(x.Line), strconv.Itoa(x.Column)}
		id := rowID(place...)
		if x.Column == 0 { // no place of its own: they are numbered
			n := same[id]
			same[id]++
			id = rowID(append(place, strconv.Itoa(n))...)
		}
		// A layer may be there twice.
		if i, ok := at[id]; ok {
			rows[i].Deleted = rows[i].Deleted && x.Deleted
			continue
		}
		if len(rows) == maxSecrets {
			break
		}
		at[id] = len(rows)
		rows = append(rows, secretRow{id, x})
	}
	return rows
}

const (
	sqlPutSecret = `INSERT INTO secret (id, project_id, rule, title, kind, severity, path, line, col, masked, length, context, encrypted, test, layer, seen_at, ignored, skipped, judged) VALUES`
	// What was said of a secret stays, or other contents with it would have
	// to be counted anew.
	sqlSecretAgain = `ON CONFLICT (id) DO UPDATE SET title = excluded.title, kind = excluded.kind, severity = excluded.severity, masked = excluded.masked,
length = excluded.length, context = excluded.context, encrypted = excluded.encrypted, test = excluded.test, seen_at = excluded.seen_at`
	sqlSecretsHeld    = `SELECT secret_id FROM content_secret WHERE content_id = $1`
	sqlPutHasSecret   = `INSERT INTO content_secret (content_id, secret_id, deleted) VALUES`
	sqlIgnoredSecrets = `SELECT secret_id FROM secret_decision WHERE action = 'ignore' AND secret_id IN {in}`
	sqlDropSecrets    = `DELETE FROM content_secret WHERE content_id = $1`
	// Secrets go with their last content.
	sqlDropUnheld = `DELETE FROM secret WHERE id IN {in} AND NOT EXISTS (SELECT 1 FROM content_secret cs WHERE cs.secret_id = secret.id)`
	// Those that only one content has.
	sqlDropOnlySecrets = `DELETE FROM secret WHERE id IN (SELECT cs.secret_id FROM content_secret cs WHERE cs.content_id = $1)
AND NOT EXISTS (SELECT 1 FROM content_secret o WHERE o.secret_id = secret.id AND o.content_id <> $1)`
	sqlCountSecrets = `SELECT COUNT(*), COALESCE(MAX(s.severity), 0) FROM content_secret cs CROSS JOIN secret s
WHERE s.id = cs.secret_id AND cs.content_id = $1 AND s.ignored = 0 AND s.skipped = 0`
)

// putSecrets replaces the secrets of a content. Those that are hidden by a later
// layer count: they are in the image all the same.
func putSecrets(ctx context.Context, tx *sql.Tx, job jobState, out *outcome) (c checked, err error) {
	found := secretRows(job, out)
	ids := make([]int64, len(found))
	for i, x := range found {
		ids[i] = x.id
	}
	ignored := map[int64]bool{}
	err = eachIn(ctx, tx, sqlIgnoredSecrets, ids, func(r *sql.Rows) error {
		var id int64
		err := r.Scan(&id)
		ignored[id] = true
		return err
	})
	if err != nil {
		return c, err
	}
	list, revision, err := pathListOf(ctx, tx, job.project)
	if err != nil {
		return c, err
	}
	secrets, has := make([][]any, len(found)), make([][]any, len(found))
	for i, x := range found {
		secrets[i] = []any{x.id, job.project, x.Rule, x.Title, x.Kind, report.SeverityRank(x.Severity), x.Path, x.Line, x.Column, x.Masked, x.Length, x.Context,
			boolInt(x.Encrypted), boolInt(x.Test), x.Layer, out.scannedMS, boolInt(ignored[x.id]), boolInt(list.has(x.Path)), revision}
		has[i] = []any{job.content, x.id, boolInt(x.Deleted)}
	}
	held, err := readInts(ctx, tx, sqlSecretsHeld, job.content)
	if err != nil {
		return c, err
	}
	if _, err := tx.ExecContext(ctx, sqlDropSecrets, job.content); err != nil {
		return c, err
	}
	if err := putRows(ctx, tx, sqlPutSecret, sqlSecretAgain, secrets); err != nil {
		return c, err
	}
	if err := putRows(ctx, tx, sqlPutHasSecret, "", has); err != nil {
		return c, err
	}
	if err := execIn(ctx, tx, sqlDropUnheld, held); err != nil {
		return c, err
	}
	err = tx.QueryRowContext(ctx, sqlCountSecrets, job.content).Scan(&c.num, &c.severity)
	return c, err
}

// A Secret is a place of an image, or of a layer of some, that holds a secret.
type Secret struct {
	ID string
	report.Secret
	// Handled says that it does not count: it is ignored, or on the list of
	// paths.
	Handled bool
	// Action is what an operator did last about it: SecretIgnore,
	// SecretDoNotIgnore, or "".
	Action   string
	ScanTime int64 // Unix milliseconds
}

// SecretFilter selects secrets; the zero value selects all.
type SecretFilter struct {
	Path     string // substring
	Severity string // of report
	Handled  *bool
}

func (f SecretFilter) where(w *where) *where {
	w.contains("s.path", f.Path)
	if f.Severity != "" {
		w.add("s.severity = ?", report.SeverityRank(f.Severity))
	}
	if f.Handled != nil {
		w.add("(s.ignored + s.skipped > 0) = (? = 1)", boolInt(*f.Handled))
	}
	return w
}

const (
	secretColumns = `s.id, s.rule, s.title, s.kind, s.severity, s.path, s.line, s.col, s.masked, s.length, s.context, s.encrypted, s.test, s.layer, s.ignored + s.skipped,
COALESCE((SELECT d.action FROM secret_decision d WHERE d.secret_id = s.id), '')`
	sqlCountImageSecrets = `SELECT COUNT(*) FROM content_secret cs CROSS JOIN secret s WHERE s.id = cs.secret_id AND {where}`
	sqlListImageSecrets  = `SELECT ` + secretColumns + `, cs.deleted, c.latest_scan_time FROM content_secret cs CROSS JOIN secret s CROSS JOIN content c
WHERE s.id = cs.secret_id AND c.id = cs.content_id AND {where} ORDER BY s.severity DESC, s.path, s.line, s.col, s.id LIMIT ? OFFSET ?`
	sqlSecretsInOrder = `SELECT s.id FROM secret s WHERE {where} AND EXISTS (SELECT 1 FROM content_secret cs CROSS JOIN image i WHERE cs.secret_id = s.id AND i.content_id = cs.content_id) ORDER BY s.severity DESC, s.id`
	sqlPageSecrets    = `SELECT ` + secretColumns + `, 0, s.seen_at FROM secret s WHERE s.id IN {in}`
	// In the order of an index, so that a page is read and not sorted.
	sqlCountAllSecrets = `SELECT COUNT(*) FROM secret s WHERE {where} AND EXISTS (SELECT 1 FROM content_secret cs CROSS JOIN image i WHERE cs.secret_id = s.id AND i.content_id = cs.content_id)`
	sqlListAllSecrets  = `SELECT ` + secretColumns + `, 0, s.seen_at FROM secret s
WHERE {where} AND EXISTS (SELECT 1 FROM content_secret cs CROSS JOIN image i WHERE cs.secret_id = s.id AND i.content_id = cs.content_id)
ORDER BY s.severity DESC, s.id LIMIT ? OFFSET ?`
)

// Secrets lists the secrets of an image, the worst first. An unknown image is
// fault.NotFound; one that was not looked at has none.
func (s *Store) Secrets(ctx context.Context, project, imageID string, f SecretFilter, p Page) (out []Secret, total int64, err error) {
	content, err := s.contentOf(ctx, project, imageID)
	if err != nil {
		return nil, 0, err
	}
	w := &where{}
	w.add("cs.content_id = ?", content)
	return s.listSecrets(ctx, f.where(w), sqlCountImageSecrets, sqlListImageSecrets, p)
}

// AllSecrets lists the secrets of a project's images, the worst first, those of
// a layer that several images have once. Deleted is not set, since it depends
// on the image.
func (s *Store) AllSecrets(ctx context.Context, project string, f SecretFilter, p Page) (out []Secret, total int64, err error) {
	w := &where{}
	w.add("s.project_id = ?", project)
	if f != (SecretFilter{}) {
		return s.listSecrets(ctx, f.where(w), sqlCountAllSecrets, sqlListAllSecrets, p)
	}
	// Which there are, and how bad they are, changes with scans and with the
	// images of the fleet, and not with what is done about them.
	err = s.inFleet(ctx, func(tx *sql.Tx, revision int64) error {
		all, err := remember(&s.remembered, revision, "secrets "+project, func() ([]int64, error) {
			q, args := w.query(sqlSecretsInOrder)
			return readInts(ctx, tx, q, args...)
		})
		if err != nil {
			return err
		}
		page, n := PageOf(all, p)
		total = n
		out, err = inOrder(ctx, tx, sqlPageSecrets, page, scanSecret)
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list secrets: %w", err)
	}
	return out, total, nil
}

func (s *Store) listSecrets(ctx context.Context, w *where, count, page string, p Page) (out []Secret, total int64, err error) {
	total, err = s.list(ctx, w, count, page, []any{p.Limit, p.Offset}, func(r *sql.Rows) error {
		_, x, err := scanSecret(r)
		out = append(out, x)
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list secrets: %w", err)
	}
	return out, total, nil
}

func scanSecret(r *sql.Rows) (id int64, x Secret, err error) {
	var severity, handled int64
	err = r.Scan(&id, &x.Rule, &x.Title, &x.Kind, &severity, &x.Path, &x.Line, &x.Column, &x.Masked, &x.Length, &x.Context, &x.Encrypted, &x.Test, &x.Layer,
		&handled, &x.Action, &x.Deleted, &x.ScanTime)
	x.ID, x.Severity, x.Handled = secretID(id), report.SeverityName(severity), handled > 0
	return id, x, err
}

// secretID is the id of a secret as the API writes it.
func secretID(id int64) string { return fmt.Sprintf("%016x", id) }

const (
	sqlSecretIgnored = `SELECT ignored FROM secret WHERE id = $1 AND project_id = $2`
	sqlSetIgnored    = `UPDATE secret SET ignored = $1 WHERE id = $2`
	sqlPutDecision   = `INSERT INTO secret_decision (secret_id, project_id, action, decided_by, decided_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (secret_id) DO UPDATE SET action = excluded.action, decided_by = excluded.decided_by, decided_at = excluded.decided_at`
)

// DecideSecret ignores a secret, or no longer, in all images with its layer: an
// ignored one does not count. The decision outlives the secret. by is the
// access key of the caller. An unknown id is fault.NotFound.
func (s *Store) DecideSecret(ctx context.Context, project, id, action string, by Actor) error {
	if action != SecretIgnore && action != SecretDoNotIgnore {
		return fault.New(fault.Invalid, "%q is neither %s nor %s", action, SecretIgnore, SecretDoNotIgnore)
	}
	n, err := strconv.ParseInt(id, 16, 64)
	if err != nil || secretID(n) != id {
		return noSecret(id)
	}
	ignore := boolInt(action == SecretIgnore)
	err = s.inTx(ctx, func(tx *sql.Tx) error {
		var ignored int64
		err := tx.QueryRowContext(ctx, sqlSecretIgnored, n, project).Scan(&ignored)
		if errors.Is(err, sql.ErrNoRows) {
			return noSecret(id)
		}
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, sqlPutDecision, n, project, action, by.Name, s.now().UnixMilli()); err != nil {
			return err
		}
		if err := logSecret(ctx, tx, project, n, action, by, s.now().UnixMilli()); err != nil {
			return err
		}
		if ignored == ignore {
			return nil
		}
		if _, err := tx.ExecContext(ctx, sqlSetIgnored, ignore, n); err != nil {
			return err
		}
		return execIn(ctx, tx, sqlQueueRecount, []int64{n})
	})
	if err == nil {
		err = s.recountSecrets(ctx)
	}
	if err != nil {
		return fmt.Errorf("handle secret: %w", err)
	}
	return nil
}

func noSecret(id string) error { return fault.New(fault.NotFound, "there is no secret %q", id) }
