package store

import (
	"fmt"
	"testing"

	"github.com/onceover/onceover/internal/report"
)

// More than is done in one transaction.
func TestSettleMany(t *testing.T) {
	w := newWorld(t)
	var secrets []report.Secret
	for i := range judgeBatch*2 + 10 {
		secrets = append(secrets, report.Secret{Rule: "r", Title: "t", Kind: "token", Severity: report.SeverityLow, Path: fmt.Sprintf("/srv/%d", i), Line: 1, Column: 1, Masked: "***"})
	}
	w.plant(plantedImage{name: "first", layers: []plantedLayer{{n: 1, secrets: secrets}}, checks: allChecks})
	if err := w.SetPaths(t.Context(), w.project(), []string{"/srv"}, Actor{Name: "AK"}); err != nil {
		t.Fatal(err)
	}
	if got := w.checkOf("first", report.CheckSecrets); got != "0 Unknown" {
		t.Errorf("on the list: %s", got)
	}
	// Contents that are gone meanwhile.
	_, err := w.write.ExecContext(t.Context(), `INSERT INTO secret_recount (content_id)
WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < $1) SELECT i FROM n`, recountBatch*2+10)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.SetPaths(t.Context(), w.project(), nil, Actor{Name: "AK"}); err != nil {
		t.Fatal(err)
	}
	if got := w.checkOf("first", report.CheckSecrets); got != fmt.Sprint(len(secrets), " Low") {
		t.Errorf("off the list: %s", got)
	}
	if n := w.rowNum("secret_recount"); n != 0 {
		t.Errorf("%d contents are left", n)
	}
}
