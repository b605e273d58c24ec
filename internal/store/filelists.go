package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/onceover/onceover/internal/fault"
)

const (
	// maxSearched is how many files are looked through for a name in all
	// images of a project.
	maxSearched = 2_000_000
	// filesBatch is how many parts of older stores are counted at a time.
	filesBatch = 16
)

// An ImageFile is a file of an image. The files that are known are executables,
// and those that no package database of their layer lists.
type ImageFile struct {
	Path string
	Size int64 // bytes
}

// FilesStat sums the files of an image up.
type FilesStat struct {
	Num, Size int64 // bytes
	// Whole says that none was left out because of a limit or could not be
	// read.
	Whole bool
}

const (
	sqlFilesOf      = `SELECT c.files, c.latest_scan_time, COALESCE((SELECT d.diff_ids FROM content_detail d WHERE d.content_id = c.id), '[]') FROM content c WHERE c.id = $1`
	sqlPartsOfFiles = `SELECT fp.part_id, fp.list_id, fp.hidden, fp.num, fp.size, l.layer FROM content_part cp CROSS JOIN file_part fp CROSS JOIN file_list l
WHERE cp.content_id = $1 AND fp.part_id = cp.part_id AND l.id = fp.list_id`
	sqlFilesFrom  = `SELECT e.n, e.path, e.size FROM file_entry e WHERE e.list_id = $1 AND e.n >= $2 ORDER BY e.n LIMIT $3`
	sqlFilesNamed = `SELECT e.list_id, e.n, e.path, e.size FROM file_entry e WHERE e.list_id IN {these} AND instr(e.path, $1) > 0 ORDER BY e.list_id, e.n`
	sqlListParts  = `SELECT fp.part_id, fp.list_id, fp.hidden, fp.num FROM file_part fp WHERE fp.part_id IN {in}`
	sqlNoFiles    = `SELECT COUNT(*) FROM (SELECT 1 FROM content c WHERE c.project_id = $1 AND c.latest_scan_time > 0 AND c.gone_at = 0 LIMIT 1) t`

	sqlUncounted = `SELECT few.part_id, few.list_id, few.hidden FROM file_part few WHERE few.num < 0 LIMIT $1`
	sqlSizes     = `SELECT n, size FROM file_entry WHERE list_id = $1`
	sqlSetCount  = `UPDATE file_part SET num = $1, size = $2 WHERE part_id = $3`
)

// A fileList is what can be seen of the files of one layer: all but hidden.
type fileList struct {
	part, id  int64
	hidden    []byte
	num, size int64
	layer     string
}

// errUncounted is for stores of older versions, in the first minute.
var errUncounted = fault.New(fault.Unavailable, "the files of earlier scans are being counted: try again in a minute")

// filesOf finds the lists of an image, the lowest layer first, and what is known
// of it. Files that nobody has looked for are fault.Conflict: an image must not
// look empty for that. An image that was never scanned has none.
func filesOf(ctx context.Context, tx *sql.Tx, content int64) (lists []fileList, known int64, err error) {
	var scanned int64
	var ids []byte
	if err := tx.QueryRowContext(ctx, sqlFilesOf, content).Scan(&known, &scanned, &ids); err != nil {
		return nil, 0, err
	}
	if known == filesUnknown {
		if scanned == 0 {
			return nil, known, nil
		}
		return nil, known, fault.New(fault.Conflict, "the files of this image were not read: its agent runs with --no-files, or scanned it before files were read")
	}
	var layers []string
	if err := json.Unmarshal(ids, &layers); err != nil {
		return nil, 0, fmt.Errorf("read diff IDs: %w", err)
	}
	err = each(ctx, tx, sqlPartsOfFiles, []any{content}, func(r *sql.Rows) error {
		var l fileList
		err := r.Scan(&l.part, &l.id, &l.hidden, &l.num, &l.size, &l.layer)
		if l.num < 0 {
			return cmp.Or(err, errUncounted)
		}
		lists = append(lists, l)
		return err
	})
	at := map[string]int{}
	for i, l := range layers {
		at[l] = i
	}
	slices.SortFunc(lists, func(a, b fileList) int { return cmp.Or(at[a.layer]-at[b.layer], cmp.Compare(a.part, b.part)) })
	return lists, known, err
}

