package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/onceover/onceover/internal/fault"
)

// Scopes of a whitelist rule, as HSS names them.
const (
	RuleAllImages      = "all_images"
	RuleSpecificImages = "specific_images"
)

// Where a rule comes from.
const (
	fromRule     = "rule"
	fromHandling = "handling"
)

// maxRules is how many rules of its whitelist a project has.
const maxRules = 100_000

// A NewWhitelist makes a rule for each of some advisories.
type NewWhitelist struct {
	Vuls        []string // advisories
	Type        string   // narrows them: VulLinux, VulApp or ""
	Scope       string   // RuleAllImages or RuleSpecificImages
	Images      []string // ids, for RuleSpecificImages
	Description string
}

const (
	sqlRuleNum    = `SELECT COUNT(*) FROM whitelist WHERE project_id = $1`
	sqlPutRule    = `INSERT INTO whitelist (id, project_id, vul_id, vul_type, rule_type, origin, description, added_by, added_at) VALUES`
	sqlPutListed  = `INSERT INTO whitelist_image (rule_id, image_id, name, content_id) VALUES`
	sqlTypeOf     = `SELECT MIN(f.vul_type) FROM finding f WHERE f.vul_id = $1`
	sqlRule       = `SELECT vul_id, rule_type, description FROM whitelist WHERE id = $1 AND project_id = $2`
	sqlRuleImages = `SELECT image_id, name, content_id FROM whitelist_image WHERE rule_id = $1`
	sqlChangeRule = `UPDATE whitelist SET rule_type = $1, description = $2 WHERE id = $3`
	sqlOwnRule    = `SELECT id FROM whitelist WHERE project_id = $1 AND vul_id = $2 AND origin = 'handling' AND rule_type = 'specific_images'`
	sqlDropListed = `DELETE FROM whitelist_image WHERE rule_id = $1`
	sqlDropRows   = `DELETE FROM vul_handled WHERE rule_id = $1 AND rule_id > 0`
	sqlDropRule   = `DELETE FROM whitelist WHERE id = $1`

	onConflictListed = `ON CONFLICT (rule_id, image_id) DO NOTHING`
)

// listedImage is an image of a rule.
type listedImage struct {
	id, name string
	content  int64
}

// AddWhitelist makes rules. What they cover is handled at once, and what is found
// later too. If none of the advisories, or of the images, is known, that is
// fault.NotFound; those that are not known beside others are left out.
func (s *Store) AddWhitelist(ctx context.Context, project string, n NewWhitelist, by Actor) error {
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		vuls, err := knownVuls(ctx, tx, project, n.Vuls)
		if err != nil {
			return err
		}
		var images []listedImage
		if n.Scope == RuleSpecificImages {
			if images, err = listedImages(ctx, tx, project, n.Images, nil); err != nil {
				return err
			}
			if len(images)*len(vuls) > MaxHandled {
				return errTooMany()
			}
		}
		types := map[int64]string{}
		for _, v := range vuls {
			var typ sql.NullString
			if err := tx.QueryRowContext(ctx, sqlTypeOf, v).Scan(&typ); err != nil {
				return fmt.Errorf("read type of vulnerability: %w", err)
			}
			if n.Type == "" || typ.String == n.Type {
				types[v] = typ.String
			}
		}
		if vuls = slices.DeleteFunc(vuls, func(v int64) bool { _, ok := types[v]; return !ok }); len(vuls) == 0 {
			return fault.New(fault.NotFound, "none of these vulnerabilities is of the type %s", n.Type)
		}
		if err := roomForRules(ctx, tx, project, len(vuls)); err != nil {
			return err
		}
		now := s.now().UnixMilli()
		return s.aroundRules(ctx, tx, project, vuls, contentsListed(n.Scope, images), func() error {
			for _, v := range vuls {
				id := newRuleID()
				row := []any{id, project, v, types[v], n.Scope, fromRule, text(n.Description), by.Name, now}
				if err := putRows(ctx, tx, sqlPutRule, "", [][]any{row}); err != nil {
					return err
				}
				if err := putListed(ctx, tx, id, v, images, by.Name, text(n.Description), now); err != nil {
					return err
				}
			}
			return logRules(ctx, tx, project, LogListAdded, vuls, scopeWords(n.Scope, len(images)), by, now)
		})
	})
	if err != nil {
		return fmt.Errorf("add to whitelist: %w", err)
	}
	return nil
}

