package match

import (
	"sync"

	"github.com/onceover/onceover/internal/advisory"
)

// maxRecords is how many records a batch remembers; then it begins anew. One
// takes about a kilobyte.
const maxRecords = 20_000

// A recordReader reads advisories and CVEs of a generation. With a memory, what many
// packages have in common is read and decoded once. What it hands out must not
// be changed. It is safe for concurrent use.
type recordReader struct {
	db    *advisory.DB
	vulns *remembered[advisory.Vuln] // nil: remembers nothing
	cves  *remembered[advisory.CVE]
}

func (r *recordReader) vuln(id string) (*advisory.Vuln, error) { return r.vulns.get(id, r.db.Vuln) }

func (r *recordReader) cve(id string) (*advisory.CVE, error) { return r.cves.get(id, r.db.CVE) }

// remembered are records by their ids, also those that do not exist.
type remembered[T any] struct {
	mu   sync.RWMutex
	byID map[string]*T
}

func (r *remembered[T]) get(id string, read func(string) (*T, error)) (*T, error) {
	if r == nil {
		return read(id)
	}
	r.mu.RLock()
	v, ok := r.byID[id]
	r.mu.RUnlock()
	if ok {
		return v, nil
	}
	v, err := read(id)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID == nil || len(r.byID) >= maxRecords {
		r.byID = map[string]*T{}
	}
	r.byID[id] = v
	return v, nil
}

// Batch is a matcher on the same generation for many packages one after the
// other: it remembers the records that it has read, some tens of megabytes at
// most. Let it go with the last package.
func (m *Matcher) Batch() *Matcher {
	b := *m
	b.records = &recordReader{db: m.db, vulns: &remembered[advisory.Vuln]{}, cves: &remembered[advisory.CVE]{}}
	return &b
}
