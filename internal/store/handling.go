package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/onceover/onceover/internal/fault"
)

// A Handling selects vulnerabilities of images, and says what to do about them. Of
// Images, Vuls and Pairs one is set at most; without any everything is selected.
type Handling struct {
	Type    string // VulLinux or VulApp
	Handled *bool  // nil for both
	Action  string
	Images  []string // ids: all that they have
	Vuls    []string // advisories: wherever they are
	Pairs   []ImageVul
}

// An ImageVul is a vulnerability of an image, by their ids.
type ImageVul struct{ Image, Vul string }

const (
	sqlImagesNamed  = `SELECT id, content_id, project_id FROM image WHERE id IN {in}`
	sqlImageNames   = `SELECT id, content_id, name, version FROM image WHERE content_id IN {in}`
	sqlAllContents  = `SELECT DISTINCT content_id FROM image WHERE project_id = $1`
	sqlAdvisories   = `SELECT id, advisory FROM vulnerability WHERE id IN {in}`
	sqlPutHandled   = `INSERT INTO vul_handled (content_id, vul_id, rule_id, action, decided_by, decided_at, reason) VALUES`
	sqlDecideAgain  = `ON CONFLICT (content_id, vul_id, rule_id) DO UPDATE SET action = excluded.action, decided_by = excluded.decided_by, decided_at = excluded.decided_at, reason = excluded.reason`
	sqlHandledSoFar = `ON CONFLICT (content_id, vul_id, rule_id) DO NOTHING`
	sqlUndecide     = `DELETE FROM vul_handled WHERE rule_id = 0 AND {other} IN {in} AND {one} = {id}`
)

// named is an image of the list that a content has.
type named struct {
	id, name, version string
	content           int64
}

// chosen is what a Handling selects.
type chosen struct {
	found  []occurrence
	images map[int64][]named // by content, in the order of ids
	num    int64             // pairs of images and vulnerabilities
}

// Handle does what h says, and notes who did it, when and why: remark is in the
// words of by. It holds for the content of an image under all its
// names, on all hosts, and for good. If h names ids and knows none of them, that is
// fault.NotFound; a selection of too much is fault.TooLarge.
func (s *Store) Handle(ctx context.Context, project string, h Handling, by Actor, remark string) error {
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		c, err := choose(ctx, tx, project, h)
		if err != nil || len(c.found) == 0 {
			return err
		}
		now := s.now().UnixMilli()
		var closed, opened []occurrence
		if h.Action == VulNotIgnore {
			opened, err = undecide(ctx, tx, c.found)
		} else {
			if h.Action == VulToWhitelist {
				err = putOnWhitelist(ctx, tx, project, c, by.Name, remark, now)
			} else {
				err = decide(ctx, tx, c.found, h.Action, by.Name, remark, now)
			}
			closed = slices.DeleteFunc(slices.Clone(c.found), occurrence.handled)
		}
		if err != nil {
			return err
		}
		if err := s.shiftHandled(ctx, tx, closed, opened); err != nil {
			return err
		}
		if err := logHandled(ctx, tx, project, c, h.Action, by, now); err != nil {
			return err
		}
		return putOperation(ctx, tx, project, c, h.Action, by.Name, remark, now)
	})
	if err != nil {
		return fmt.Errorf("handle vulnerabilities: %w", err)
	}
	return nil
}

// keeps reports whether an occurrence is of the kind that h acts on.
func (h Handling) keeps(o occurrence) bool {
	return strings.Contains(o.types, h.Type) && (h.Handled == nil || o.handled() == *h.Handled) && (h.Action != VulNotIgnore || o.decision != "")
}

// choose selects: what Handle acts on, and what Preview tells of.
func choose(ctx context.Context, tx *sql.Tx, project string, h Handling) (c chosen, err error) {
	keep := h.keeps
	switch {
	case len(h.Vuls) > 0:
		var vuls []int64
		if vuls, err = knownVuls(ctx, tx, project, h.Vuls); err == nil {
			c.found, err = occurrencesOf(ctx, tx, project, vuls, keep)
		}
	case len(h.Images) > 0:
		var contents []int64
		if contents, err = contentsNamed(ctx, tx, project, h.Images); err == nil {
			c.found, err = occurrencesIn(ctx, tx, contents, keep)
		}
	case len(h.Pairs) > 0:
		c.found, err = choosePairs(ctx, tx, project, h.Pairs, keep)
	default:
		var contents []int64
		if contents, err = readInts(ctx, tx, sqlAllContents, project); err == nil {
			c.found, err = occurrencesIn(ctx, tx, contents, keep)
		}
	}
	if err != nil {
		return c, err
	}
	return c, c.nameImages(ctx, tx)
}

