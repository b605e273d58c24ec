package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// asker asks lists, and remembers what it asked them for.
type asker struct {
	client any
	// Each value of a filter is asked for alone, and of a share of the pairs
	// of filters most values together, drawn by r.
	share float64
	most  int
	r     *rand.Rand
	asked map[string]bool
	// whole says that an export is to be made, and not only counted.
	whole bool
}

// call asks an operation, with the members of its body in a map of their own.
func (a *asker) call(op string, ask terms) (any, error) {
	request := terms{}
	for k, v := range ask {
		if member, ok := strings.CutPrefix(k, "body."); ok {
			body, _ := request["body"].(row)
			if body == nil {
				body = row{}
			}
			body[member] = v
			k, v = "body", body
		}
		request[k] = v
	}
	method := reflect.ValueOf(a.client).MethodByName(op)
	req := reflect.New(method.Type().In(0).Elem())
	if err := json.Unmarshal(asJSON(request), req.Interface()); err != nil {
		return nil, fmt.Errorf("fill the request: %w", err)
	}
	out := method.Call([]reflect.Value{req})
	err, _ := out[1].Interface().(error)
	return out[0].Interface(), err
}

// ask is one page of a list. total is -1 if the answer has none.
func (a *asker) ask(l listing, ask terms) (rows []row, total int, err error) {
	if l.fetch != nil {
		return l.fetch(a, ask)
	}
	page := terms{"limit": 200, "offset": 0}
	maps.Copy(page, ask)
	out, err := a.call(l.op, page)
	if err != nil {
		return nil, 0, err
	}
	var answer map[string]json.RawMessage
	if err := json.Unmarshal(asJSON(out), &answer); err != nil {
		return nil, 0, err
	}
	list := answer["data_list"]
	if l.in != "" {
		list = answer[l.in]
	}
	if list == nil {
		return nil, 0, errors.New("no list in the answer")
	}
	var all []any
	if err := json.Unmarshal(list, &all); err != nil {
		return nil, 0, err
	}
	for _, v := range all {
		r, ok := v.(row)
		if !ok {
			r = row{"": v}
		}
		rows = append(rows, r)
	}
	total = -1
	for _, name := range []string{"total_num", "total_vul_num"} {
		if n, ok := answer[name]; ok {
			return rows, total, errors.Join(json.Unmarshal(n, &total))
		}
	}
	return rows, total, nil
}

// all pages through a list as Terraform does: whole pages, from where the last
// one ended, until one is empty.
func (a *asker) all(t *testing.T, l listing, ask terms, limit int) (rows []row) {
	t.Helper()
	for {
		page := terms{"limit": limit, "offset": len(rows)}
		maps.Copy(page, ask)
		more, total, err := a.ask(l, page)
		switch {
		case err != nil:
			t.Fatalf("%s %v: %v", l.op, page, err)
		case len(more) > limit:
			t.Fatalf("%s %v: %d rows", l.op, page, len(more))
		case total >= 0 && total < len(rows)+len(more), len(more) == 0 && total >= 0 && total != len(rows):
			t.Fatalf("%s %v: total_num %d after %d rows", l.op, page, total, len(rows)+len(more))
		case len(more) == 0:
			return rows
		}
		rows = append(rows, more...)
	}
}

func (a *asker) remember(op string, values terms) {
	a.asked[strings.Join(append([]string{op}, slices.Sorted(maps.Keys(values))...), " ")] = true
}
