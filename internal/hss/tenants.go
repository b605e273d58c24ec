package hss

import (
	"slices"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/store"
)

// An enterprise project is a tenant of its own in the store: what belongs to it
// is found under its id alone. A call acts in one of them, or in all that its key
// is granted; the functions here put together what they answer.

// maxMerged is how many rows of a tenant a list is put together from.
const maxMerged = 200_000

// listed is a page of a list: what the first tenant has, then what the second
// has, and so on. total is of all. A tenant that does not know what the list is
// of, or cannot tell, adds nothing; the error is the answer only if all say so.
func listed[T any](c call, list func(tenant string, p store.Page) ([]T, int64, error)) (out []T, total int64, err error) {
	err = act(c, func(t string) error {
		p := store.Page{Offset: max(0, c.page.Offset-total), Limit: c.page.Limit - int64(len(out))}
		rows, n, err := list(t, p)
		out = append(out, rows...)
		total += n
		return err
	})
	return out, total, err
}

// merged is a page of a list that has one row for each key, in an order. The
// list of a single tenant is in that order already.
func merged[T any, K comparable](c call, list func(tenant string, p store.Page) ([]T, int64, error), order func(a, b *T) int, key func(*T) K, join func(into, row *T)) ([]T, int64, error) {
	if len(c.tenants) == 1 {
		return list(c.tenants[0], c.page)
	}
	var all []T
	at := map[K]int{}
	err := act(c, func(t string) error {
		rows, n, err := list(t, store.Page{Limit: maxMerged})
		if n > maxMerged {
			return fault.New(fault.TooLarge, "an enterprise project has %d rows: ask for one enterprise project at a time", n)
		}
		for i := range rows {
			k := key(&rows[i])
			if have, ok := at[k]; ok {
				join(&all[have], &rows[i])
				continue
			}
			at[k] = len(all)
			all = append(all, rows[i])
		}
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	slices.SortFunc(all, func(a, b T) int { return order(&a, &b) })
	out, total := store.PageOf(all, c.page)
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

// act does something in each tenant. What is named lies in one of them:
// fault.NotFound and fault.Conflict are the answer only if no tenant did it.
func act(c call, do func(tenant string) error) error {
	var refused error
	done := false
	for _, t := range c.tenants {
		err := do(t)
		switch fault.CodeOf(err) {
		case fault.NotFound:
			if refused == nil {
				refused = err
			}
		case fault.Conflict:
			refused = err
		default:
			if err != nil {
				return err
			}
			done = true
		}
	}
	if done {
		return nil
	}
	return refused
}