// choosePairs reads the images of pairs, and keeps of what they have what is in a
// pair.
func choosePairs(ctx context.Context, tx *sql.Tx, project string, pairs []ImageVul, keep func(occurrence) bool) ([]occurrence, error) {
	var ids []string
	for _, p := range pairs {
		ids = append(ids, text(p.Image))
	}
	known, err := contentsOfImages(ctx, tx, project, ids)
	if err != nil {
		return nil, err
	}
	wanted := map[place]bool{}
	contents := map[int64]bool{}
	var names []string
	for _, p := range pairs {
		if content, ok := known[text(p.Image)]; ok {
			wanted[place{content, vulID(p.Vul)}], contents[content] = true, true
			names = append(names, p.Vul)
		}
	}
	if len(wanted) == 0 {
		return nil, fault.New(fault.NotFound, "there is none of these images")
	}
	if _, err := knownVuls(ctx, tx, project, names); err != nil {
		return nil, err
	}
	return occurrencesIn(ctx, tx, sortedKeys(contents), func(o occurrence) bool { return wanted[o.place] && keep(o) })
}

// nameImages reads the images of what was found. What no image of the list has any
// more is left out.
func (c *chosen) nameImages(ctx context.Context, tx *sql.Tx) error {
	contents := map[int64]bool{}
	for _, o := range c.found {
		contents[o.content] = true
	}
	c.images = map[int64][]named{}
	err := eachIn(ctx, tx, sqlImageNames, sortedKeys(contents), func(r *sql.Rows) error {
		var i named
		err := r.Scan(&i.id, &i.content, &i.name, &i.version)
		c.images[i.content] = append(c.images[i.content], i)
		return err
	})
	if err != nil {
		return fmt.Errorf("read images: %w", err)
	}
	for _, list := range c.images {
		slices.SortFunc(list, func(a, b named) int { return cmp.Compare(a.id, b.id) })
	}
	c.found = slices.DeleteFunc(c.found, func(o occurrence) bool { return len(c.images[o.content]) == 0 })
	for _, o := range c.found {
		c.num += int64(len(c.images[o.content]))
	}
	if c.num > MaxHandled {
		return errTooMany()
	}
	return nil
}

// knownVuls are the ids of those advisories that were found in a project. None of
// them is fault.NotFound.
func knownVuls(ctx context.Context, tx *sql.Tx, project string, advisories []string) ([]int64, error) {
	out := map[int64]bool{}
	asked := map[string]bool{}
	for _, a := range advisories {
		if asked[a] {
			continue
		}
		asked[a] = true
		var one int
		err := tx.QueryRowContext(ctx, sqlVulKnown, project, text(a)).Scan(&one)
		switch {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return nil, fmt.Errorf("find vulnerability: %w", err)
		default:
			out[vulID(a)] = true
		}
	}
	if len(out) == 0 {
		return nil, fault.New(fault.NotFound, "none of these vulnerabilities was found in any image")
	}
	return sortedKeys(out), nil
}

// contentsNamed are the contents of images. None of them is fault.NotFound.
func contentsNamed(ctx context.Context, tx *sql.Tx, project string, images []string) ([]int64, error) {
	known, err := contentsOfImages(ctx, tx, project, images)
	if err != nil {
		return nil, err
	}
	if len(known) == 0 {
		return nil, fault.New(fault.NotFound, "there is none of these images")
	}
	contents := map[int64]bool{}
	for _, c := range known {
		contents[c] = true
	}
	return sortedKeys(contents), nil
}

