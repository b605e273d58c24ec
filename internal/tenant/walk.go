package tenant

import (
	"slices"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/store"
)

// maxMerged is how many rows of a tenant a list is put together from.
const maxMerged = 200_000

// Listed is a page of a list: what the first tenant has, then what the second
// has, and so on. total is of all. A tenant that does not know what the list is
// of, or cannot tell, adds nothing; the error is the answer only if all say so.
func Listed[T any](c Call, list func(tenant string, p store.Page) ([]T, int64, error)) (out []T, total int64, err error) {
	total, err = Paged(c, func(t string, p store.Page) (int, int64, error) {
		rows, n, err := list(t, p)
		out = append(out, rows...)
		return len(rows), n, err
	})
	return out, total, err
}

// Paged is Listed for rows that are kept elsewhere: list takes a page and says how
// many rows it has, and of how many.
func Paged(c Call, list func(tenant string, p store.Page) (rows int, total int64, err error)) (total int64, err error) {
	left := c.Page.Limit
	err = Act(c, func(t string) error {
		rows, n, err := list(t, store.Page{Offset: max(0, c.Page.Offset-total), Limit: left})
		left -= int64(rows)
		total += n
		return err
	})
	return total, err
}

// Merged is a page of a list that has one row for each key, in an order. The
// list of a single tenant is in that order already.
func Merged[T any, K comparable](c Call, list func(tenant string, p store.Page) ([]T, int64, error), order func(a, b *T) int, key func(*T) K, join func(into, row *T)) ([]T, int64, error) {
	if len(c.Tenants) == 1 {
		return list(c.Tenants[0], c.Page)
	}
	var all []T
	at := map[K]int{}
	err := Act(c, func(t string) error {
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
	out, total := store.PageOf(all, c.Page)
	return out, total, nil
}

// Found asks one tenant after the other for something that one of them has: an
// image, a task. fault.NotFound goes on to the next, and is the answer if none
// has it.
func Found[T any](c Call, ask func(tenant string) (T, error)) (out T, err error) {
	for _, t := range c.Tenants {
		if out, err = ask(t); fault.CodeOf(err) != fault.NotFound {
			return out, err
		}
	}
	return out, err
}

// RowsOf is Found for the list of a thing that one tenant has.
func RowsOf[T any](c Call, list func(tenant string) ([]T, int64, error)) ([]T, int64, error) {
	type answer struct {
		rows  []T
		total int64
	}
	a, err := Found(c, func(tenant string) (answer, error) {
		rows, total, err := list(tenant)
		return answer{rows, total}, err
	})
	return a.rows, a.total, err
}

// Act does something in each tenant. What is named lies in one of them:
// fault.NotFound and fault.Conflict are the answer only if no tenant did it.
func Act(c Call, do func(tenant string) error) error {
	var refused error
	done := false
	for _, t := range c.Tenants {
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
