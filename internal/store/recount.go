package store

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
)

const (
	// recountBatch is how many contents are counted anew in a transaction,
	// and judgeBatch how many secrets are held against a list of paths: both
	// take some ten milliseconds.
	recountBatch = 500
	judgeBatch   = 1000
)

const (
	sqlQueueRecount = `INSERT INTO secret_recount (content_id) SELECT cs.content_id FROM content_secret cs WHERE cs.secret_id IN {in} ON CONFLICT (content_id) DO NOTHING`
	sqlNextRecount  = `SELECT content_id FROM secret_recount ORDER BY content_id LIMIT $1`
	sqlRecount      = `UPDATE content_check SET
num = (SELECT COUNT(*) FROM content_secret cs CROSS JOIN secret s WHERE s.id = cs.secret_id AND cs.content_id = content_check.content_id AND s.ignored = 0 AND s.skipped = 0),
severity = (SELECT COALESCE(MAX(s.severity), 0) FROM content_secret cs CROSS JOIN secret s WHERE s.id = cs.secret_id AND cs.content_id = content_check.content_id AND s.ignored = 0 AND s.skipped = 0)
WHERE name = 'secrets' AND content_id IN {in}`
	sqlRecounted     = `DELETE FROM secret_recount WHERE content_id IN {in}`
	sqlDropRecounted = `DELETE FROM secret_recount WHERE content_id = $1`

	sqlJudgeNext   = `SELECT id, path, skipped FROM secret WHERE project_id = $1 AND judged < $2 ORDER BY judged LIMIT $3`
	sqlSetSkipped  = `UPDATE secret SET skipped = 1 - skipped WHERE id IN {in}`
	sqlSetJudged   = `UPDATE secret SET judged = {revision} WHERE id IN {in}`
	sqlJudgeNeeded = `SELECT project_id FROM path_revision WHERE EXISTS (SELECT 1 FROM secret s WHERE s.project_id = path_revision.project_id AND s.judged < path_revision.revision)`
)

// settleSecrets does what a change of decisions or lists has left undone, since
// its caller went away or the process ended.
func (s *Store) settleSecrets(ctx context.Context) error {
	var projects []string
	var queued []int64
	err := s.inView(ctx, func(tx *sql.Tx) (err error) {
		if queued, err = readInts(ctx, tx, sqlNextRecount, 1); err != nil {
			return err
		}
		return each(ctx, tx, sqlJudgeNeeded, nil, func(r *sql.Rows) error {
			var p string
			err := r.Scan(&p)
			projects = append(projects, p)
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("look for secrets to judge: %w", err)
	}
	for _, p := range projects {
		if err := s.judgeSecrets(ctx, p); err != nil {
			return err
		}
	}
	if len(projects)+len(queued) == 0 {
		return nil
	}
	return s.recountSecrets(ctx)
}

// judgeSecrets holds the secrets of a project against its list of paths, where
// that was another one when they were judged last.
func (s *Store) judgeSecrets(ctx context.Context, project string) error {
	for {
		done := false
		err := s.inTx(ctx, func(tx *sql.Tx) (err error) {
			done, err = judgeSome(ctx, tx, project)
			return err
		})
		if err != nil {
			return fmt.Errorf("judge secrets by their paths: %w", err)
		}
		if done {
			return nil
		}
	}
}

func judgeSome(ctx context.Context, tx *sql.Tx, project string) (done bool, err error) {
	list, revision, err := pathListOf(ctx, tx, project)
	if err != nil {
		return false, err
	}
	// Patterns take their time, and others wait to write.
	limit := max(judgeBatch/10, judgeBatch-len(list.patterns))
	var ids, changed []int64
	err = each(ctx, tx, sqlJudgeNext, []any{project, revision, limit}, func(r *sql.Rows) error {
		var id, skipped int64
		var path string
		if err := r.Scan(&id, &path, &skipped); err != nil {
			return err
		}
		ids = append(ids, id)
		if list.has(path) != (skipped == 1) {
			changed = append(changed, id)
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	for _, q := range []struct {
		statement string
		ids       []int64
	}{
		{sqlSetSkipped, changed}, {sqlQueueRecount, changed},
		{strings.Replace(sqlSetJudged, "{revision}", strconv.FormatInt(revision, 10), 1), ids},
	} {
		if err := execIn(ctx, tx, q.statement, q.ids); err != nil {
			return false, err
		}
	}
	return len(ids) < limit, nil
}

// recountSecrets counts the contents anew that are queued, whoever queued them.
func (s *Store) recountSecrets(ctx context.Context) error {
	for {
		n := 0
		err := s.inTx(ctx, func(tx *sql.Tx) error {
			ids, err := readInts(ctx, tx, sqlNextRecount, recountBatch)
			n = len(ids)
			if err != nil {
				return err
			}
			if err := execIn(ctx, tx, sqlRecount, ids); err != nil {
				return err
			}
			if err := followChecks(ctx, tx, ids); err != nil {
				return err
			}
			return execIn(ctx, tx, sqlRecounted, ids)
		})
		if err != nil {
			return fmt.Errorf("count secrets anew: %w", err)
		}
		if n < recountBatch {
			return nil
		}
	}
}
