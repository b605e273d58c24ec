package match

import (
	"fmt"
	"testing"

	"github.com/onceover/onceover/internal/report"
)

// TestMemo crosses both limits of what a matcher remembers.
func TestMemo(t *testing.T) {
	key := func(i int) memoKey { return memoKey{name: fmt.Sprint(i)} }
	var m memo
	if _, ok := m.get(key(0)); ok {
		t.Error("an empty memo knows a package")
	}
	for i := range maxMemoPackages + 2 {
		m.put(key(i), nil)
		if fs, ok := m.get(key(i)); !ok || fs != nil {
			t.Fatalf("package %d was put and is not there", i)
		}
		if len(m.packages) > maxMemoPackages {
			t.Fatalf("%d packages are kept", len(m.packages))
		}
	}
	if _, ok := m.get(key(0)); ok {
		t.Error("the first package is still there past the limit")
	}
	for i := range 5 {
		m.put(key(-1-i), make([]report.Finding, maxMemoFindings/2))
		if m.findings > maxMemoFindings {
			t.Fatalf("%d findings are kept", m.findings)
		}
	}
	m.put(key(-5), make([]report.Finding, 1)) // the same once more changes nothing
	if fs, _ := m.get(key(-5)); len(fs) != maxMemoFindings/2 {
		t.Errorf("got %d findings", len(fs))
	}
}
