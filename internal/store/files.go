package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/onceover/onceover/internal/report"
)

// maxPlaces is how many places of a file are listed for one image.
const maxPlaces = 100

// What is known of the files of a content: content.files.
const (
	filesUnknown = 0
	filesWhole   = 1
	filesLeftOut = 2
)

// A filePart is what a content has of the files of one layer.
type filePart struct {
	id     int64
	listID int64
	layer  string
	files  []report.File // all of the list
	hidden []byte
	// num and size, in bytes, are of the files that are not hidden.
	num, size int64
}

// splitFiles takes the files of an image apart, and says what is known of them.
func splitFiles(layers []*report.LayerReport) (parts []filePart, known int64) {
	known = filesWhole
	for i, hidden := range report.HiddenFiles(layers) {
		l := layers[i]
		switch {
		case !l.FilesRead:
			known = filesUnknown
		case known == filesWhole && (len(l.Ledger.Unhashed) > 0 || !l.Complete):
			known = filesLeftOut
		}
		if len(hidden) == len(l.Files) {
			continue
		}
		words := []string{"files", l.DiffID}
		for _, f := range l.Files {
			words = append(words, text(f.Path), string(f.SHA256[:]), strconv.FormatInt(f.Size, 36), strconv.FormatInt(int64(f.Mode), 36), f.Kind, strconv.FormatBool(f.Owned))
		}
		p := filePart{listID: rowID(words...), layer: l.DiffID, files: l.Files, hidden: packNumbers(hidden), num: int64(len(l.Files) - len(hidden))}
		for _, f := range l.Files {
			p.size += f.Size
		}
		for _, n := range hidden {
			p.size -= l.Files[n].Size
		}
		p.id = rowID("file part", strconv.FormatInt(p.listID, 36), string(p.hidden))
		if !slices.ContainsFunc(parts, func(o filePart) bool { return o.id == p.id }) {
			parts = append(parts, p)
		}
	}
	return parts, known
}

// packNumbers writes ascending numbers, each as a varint of its distance from
// the one before it.
func packNumbers(numbers []int) []byte {
	out := []byte{}
	last := 0
	for _, n := range numbers {
		out = binary.AppendUvarint(out, uint64(n-last))
		last = n
	}
	return out
}

// inNumbers reports whether n is one of packed numbers.
func inNumbers(packed []byte, n int64) bool {
	at := int64(0)
	for len(packed) > 0 && at <= n {
		d, size := binary.Uvarint(packed)
		if size <= 0 {
			return false
		}
		packed = packed[size:]
		if at += int64(d); at == n {
			return true
		}
	}
	return false
}

const (
	sqlKnownLists  = `SELECT id FROM file_list WHERE id IN {in}`
	sqlPutList     = `INSERT INTO file_list (id, layer) VALUES`
	sqlPutEntry    = `INSERT INTO file_entry (list_id, n, key, rest, path, size, mode, kind, owned) VALUES`
	sqlPutFilePart = `INSERT INTO file_part (part_id, list_id, hidden, num, size) VALUES`

	sqlListOfPart   = `SELECT list_id FROM file_part WHERE part_id = $1`
	sqlDropFilePart = `DELETE FROM file_part WHERE part_id = $1`
	sqlListHeld     = `SELECT COUNT(*) FROM (SELECT 1 FROM file_part WHERE list_id = $1 LIMIT 1) t`
	sqlDropEntries  = `DELETE FROM file_entry WHERE list_id = $1`
	sqlDropList     = `DELETE FROM file_list WHERE id = $1`
)

