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
	// The first row is nowhere, and says that all are numbers.
	sqlFilesAt = `SELECT e.list_id, e.n, e.path, e.size FROM file_entry e WHERE (e.list_id, e.n) IN (VALUES (CAST(-1 AS BIGINT), CAST(-1 AS BIGINT)), {keys})`
)

// fileNames keeps the names of the files of lists that were looked through for
// a name, without their directories: some 15 bytes a file, of at most maxSearched
// files, and what a list looked like stays so. The zero value is empty; it is
// safe for concurrent use.
type fileNames struct {
	mu    sync.Mutex
	lists map[int64]string // names by number, each with a "/" before and behind
	last  *fileList        // the first of the lists that were asked for last
	names joinedNames      // of these
}

// joinedNames are the names of lists one behind the other, and where each list
// starts; the last start is the end of all.
type joinedNames struct {
	text   string
	starts []int
}

// of are the names of some lists, in their order.
func (f *fileNames) of(ctx context.Context, tx *sql.Tx, lists []fileList) (joinedNames, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(lists) == 0 || f.last == &lists[0] {
		return f.names, nil
	}
	if err := f.read(ctx, tx, lists); err != nil {
		return joinedNames{}, err
	}
	var text strings.Builder
	starts := make([]int, 0, len(lists)+1)
	for _, l := range lists {
		starts = append(starts, text.Len())
		text.WriteString(f.lists[l.id])
	}
	f.last, f.names = &lists[0], joinedNames{text.String(), append(starts, text.Len())}
	for i, l := range lists {
		f.lists[l.id] = f.names.text[starts[i]:f.names.starts[i+1]] // one copy
	}
	return f.names, nil
}

// read reads the names of the lists that are not known.
func (f *fileNames) read(ctx context.Context, tx *sql.Tx, lists []fileList) error {
	var missing []int64
	for _, l := range lists {
		if _, ok := f.lists[l.id]; !ok {
			missing = append(missing, l.id)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	wanted := map[int64]bool{}
	for _, l := range lists {
		wanted[l.id] = true
	}
	next := map[int64]string{}
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
			return err
		}
		done()
		for _, id := range ids {
			if _, ok := next[id]; !ok {
				next[id] = "" // a list without files
			}
		}
	}
	f.lists = next
	return nil
}

// matches calls do for each name that has a text in it, with the number of ends
// before it but for the first, and its place. end is what stands before and behind
// each name, and in none.
func matches(names, part, end string, do func(n int64, at int)) {
	if strings.Contains(part, end) {
		return
	}
	n, at := int64(0), 0
	for {
		i := strings.Index(names[at:], part)
		if i < 0 || at+i >= len(names) {
			return
		}
		i += at
		n += int64(strings.Count(names[at:i], end))
		do(n-1, i)
		next := strings.Index(names[i:], end)
		if next < 0 {
			return
		}
		at = i + next // at the next name
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
	var page []filePlace
	name = text(name)
	if len(lists) == 0 {
		return nil, 0, nil
	}
	last, before := 0, int64(0) // the list of the last match, and the names before it
	var hidden []int64
	matches(names.text, name, "/", func(number int64, at int) {
		if at >= names.starts[last+1] || hidden == nil {
			from := names.starts[last]
			for at >= names.starts[last+1] {
				last++
			}
			// Each list has one "/" more than names.
			before += int64(strings.Count(names.text[from:names.starts[last]], "/"))
			hidden = unpackNumbers(lists[last].hidden)
		}
		n := number - before
		if _, is := slices.BinarySearch(hidden, n); is {
			return
		}
		if total >= p.Offset && int64(len(page)) < p.Limit {
			page = append(page, filePlace{lists[last].id, n})
		}
		total++
	})
	out, err = readFilesAt(ctx, tx, page)
	return out, total, err
}

// A filePlace is that of a file in a list.
type filePlace struct{ list, n int64 }

// readFilesAt reads some files, in their order.
func readFilesAt(ctx context.Context, tx *sql.Tx, places []filePlace) ([]ImageFile, error) {
	args := func(p filePlace) []any { return []any{p.list, p.n} }
	rows, err := readKeyed(ctx, tx, sqlFilesAt, places, args, func(r *sql.Rows) (p filePlace, f ImageFile, err error) {
		err = r.Scan(&p.list, &p.n, &f.Path, &f.Size)
		return p, f, err
	})
	return arrange(places, rows), err
}
