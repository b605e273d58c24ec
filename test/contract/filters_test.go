package contract

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
)

// row is a row of a list as the SDK gives it, or what the database says of one.
type row = map[string]any

// terms are what a list is asked for. A member of the body is named with
// "body." before it.
type terms = map[string]any

// A listing is a list operation with its documented filters.
type listing struct {
	op      string
	base    terms // what is required
	filters []filter
	// match adds to the filters' own tests where what is asked must hold
	// together.
	match func(r row, ask terms) bool
	// key names a row where others of its members depend on what is asked;
	// the whole row if it is nil.
	key func(row) string
	// of are the rows that the tests go through, in any order, where those of
	// the whole list do not tell all that is asked. once drops the second of
	// a name.
	of   []row
	once bool
	// want names the rows of an answer, in any order, where each is made from
	// several of the database. It asks selects.
	want func(ask terms) []string
	// known says whether what keys name exists: else the answer is HSS.0011.
	known func(ask terms) bool
	// in is the member of the answer with the rows, data_list if it is empty.
	in string
	// whole says that the answer has no pages.
	whole bool
	// most is how many pairs of values of two filters are asked for; as many
	// as the asker asks if it is 0, none if it is less.
	most int
	// fetch asks in another way than by pages. It may give the number alone.
	fetch func(a *asker, ask terms) (rows []row, total int, err error)
	// empty says that the list may be: there is nothing of the kind.
	empty bool
}

// A filter is a parameter, the values to ask for, and a naive test.
type filter struct {
	param  string
	values func(rows []row) []any
	match  func(r row, v any) bool
	// nothing says that a value selects nothing, whatever else is asked.
	nothing func(v any) bool
	// group names the filters that it acts together with: every value is asked
	// for beside every one of theirs.
	group string
}

// filesOf is of how many questions about exports with two filters one is asked by
// exporting.
const filesOf = 40

// mostValues bounds how many values of a filter are asked for.
const mostValues = 4

// exact is a filter for the whole of a member.
func exact(param, member string) filter {
	return filter{param: param, values: func(rows []row) []any { return append(present(rows, member), "no-such-value") },
		match: func(r row, v any) bool { return fmt.Sprint(r[member]) == fmt.Sprint(v) }}
}

// word is exact for a parameter that takes some words only.
func word(param, member string, words ...any) filter {
	return filter{param: param, values: func([]row) []any { return words }, match: func(r row, v any) bool { return r[member] == v }}
}

// part is a filter for a part of a member.
func part(param, member string) filter {
	return filter{param: param, values: func(rows []row) []any { return parts(present(rows, member)) },
		match: func(r row, v any) bool { return strings.Contains(text(r[member]), v.(string)) }}
}

// flag is a filter for what a test says.
func flag(param string, match func(row, any) bool) filter {
	return filter{param: param, values: func([]row) []any { return []any{true, false} }, match: match}
}

// inert are parameters that local images are not asked for: whatever they say,
// the answer is the same.
func inert(params ...string) []filter {
	var out []filter
	for _, p := range params {
		out = append(out, filter{param: p, values: func([]row) []any { return []any{"no-such-value"} }})
	}
	return out
}

// nowhere are parameters of which no local image has a value.
func nowhere(params ...string) []filter {
	var out []filter
	for _, p := range params {
		out = append(out, filter{param: p, values: func([]row) []any { return []any{"no-such-value"} }, nothing: func(any) bool { return true }})
	}
	return out
}

// anyOf is a parameter of which just some values select anything: all there is.
func anyOf(param string, ok []any, others ...any) filter {
	return filter{param: param, values: func([]row) []any { return slices.Concat(ok, others) }, nothing: func(v any) bool { return !slices.Contains(ok, v) }}
}

// family is the type of images: local in either spelling, or others.
func family(param string, others ...any) filter {
	return anyOf(param, []any{"local", "local_image"}, others...)
}

