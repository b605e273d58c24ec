package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/onceover/onceover/internal/fault"
)

// Limits of a project's list of paths.
const (
	maxListedPaths = 20_000
	maxPatterns    = 1000 // entries with "*" or "?"
	maxListedPath  = 4096 // bytes
)

// A ListedPath is an entry of a project's list of paths whose secrets do not
// count.
type ListedPath struct {
	Path    string
	AddedBy string // access key id
	AddedAt int64  // Unix milliseconds
}

const (
	sqlPaths      = `SELECT path, added_by, added_at FROM path_whitelist WHERE project_id = $1 ORDER BY n`
	sqlDropPaths  = `DELETE FROM path_whitelist WHERE project_id = $1`
	sqlPutPaths   = `INSERT INTO path_whitelist (project_id, n, path, added_by, added_at) VALUES`
	sqlRevisePath = `INSERT INTO path_revision (project_id, revision) VALUES ($1, 1) ON CONFLICT (project_id) DO UPDATE SET revision = path_revision.revision + 1`
	sqlPathRev    = `SELECT revision FROM path_revision WHERE project_id = $1`
)

// Paths is the list of paths of a project whose secrets do not count, in the
// order in which it was given.
func (s *Store) Paths(ctx context.Context, project string) (out []ListedPath, err error) {
	err = s.inView(ctx, func(tx *sql.Tx) error {
		out, err = readPaths(ctx, tx, project)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list paths: %w", err)
	}
	return out, nil
}

func readPaths(ctx context.Context, tx *sql.Tx, project string) (out []ListedPath, err error) {
	err = each(ctx, tx, sqlPaths, []any{project}, func(r *sql.Rows) error {
		var p ListedPath
		err := r.Scan(&p.Path, &p.AddedBy, &p.AddedAt)
		out = append(out, p)
		return err
	})
	return out, err
}

// SetPaths replaces the list of paths of a project. An entry is the path of a
// file, or of a directory with all below it: absolute, or a place of the image
// configuration ("env:NAME"). In it "*" stands for anything within a name, "?"
// for one character and "**" for anything; "**/" may begin it. Other entries
// are fault.Invalid, and so is more than the limits. Counts follow before
// SetPaths returns.
func (s *Store) SetPaths(ctx context.Context, project string, paths []string, by Actor) error {
	var list []string
	known := map[string]bool{}
	for _, p := range paths {
		if err := checkListed(p); err != nil {
			return err
		}
		if !known[p] {
			known[p] = true
			list = append(list, p)
		}
	}
	patterns := 0
	for _, p := range list {
		if strings.ContainsAny(p, "*?") {
			patterns++
		}
	}
	if len(list) > maxListedPaths || patterns > maxPatterns {
		return fault.New(fault.Invalid, "%d paths, %d of them with * or ?: the limits are %d and %d", len(list), patterns, maxListedPaths, maxPatterns)
	}
	err := s.inTx(ctx, func(tx *sql.Tx) error { return s.putPaths(ctx, tx, project, list, by) })
	if err != nil {
		return fmt.Errorf("set list of paths: %w", err)
	}
	if err := s.judgeSecrets(ctx, project); err != nil {
		return err
	}
	return s.recountSecrets(ctx)
}

// putPaths keeps of entries that stay who added them, and when.
func (s *Store) putPaths(ctx context.Context, tx *sql.Tx, project string, list []string, by Actor) error {
	old, err := readPaths(ctx, tx, project)
	if err != nil {
		return err
	}
	before := map[string]ListedPath{}
	for _, p := range old {
		before[p.Path] = p
	}
	rows := make([][]any, len(list))
	for n, p := range list {
		e, ok := before[p]
		if !ok {
			e = ListedPath{p, by.Name, s.now().UnixMilli()}
		}
		rows[n] = []any{project, n, p, e.AddedBy, e.AddedAt}
	}
	if _, err := tx.ExecContext(ctx, sqlDropPaths, project); err != nil {
		return err
	}
	if err := putRows(ctx, tx, sqlPutPaths, "", rows); err != nil {
		return err
	}
	if _, err = tx.ExecContext(ctx, sqlRevisePath, project); err != nil {
		return err
	}
	return logPaths(ctx, tx, project, old, list, by, s.now().UnixMilli())
}

// configPlaces begin the paths of secrets in the configuration of an image.
var configPlaces = []string{"env:", "label:", "history:"}

func checkListed(p string) error {
	bad := func(why string) error {
		return fault.New(fault.Invalid, "%q is no path for the list: %s", p[:min(len(p), 200)], why)
	}
	switch clean := strings.TrimSuffix(strings.TrimPrefix(p, "**"), "/"); {
	case len(p) > maxListedPath:
		return bad(fmt.Sprintf("it has %d bytes, the limit is %d", len(p), maxListedPath))
	case !utf8.ValidString(p) || strings.ContainsFunc(p, unicode.IsControl):
		return bad("it has characters that do not belong into a path")
	case slices.ContainsFunc(configPlaces, func(place string) bool { return strings.HasPrefix(p, place) && len(p) > len(place) }):
		return nil
	case !strings.HasPrefix(p, "/") && (!strings.HasPrefix(p, "**/") || clean == ""):
		return bad(`it begins with neither "/" nor "**/", nor with "env:", "label:" or "history:"`)
	case clean != "" && path.Clean(clean) != clean:
		return bad(`it has "//", "." or ".." in it`)
	}
	return nil
}

// A pathList tells which paths are on a list.
type pathList struct {
	places   map[string]bool
	patterns []pathPattern
}

type pathPattern struct {
	prefix string // before the first wildcard
	word   string // the longest part without a wildcard: to look for it is quick
	whole  *regexp.Regexp
}

// pathListOf is the list of a project, and its revision: 0 for none.
func pathListOf(ctx context.Context, tx *sql.Tx, project string) (list pathList, revision int64, err error) {
	err = tx.QueryRowContext(ctx, sqlPathRev, project).Scan(&revision)
	if errors.Is(err, sql.ErrNoRows) {
		return pathList{}, 0, nil
	}
	if err != nil {
		return list, 0, fmt.Errorf("read revision of the list of paths: %w", err)
	}
	entries, err := readPaths(ctx, tx, project)
	if err != nil {
		return list, 0, fmt.Errorf("read list of paths: %w", err)
	}
	paths := make([]string, len(entries))
	for i, e := range entries {
		paths[i] = e.Path
	}
	list, err = newPathList(paths)
	return list, revision, err
}

func newPathList(paths []string) (pathList, error) {
	l := pathList{places: map[string]bool{}}
	for _, p := range paths {
		p = strings.TrimSuffix(p, "/") // "" is the root
		i := strings.IndexAny(p, "*?")
		if i < 0 {
			l.places[p] = true
			continue
		}
		re, err := regexp.Compile(patternText(p))
		if err != nil {
			return l, fmt.Errorf("pattern %q: %w", p, err)
		}
		word := ""
		for w := range strings.FieldsFuncSeq(p, isWildcard) {
			if len(w) > len(word) {
				word = w
			}
		}
		l.patterns = append(l.patterns, pathPattern{p[:i], word, re})
	}
	return l, nil
}

func isWildcard(r rune) bool { return r == '*' || r == '?' }

// patternText is a pattern as a regular expression, which takes time in
// proportion to the path, whatever someone wrote.
func patternText(p string) string {
	var b strings.Builder
	b.WriteString(`^(?s:`)
	for len(p) > 0 {
		switch {
		case strings.HasPrefix(p, "**"):
			b.WriteString(`.*`)
			p = strings.TrimLeft(p, "*")
		case p[0] == '*':
			b.WriteString(`[^/]*`)
			p = p[1:]
		case p[0] == '?':
			b.WriteString(`[^/]`)
			p = p[1:]
		default:
			i := strings.IndexAny(p, "*?")
			if i < 0 {
				i = len(p)
			}
			b.WriteString(regexp.QuoteMeta(p[:i]))
			p = p[i:]
		}
	}
	b.WriteString(`(?:/.*)?)$`)
	return b.String()
}

// has reports whether a path, or a directory above it, is on the list.
func (l pathList) has(p string) bool {
	for at := p; ; {
		if l.places[at] {
			return true
		}
		i := strings.LastIndexByte(at, '/')
		if i < 0 {
			break
		}
		at = at[:i]
	}
	for _, x := range l.patterns {
		if strings.HasPrefix(p, x.prefix) && strings.Contains(p, x.word) && x.whole.MatchString(p) {
			return true
		}
	}
	return false
}
