package store

import (
	"database/sql"
	"sync"

	"github.com/onceover/onceover/internal/report"
)

// facts are what the index knows of the state of a content and of what its
// checks have found.
type facts struct {
	status  string // scan_status
	level   string // severity_level
	hasVul  bool
	scanned int64 // latest_scan_time
	// baselines are the sets of answers that the content gave, risks the rules
	// of build commands that it breaks: numbers of the index.
	baselines, risks []int32
	weak             int32 // weak and empty passwords
	rules            int8  // for new passwords: -1 none known, 0 not good, 1 good
	// unsafe and weakNum are the numbers of content_check, -1 if nobody has
	// looked.
	unsafe, weakNum int32
}

// numbering gives things small numbers, so that a slot is small and they can be
// counted in a slice. It only grows; only refreshes write. The zero value is
// empty.
type numbering[T comparable] struct {
	mu   sync.RWMutex
	of   map[T]int32
	list []T
}

// number is that of a thing, a new one if need be.
func (n *numbering[T]) number(thing T) int32 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.of == nil {
		n.of = map[T]int32{}
	}
	i, ok := n.of[thing]
	if !ok {
		i = int32(len(n.list))
		n.of[thing] = i
		n.list = append(n.list, thing)
	}
	return i
}

// find is the number of a thing, -1 if it has none.
func (n *numbering[T]) find(thing T) int32 {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if i, ok := n.of[thing]; ok {
		return i
	}
	return -1
}

// all are the things by their numbers.
func (n *numbering[T]) all() []T {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.list
}

var noFacts = facts{rules: -1, unsafe: -1, weakNum: -1}

const (
	sqlIndexBaselines = `SELECT content_id, baseline_id FROM content_baseline {which}`
	sqlIndexRisks     = `SELECT content_id, rule_id FROM build_risk {which}`
	sqlIndexWeak      = `SELECT content_id, status FROM password_account {which}`
	sqlIndexRules     = `SELECT content_id, good FROM password_rules {which}`
	sqlIndexChecks    = `SELECT content_id, name, num FROM content_check {which}`
)

// factScans are the queries of facts and what reads them into the slot of a
// content, nil for one that is not wanted.
func (x *index) factScans(in func(content int64) *slot) map[string]func(*sql.Rows) error {
	return map[string]func(*sql.Rows) error{
		sqlIndexBaselines: func(r *sql.Rows) error {
			var content, id int64
			err := r.Scan(&content, &id)
			if s := in(content); s != nil {
				s.baselines = append(s.baselines, x.baselines.number(id))
			}
			return err
		},
		sqlIndexRisks: func(r *sql.Rows) error {
			var content int64
			var rule string
			err := r.Scan(&content, &rule)
			if s := in(content); s != nil {
				s.risks = append(s.risks, x.risks.number(rule))
			}
			return err
		},
		sqlIndexWeak: func(r *sql.Rows) error {
			var content int64
			var status string
			err := r.Scan(&content, &status)
			if s := in(content); s != nil && (status == "weak" || status == "empty") {
				s.weak++
			}
			return err
		},
		sqlIndexRules: func(r *sql.Rows) error {
			var content int64
			var good int8
			err := r.Scan(&content, &good)
			if s := in(content); s != nil {
				s.rules = good
			}
			return err
		},
		sqlIndexChecks: func(r *sql.Rows) error {
			var content int64
			var name string
			var num int32
			err := r.Scan(&content, &name, &num)
			if s := in(content); s != nil {
				switch name {
				case report.CheckBaseline:
					s.unsafe = num
				case report.CheckPasswords:
					s.weakNum = num
				}
			}
			return err
		},
	}
}
