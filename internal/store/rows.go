package store

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
)

// chunks are the numbers of rows or ids that one statement takes. There are
// few, so that the driver prepares few statements; the largest stays below the
// number of parameters that both engines take (SQLite 32,766, PostgreSQL
// 65,535).
var chunks = [...]int{256, 16, 1}

// chunk is the size of the next statement for n rows.
func chunk(n int) int {
	for _, c := range chunks {
		if c <= n {
			return c
		}
	}
	return 0
}

// putRows inserts many rows of equal length. head goes up to VALUES, tail is
// what follows the rows.
func putRows(ctx context.Context, tx *sql.Tx, head, tail string, rows [][]any) error {
	for len(rows) > 0 {
		n := chunk(len(rows))
		args := make([]any, 0, n*len(rows[0]))
		for _, r := range rows[:n] {
			args = append(args, r...)
		}
		if _, err := tx.ExecContext(ctx, head+" "+tuples(n, len(rows[0]))+" "+tail, args...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// tuples is "($1, $2), ($3, $4)" for 2 rows of 2 columns.
func tuples(rows, columns int) string {
	var b strings.Builder
	n := 0
	for r := range rows {
		if r > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('(')
		for c := range columns {
			if c > 0 {
				b.WriteString(", ")
			}
			n++
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(n))
		}
		b.WriteByte(')')
	}
	return b.String()
}

// listSizes are the numbers of values that a list in a statement has: few, for the
// same reason as chunks. Values that lack are the last one again, which changes no
// list; a page is one statement.
var listSizes = [...]int{1, 4, 16, 64, 256}

// takeList splits the next list off.
func takeList[T any](values []T) (list, rest []T) {
	for _, size := range listSizes {
		if len(values) < size {
			list = append(make([]T, 0, size), values...)
			for len(list) < size {
				list = append(list, values[len(values)-1])
			}
			return list, nil
		}
		if len(values) == size {
			break
		}
	}
	n := min(len(values), listSizes[len(listSizes)-1])
	return values[:n], values[n:]
}

// eachIn calls scan for every row of a query that has "{in}" in the place of a
// list of values, which may be longer than a statement takes.
func eachIn[T int64 | string](ctx context.Context, tx *sql.Tx, query string, values []T, scan func(*sql.Rows) error) error {
	return inChunks(query, values, func(q string, args []any) error {
		return each(ctx, tx, q, args, scan)
	})
}

// readKeyed reads rows by keys of several columns: args are the columns of a key,
// which stand in the query in the place of "{keys}".
func readKeyed[K comparable, T any](ctx context.Context, tx *sql.Tx, query string, keys []K, args func(K) []any, scan func(*sql.Rows) (K, T, error)) (map[K]T, error) {
	rows := make(map[K]T, len(keys))
	for len(keys) > 0 {
		var list []K
		list, keys = takeList(keys)
		var all []any
		for _, k := range list {
			all = append(all, args(k)...)
		}
		err := each(ctx, tx, strings.Replace(query, "{keys}", tuples(len(list), len(all)/len(list)), 1), all, func(r *sql.Rows) error {
			k, row, err := scan(r)
			rows[k] = row
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// arrange puts rows in the order of their keys; a key without a row is left out.
func arrange[K comparable, T any](keys []K, rows map[K]T) (out []T) {
	for _, k := range keys {
		if row, ok := rows[k]; ok {
			out = append(out, row)
		}
	}
	return out
}

// execIn runs a statement that has "{in}" in the place of a list of values.
func execIn[T int64 | string](ctx context.Context, tx *sql.Tx, query string, values []T) error {
	return inChunks(query, values, func(q string, args []any) error {
		_, err := tx.ExecContext(ctx, q, args...)
		return err
	})
}

func inChunks[T int64 | string](query string, values []T, do func(query string, args []any) error) error {
	for len(values) > 0 {
		var list []T
		list, values = takeList(values)
		args := make([]any, len(list))
		for i, v := range list {
			args[i] = v
		}
		if err := do(strings.Replace(query, "{in}", tuples(1, len(list)), 1), args); err != nil {
			return err
		}
	}
	return nil
}

// text is s as both engines keep it: PostgreSQL takes neither NUL nor broken
// UTF-8, and names in images are whatever someone wrote.
func text(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
