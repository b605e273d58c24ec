package contract

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// row is a row of a list as the SDK gives it.
type row = map[string]any

// A listing is a list operation with its documented filters.
type listing struct {
	op      string
	base    map[string]any // what is required
	filters []filter
	// match replaces the filters' own tests where what is asked must hold
	// together.
	match func(r row, ask map[string]any) bool
	// key names a row where others of its members depend on what is asked;
	// the whole row if it is nil.
	key func(row) string
	// empty says that the list may be: there is nothing of the kind.
	empty bool
}

// A filter is a parameter, the values to ask for, and a naive test.
type filter struct {
	param  string
	values func(rows []row) []any
	match  func(r row, v any) bool
}

// mostValues bounds how many values of a filter are asked for.
const mostValues = 4

// exact is a filter for the whole of a member.
func exact(param, member string) filter {
	return filter{param, func(rows []row) []any { return append(present(rows, member), "no-such-value") },
		func(r row, v any) bool { return fmt.Sprint(r[member]) == fmt.Sprint(v) }}
}

// word is exact for a parameter that takes some words only.
func word(param, member string, words ...any) filter {
	return filter{param, func([]row) []any { return words }, func(r row, v any) bool { return r[member] == v }}
}

// part is a filter for a part of a member.
func part(param, member string) filter {
	return filter{param, func(rows []row) []any { return parts(present(rows, member)) },
		func(r row, v any) bool { return strings.Contains(text(r[member]), v.(string)) }}
}

// flag is a filter for what a test says.
func flag(param string, match func(row, any) bool) filter {
	return filter{param, func([]row) []any { return []any{true, false} }, match}
}

func text(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

// present are different values of a member, from all over the list.
func present(rows []row, member string) []any {
	var all []any
	for _, r := range rows {
		if v, ok := r[member]; ok && text(v) != "" && !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return spread(all, mostValues-1)
}

// spread are up to n values, from the first to the last.
func spread(all []any, n int) []any {
	if len(all) <= n {
		return all
	}
	out := make([]any, n)
	for i := range out {
		out[i] = all[i*(len(all)-1)/(n-1)]
	}
	return out
}

// parts are texts, parts of them, what differs in case only, the wildcards of
// SQL, and a text that is nowhere.
func parts(whole []any) []any {
	out := []any{"no-such-text", "%", "_"}
	for i, v := range whole {
		s := []rune(fmt.Sprint(v))
		switch i {
		case 0:
			out = append(out, string(s))
		case 1:
			out = append(out, string(s[len(s)/2:]), strings.ToUpper(string(s)))
		default:
			out = append(out, string(s[:1+len(s)/3]))
		}
	}
	return out
}

// check asks for each filter alone and for each pair, and compares with the
// rows of the whole list that the naive tests let pass, in their order.
func (l listing) check(t *testing.T, client any) {
	t.Helper()
	rows := slices.Collect(rowsOf(t, client, l.op, l.base))
	if len(rows) == 0 && !l.empty {
		t.Fatal("the whole list is empty")
	}
	asked := 0
	ask := func(values map[string]any) {
		t.Helper()
		asked++
		want, got := []string{}, []string{}
		for _, r := range rows {
			if l.matches(r, values) {
				want = append(want, l.name(r))
			}
		}
		members := maps.Clone(values)
		maps.Copy(members, l.base)
		for r := range rowsOf(t, client, l.op, members) {
			got = append(got, l.name(r))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v: %d rows, want %d (-naive +answer):\n%.1500s", values, len(got), len(want), diff)
		}
	}
	for i, f := range l.filters {
		for _, v := range f.values(rows) {
			ask(map[string]any{f.param: v})
			for _, g := range l.filters[i+1:] {
				for _, w := range g.values(rows) {
					ask(map[string]any{f.param: v, g.param: w})
				}
			}
		}
	}
	// Past the end.
	past := map[string]any{"offset": len(rows) + 1}
	maps.Copy(past, l.base)
	for range rowsOf(t, client, l.op, past) {
		t.Error("a row past the end")
	}
	t.Logf("%d rows, %d questions", len(rows), asked)
}

func (l listing) matches(r row, ask map[string]any) bool {
	if l.match != nil && !l.match(r, ask) {
		return false
	}
	for _, f := range l.filters {
		if v, ok := ask[f.param]; ok && f.match != nil && !f.match(r, v) {
			return false
		}
	}
	return true
}

func (l listing) name(r row) string {
	if l.key != nil {
		return l.key(r)
	}
	return string(asJSON(r))
}
