package store

import (
	"cmp"
	"sync"
)

// How many answers are kept of one state of the fleet. At 100,000 images the
// largest of an ordinary kind have a few megabytes, and a set of images 12
// kilobytes.
const (
	maxRemembered = 32
	maxSets       = 1024
	// maxSelections is how many filters keep what the database selects by them.
	maxSelections = 64
)

// remembered keeps what was worked out of a state of the fleet until that
// changes. The zero value is empty; it is safe for concurrent use.
type remembered struct {
	most     int // maxRemembered if it is 0
	mu       sync.Mutex
	revision int64
	answers  map[any]*answer
	keys     []any // of answers, the oldest first
}

type answer struct {
	once  sync.Once
	value any
	err   error
}

// remember returns what was made of a revision, or makes it: once for all who
// ask at the same time. What is made must not be changed.
func remember[T any](m *remembered, revision int64, key any, work func() (T, error)) (T, error) {
	a := m.at(revision, key)
	if a == nil {
		return work()
	}
	a.once.Do(func() {
		var v T
		v, a.err = work()
		a.value = v
	})
	if a.err != nil {
		// The context of the one who asked first may have ended.
		return work()
	}
	return a.value.(T), nil
}

// at is the place of an answer, nil if the revision is not the newest.
func (m *remembered) at(revision int64, key any) *answer {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.answers != nil && revision < m.revision {
		return nil
	}
	if m.answers == nil || revision > m.revision {
		m.revision, m.answers, m.keys = revision, map[any]*answer{}, nil
	}
	a := m.answers[key]
	if a != nil && a.err == nil {
		return a
	}
	if a == nil {
		if len(m.keys) == cmp.Or(m.most, maxRemembered) {
			delete(m.answers, m.keys[0])
			m.keys = m.keys[1:]
		}
		m.keys = append(m.keys, key)
	}
	a = &answer{}
	m.answers[key] = a
	return a
}
