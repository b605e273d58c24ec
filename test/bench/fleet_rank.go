package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/store"
)

// ranked lists the vulnerabilities of the fleet: the first time, when all is
// read; again, a page of each order and filter; and with a VEX document about
// the vulnerabilities that come first.
func (r *fleetRun) ranked(ctx context.Context) (out []string, err error) {
	ask := func(f store.RankFilter, order string, offset int64) ([]store.Ranked, int64, time.Duration, error) {
		begin := time.Now()
		list, total, _, err := r.store.Ranked(ctx, []string{benchProject}, f, order, store.Page{Offset: offset, Limit: 50})
		return list, total, time.Since(begin), err
	}
	list, total, first, err := ask(store.RankFilter{}, store.OrderPriority, 0)
	if err != nil {
		return nil, err
	}
	out = append(out, fmt.Sprintf("vulnerabilities by priority, the first time\t%d of them\t%.2f s", total, first.Seconds()))
	yes := true
	var took []time.Duration
	for i := range 200 {
		f := store.RankFilter{}
		if i%2 == 1 {
			f = store.RankFilter{Severities: []int64{3, 4}, Fixable: &yes, Running: &yes}
		}
		order := []string{store.OrderPriority, store.OrderSeverity, store.OrderEPSS, store.OrderImages, store.OrderID}[i%5]
		_, _, d, err := ask(f, order, int64(i/10*50))
		if err != nil {
			return nil, err
		}
		took = append(took, d)
	}
	out = append(out, fmt.Sprintf("a page of 50 of them, %d times\t%s", len(took), percentiles(took)))
	var statements []string
	for i, v := range list {
		product := `"pkg:oci/` + r.fleet.Images[i].Name + `"`
		if i%2 == 0 {
			product = `"pkg:deb/debian/openssl"`
		}
		statements = append(statements, fmt.Sprintf(`{"vulnerability":%q,"products":[%s],"status":"not_affected","justification":"component_not_present"}`, v.ID, product))
	}
	doc := `{"@context":"https://openvex.dev/ns/v0.2.0","timestamp":"2026-01-01T00:00:00Z","statements":[` + strings.Join(statements, ",") + `]}`
	if _, err := r.store.PutVEX(ctx, benchProject, "bench.json", "bench", []byte(doc)); err != nil {
		return nil, err
	}
	_, _, d, err := ask(store.RankFilter{}, store.OrderPriority, 0)
	if err != nil {
		return nil, err
	}
	return append(out, fmt.Sprintf("after a VEX document of %d statements\t\t%.2f s", len(statements), d.Seconds())), nil
}
