package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/vex"
)

// maxSteps is how many statements an answer compares with findings, seconds of
// work: a project's documents must not hold up the others.
const maxSteps = 50_000_000

// A docket is the VEX documents of a project, parsed, and the images that they
// name. It is kept until the documents or the images change.
type docket struct {
	mu       sync.Mutex // held while it is asked: a vex.Judge is for one goroutine
	version  string     // names and digests of the documents
	judge    vex.Judge
	byDigest map[string]*vex.Document // by name and digest

	revision int64               // of images
	images   map[int64]vex.Image // contents that a statement names; nil before they were read
}

// dockets are those of all projects.
type dockets struct {
	mu        sync.Mutex
	byProject map[string]*docket
}

const (
	sqlVEXImages  = `SELECT i.content_id, c.config_digest, i.name, i.version FROM image i JOIN content c ON c.id = i.content_id WHERE i.project_id = $1`
	sqlVEXDigests = `SELECT i.content_id, d.digest FROM image_digest d JOIN image i ON i.id = d.image_id WHERE d.project_id = $1`

	sqlJudgedPackages = `SELECT p.id, p.type, p.name, p.version, p.arch, p.source, p.source_version, p.module, p.vendor, COALESCE(d.body, '') FROM package p LEFT JOIN distro d ON d.id = p.distro_id WHERE p.id IN {in}`
	sqlPackagesOfPart = `SELECT DISTINCT pp.package_id FROM part_package pp WHERE pp.part_id = $1`
	sqlConfigDigest   = `SELECT config_digest FROM content WHERE id = $1`
	sqlVEXNamesOf     = `SELECT i.name, i.version FROM image i WHERE i.content_id = $1`
	sqlVEXDigestsOf   = `SELECT DISTINCT d.digest FROM image_digest d JOIN image i ON i.id = d.image_id WHERE i.content_id = $1`
)

// docket is that of a project; nil if it has no documents.
func (s *Store) docket(ctx context.Context, tx *sql.Tx, project string) (*docket, error) {
	list, err := listVEX(ctx, tx, project)
	if err != nil {
		return nil, fmt.Errorf("list VEX documents: %w", err)
	}
	s.dockets.mu.Lock()
	defer s.dockets.mu.Unlock()
	if len(list) == 0 {
		delete(s.dockets.byProject, project)
		return nil, nil
	}
	var version strings.Builder
	for _, d := range list {
		fmt.Fprintf(&version, "%s %s\n", d.Name, d.Digest)
	}
	was := s.dockets.byProject[project]
	if was != nil && was.version == version.String() {
		return was, nil
	}
	d := &docket{version: version.String(), byDigest: map[string]*vex.Document{}}
	for _, l := range list {
		key := l.Name + " " + l.Digest
		var doc *vex.Document
		if was != nil {
			doc = was.byDigest[key]
		}
		if doc == nil {
			var content []byte
			if err := tx.QueryRowContext(ctx, sqlVEXContent, project, l.Name).Scan(&content); err != nil {
				return nil, fmt.Errorf("read VEX document %s: %w", l.Name, err)
			}
			if doc, err = vex.Parse(l.Name, content); err != nil {
				// A version of the program before this one took it. What it
				// set aside stands again.
				s.log.WarnContext(ctx, "VEX document cannot be read any more and is not applied", "project", project, "name", l.Name, "error", err)
				continue
			}
		}
		d.byDigest[key] = doc
		d.judge.Documents = append(d.judge.Documents, doc)
	}
	if s.dockets.byProject == nil {
		s.dockets.byProject = map[string]*docket{}
	}
	s.dockets.byProject[project] = d
	return d, nil
}