func contentsOfImages(ctx context.Context, tx *sql.Tx, project string, images []string) (map[string]int64, error) {
	ids := make([]string, len(images))
	for i, id := range images {
		ids[i] = text(id)
	}
	out := map[string]int64{}
	err := eachIn(ctx, tx, sqlImagesNamed, ids, func(r *sql.Rows) error {
		var id, of string
		var content int64
		err := r.Scan(&id, &content, &of)
		if of == project {
			out[id] = content
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find images: %w", err)
	}
	return out, nil
}

func sortedKeys(m map[int64]bool) []int64 {
	out := make([]int64, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// decide puts a decision in the place of one that stands.
func decide(ctx context.Context, tx *sql.Tx, found []occurrence, action, by, remark string, nowMS int64) error {
	rows := make([][]any, len(found))
	for i, o := range found {
		rows[i] = []any{o.content, o.vul, int64(0), action, by, nowMS, text(remark)}
	}
	if err := putRows(ctx, tx, sqlPutHandled, sqlDecideAgain, rows); err != nil {
		return fmt.Errorf("store decisions: %w", err)
	}
	return nil
}

// undecide takes decisions back, and returns what is open again: what is on a
// whitelist stays handled.
func undecide(ctx context.Context, tx *sql.Tx, found []occurrence) (opened []occurrence, err error) {
	byContent, byVul := map[int64][]int64{}, map[int64][]int64{}
	for _, o := range found {
		byContent[o.content] = append(byContent[o.content], o.vul)
		byVul[o.vul] = append(byVul[o.vul], o.content)
		if !o.listed {
			opened = append(opened, o)
		}
	}
	one, other, groups := "content_id", "vul_id", byContent
	if len(byVul) < len(byContent) {
		one, other, groups = other, one, byVul
	}
	for id, list := range groups {
		err := inChunks(strings.NewReplacer("{one}", one, "{other}", other).Replace(sqlUndecide), list, func(q string, args []any) error {
			q = strings.Replace(q, "{id}", "$"+strconv.Itoa(len(args)+1), 1)
			_, err := tx.ExecContext(ctx, q, append(args, id)...)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("drop decisions: %w", err)
		}
	}
	return opened, nil
}

// A Preview is what Handle would act on.
type Preview struct {
	// Pairs, Vuls and Images count all that is selected.
	Pairs, Vuls, Images int64
	List                []PreviewPair
}

// A PreviewPair is a vulnerability of an image.
type PreviewPair struct{ ImageID, ImageName, ImageVersion, VulID string }

// Preview lists what Handle would act on, narrowed by substrings of the names of
// images and vulnerabilities, by image and vulnerability.
func (s *Store) Preview(ctx context.Context, project string, h Handling, imageName, vulName string, p Page) (out Preview, err error) {
	var all []PreviewPair
	err = s.inFleet(ctx, func(tx *sql.Tx, revision int64) (err error) {
		all = nil
		var c chosen
		if len(h.Vuls) > 0 && s.inMemory(VulFilter{}) {
			c, err = s.chooseHeld(ctx, tx, project, revision, h)
		} else {
			c, err = choose(ctx, tx, project, h)
		}
		if err != nil {
			return err
		}
		advisories, err := advisoriesOf(ctx, tx, c.found)
		if err != nil {
			return err
		}
		for _, o := range c.found {
			for _, i := range c.images[o.content] {
				pair := PreviewPair{i.id, i.name, i.version, advisories[o.vul]}
				if strings.Contains(i.name, text(imageName)) && strings.Contains(pair.VulID, text(vulName)) {
					all = append(all, pair)
				}
			}
		}
		return nil
	})
	if err != nil {
		return out, fmt.Errorf("preview handling: %w", err)
	}
	slices.SortFunc(all, PreviewPair.Compare)
	vuls, images := map[string]bool{}, map[string]bool{}
	for _, p := range all {
		vuls[p.VulID], images[p.ImageID] = true, true
	}
	out.Vuls, out.Images = int64(len(vuls)), int64(len(images))
	out.List, out.Pairs = PageOf(all, p)
	return out, nil
}

// Compare is the order of previews.
func (p PreviewPair) Compare(q PreviewPair) int {
	return cmp.Or(cmp.Compare(p.ImageName, q.ImageName), cmp.Compare(p.ImageVersion, q.ImageVersion), cmp.Compare(p.ImageID, q.ImageID), cmp.Compare(p.VulID, q.VulID))
}

func advisoriesOf(ctx context.Context, tx *sql.Tx, found []occurrence) (map[int64]string, error) {
	vuls := map[int64]bool{}
	for _, o := range found {
		vuls[o.vul] = true
	}
	return advisoryNames(ctx, tx, sortedKeys(vuls))
}

func advisoryNames(ctx context.Context, tx *sql.Tx, vuls []int64) (map[int64]string, error) {
	out := map[int64]string{}
	err := eachIn(ctx, tx, sqlAdvisories, vuls, func(r *sql.Rows) error {
		var id int64
		var advisory string
		err := r.Scan(&id, &advisory)
		out[id] = advisory
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read vulnerabilities: %w", err)
	}
	return out, nil
}
