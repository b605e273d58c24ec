package hss

import (
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/store"
)

// An enterprise project is a tenant of its own in the store: what belongs to it
// is found under its id alone. A call acts in one of them, or in all that its key
// is granted; the functions here put together what they answer.

// listed is a page of a list: what the first tenant has, then what the second
// has, and so on. total is of all.
func listed[T any](c call, list func(tenant string, p store.Page) ([]T, int64, error)) (out []T, total int64, err error) {
	for _, t := range c.tenants {
		p := store.Page{Offset: max(0, c.page.Offset-total), Limit: c.page.Limit - int64(len(out))}
		rows, n, err := list(t, p)
		if err != nil {
			return nil, 0, err
		}
		out = append(out, rows...)
		total += n
	}
	return out, total, nil
}

// found asks one tenant after the other for something that one of them has: an
// image, a task. fault.NotFound goes on to the next, and is the answer if none
// has it.
func found[T any](c call, ask func(tenant string) (T, error)) (out T, err error) {
	for _, t := range c.tenants {
		if out, err = ask(t); fault.CodeOf(err) != fault.NotFound {
			return out, err
		}
	}
	return out, err
}

// rowsOf is found for the list of a thing that one tenant has.
func rowsOf[T any](c call, list func(tenant string) ([]T, int64, error)) ([]T, int64, error) {
	type answer struct {
		rows  []T
		total int64
	}
	a, err := found(c, func(tenant string) (answer, error) {
		rows, total, err := list(tenant)
		return answer{rows, total}, err
	})
	return a.rows, a.total, err
}

// act does something in each tenant. fault.NotFound is the answer only if all
// of them say it: what is named lies in one of them.
func act(c call, do func(tenant string) error) error {
	var missing error
	done := false
	for _, t := range c.tenants {
		switch err := do(t); {
		case err == nil:
			done = true
		case fault.CodeOf(err) == fault.NotFound:
			missing = err
		default:
			return err
		}
	}
	if done {
		return nil
	}
	return missing
}