// A hearing judges findings of a project within one view of the database. A nil
// hearing has no documents and judges nothing.
type hearing struct {
	ctx        context.Context
	tx         *sql.Tx
	d          *docket
	vuls       map[int64]*vulFact
	reach      map[int64]vex.Reach
	packages   map[int64]judgedPackage
	alone      map[judgedKey]*report.Judgement // without an image
	have       map[int64][]string              // package URLs of a part
	from, most int64                           // steps of the judge at the start, and how many may follow
}

type judgedKey struct{ pkg, vul int64 }

type judgedPackage struct {
	pkg  report.Package
	purl string
}

// hear begins a hearing; close ends it. vuls may be added to meanwhile.
func (s *Store) hear(ctx context.Context, tx *sql.Tx, project string, vuls map[int64]*vulFact) (*hearing, error) {
	d, err := s.docket(ctx, tx, project)
	if d == nil || err != nil {
		return nil, err
	}
	d.mu.Lock()
	h := &hearing{ctx: ctx, tx: tx, d: d, vuls: vuls, reach: map[int64]vex.Reach{}, packages: map[int64]judgedPackage{},
		alone: map[judgedKey]*report.Judgement{}, have: map[int64][]string{}, from: d.judge.Steps(), most: s.cfg.vexSteps}
	if h.most == 0 {
		h.most = maxSteps
	}
	if err := h.readImages(project); err != nil {
		h.close()
		return nil, fmt.Errorf("read images that VEX documents name: %w", err)
	}
	return h, nil
}

func (h *hearing) close() {
	if h != nil {
		h.d.mu.Unlock()
	}
}

// readImages finds the contents that the statements name.
func (h *hearing) readImages(project string) error {
	var revision int64
	if err := h.tx.QueryRowContext(h.ctx, sqlRevision).Scan(&revision); err != nil {
		return err
	}
	if h.d.images != nil && h.d.revision == revision {
		return nil
	}
	all := map[int64]*vex.Image{}
	err := each(h.ctx, h.tx, sqlVEXImages, []any{project}, func(r *sql.Rows) error {
		var content int64
		var digest, name, version string
		err := r.Scan(&content, &digest, &name, &version)
		img := all[content]
		if img == nil {
			img = &vex.Image{Digests: []string{digest}}
			all[content] = img
		}
		img.Names = appendName(img.Names, name, version)
		return err
	})
	if err != nil {
		return err
	}
	err = each(h.ctx, h.tx, sqlVEXDigests, []any{project}, func(r *sql.Rows) error {
		var content int64
		var digest string
		err := r.Scan(&content, &digest)
		if img := all[content]; img != nil && !slices.Contains(img.Digests, digest) {
			img.Digests = append(img.Digests, digest)
		}
		return err
	})
	if err != nil {
		return err
	}
	h.d.images = map[int64]vex.Image{}
	for content, img := range all {
		if h.d.judge.Names(*img) {
			h.d.images[content] = *img
		}
	}
	h.d.revision = revision
	return nil
}

// appendName adds a name as the engines write it; an image without one has none.
func appendName(names []string, name, version string) []string {
	switch {
	case name == Untagged || name == "":
		return names
	case version == Untagged || version == "":
		return append(names, name)
	default:
		return append(names, name+":"+version)
	}
}

// concerns reports whether the documents have a statement about a vulnerability.
func (h *hearing) concerns(vul int64) bool { return h != nil && h.reachOf(vul) != vex.ReachNone }

func (h *hearing) reachOf(vul int64) vex.Reach {
	r, ok := h.reach[vul]
	if !ok {
		f := h.vuls[vul].finding()
		r = h.d.judge.Reach(&f)
		h.reach[vul] = r
	}
	return r
}