// putFileParts stores parts that are new, and their lists where those are.
func putFileParts(ctx context.Context, tx *sql.Tx, parts []filePart) error {
	lists := map[int64]filePart{}
	var rows, newLists, entries [][]any
	for _, p := range parts {
		lists[p.listID] = p
		rows = append(rows, []any{p.id, p.listID, p.hidden, p.num, p.size})
	}
	err := eachIn(ctx, tx, sqlKnownLists, slices.Sorted(maps.Keys(lists)), func(r *sql.Rows) error {
		var id int64
		err := r.Scan(&id)
		delete(lists, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("look for lists of files: %w", err)
	}
	for _, id := range slices.Sorted(maps.Keys(lists)) {
		p := lists[id]
		newLists = append(newLists, []any{id, p.layer})
		for n, f := range p.files {
			key, rest := splitDigest(f.SHA256)
			entries = append(entries, []any{id, int64(n), key, rest, text(f.Path), f.Size, int64(f.Mode), f.Kind, boolInt(f.Owned)})
		}
	}
	for _, t := range []struct {
		what, head string
		rows       [][]any
	}{{"lists of files", sqlPutList, newLists}, {"files", sqlPutEntry, entries}, {"files of parts", sqlPutFilePart, rows}} {
		if err := putRows(ctx, tx, t.head, "", t.rows); err != nil {
			return fmt.Errorf("store %s: %w", t.what, err)
		}
	}
	return nil
}

// dropFilePart drops what a part has of a list, and the list with its last part.
func dropFilePart(ctx context.Context, tx *sql.Tx, part int64) error {
	var list, held int64
	err := tx.QueryRowContext(ctx, sqlListOfPart, part).Scan(&list)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // a part of packages
	}
	if err == nil {
		_, err = tx.ExecContext(ctx, sqlDropFilePart, part)
	}
	if err == nil {
		err = tx.QueryRowContext(ctx, sqlListHeld, list).Scan(&held)
	}
	for _, q := range []string{sqlDropEntries, sqlDropList} {
		if err == nil && held == 0 {
			_, err = tx.ExecContext(ctx, q, list)
		}
	}
	if err != nil {
		return fmt.Errorf("drop files of part: %w", err)
	}
	return nil
}

// splitDigest is the key of a digest in an index, and what is left of it.
func splitDigest(d report.SHA256) (key int64, rest []byte) {
	return int64(binary.BigEndian.Uint64(d[:8])), d[8:]
}

// A WhoFile is a place of a file in an image.
type WhoFile struct {
	Path, Layer string
	Kind        string // one of report.Kinds
	Size, Mode  int64
	Owned       bool // the package database of the layer lists it
}

const (
	sqlFileNamed  = `SELECT e.list_id, e.n, e.rest FROM file_entry e WHERE e.key = $1`
	sqlFileParts  = `SELECT fp.part_id, fp.list_id, fp.hidden FROM file_part fp WHERE fp.list_id IN {in}`
	sqlFilePlaces = `SELECT e.list_id, e.n, e.path, e.size, e.mode, e.kind, e.owned, l.layer FROM file_entry e JOIN file_list l ON l.id = e.list_id WHERE e.key = {key} AND e.list_id IN {in} ORDER BY e.list_id, e.n`
	sqlListsOf    = `SELECT part_id, list_id FROM file_part WHERE part_id IN {in}`
)

// WhoHasFile tells who has a file with a digest. FilesUnknown and FilesLeftOut
// of the answer say of how many images it does not speak, or not with certainty.
func (s *Store) WhoHasFile(ctx context.Context, project string, digest report.SHA256, list Whose, p Page) (Who, error) {
	name := hex.EncodeToString(digest[:])
	if err := s.index.refresh(ctx, s); err != nil {
		return Who{}, fmt.Errorf("who has file %s: %w", name, err)
	}
	key, rest := splitDigest(digest)
	var out Who
	err := s.inView(ctx, func(tx *sql.Tx) error {
		lists := map[int64][]int64{} // numbers of the file in each
		err := each(ctx, tx, sqlFileNamed, []any{key}, func(r *sql.Rows) error {
			var list, n int64
			var b []byte
			err := r.Scan(&list, &n, &b)
			if bytes.Equal(b, rest) {
				lists[list] = append(lists[list], n)
			}
			return err
		})
		if err != nil {
			return err
		}
		all := newHits()
		err = eachIn(ctx, tx, sqlFileParts, slices.Sorted(maps.Keys(lists)), func(r *sql.Rows) error {
			var part, list int64
			var hidden []byte
			err := r.Scan(&part, &list, &hidden)
			for _, n := range lists[list] {
				if !inNumbers(hidden, n) {
					all.add(part, n)
				}
			}
			return err
		})
		if err != nil {
			return err
		}
		out.FilesUnknown, out.FilesLeftOut = s.index.files(project)
		return s.fillWho(ctx, tx, &out, question{project: project, hits: all, key: &key, list: list, page: p})
	})
	if err != nil {
		return Who{}, fmt.Errorf("who has file %s: %w", name, err)
	}
	return out, nil
}

// files counts the images of a project whose files are not known, and those of
// which some were left out.
func (x *index) files(project string) (unknown, leftOut int64) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	number, ok := x.projects[project]
	if !ok {
		return 0, 0
	}
	for i := range x.slots {
		s := &x.slots[i]
		switch {
		case s.project != number:
		case s.files == filesUnknown:
			unknown += int64(s.images)
		case s.files == filesLeftOut:
			leftOut += int64(s.images)
		}
	}
	return unknown, leftOut
}

// filesIn tells where some contents have the file that was asked for, and in
// how many places each of them has it.
func (s *Store) filesIn(ctx context.Context, tx *sql.Tx, q question, contents []int64) (map[int64][]WhoFile, map[int64]int64, error) {
	of := s.index.partsOf(contents)
	var parts []int64
	for _, list := range of {
		for _, part := range list {
			if len(q.hits[part]) > 0 {
				parts = append(parts, part)
			}
		}
	}
	slices.Sort(parts)
	parts = slices.Compact(parts)
	listOf := map[int64]int64{}
	var lists []int64
	err := eachIn(ctx, tx, sqlListsOf, parts, func(r *sql.Rows) error {
		var part, list int64
		err := r.Scan(&part, &list)
		listOf[part] = list
		lists = append(lists, list)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	slices.Sort(lists)
	type place struct {
		n    int64
		file WhoFile
	}
	places := map[int64][]place{}
	query := strings.Replace(sqlFilePlaces, "{key}", strconv.FormatInt(*q.key, 10), 1)
	err = eachIn(ctx, tx, query, slices.Compact(lists), func(r *sql.Rows) error {
		var list, owned int64
		var p place
		err := r.Scan(&list, &p.n, &p.file.Path, &p.file.Size, &p.file.Mode, &p.file.Kind, &owned, &p.file.Layer)
		p.file.Owned = owned != 0
		places[list] = append(places[list], p)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	out, num := map[int64][]WhoFile{}, map[int64]int64{}
	for content, of := range of {
		for _, part := range of {
			num[content] += int64(len(q.hits[part]))
			for _, p := range places[listOf[part]] {
				if q.hits[part][p.n] && len(out[content]) < maxPlaces {
					out[content] = append(out[content], p.file)
				}
			}
		}
	}
	return out, num, nil
}
