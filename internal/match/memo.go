package match

import (
	"sync"

	"github.com/onceover/onceover/internal/report"
)

// Limits of what a matcher remembers; when one is reached it begins anew. A
// finding takes about a kilobyte.
const (
	maxMemoPackages = 50_000
	maxMemoFindings = 20_000
)

// memoKey is what the findings of a package depend on: the ecosystems of its
// distribution, and of the package what match reads.
type memoKey struct{ ecosystems, kind, name, version, source, sourceVersion, module string }

// A memo remembers the findings of packages, so that images of one family have
// the packages that they share matched once. The zero value is empty; it is
// safe for concurrent use. What it hands out must not be changed.
type memo struct {
	mu       sync.Mutex
	packages map[memoKey][]report.Finding
	findings int
}

func (m *memo) get(k memoKey) ([]report.Finding, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fs, ok := m.packages[k]
	return fs, ok
}

func (m *memo) put(k memoKey, fs []report.Finding) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.packages == nil || len(m.packages) >= maxMemoPackages || m.findings+len(fs) > maxMemoFindings {
		m.packages, m.findings = map[memoKey][]report.Finding{}, 0
	}
	if _, again := m.packages[k]; !again {
		m.packages[k] = fs
		m.findings += len(fs)
	}
}