// word is what the documents say of a package's finding in one content, which
// has the parts; nil if that is nothing.
func (h *hearing) word(content int64, parts []int64, pkg, vul int64) (*report.Judgement, error) {
	if !h.concerns(vul) {
		return nil, nil
	}
	img, named := h.d.images[content]
	within := h.reachOf(vul) == vex.ReachContent
	k := judgedKey{pkg, vul}
	if !named && !within {
		if j, ok := h.alone[k]; ok {
			return j, nil
		}
	}
	if err := h.read(pkg); err != nil {
		return nil, err
	}
	if within {
		img.PURLs = nil
		for _, p := range parts {
			have, err := h.purlsOf(p)
			if err != nil {
				return nil, err
			}
			img.PURLs = append(img.PURLs, have...)
		}
	}
	f := h.vuls[vul].finding()
	f.Package, f.PURL = h.packages[pkg].pkg, h.packages[pkg].purl
	if h.d.judge.Steps()-h.from > h.most {
		return nil, fault.New(fault.TooLarge, "the VEX documents of the project say too much about the same images: more than %d comparisons", h.most)
	}
	if err := h.ctx.Err(); err != nil {
		return nil, err
	}
	h.d.judge.Image(img)(&f)
	if !named && !within {
		h.alone[k] = f.Judgement
	}
	return f.Judgement, nil
}

// read reads packages that were not read yet.
func (h *hearing) read(packages ...int64) error {
	packages = slices.DeleteFunc(slices.Clone(packages), func(p int64) bool { _, ok := h.packages[p]; return ok })
	return eachIn(h.ctx, h.tx, sqlJudgedPackages, packages, func(r *sql.Rows) error {
		var id int64
		var p report.Package
		var body string
		if err := r.Scan(&id, &p.Type, &p.Name, &p.Version, &p.Arch, &p.Source, &p.SourceVersion, &p.Module, &p.Vendor, &body); err != nil {
			return err
		}
		var d report.Distro
		if body != "" {
			if err := json.Unmarshal([]byte(body), &d); err != nil {
				return fmt.Errorf("read distribution: %w", err)
			}
		}
		h.packages[id] = judgedPackage{p, report.PURL(p, d)}
		return nil
	})
}

func (h *hearing) purlsOf(part int64) ([]string, error) {
	if have, ok := h.have[part]; ok {
		return have, nil
	}
	var ids []int64
	err := each(h.ctx, h.tx, sqlPackagesOfPart, []any{part}, func(r *sql.Rows) error {
		var id int64
		err := r.Scan(&id)
		ids = append(ids, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := h.read(ids...); err != nil {
		return nil, err
	}
	out := []string{}
	for _, id := range ids {
		out = append(out, h.packages[id].purl)
	}
	h.have[part] = out
	return out, nil
}

// Judged returns the function that applies the VEX documents of a project to
// the findings of an image that was merged; see vex.Judge. Without documents it
// is nil.
func (s *Store) Judged(ctx context.Context, project, imageID string, inv report.Inventory) (judge func(*report.Finding), err error) {
	content, err := s.contentOf(ctx, project, imageID)
	if err != nil {
		return nil, err
	}
	err = s.inView(ctx, func(tx *sql.Tx) error {
		d, err := s.docket(ctx, tx, project)
		if d == nil || err != nil {
			return err
		}
		var img vex.Image
		var digest string
		if err := tx.QueryRowContext(ctx, sqlConfigDigest, content).Scan(&digest); err != nil {
			return err
		}
		img.Digests = []string{digest}
		err = each(ctx, tx, sqlVEXDigestsOf, []any{content}, func(r *sql.Rows) error {
			var digest string
			err := r.Scan(&digest)
			img.Digests = append(img.Digests, digest)
			return err
		})
		if err != nil {
			return err
		}
		err = each(ctx, tx, sqlVEXNamesOf, []any{content}, func(r *sql.Rows) error {
			var name, version string
			err := r.Scan(&name, &version)
			img.Names = appendName(img.Names, name, version)
			return err
		})
		for _, p := range inv.Packages {
			img.PURLs = append(img.PURLs, report.PURL(p, inv.Distro))
		}
		judge = func(f *report.Finding) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.judge.Image(img)(f)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("apply VEX documents: %w", err)
	}
	return judge, nil
}
