package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/onceover/onceover/internal/check/password"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/report"
)

// maxAccounts bounds the accounts kept of one content, weak ones first. All weak
// ones are counted.
const maxAccounts = 1000

// passwords is what a scan has found out about the passwords of a content.
type passwords struct {
	accounts []password.Account // weak, empty and unverified ones
	checked
}

// checkPasswords reads what a scan has found; nil if it did not look. Facts that
// no agent of ours makes are fault.Invalid.
func checkPasswords(out *outcome) (*passwords, error) {
	if !report.Has(out.analyzers, report.CheckPasswords) {
		return nil, nil
	}
	accounts, _, err := password.Results(out.inventory)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "check the passwords of an image")
	}
	p := &passwords{}
	for _, a := range accounts {
		if a.Weak() {
			p.num++
			p.severity = max(p.severity, int64(report.SeverityRank(a.Severity())))
		} else if a.Status != password.StatusUnverified {
			continue
		}
		p.accounts = append(p.accounts, a)
	}
	slices.SortStableFunc(p.accounts, func(a, b password.Account) int { return int(boolInt(b.Weak()) - boolInt(a.Weak())) })
	p.accounts = p.accounts[:min(len(p.accounts), maxAccounts)]
	return p, nil
}

// checkComplexity reads what an image demands of new passwords; nil if it keeps
// no accounts. That comes with the facts of baselines, whatever passwords are
// guessed with.
func checkComplexity(out *outcome) (*password.Complexity, error) {
	if !report.Has(out.analyzers, report.CheckBaseline) {
		return nil, nil
	}
	c, ok, err := password.ComplexityOf(out.inventory)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "check what an image demands of passwords")
	}
	if !ok {
		return nil, nil
	}
	return &c, nil
}

const (
	sqlDropAccounts   = `DELETE FROM password_account WHERE content_id = $1`
	sqlDropComplexity = `DELETE FROM password_rules WHERE content_id = $1`
	sqlPutAccounts    = `INSERT INTO password_account (content_id, n, user_name, service, path, layer, login, status, rule, masked, reason, changed, suggestion) VALUES`
	sqlPutComplexity  = `INSERT INTO password_rules (content_id, good, min_length, length, upper_case, lower_case, digit, special, source, path, layer, suggestion) VALUES`
)

// dropPasswords forget what is known of the passwords of a content ($1).
var dropPasswords = []string{sqlDropAccounts, sqlDropComplexity}

// putComplexity replaces what a content demands of new passwords.
func putComplexity(ctx context.Context, tx *sql.Tx, content int64, c *password.Complexity) error {
	if _, err := tx.ExecContext(ctx, sqlDropComplexity, content); err != nil {
		return fmt.Errorf("drop rules for passwords: %w", err)
	}
	if c == nil {
		return nil
	}
	row := []any{content, boolInt(c.Good()), boolInt(c.MinLength), c.Length, boolInt(c.Upper), boolInt(c.Lower), boolInt(c.Digit), boolInt(c.Special),
		text(c.Source), text(c.Path), text(c.Layer), text(c.Suggestion)}
	if err := putRows(ctx, tx, sqlPutComplexity, "", [][]any{row}); err != nil {
		return fmt.Errorf("store rules for passwords: %w", err)
	}
	return nil
}

func putPasswords(ctx context.Context, tx *sql.Tx, job jobState, out *outcome) (checked, error) {
	p := out.passwords
	if p == nil {
		return checked{}, errors.New("passwords were not looked at")
	}
	if _, err := tx.ExecContext(ctx, sqlDropAccounts, job.content); err != nil {
		return checked{}, fmt.Errorf("drop accounts: %w", err)
	}
	rows := make([][]any, len(p.accounts))
	for i, a := range p.accounts {
		rows[i] = []any{job.content, i, text(a.User), text(a.Service), text(a.Path), text(a.Layer), boolInt(a.Login), text(a.Status), text(a.Rule),
			text(a.Masked), text(a.Reason), a.Changed, text(a.Suggestion)}
	}
	if err := putRows(ctx, tx, sqlPutAccounts, "", rows); err != nil {
		return checked{}, fmt.Errorf("store accounts: %w", err)
	}
	return p.checked, nil
}