func roomForRules(ctx context.Context, tx *sql.Tx, project string, more int) error {
	var n int64
	if err := tx.QueryRowContext(ctx, sqlRuleNum, project).Scan(&n); err != nil {
		return fmt.Errorf("count rules: %w", err)
	}
	if n+int64(more) > maxRules {
		return fault.New(fault.TooLarge, "the whitelist would have %d rules: the limit is %d", n+int64(more), maxRules)
	}
	return nil
}

// contentsListed are those that a rule can concern, nil for all.
func contentsListed(scope string, images []listedImage) []int64 {
	if scope == RuleAllImages {
		return nil
	}
	contents := map[int64]bool{}
	for _, i := range images {
		contents[i.content] = true
	}
	return sortedKeys(contents)
}

// listedImages finds images by id: of the list, and of those that a rule has
// already, whose images may have left. None is fault.NotFound.
func listedImages(ctx context.Context, tx *sql.Tx, project string, ids []string, had []listedImage) ([]listedImage, error) {
	known, err := contentsOfImages(ctx, tx, project, ids)
	if err != nil {
		return nil, err
	}
	contents := map[int64]bool{}
	for _, content := range known {
		contents[content] = true
	}
	out := map[string]listedImage{}
	for _, i := range had {
		if slices.Contains(ids, i.id) {
			out[i.id] = i
		}
	}
	err = eachIn(ctx, tx, sqlImageNames, sortedKeys(contents), func(r *sql.Rows) error {
		var i listedImage
		var version string
		err := r.Scan(&i.id, &i.content, &i.name, &version)
		if _, ok := known[i.id]; ok {
			out[i.id] = i
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read images: %w", err)
	}
	if len(out) == 0 {
		return nil, fault.New(fault.NotFound, "there is none of these images")
	}
	var list []listedImage
	for _, i := range out {
		list = append(list, i)
	}
	return list, nil
}

// putListed puts images on a rule, and says of their contents that the advisory is
// handled there.
func putListed(ctx context.Context, tx *sql.Tx, rule, vul int64, images []listedImage, by, reason string, nowMS int64) error {
	var listed, handled [][]any
	seen := map[int64]bool{}
	for _, i := range images {
		listed = append(listed, []any{rule, i.id, i.name, i.content})
		if !seen[i.content] {
			seen[i.content] = true
			handled = append(handled, []any{i.content, vul, rule, VulToWhitelist, by, nowMS, reason})
		}
	}
	if err := putRows(ctx, tx, sqlPutListed, onConflictListed, listed); err != nil {
		return fmt.Errorf("store images of rule: %w", err)
	}
	if err := putRows(ctx, tx, sqlPutHandled, sqlHandledSoFar, handled); err != nil {
		return fmt.Errorf("store what the rule covers: %w", err)
	}
	return nil
}

// putOnWhitelist puts what was chosen on the rule that earlier calls made for the
// advisory, or on a new one.
func putOnWhitelist(ctx context.Context, tx *sql.Tx, project string, c chosen, by, remark string, nowMS int64) error {
	byVul := map[int64][]occurrence{}
	for _, o := range c.found {
		byVul[o.vul] = append(byVul[o.vul], o)
	}
	if err := roomForRules(ctx, tx, project, len(byVul)); err != nil {
		return err
	}
	for vul, found := range byVul {
		var rule int64
		err := tx.QueryRowContext(ctx, sqlOwnRule, project, vul).Scan(&rule)
		if errors.Is(err, sql.ErrNoRows) {
			rule = newRuleID()
			typ, _, _ := strings.Cut(found[0].types, ",")
			row := []any{rule, project, vul, typ, RuleSpecificImages, fromHandling, text(remark), by, nowMS}
			err = putRows(ctx, tx, sqlPutRule, "", [][]any{row})
		}
		if err != nil {
			return fmt.Errorf("store rule: %w", err)
		}
		var images []listedImage
		for _, o := range found {
			for _, i := range c.images[o.content] {
				images = append(images, listedImage{i.id, i.name, o.content})
			}
		}
		if err := putListed(ctx, tx, rule, vul, images, by, text(remark), nowMS); err != nil {
			return err
		}
	}
	return nil
}

// A WhitelistChange is what of a rule is to be another; "" and nil leave things as
// they are.
type WhitelistChange struct {
	Scope       string
	Images      []string // replaces them; nil keeps them
	Description *string
}

// ChangeWhitelist changes a rule. An unknown one is fault.NotFound, and so are
// images of which none is known.
func (s *Store) ChangeWhitelist(ctx context.Context, project, id string, c WhitelistChange, by Actor) error {
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		rule, vul, scope, description, err := readRule(ctx, tx, project, id)
		if err != nil {
			return err
		}
		had, err := imagesOfRule(ctx, tx, rule)
		if err != nil {
			return err
		}
		var images []listedImage
		next := c.Scope
		if next == "" {
			next = scope
		}
		switch {
		case next == RuleAllImages && c.Images != nil && c.Scope == "":
			return fault.New(fault.Invalid, "the rule is for all images: say rule_type %s to make it one for some", RuleSpecificImages)
		case next == RuleAllImages:
		case c.Images != nil:
			if images, err = listedImages(ctx, tx, project, c.Images, had); err != nil {
				return err
			}
		case scope == RuleSpecificImages:
			images = had
		default:
			return fault.New(fault.Invalid, "a rule for specific images needs images: image_info is empty")
		}
		if c.Description != nil {
			description = text(*c.Description)
		}
		contents := contentsListed(next, images)
		if scope == RuleAllImages {
			contents = nil
		} else if contents != nil {
			contents = contentsListed(scope, append(images, had...))
		}
		now := s.now().UnixMilli()
		return s.aroundRules(ctx, tx, project, []int64{vul}, contents, func() error {
			if _, err := tx.ExecContext(ctx, sqlChangeRule, next, description, rule); err != nil {
				return err
			}
			for _, q := range []string{sqlDropListed, sqlDropRows} {
				if _, err := tx.ExecContext(ctx, q, rule); err != nil {
					return err
				}
			}
			if err := putListed(ctx, tx, rule, vul, images, by.Name, description, now); err != nil {
				return err
			}
			return logRules(ctx, tx, project, LogListChanged, []int64{vul}, scopeWords(next, len(images)), by, now)
		})
	})
	if err != nil {
		return fmt.Errorf("change whitelist: %w", err)
	}
	return nil
}