// FilesStat sums up the files of an image that are known; nil if it was never
// scanned. An unknown image is fault.NotFound, one whose files were not read
// fault.Conflict.
func (s *Store) FilesStat(ctx context.Context, project, imageID string) (*FilesStat, error) {
	content, err := s.contentOf(ctx, project, imageID)
	if err != nil {
		return nil, err
	}
	var out *FilesStat
	err = s.inView(ctx, func(tx *sql.Tx) error {
		lists, known, err := filesOf(ctx, tx, content)
		if err != nil || known == filesUnknown {
			return err
		}
		out = &FilesStat{Whole: known == filesWhole}
		for _, l := range lists {
			out.Num += l.num
			out.Size += l.size
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count files: %w", err)
	}
	return out, nil
}

// Files lists the files of an image that are known, by layer from the lowest up
// and by path; name is a substring of the last element of the path. The errors
// are those of FilesStat.
func (s *Store) Files(ctx context.Context, project, imageID, name string, p Page) (out []ImageFile, total int64, err error) {
	content, err := s.contentOf(ctx, project, imageID)
	if err != nil {
		return nil, 0, err
	}
	err = s.inView(ctx, func(tx *sql.Tx) error {
		lists, _, err := filesOf(ctx, tx, content)
		if err != nil {
			return err
		}
		if name != "" {
			out, total, err = searchFiles(ctx, tx, lists, name, p)
		} else {
			out, total, err = pageOfFiles(ctx, tx, lists, p)
		}
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list files: %w", err)
	}
	return out, total, nil
}

// AllFiles lists the files of all images of a project that are known, a file of
// a layer once, however many images have the layer. Files that every one of
// these images hides are not listed. name is a substring of the last element of
// the path: fault.TooLarge if there are too many files to look through.
// fault.Conflict means that images were scanned and the files of none were read.
func (s *Store) AllFiles(ctx context.Context, project, name string, p Page) (out []ImageFile, total int64, err error) {
	if err := s.index.refresh(ctx, s); err != nil {
		return nil, 0, fmt.Errorf("list files of all images: %w", err)
	}
	err = s.inView(ctx, func(tx *sql.Tx) error {
		lists, err := s.fileLists.of(ctx, tx, &s.index, project)
		if err != nil {
			return err
		}
		if len(lists) == 0 {
			var scanned int64
			if err := tx.QueryRowContext(ctx, sqlNoFiles, project).Scan(&scanned); err != nil {
				return err
			}
			if unknown, _ := s.index.files(project); scanned > 0 && unknown > 0 {
				return fault.New(fault.Conflict, "the files of no image were read: agents run with --no-files, or scanned the images before files were read")
			}
		}
		if name != "" {
			out, total, err = s.searchNames(ctx, tx, lists, name, p)
		} else {
			out, total, err = pageOfFiles(ctx, tx, lists, p)
		}
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list files of all images: %w", err)
	}
	return out, total, nil
}

// pageOfFiles counts the files of lists and reads one page of them.
func pageOfFiles(ctx context.Context, tx *sql.Tx, lists []fileList, p Page) (out []ImageFile, total int64, err error) {
	for _, l := range lists {
		total += l.num
	}
	before := int64(0)
	for _, l := range lists {
		want := p.Limit - int64(len(out))
		if want == 0 {
			break
		}
		if skip := max(0, p.Offset-before); skip < l.num {
			if err := l.read(ctx, tx, skip, want, &out); err != nil {
				return nil, 0, err
			}
		}
		before += l.num
	}
	return out, total, nil
}

// read appends want files of a list after skip of those that can be seen.
func (l fileList) read(ctx context.Context, tx *sql.Tx, skip, want int64, out *[]ImageFile) error {
	hidden := unpackNumbers(l.hidden)
	from := skip
	for len(hidden) > 0 && hidden[0] <= from {
		from++
		hidden = hidden[1:]
	}
	// As many rows as needed if all that is hidden lies among them.
	return each(ctx, tx, sqlFilesFrom, []any{l.id, from, want + int64(len(hidden))}, func(r *sql.Rows) error {
		var n int64
		var f ImageFile
		err := r.Scan(&n, &f.Path, &f.Size)
		switch {
		case len(hidden) > 0 && hidden[0] == n:
			hidden = hidden[1:]
		case want > 0:
			want--
			*out = append(*out, f)
		}
		return err
	})
}

// searchFiles looks through the lists of an image for a part of a file's name.
func searchFiles(ctx context.Context, tx *sql.Tx, lists []fileList, name string, p Page) (out []ImageFile, total int64, err error) {
	// Lists keep their order, and are asked for some at a time.
	for chunk := range slices.Chunk(lists, chunks[0]) {
		found := map[int64][]fileEntry{}
		ids := make([]int64, len(chunk))
		for i, l := range chunk {
			ids[i] = l.id
		}
		query := strings.Replace(sqlFilesNamed, "{these}", numbers(ids), 1)
		err := each(ctx, tx, query, []any{text(name)}, func(r *sql.Rows) error {
			var list int64
			var e fileEntry
			err := r.Scan(&list, &e.n, &e.Path, &e.Size)
			if strings.Contains(path.Base(e.Path), text(name)) {
				found[list] = append(found[list], e)
			}
			return err
		})
		if err != nil {
			return nil, 0, err
		}
		for _, l := range chunk {
			hidden := unpackNumbers(l.hidden)
			for _, e := range found[l.id] {
				if _, is := slices.BinarySearch(hidden, e.n); is {
					continue
				}
				if total >= p.Offset && int64(len(out)) < p.Limit {
					out = append(out, e.ImageFile)
				}
				total++
			}
		}
	}
	return out, total, nil
}

type fileEntry struct {
	n int64
	ImageFile
}

// unpackNumbers reads what packNumbers wrote; what is damaged ends it.
func unpackNumbers(packed []byte) (out []int64) {
	at := int64(0)
	for len(packed) > 0 {
		d, size := binary.Uvarint(packed)
		if size <= 0 {
			return out
		}
		packed = packed[size:]
		at += int64(d)
		out = append(out, at)
	}
	return out
}

// fileLists keeps what can be seen of the lists of files of each project until
// the fleet changes. The zero value is empty; it is safe for concurrent use.
type fileLists struct {
	mu       sync.Mutex
	revision int64
	projects map[string][]fileList
}

// of are the lists of a project, by id.
func (c *fileLists) of(ctx context.Context, tx *sql.Tx, x *index, project string) ([]fileList, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if lists, ok := c.projects[project]; ok && c.revision == x.now() {
		return lists, nil
	}
	revision, parts := x.partsIn(project)
	if c.projects == nil || c.revision != revision {
		c.revision, c.projects = revision, map[string][]fileList{}
	}
	type seen struct {
		all    int64
		hidden []int64 // by all images
		whole  bool    // nothing is
	}
	lists := map[int64]*seen{}
	err := eachIn(ctx, tx, sqlListParts, parts, func(r *sql.Rows) error {
		var part, list, num int64
		var packed []byte
		if err := r.Scan(&part, &list, &packed, &num); err != nil {
			return err
		}
		if num < 0 {
			return errUncounted
		}
		l := lists[list]
		if l != nil && l.whole {
			return nil
		}
		hidden := unpackNumbers(packed)
		switch {
		case l == nil:
			lists[list] = &seen{num + int64(len(hidden)), hidden, len(hidden) == 0}
		default:
			l.hidden = slices.DeleteFunc(l.hidden, func(n int64) bool { _, both := slices.BinarySearch(hidden, n); return !both })
			l.whole = len(l.hidden) == 0
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]fileList, 0, len(lists))
	for _, id := range slices.Sorted(maps.Keys(lists)) {
		l := lists[id]
		packed := make([]int, len(l.hidden))
		for i, n := range l.hidden {
			packed[i] = int(n)
		}
		out = append(out, fileList{id: id, num: l.all - int64(len(l.hidden)), hidden: packNumbers(packed)})
	}
	c.projects[project] = out
	return out, nil
}

// partsIn are the parts of the images of a project, sorted, and the revision
// that they are of.
func (x *index) partsIn(project string) (revision int64, parts []int64) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	x.each(project, func(s *slot) { parts = append(parts, s.parts...) })
	slices.Sort(parts)
	return x.revision, slices.Compact(parts)
}

// countFiles counts the files of parts that were stored before they were
// counted. It returns how many parts they were.
func (s *Store) countFiles(ctx context.Context) (total int, err error) {
	return inBatches("count files", func() (n int, err error) {
		err = s.inTx(ctx, func(tx *sql.Tx) error {
			var lists []fileList
			err := each(ctx, tx, sqlUncounted, []any{filesBatch}, func(r *sql.Rows) error {
				var l fileList
				err := r.Scan(&l.part, &l.id, &l.hidden)
				lists = append(lists, l)
				return err
			})
			if err != nil {
				return err
			}
			n = len(lists)
			for _, l := range lists {
				hidden := unpackNumbers(l.hidden)
				err := each(ctx, tx, sqlSizes, []any{l.id}, func(r *sql.Rows) error {
					var at, size int64
					err := r.Scan(&at, &size)
					if _, is := slices.BinarySearch(hidden, at); !is {
						l.num++
						l.size += size
					}
					return err
				})
				if err != nil {
					return err
				}
				if _, err := tx.ExecContext(ctx, sqlSetCount, l.num, l.size, l.part); err != nil {
					return err
				}
			}
			return nil
		})
		return n, err
	})
}

// fillIn works out what older versions did not store.
func (s *Store) fillIn(ctx context.Context) (int, error) {
	chains, err := s.fillChains(ctx)
	files, ferr := s.countFiles(ctx)
	return chains + files, errors.Join(err, ferr)
}
