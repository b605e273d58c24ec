package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync"
)

// handledKeep keeps in memory what is handled, until that changes: lists over all
// images ask for it by advisory, and a decision is rarer than such a list.
type handledKeep struct {
	mu  sync.Mutex
	set *handledSet
}

// A handledSet is what is handled at one revision, by advisory. It does not change.
type handledSet struct {
	revision int64
	here     map[int64][]int64  // contents, ascending
	all      map[int64][]string // projects with a rule for all images
}

const (
	sqlHandledNext  = `UPDATE matching SET handled_revision = handled_revision + 1 WHERE id = 1`
	sqlHandledWhole = `SELECT DISTINCT vul_id, content_id FROM vul_handled ORDER BY vul_id, content_id`
	sqlRulesWhole   = `SELECT few.vul_id, few.project_id FROM whitelist few WHERE few.rule_type = 'all_images'`
)

// handledSet is what is handled in the view of a transaction, which is of a
// revision.
func (s *Store) handledSet(ctx context.Context, tx *sql.Tx, revision int64) (*handledSet, error) {
	k := &s.handledKeep
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.set != nil && k.set.revision == revision {
		return k.set, nil
	}
	set := &handledSet{revision, map[int64][]int64{}, map[int64][]string{}}
	err := each(ctx, tx, sqlHandledWhole, nil, func(r *sql.Rows) error {
		var vul, content int64
		err := r.Scan(&vul, &content)
		set.here[vul] = append(set.here[vul], content)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read what is handled: %w", err)
	}
	err = each(ctx, tx, sqlRulesWhole, nil, func(r *sql.Rows) error {
		var vul int64
		var project string
		err := r.Scan(&vul, &project)
		set.all[vul] = append(set.all[vul], project)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read whitelists: %w", err)
	}
	k.set = set
	return set, nil
}

// has reports whether an advisory is handled in a content of a project.
func (s *handledSet) has(project string, content, vul int64) bool {
	_, ok := slices.BinarySearch(s.here[vul], content)
	return ok || slices.Contains(s.all[vul], project)
}

// nowhere reports that an advisory is handled in no content.
func (s *handledSet) nowhere(vul int64) bool { return len(s.here[vul]) == 0 && len(s.all[vul]) == 0 }
