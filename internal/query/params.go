package query

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/tenant"
)

// listParams reads what to list and which page. names are all parameters that
// the operation knows.
func listParams(r *http.Request, names ...string) (store.Whose, store.Page, error) {
	var p store.Page
	err := known(r, names...)
	if err == nil {
		p.Offset, err = number(r, "offset", 0, 0, maxOffset)
	}
	if err == nil {
		p.Limit, err = number(r, "limit", defaultLimit, 1, maxLimit)
	}
	list := store.Whose(r.URL.Query().Get("list"))
	if list == "" {
		list = store.WhoseImages
	}
	return list, p, err
}

// known refuses parameters that the operation does not know: a filter with a
// typing error would answer something else than was asked.
func known(r *http.Request, names ...string) error {
	for name, values := range r.URL.Query() {
		if name != tenant.Param && !slices.Contains(names, name) {
			return fault.New(fault.Invalid, "there is no parameter %q", name)
		}
		if len(values) > 1 {
			return fault.New(fault.Invalid, "parameter %q is given %d times", name, len(values))
		}
	}
	return nil
}

// yes reads a parameter that is true or false; nil if it is not given.
func yes(r *http.Request, name string) (*bool, error) {
	var out bool
	switch s := r.URL.Query().Get(name); s {
	case "":
		return nil, nil
	case "true":
		out = true
	case "false":
	default:
		return nil, fault.New(fault.Invalid, "%s %q: want true or false", name, s)
	}
	return &out, nil
}

func number(r *http.Request, name string, otherwise, least, most int64) (int64, error) {
	s := r.URL.Query().Get(name)
	if s == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < least || n > most {
		return 0, fault.New(fault.Invalid, "%s %q: want a number from %d to %d", name, s, least, most)
	}
	return n, nil
}