// together are filters that act together.
func together(group string, filters ...filter) []filter {
	for i := range filters {
		filters[i].group = group
	}
	return filters
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

// check asks for each filter alone and for each pair of filters, and compares with
// the rows that the naive tests let pass.
func (l listing) check(t *testing.T, a *asker) {
	t.Helper()
	if l.base["enterprise_project_id"] == nil { // the fleet is that of a single one
		l.filters = append(slices.Clone(l.filters), filter{param: "enterprise_project_id", values: func([]row) []any { return []any{"0", "all_granted_eps"} }})
	}
	a.whole = true
	rows := l.all(t, a)
	if len(rows) == 0 && !l.empty {
		t.Fatal("the whole list is empty")
	}
	from := rows
	if l.of != nil {
		from = l.of
	}
	asked := 0
	ask := func(values terms) {
		t.Helper()
		asked++
		a.remember(l.op, values)
		l.compare(t, a, rows, values)
	}
	most := a.most
	if l.most != 0 {
		most = l.most
	}
	for i, f := range l.filters {
		for n, v := range f.values(from) {
			a.whole = n == 0
			ask(terms{f.param: v})
		}
		for _, g := range l.filters[i+1:] {
			together := f.group != "" && f.group == g.group
			if !together && a.r.Float64() >= a.share {
				continue
			}
			var pairs []terms
			for _, v := range f.values(from) {
				for _, w := range g.values(from) {
					pairs = append(pairs, terms{f.param: v, g.param: w})
				}
			}
			a.r.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
			if !together {
				pairs = pairs[:min(max(most, 0), len(pairs))]
			}
			for _, q := range pairs {
				a.whole = a.r.IntN(filesOf) == 0
				ask(q)
			}
		}
	}
	t.Logf("%d rows, %d questions", len(rows), asked)
}

// all are the rows of the whole list. Small pages have the same, and past the end
// there is nothing.
func (l listing) all(t *testing.T, a *asker) []row {
	t.Helper()
	if l.whole {
		rows, _, err := a.ask(l, l.base)
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	rows := a.all(t, l, l.base, 200)
	if diff := cmp.Diff(rows, a.all(t, l, l.base, 10)); diff != "" {
		t.Errorf("small pages (-large +small):\n%.1500s", diff)
	}
	for _, offset := range []int{len(rows), len(rows) + 1, 2_000_000} {
		past := terms{"offset": offset}
		maps.Copy(past, l.base)
		if more, total, err := a.ask(l, past); err != nil || len(more) != 0 || total >= 0 && total != len(rows) {
			t.Errorf("offset %d: %d rows, total_num %d, %v; want no rows of %d", offset, len(more), total, err, len(rows))
		}
	}
	return rows
}

// compare asks one question. rows are those of the whole list.
func (l listing) compare(t *testing.T, a *asker, rows []row, values terms) {
	t.Helper()
	full := maps.Clone(l.base)
	if full == nil {
		full = terms{}
	}
	maps.Copy(full, values)
	nothing := slices.ContainsFunc(l.filters, func(f filter) bool { v, ok := full[f.param]; return ok && f.nothing != nil && f.nothing(v) })
	got := []string{}
	answer, total, err := a.ask(l, full)
	if !nothing && l.known != nil && !l.known(full) {
		var e *sdkerr.ServiceResponseError
		if !errors.As(err, &e) || e.StatusCode != 400 || e.ErrorCode != "HSS.0011" {
			t.Errorf("%v: %d rows, %v; want HSS.0011", values, len(answer), err)
		}
		return
	}
	counted := l.fetch != nil && answer == nil && total > 0
	if err == nil && total > len(answer) && !counted {
		answer = a.all(t, l, full, 200)
	}
	for _, r := range answer {
		got = append(got, l.name(r))
	}
	want := []string{}
	switch {
	case nothing:
	case l.want != nil:
		want = append(want, l.want(full)...)
		slices.Sort(want)
		slices.Sort(got)
	case l.of != nil:
		for _, r := range l.of {
			if l.selects(r, full) {
				want = append(want, l.name(r))
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if l.once {
			want = slices.Compact(want)
		}
	default:
		for _, r := range rows {
			if l.selects(r, full) {
				want = append(want, l.name(r))
			}
		}
	}
	diff := cmp.Diff(want, got)
	if counted {
		diff = ""
	}
	if diff != "" || err != nil || total >= 0 && total != len(want) {
		t.Errorf("%v: %d rows, total_num %d, %v; want %d (-naive +answer):\n%.1500s", values, len(got), total, err, len(want), diff)
	}
}

// selects is what the naive tests say together.
func (l listing) selects(r row, ask terms) bool {
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

// named is a key of some members.
func named(members ...string) func(row) string {
	return func(r row) string {
		var out []string
		for _, m := range members {
			out = append(out, text(r[m]))
		}
		return strings.Join(out, " | ")
	}
}
