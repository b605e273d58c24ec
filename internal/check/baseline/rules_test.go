package baseline

import (
	"testing"
)

func builtin(t testing.TB) *RuleSet {
	t.Helper()
	set, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestBuiltinRulesCompile(t *testing.T) {
	set := builtin(t)
	for _, r := range set.Rules() {
		if err := r.compile(set); err != nil {
			t.Error(err)
		}
	}
	if set.Len() < 120 {
		t.Errorf("%d rules: want at least 120", set.Len())
	}
}