// A WeakAccount is an account of an image whose password is weak or empty.
type WeakAccount struct {
	ImageID, Name, Version string
	ScanTime               int64 // Unix milliseconds
	User                   string
	Service                string // a service of package password
	Status                 string // password.StatusWeak or password.StatusEmpty
	// Masked shows the ends of the password, Days is for how long it has
	// been in use, 0 if that is not known.
	Masked     string
	Days       int
	Suggestion string
}

const (
	sqlNamedWeak = `SELECT w.content_id, COUNT(*) FROM password_account w WHERE w.status IN ('weak', 'empty') AND instr(w.user_name, $1) > 0 GROUP BY w.content_id`
	sqlPageWeak  = `SELECT i.id, i.name, i.version, c.latest_scan_time, w.user_name, w.service, w.status, w.masked, w.changed, w.suggestion
FROM image i CROSS JOIN password_account w CROSS JOIN content c
WHERE w.content_id = i.content_id AND w.status IN ('weak', 'empty') AND c.id = i.content_id AND {where} ORDER BY i.name, i.version, i.id, w.n LIMIT ? OFFSET ?`
	sqlPageComplexity = `SELECT i.id, i.name, i.version, c.latest_scan_time, r.good, r.min_length, r.length, r.upper_case, r.lower_case, r.digit, r.special, r.suggestion
FROM image i CROSS JOIN password_rules r CROSS JOIN content c WHERE r.content_id = i.content_id AND c.id = i.content_id AND i.id IN {in}`
)