// DropWhitelist deletes rules; what nothing else sets aside counts again at once.
// If none of them is known, that is fault.NotFound.
func (s *Store) DropWhitelist(ctx context.Context, project string, ids []string, by Actor) error {
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		var rules, of []int64
		vuls, contents := map[int64]bool{}, map[int64]bool{}
		all := false
		for _, id := range ids {
			rule, vul, scope, _, err := readRule(ctx, tx, project, id)
			switch {
			case fault.CodeOf(err) == fault.NotFound:
				continue
			case err != nil:
				return err
			}
			images, err := imagesOfRule(ctx, tx, rule)
			if err != nil {
				return err
			}
			for _, i := range images {
				contents[i.content] = true
			}
			rules, of, vuls[vul], all = append(rules, rule), append(of, vul), true, all || scope == RuleAllImages
		}
		if len(rules) == 0 {
			return fault.New(fault.NotFound, "there is none of these rules")
		}
		concerned := sortedKeys(contents)
		if all {
			concerned = nil
		}
		return s.aroundRules(ctx, tx, project, sortedKeys(vuls), concerned, func() error {
			for _, rule := range rules {
				for _, q := range []string{sqlDropListed, sqlDropRows, sqlDropRule} {
					if _, err := tx.ExecContext(ctx, q, rule); err != nil {
						return err
					}
				}
			}
			return logRules(ctx, tx, project, LogListDeleted, of, "", by, s.now().UnixMilli())
		})
	})
	if err != nil {
		return fmt.Errorf("delete from whitelist: %w", err)
	}
	return nil
}

func readRule(ctx context.Context, tx *sql.Tx, project, id string) (rule, vul int64, scope, description string, err error) {
	rule, err = strconv.ParseInt(id, 16, 64)
	if err != nil || ruleID(rule) != id {
		return 0, 0, "", "", noRule(id)
	}
	err = tx.QueryRowContext(ctx, sqlRule, rule, project).Scan(&vul, &scope, &description)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, 0, "", "", noRule(id)
	}
	if err != nil {
		return 0, 0, "", "", fmt.Errorf("read rule: %w", err)
	}
	return rule, vul, scope, description, nil
}

func imagesOfRule(ctx context.Context, tx *sql.Tx, rule int64) (out []listedImage, err error) {
	err = each(ctx, tx, sqlRuleImages, []any{rule}, func(r *sql.Rows) error {
		var i listedImage
		err := r.Scan(&i.id, &i.name, &i.content)
		out = append(out, i)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read images of rule: %w", err)
	}
	return out, nil
}

// newRuleID is never 0, which stands for a decision.
func newRuleID() int64 { return rand.Int64N(math.MaxInt64) + 1 }

// ruleID is the id of a rule as the API writes it.
func ruleID(id int64) string { return fmt.Sprintf("%016x", id) }

func noRule(id string) error { return fault.New(fault.NotFound, "there is no whitelist rule %q", id) }
