package store

import (
	"context"
	"database/sql"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/onceover/onceover/internal/fault"
)

const (
	sqlFileNames = `SELECT e.list_id, e.path FROM file_entry e WHERE e.list_id IN {these} ORDER BY e.list_id, e.n`
	sqlFileAt    = `SELECT e.path, e.size FROM file_entry e WHERE e.list_id = $1 AND e.n = $2`
)

// fileNames keeps the names of the files of lists that were looked through for
// a name, without their directories: some 15 bytes a file, of at most maxSearched
// files, and what a list looked like stays so. The zero value is empty; it is
// safe for concurrent use.
type fileNames struct {
	mu    sync.Mutex
	lists map[int64]string // names by number, each with a "/" before and behind
}

// of are the names of some lists.
func (f *fileNames) of(ctx context.Context, tx *sql.Tx, lists []fileList) (map[int64]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var missing []int64
	for _, l := range lists {
		if _, ok := f.lists[l.id]; !ok {
			missing = append(missing, l.id)
		}
	}
	if len(missing) == 0 {
		return f.lists, nil
	}
	wanted := map[int64]bool{}
	for _, l := range lists {
		wanted[l.id] = true
	}
	next := map[int64]string{} // readers have the old one
	for id, names := range f.lists {
		if wanted[id] || len(f.lists) < 2*len(lists) {
			next[id] = names
		}
	}
	for ids := range slices.Chunk(missing, chunks[0]) {
		var names strings.Builder
		last := int64(0)
		done := func() {
			if names.Len() > 0 {
				next[last] = names.String()
			}
			names.Reset()
		}
		err := each(ctx, tx, strings.Replace(sqlFileNames, "{these}", numbers(ids), 1), nil, func(r *sql.Rows) error {
			var list int64
			var name string
			err := r.Scan(&list, &name)
			if list != last {
				done()
				last = list
				names.WriteByte('/')
			}
			names.WriteString(strings.Trim(path.Base(name), "/") + "/")
			return err
		})
		if err != nil {
			return nil, err
		}
		done()
		for _, id := range ids {
			if _, ok := next[id]; !ok {
				next[id] = "" // a list without files
			}
		}
	}
	f.lists = next
	return next, nil
}

// matches calls do with the number of each name that has a text in it.
func matches(names, part string, do func(n int64)) {
	if strings.Contains(part, "/") {
		return
	}
	n, at := int64(0), 0
	for {
		i := strings.Index(names[at:], part)
		if i < 0 || at+i >= len(names) {
			return
		}
		i += at
		n += int64(strings.Count(names[at:i], "/"))
		do(n - 1)
		end := strings.IndexByte(names[i:], '/')
		if end < 0 {
			return
		}
		at = i + end // at the next name
	}
}

// searchNames looks through the names of all lists.
func (s *Store) searchNames(ctx context.Context, tx *sql.Tx, lists []fileList, name string, p Page) (out []ImageFile, total int64, err error) {
	num := int64(0)
	for _, l := range lists {
		num += l.num
	}
	if num > maxSearched {
		return nil, 0, fault.New(fault.TooLarge, "%d files are too many to look through for a name: the limit is %d; ask for one image", num, maxSearched)
	}
	names, err := s.fileNames.of(ctx, tx, lists)
	if err != nil {
		return nil, 0, err
	}
	type place struct{ list, n int64 }
	var page []place
	name = text(name)
	for _, l := range lists {
		var hidden []int64
		matches(names[l.id], name, func(n int64) {
			if hidden == nil && len(l.hidden) > 0 {
				hidden = unpackNumbers(l.hidden)
			}
			if _, is := slices.BinarySearch(hidden, n); is {
				return
			}
			if total >= p.Offset && int64(len(page)) < p.Limit {
				page = append(page, place{l.id, n})
			}
			total++
		})
	}
	for _, at := range page {
		var f ImageFile
		if err := tx.QueryRowContext(ctx, sqlFileAt, at.list, at.n).Scan(&f.Path, &f.Size); err != nil {
			return nil, 0, err
		}
		out = append(out, f)
	}
	return out, total, nil
}