// WeakAccounts lists accounts with a weak or empty password; user is a substring
// of the name. An unknown image is fault.NotFound.
func (s *Store) WeakAccounts(ctx context.Context, project string, f ImageSelector, user string, p Page) (out []WeakAccount, total int64, err error) {
	if f, err = s.known(ctx, []string{project}, f); err != nil {
		return nil, 0, err
	}
	now := s.now()
	err = s.inFleet(ctx, func(tx *sql.Tx, revision int64) error {
		weak := func(s *slot) int64 { return int64(s.weak) }
		if user != "" {
			named, err := remember(&s.selections, revision, "weak passwords of "+user, func() (map[int64]int64, error) {
				named := map[int64]int64{}
				return named, each(ctx, tx, sqlNamedWeak, []any{text(user)}, func(r *sql.Rows) error {
					var content, n int64
					err := r.Scan(&content, &n)
					named[content] = n
					return err
				})
			})
			if err != nil {
				return err
			}
			weak = func(s *slot) int64 { return named[s.content] }
		}
		var page []string
		var skip int64
		total = 0
		err := s.index.view(revision, func() {
			s.index.walk(project, f, func(_ int32, m *picture, s *slot) {
				n := weak(s)
				if n == 0 {
					return
				}
				if total+n > p.Offset && total < p.Offset+p.Limit {
					if len(page) == 0 {
						skip = p.Offset - total
					}
					page = append(page, m.id)
				}
				total += n
			})
		})
		if err != nil || len(page) == 0 {
			return err
		}
		out = nil
		w := weakWhere(page, user)
		q, args := w.query(sqlPageWeak, p.Limit, skip)
		return each(ctx, tx, q, args, func(r *sql.Rows) error {
			var a WeakAccount
			var changed int
			err := r.Scan(&a.ImageID, &a.Name, &a.Version, &a.ScanTime, &a.User, &a.Service, &a.Status, &a.Masked, &changed, &a.Suggestion)
			a.Days = days(changed, now)
			out = append(out, a)
			return err
		})
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list weak passwords: %w", err)
	}
	return out, total, nil
}

// weakWhere selects the accounts of a page of images.
func weakWhere(images []string, user string) *where {
	w := &where{}
	among(w, "i.id", images)
	w.contains("w.user_name", user)
	return w
}

func days(changed int, now time.Time) int { return password.Account{Changed: changed}.Days(now) }

// A Complexity is what an image demands of new passwords.
type Complexity struct {
	ImageID, Name, Version string
	ScanTime               int64 // Unix milliseconds
	// Good says that everything is demanded.
	Good bool
	// MinLength says that Length, the least, is long enough.
	MinLength                    bool
	Length                       int
	Upper, Lower, Digit, Special bool
	Suggestion                   string
}

// Complexities lists what images demand of new passwords. An image that keeps no
// accounts, or was not looked at, is not listed. An unknown image is
// fault.NotFound.
func (s *Store) Complexities(ctx context.Context, project string, f ImageSelector, p Page) (out []Complexity, total int64, err error) {
	if f, err = s.known(ctx, []string{project}, f); err != nil {
		return nil, 0, err
	}
	err = s.inFleet(ctx, func(tx *sql.Tx, revision int64) error {
		key := [2]any{project, fmt.Sprint("complexity ", f)}
		page, n, err := s.imagesOf(project, revision, p, key, f, func(_ *picture, s *slot) bool { return s.rules >= 0 })
		if err != nil {
			return err
		}
		total = n
		out, err = inOrder(ctx, tx, sqlPageComplexity, imagesOf(page), func(r *sql.Rows) (string, Complexity, error) {
			var c Complexity
			err := r.Scan(&c.ImageID, &c.Name, &c.Version, &c.ScanTime, &c.Good, &c.MinLength, &c.Length, &c.Upper, &c.Lower, &c.Digit, &c.Special, &c.Suggestion)
			return c.ImageID, c, err
		})
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list rules for passwords: %w", err)
	}
	return out, total, nil
}

const (
	sqlWords    = `SELECT version, words FROM weak_words WHERE project_id = $1`
	sqlPutWords = `INSERT INTO weak_words (project_id, version, words) VALUES ($1, $2, $3)
ON CONFLICT (project_id) DO UPDATE SET version = excluded.version, words = excluded.words`
	sqlAgentsOf = `SELECT id FROM agent WHERE project_id = $1`
)

// Words are the words of a project that agents guess passwords with beside ours.
func (s *Store) Words(ctx context.Context, project string) (words []string, err error) {
	err = s.inView(ctx, func(tx *sql.Tx) (err error) {
		_, words, err = readWords(ctx, tx, project)
		return err
	})
	return words, err
}

// readWords reads the words of a project and their version, fleet.NoWords if
// there are none.
func readWords(ctx context.Context, tx *sql.Tx, project string) (version string, words []string, err error) {
	var list string
	err = tx.QueryRowContext(ctx, sqlWords, project).Scan(&version, &list)
	if errors.Is(err, sql.ErrNoRows) {
		return fleet.NoWords, []string{}, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(list), &words)
	}
	if err != nil {
		return "", nil, fmt.Errorf("read words of project: %w", err)
	}
	return version, words, nil
}

// SetWords replaces the words of a project and wakes its agents. At most
// password.MaxOwnWords, each of 1 to password.MaxWordBytes bytes of UTF-8; else
// fault.Invalid, whose text gives the place of the word only.
func (s *Store) SetWords(ctx context.Context, project string, words []string) error {
	if _, err := password.NewWords(words); err != nil {
		return err
	}
	list, err := json.Marshal(append([]string{}, words...))
	if err != nil {
		return fmt.Errorf("encode words: %w", err)
	}
	version := fleet.NoWords
	if len(words) > 0 {
		sum := sha256.Sum256(list)
		version = hex.EncodeToString(sum[:8])
	}
	err = s.inTxAndWake(ctx, func(tx *sql.Tx) ([]string, error) {
		if _, err := tx.ExecContext(ctx, sqlPutWords, project, version, string(list)); err != nil {
			return nil, fmt.Errorf("store words: %w", err)
		}
		return readStrings(ctx, tx, sqlAgentsOf, project)
	})
	if err != nil {
		return err
	}
	s.log.InfoContext(ctx, "words to guess passwords with were replaced", "project", project, "words", len(words), "version", version)
	return nil
}

// sayWords puts the words into the answer of an agent that has others. One that
// takes none has no version.
func sayWords(ctx context.Context, tx *sql.Tx, project, has string, resp *fleet.SyncResponse) error {
	if has == "" {
		return nil
	}
	version, words, err := readWords(ctx, tx, project)
	if err != nil || version == has {
		return err
	}
	resp.WordsVersion, resp.Words = version, &words
	return nil
}
