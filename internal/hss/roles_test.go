package hss

import (
	"net/http"
	"testing"

	"github.com/onceover/onceover/internal/auth"
)

// TestEveryOperationNeedsARole also holds that a viewer writes nothing: what is
// no GET is for viewers only if it is known to read.
func TestEveryOperationNeedsARole(t *testing.T) {
	reads := map[string]bool{"ShowImageSecurityReportStatistic": true, "ListImageHandleAffectVulnerabilities": true}
	known := map[string]bool{}
	for _, op := range Operations() {
		known[op.ID] = true
		if !op.Needs.Valid() {
			t.Errorf("%s needs the role %q", op.ID, op.Needs)
		}
		if op.Needs == auth.Viewer && op.Method != http.MethodGet && !reads[op.ID] {
			t.Errorf("%s %s is for viewers", op.Method, op.ID)
		}
	}
	for id := range needs {
		if !known[id] {
			t.Errorf("there is no operation %s", id)
		}
	}
}
