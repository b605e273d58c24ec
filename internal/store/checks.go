package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/onceover/onceover/internal/report"
)

// Risk classes of a scan scope, as HSS numbers them: a scope is a mask, and has
// a class if the two share a bit.
const (
	scopeBaseline  = 0x0000f000
	scopeMalware   = 0x00000f00
	scopeSensitive = 0x000000f0
)

// scopeChecks are the checks of a class. Vulnerabilities and the compliance of
// software come with the packages, which every scan reads.
var scopeChecks = []struct {
	class  int64
	checks []string
}{
	{scopeBaseline, []string{report.CheckBaseline, report.CheckPasswords}},
	{scopeMalware, []string{report.CheckMalware}},
	{scopeSensitive, []string{report.CheckSecrets}},
}

// checksOf are the checks that a scope wants of an agent, nil for all. A scope of
// no class chooses nothing: that is all.
func checksOf(scope int64) []string {
	out, all := []string{}, true
	if scope == 0 {
		return nil
	}
	for _, s := range scopeChecks {
		if scope&s.class != 0 {
			out = append(out, s.checks...)
		} else {
			all = false
		}
	}
	if all {
		return nil
	}
	return out
}

// A checked is what a check found in a content, in short.
type checked struct {
	num int64 // of findings that count
	// severity is the rank of the worst of them (report.SeverityRank), 0 if
	// there is none.
	severity int64
}

// checkPutters replace what each check has found in a content. What the
// operator set aside before stays so.
var checkPutters = map[string]func(ctx context.Context, tx *sql.Tx, job jobState, out *outcome) (checked, error){
	report.CheckBaseline:  putBaseline,
	report.CheckPasswords: putPasswords,
	report.CheckSecrets:   putSecrets,
	report.CheckMalware:   putMalware,
}

const (
	sqlPutCheck = `INSERT INTO content_check (content_id, name, key, num, severity, partial, checked_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (content_id, name) DO UPDATE SET key = excluded.key, num = excluded.num, severity = excluded.severity, partial = excluded.partial, checked_at = excluded.checked_at`
	sqlSetChecked        = `UPDATE content_check SET num = $1, severity = $2 WHERE content_id = $3 AND name = $4`
	sqlCheckedSeverities = `UPDATE content SET check_severity = (SELECT COALESCE(MAX(k.severity), 0) FROM content_check k WHERE k.content_id = content.id) WHERE id IN {in}`
	sqlLevelsOf          = `UPDATE content SET severity_level = ` + levelNow + ` WHERE id IN {in}`
	sqlAnalyzersOf       = `SELECT analyzers FROM content_detail WHERE content_id = $1`
)

// putChecks stores what the checks have found that a scan made. What others
// found before stays. The severity level of the content is the caller's to set.
func putChecks(ctx context.Context, tx *sql.Tx, job jobState, out *outcome, nowMS int64) error {
	out.scannedMS = nowMS
	for _, name := range report.Checks {
		key, put := report.KeyFor(out.analyzers, name), checkPutters[name]
		if key == "" || put == nil {
			continue
		}
		c, err := put(ctx, tx, job, out)
		if err != nil {
			return fmt.Errorf("store what the check %s found: %w", name, err)
		}
		partial := slices.Contains(out.inventory.Partial, name)
		if _, err := tx.ExecContext(ctx, sqlPutCheck, job.content, name, key, c.num, c.severity, boolInt(partial), nowMS); err != nil {
			return fmt.Errorf("store check %s: %w", name, err)
		}
	}
	if err := execIn(ctx, tx, sqlCheckedSeverities, []int64{job.content}); err != nil {
		return fmt.Errorf("store severity of checks: %w", err)
	}
	return nil
}

// setChecked stores what a check found in a content once rules, lists or
// decisions have changed, and lets the severity level of the content follow. A
// content that was not looked at stays so.
func setChecked(ctx context.Context, tx *sql.Tx, content int64, name string, c checked) error {
	if _, err := tx.ExecContext(ctx, sqlSetChecked, c.num, c.severity, content, name); err != nil {
		return fmt.Errorf("store check %s: %w", name, err)
	}
	if err := revise(ctx, tx, content); err != nil {
		return err
	}
	return followChecks(ctx, tx, []int64{content})
}

// followChecks lets the severity levels of contents follow their rows of
// content_check.
func followChecks(ctx context.Context, tx *sql.Tx, contents []int64) error {
	for _, q := range []string{sqlCheckedSeverities, sqlLevelsOf} {
		if err := execIn(ctx, tx, q, contents); err != nil {
			return fmt.Errorf("set severity levels: %w", err)
		}
	}
	return nil
}

// allAnalyzers are the keys of a scan, with those of the checks that it did not
// make and an earlier one did: their reports count on.
func allAnalyzers(ctx context.Context, tx *sql.Tx, content int64, now string) (string, error) {
	var before string
	err := tx.QueryRowContext(ctx, sqlAnalyzersOf, content).Scan(&before)
	if errors.Is(err, sql.ErrNoRows) {
		return now, nil
	}
	if err != nil {
		return "", fmt.Errorf("read analysers of content: %w", err)
	}
	keys := report.SplitKeys(now)
	for _, k := range report.SplitKeys(before) {
		if check := report.CheckOf(k); check != "" && !report.Has(now, check) {
			keys = append(keys, k)
		}
	}
	return report.JoinKeys(keys), nil
}

// dropChecks forget what checks have found in a content ($1).
var dropChecks = slices.Concat([]string{
	`DELETE FROM content_check WHERE content_id = $1`,
	sqlDropOnlySecrets, sqlDropSecrets, sqlDropRecounted, sqlDropMalware,
}, dropBaselines, dropPasswords)
