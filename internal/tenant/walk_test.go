package tenant

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/store"
)

// lists are what each tenant has; one that is absent does not know what is asked
// for.
var lists = map[string][]string{"a": {"a1", "a2", "b1"}, "b": {"b1", "b2"}, "empty": {}}

func have(t string, p store.Page) ([]string, int64, error) {
	all, ok := lists[t]
	if !ok {
		return nil, 0, fault.New(fault.NotFound, "%s has none", t)
	}
	rows, total := store.PageOf(all, p)
	return rows, total, nil
}

func TestListed(t *testing.T) {
	for _, tc := range []struct {
		name    string
		tenants string
		page    store.Page
		want    string
		total   int64
	}{
		{"one", "a", store.Page{Limit: 10}, "a1 a2 b1", 3},
		{"one after the other", "a empty b", store.Page{Limit: 10}, "a1 a2 b1 b1 b2", 5},
		{"a page within the first", "a b", store.Page{Limit: 2}, "a1 a2", 5},
		{"a page over both", "a b", store.Page{Offset: 2, Limit: 2}, "b1 b1", 5},
		{"a page of the second", "a b", store.Page{Offset: 4, Limit: 2}, "b2", 5},
		{"past the end", "a b", store.Page{Offset: 9, Limit: 2}, "", 5},
		{"one does not know", "x b", store.Page{Limit: 10}, "b1 b2", 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rows, total, err := Listed(Call{Tenants: strings.Fields(tc.tenants), Page: tc.page}, have)
			if got := strings.Join(rows, " "); err != nil || got != tc.want || total != tc.total {
				t.Errorf("got %q of %d, %v; want %q of %d", got, total, err, tc.want, tc.total)
			}
		})
	}
	if _, _, err := Listed(Call{Tenants: []string{"x", "y"}}, have); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("nobody knows: got %v", err)
	}
}

func TestMerged(t *testing.T) {
	type row struct {
		name string
		n    int
	}
	list := func(t string, p store.Page) ([]row, int64, error) {
		names, total, err := have(t, p)
		var out []row
		for _, name := range names {
			out = append(out, row{name, 1})
		}
		return out, total, err
	}
	c := Call{Tenants: []string{"b", "a", "x"}, Page: store.Page{Offset: 1, Limit: 2}}
	got, total, err := Merged(c, list, func(a, b *row) int { return strings.Compare(a.name, b.name) },
		func(r *row) string { return r.name }, func(into, r *row) { into.n += r.n })
	if err != nil || total != 4 {
		t.Fatalf("total %d, %v", total, err)
	}
	if d := cmp.Diff([]row{{"a2", 1}, {"b1", 2}}, got, cmp.AllowUnexported(row{})); d != "" {
		t.Error(d)
	}
}

func TestAct(t *testing.T) {
	missing, busy, broken := fault.New(fault.NotFound, "no"), fault.New(fault.Conflict, "not now"), errors.New("broken")
	for _, tc := range []struct {
		name string
		errs []error
		want error
	}{
		{"all do it", []error{nil, nil}, nil},
		{"one has it", []error{missing, nil}, nil},
		{"one cannot", []error{nil, busy}, nil},
		{"none has it", []error{missing, missing}, missing},
		{"what can be said is said", []error{missing, busy, missing}, busy},
		{"broken", []error{nil, broken}, broken},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var tenants []string
			for i := range tc.errs {
				tenants = append(tenants, string(rune('0'+i)))
			}
			err := Act(Call{Tenants: tenants}, func(t string) error { return tc.errs[t[0]-'0'] })
			if !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}
