package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/onceover/onceover/internal/report"
)

// A checked is what a check found in a content, in short.
type checked struct {
	num int64 // of findings that count
	// severity is the rank of the worst of them (report.SeverityRank), 0 if
	// there is none.
	severity int64
}

// checkPutters replace what each check has found in a content. What the
// operator set aside before stays so.
var checkPutters = map[string]func(ctx context.Context, tx *sql.Tx, job jobState, out *outcome) (checked, error){}

const sqlPutCheck = `INSERT INTO content_check (content_id, name, key, num, severity, checked_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (content_id, name) DO UPDATE SET key = excluded.key, num = excluded.num, severity = excluded.severity, checked_at = excluded.checked_at`

// putChecks stores what the checks have found that a scan made. What others
// found before stays.
func putChecks(ctx context.Context, tx *sql.Tx, job jobState, out *outcome, nowMS int64) error {
	for _, name := range report.Checks {
		key, put := report.KeyFor(out.analyzers, name), checkPutters[name]
		if key == "" || put == nil {
			continue
		}
		c, err := put(ctx, tx, job, out)
		if err != nil {
			return fmt.Errorf("store what the check %s found: %w", name, err)
		}
		if _, err := tx.ExecContext(ctx, sqlPutCheck, job.content, name, key, c.num, c.severity, nowMS); err != nil {
			return fmt.Errorf("store check %s: %w", name, err)
		}
	}
	return nil
}

// dropChecks forget what checks have found in a content ($1).
var dropChecks = []string{
	`DELETE FROM content_check WHERE content_id = $1`,
}
