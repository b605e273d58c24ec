package store

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/version"
)

// Whose is what a question about the fleet lists.
type Whose string

// What can be listed.
const (
	WhoseImages     Whose = "images"
	WhoseHosts      Whose = "hosts"
	WhoseContainers Whose = "containers"
)

// maxVersions is how many distinct packages of one name are compared.
const maxVersions = 50_000

// A Who answers which images, hosts and running containers of a project have
// something. Only the list that was asked for is filled, with one page, in an
// order that stays the same; the numbers are of all.
type Who struct {
	Images, Hosts, Containers int64
	// Listed is how many rows the list has on all its pages.
	Listed int64

	ImageList     []WhoImage
	HostList      []WhoHost
	ContainerList []WhoContainer

	// Advisories that were meant and concern something in the project,
	// sorted. This and the next are of a question for advisories only.
	Advisories []string
	// Suppressed is the number of images in which VEX documents set all of
	// it aside. They are not counted otherwise.
	Suppressed int64
	// Rating of the advisories; nil if nothing is concerned.
	Rating *Rating
	// Versions of the package that are in the range, and those that the
	// rules of their ecosystem cannot compare with it, sorted. Of a
	// question for packages only.
	Versions, Incomparable []string
	// FilesUnknown are the images of which nothing is known about files, and
	// FilesLeftOut those of which some files were left out, in the whole
	// project. Of a question for a file only.
	FilesUnknown, FilesLeftOut int64
}

// A Rating is what is known of the worst of some advisories.
type Rating struct {
	Severity int64   // report.SeverityRank
	Score    float64 // CVSS base score, 0 if there is none
	Exploits Exploits
	Fixable  bool
	// Priority is that of Ranked.
	Priority int
}

// A WhoImage is an image with what it was listed for.
type WhoImage struct {
	ID, Name, Version, ConfigDigest string
	Packages                        []WhoPackage
	// Files are the first places of the file, FileNum is how many there
	// are. Of a question for a file only.
	Files   []WhoFile
	FileNum int64
}

// A WhoPackage is a package in a place of an image, and the advisory that the
// question was for.
type WhoPackage struct {
	Type, Name, Version, Path, Layer string
	Advisory, FixState, FixedVersion string
	Severity                         int64 // report.SeverityRank
	// Judgement is what VEX documents of the project say, nil for nothing.
	Judgement *report.Judgement
}

// A WhoHost is a host that holds one of the images.
type WhoHost struct {
	AgentID, HostID, HostName, PrivateIP string
	LastSeen                             int64 // Unix milliseconds
}

// A WhoContainer is a running container made from one of the images.
type WhoContainer struct {
	AgentID, HostName, Engine, ID, Name, PodName string
}

const (
	sqlVulsNamed = `SELECT v.id, v.advisory FROM vulnerability v WHERE v.advisory = $1 UNION SELECT v.id, v.advisory FROM vulnerability_cve e JOIN vulnerability v ON v.id = e.vul_id WHERE e.cve_id = $2`
	sqlVulParts  = `SELECT pp.part_id, pp.package_id, f.vul_id FROM finding f CROSS JOIN part_package pp WHERE f.vul_id IN {in} AND pp.package_id = f.package_id AND pp.counted = 1`
	sqlNamed     = `SELECT p.id, p.type, p.version FROM package p WHERE p.name = $1 ORDER BY p.type, p.version, p.id LIMIT $2`
	sqlPkgParts  = `SELECT pp.part_id, pp.package_id FROM part_package pp WHERE pp.package_id IN {in} AND pp.declared = 0`

	sqlWhoImages = `SELECT i.content_id, i.id, i.name, i.version, c.config_digest FROM image i JOIN content c ON c.id = i.content_id WHERE i.content_id IN {in} ORDER BY i.content_id, i.name, i.version, i.id`
	sqlWhoPlaces = `SELECT pp.part_id, pp.package_id, pp.counted, p.type, p.name, p.version, pp.path, pt.layer
FROM part pt CROSS JOIN part_package pp CROSS JOIN package p
WHERE pt.id IN {in} AND pp.part_id = pt.id AND pp.declared = 0 AND pp.package_id IN {these} AND p.id = pp.package_id
ORDER BY pp.part_id, p.type, p.name, p.version, pp.path`
	sqlWhoFindings = `SELECT f.package_id, f.vul_id, v.advisory, f.fix_state, f.fixed_version, f.severity FROM finding f CROSS JOIN vulnerability v
WHERE f.package_id IN {in} AND f.vul_id IN {these} AND v.id = f.vul_id ORDER BY f.package_id, v.advisory`
	sqlWhoHosts      = `SELECT id, host_id, host_name, private_ip, last_seen FROM agent WHERE id IN {in} ORDER BY id`
	sqlWhoContainers = `SELECT DISTINCT i.content_id, k.agent_id, a.host_name, k.engine, k.container_id, k.name, k.pod_name
FROM image i JOIN container k ON k.image_id = i.id AND k.running = 1 JOIN agent a ON a.id = k.agent_id
WHERE i.content_id IN {in} ORDER BY i.content_id, k.agent_id, k.engine, k.container_id`
)

// WhoHas tells who has a vulnerability, named by a CVE or an advisory. One
// that concerns nothing in the project gives zeros. Images in which VEX
// documents set all of it aside are neither counted nor listed.
func (s *Store) WhoHas(ctx context.Context, project, name string, list Whose, p Page) (Who, error) {
	return s.whoHas(ctx, project, name, list, p, false)
}

// WhoHasSuppressed is WhoHas with those images in its list; the numbers are the
// same.
func (s *Store) WhoHasSuppressed(ctx context.Context, project, name string, list Whose, p Page) (Who, error) {
	return s.whoHas(ctx, project, name, list, p, true)
}

func (s *Store) whoHas(ctx context.Context, project, name string, list Whose, p Page, suppressed bool) (Who, error) {
	if err := s.index.refresh(ctx, s); err != nil {
		return Who{}, fmt.Errorf("who has %s: %w", name, err)
	}
	g, err := s.acquire()
	if err != nil {
		return Who{}, fmt.Errorf("who has %s: %w", name, err)
	}
	defer g.Release()
	var out Who
	err = s.inView(ctx, func(tx *sql.Tx) error {
		var named []int64
		err := each(ctx, tx, sqlVulsNamed, []any{text(name), text(name)}, func(r *sql.Rows) error {
			var id int64
			var advisory string
			err := r.Scan(&id, &advisory)
			named = append(named, id)
			return err
		})
		if err != nil {
			return err
		}
		found := map[int64]hits{} // by advisory
		slices.Sort(named)
		err = eachIn(ctx, tx, sqlVulParts, named, func(r *sql.Rows) error {
			var part, pkg, vul int64
			err := r.Scan(&part, &pkg, &vul)
			if found[vul] == nil {
				found[vul] = newHits()
			}
			found[vul].add(part, pkg)
			return err
		})
		if err != nil {
			return err
		}
		all := newHits()
		var vuls []int64
		for _, vul := range named {
			if s.index.any(project, found[vul]) {
				all.join(found[vul])
				vuls = append(vuls, vul)
			}
		}
		q := question{project: project, hits: all, vuls: vuls, list: list, page: p}
		if len(vuls) == 0 {
			return s.fillWho(ctx, tx, &out, q)
		}
		facts, err := readVulFacts(ctx, tx, vuls, g)
		if err != nil {
			return err
		}
		for _, v := range facts {
			out.Advisories = append(out.Advisories, v.advisory)
		}
		slices.Sort(out.Advisories)
		if q.hearing, err = s.hear(ctx, tx, project, facts); err != nil {
			return err
		}
		defer q.hearing.close()
		if err := s.rate(&out, &q, facts, found); err != nil {
			return err
		}
		q.listAll = suppressed
		return s.fillWho(ctx, tx, &out, q)
	})
	if err != nil {
		return Who{}, fmt.Errorf("who has %s: %w", name, err)
	}
	return out, nil
}

// rate counts the findings of a question, and finds the contents in which
// nothing of it stands.
func (s *Store) rate(out *Who, q *question, facts map[int64]*vulFact, found map[int64]hits) error {
	x := &s.index
	x.mu.RLock()
	defer x.mu.RUnlock()
	partsOf := map[int64][]int64{}
	for part, packages := range q.hits {
		for pkg := range packages {
			partsOf[pkg] = append(partsOf[pkg], part)
		}
	}
	t := newTally(x, x.projects[q.project], q.hearing, partsOf)
	standing, aside := map[int64]bool{}, map[int64]bool{} // contents
	rated := false                                        // by an advisory that stands
	for _, vul := range q.vuls {
		v := facts[vul]
		if v == nil {
			continue
		}
		c, err := t.count(v)
		if err != nil {
			return err
		}
		// One that stands somewhere goes before those that do not.
		switch stands := c.images > 0; {
		case out.Rating == nil || stands && !rated:
			out.Rating, rated = &Rating{}, stands
			out.Rating.worse(v, c)
		case stands == rated:
			out.Rating.worse(v, c)
		}
		if q.hearing == nil {
			continue
		}
		t.each(v.findings, func(at int32) {
			if content := x.slots[at].content; c.except[content] {
				aside[content] = true
			} else {
				standing[content] = true
			}
		})
	}
	q.except = map[int64]bool{}
	for content := range aside {
		if !standing[content] {
			q.except[content] = true
			out.Suppressed += int64(x.slots[x.byID[content]].images)
		}
	}
	return nil
}

// A PackageQuestion names packages: all types if Type is empty, all versions if
// Range is.
type PackageQuestion struct{ Type, Name, Range string }

// WhoHasPackage tells who has a package, whether or not anything is known
// against it. Packages that a file only asks for do not count. A range that
// cannot be read is fault.Invalid.
func (s *Store) WhoHasPackage(ctx context.Context, project string, q PackageQuestion, list Whose, p Page) (Who, error) {
	bounds, err := parseRange(q.Range)
	if err != nil {
		return Who{}, err
	}
	if q.Name == "" {
		return Who{}, fault.New(fault.Invalid, "the name of the package is missing")
	}
	if err := s.index.refresh(ctx, s); err != nil {
		return Who{}, fmt.Errorf("who has package %s: %w", q.Name, err)
	}
	var out Who
	err = s.inView(ctx, func(tx *sql.Tx) error {
		in, odd, err := inRange(ctx, tx, q, bounds)
		if err != nil {
			return err
		}
		all := newHits()
		for _, group := range []struct {
			versions map[string][]int64
			to       *[]string
			counts   bool
		}{{in, &out.Versions, true}, {odd, &out.Incomparable, false}} {
			for v, ids := range group.versions {
				of := newHits()
				err := eachIn(ctx, tx, sqlPkgParts, ids, func(r *sql.Rows) error {
					var part, pkg int64
					err := r.Scan(&part, &pkg)
					of.add(part, pkg)
					return err
				})
				if err != nil {
					return err
				}
				if !s.index.any(project, of) {
					continue // of another project, or of nobody any more
				}
				*group.to = append(*group.to, v)
				if group.counts {
					all.join(of)
				}
			}
			slices.Sort(*group.to)
		}
		return s.fillWho(ctx, tx, &out, question{project: project, hits: all, list: list, page: p})
	})
	if err != nil {
		return Who{}, fmt.Errorf("who has package %s: %w", q.Name, err)
	}
	return out, nil
}

// inRange finds the packages of a question by their versions: those within the
// range, and those that cannot be compared with it.
func inRange(ctx context.Context, tx *sql.Tx, q PackageQuestion, bounds []bound) (in, odd map[string][]int64, err error) {
	in, odd = map[string][]int64{}, map[string][]int64{}
	n := 0
	err = each(ctx, tx, sqlNamed, []any{text(q.Name), maxVersions + 1}, func(r *sql.Rows) error {
		var id int64
		var typ, v string
		if err := r.Scan(&id, &typ, &v); err != nil {
			return err
		}
		if n++; n > maxVersions {
			return fault.New(fault.TooLarge, "more than %d packages have the name %s", maxVersions, q.Name)
		}
		if q.Type != "" && typ != q.Type {
			return nil
		}
		holds, err := within(typ, v, bounds)
		switch {
		case err != nil:
			odd[v] = append(odd[v], id)
		case holds:
			in[v] = append(in[v], id)
		}
		return nil
	})
	return in, odd, err
}

// hits are packages by the parts that have them.
type hits map[int64]map[int64]bool

func newHits() hits { return hits{} }

func (h hits) add(part, pkg int64) {
	if h[part] == nil {
		h[part] = map[int64]bool{}
	}
	h[part][pkg] = true
}

func (h hits) join(o hits) {
	for part, packages := range o {
		for pkg := range packages {
			h.add(part, pkg)
		}
	}
}

// A question is what is asked of the index.
type question struct {
	project string
	hits    hits
	vuls    []int64 // whose findings are shown with packages
	key     *int64  // of a file: hits are numbers of files then
	list    Whose
	page    Page
	// except are contents that do not count, and are listed only if listAll
	// says so. hearing may be nil.
	except  map[int64]bool
	listAll bool
	hearing *hearing
}

// fillWho fills in the numbers and one page of one list.
func (s *Store) fillWho(ctx context.Context, tx *sql.Tx, out *Who, q question) error {
	h, p := s.index.holders(q.project, q.hits, q.except), q.page
	out.Images, out.Hosts, out.Containers = h.Images, h.Hosts, h.Containers
	if q.listAll && len(q.except) > 0 {
		h = s.index.holders(q.project, q.hits, nil)
	}
	switch q.list {
	case WhoseImages:
		out.Listed = h.Images
		contents, skip := h.slice(p, func(c weighed) int64 { return c.images })
		var packages map[int64][]WhoPackage
		var files map[int64][]WhoFile
		var num map[int64]int64
		var err error
		if q.key != nil {
			files, num, err = s.filesIn(ctx, tx, q, contents)
		} else {
			packages, err = s.packagesIn(ctx, tx, q, contents)
		}
		if err != nil {
			return err
		}
		return listImages(ctx, tx, out, contents, func(content int64, i *WhoImage) {
			i.Packages, i.Files, i.FileNum = packages[content], files[content], num[content]
		}, skip, p.Limit)
	case WhoseHosts:
		out.Listed = h.Hosts
		from := min(max(0, p.Offset), int64(len(h.agents)))
		to := min(from+p.Limit, int64(len(h.agents)))
		return eachIn(ctx, tx, sqlWhoHosts, h.agents[from:to], func(r *sql.Rows) error {
			var w WhoHost
			err := r.Scan(&w.AgentID, &w.HostID, &w.HostName, &w.PrivateIP, &w.LastSeen)
			out.HostList = append(out.HostList, w)
			return err
		})
	case WhoseContainers:
		out.Listed = h.Containers
		contents, skip := h.slice(p, func(c weighed) int64 { return c.running })
		err := eachIn(ctx, tx, sqlWhoContainers, contents, func(r *sql.Rows) error {
			var content int64
			var w WhoContainer
			err := r.Scan(&content, &w.AgentID, &w.HostName, &w.Engine, &w.ID, &w.Name, &w.PodName)
			out.ContainerList = append(out.ContainerList, w)
			return err
		})
		out.ContainerList = window(out.ContainerList, skip, p.Limit)
		return err
	default:
		return fault.New(fault.Invalid, "list %q: want images, hosts or containers", q.list)
	}
}

// packagesIn tells what in some contents was asked for.
func (s *Store) packagesIn(ctx context.Context, tx *sql.Tx, q question, contents []int64) (map[int64][]WhoPackage, error) {
	parts, packages := map[int64]bool{}, map[int64]bool{}
	of := s.index.partsOf(contents)
	for _, list := range of {
		for _, part := range list {
			for pkg := range q.hits[part] {
				parts[part], packages[pkg] = true, true
			}
		}
	}
	ids := slices.Sorted(maps.Keys(packages))
	type found struct {
		vul int64
		WhoPackage
	}
	findings := map[int64][]found{} // without the package
	err := eachIn(ctx, tx, strings.Replace(sqlWhoFindings, "{these}", numbers(q.vuls), 1), ids, func(r *sql.Rows) error {
		var pkg int64
		var f found
		err := r.Scan(&pkg, &f.vul, &f.Advisory, &f.FixState, &f.FixedVersion, &f.Severity)
		findings[pkg] = append(findings[pkg], f)
		return err
	})
	if err != nil {
		return nil, err
	}
	type place struct {
		judgedKey
		WhoPackage
	}
	places := map[int64][]place{} // by part
	err = eachIn(ctx, tx, strings.Replace(sqlWhoPlaces, "{these}", numbers(ids), 1), slices.Sorted(maps.Keys(parts)), func(r *sql.Rows) error {
		var part, pkg, counted int64
		var w WhoPackage
		err := r.Scan(&part, &pkg, &counted, &w.Type, &w.Name, &w.Version, &w.Path, &w.Layer)
		switch {
		case len(q.vuls) == 0:
			places[part] = append(places[part], place{judgedKey{pkg, 0}, w})
		case counted != 0:
			for _, f := range findings[pkg] {
				w.Advisory, w.FixState, w.FixedVersion, w.Severity = f.Advisory, f.FixState, f.FixedVersion, f.Severity
				places[part] = append(places[part], place{judgedKey{pkg, f.vul}, w})
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	out := map[int64][]WhoPackage{}
	for content, list := range of {
		for _, part := range list {
			for _, p := range places[part] {
				if q.hearing != nil {
					if p.Judgement, err = q.hearing.word(content, list, p.pkg, p.vul); err != nil {
						return nil, err
					}
				}
				out[content] = append(out[content], p.WhoPackage)
			}
		}
	}
	return out, nil
}

func listImages(ctx context.Context, tx *sql.Tx, out *Who, contents []int64, fill func(content int64, i *WhoImage), skip, limit int64) error {
	type row struct {
		content int64
		image   WhoImage
	}
	var rows []row
	err := eachIn(ctx, tx, sqlWhoImages, contents, func(r *sql.Rows) error {
		var w row
		err := r.Scan(&w.content, &w.image.ID, &w.image.Name, &w.image.Version, &w.image.ConfigDigest)
		rows = append(rows, w)
		return err
	})
	for _, w := range window(rows, skip, limit) {
		fill(w.content, &w.image)
		out.ImageList = append(out.ImageList, w.image)
	}
	return err
}

// window is a part of a list.
func window[T any](list []T, skip, limit int64) []T {
	from := min(max(0, skip), int64(len(list)))
	return list[from:min(from+limit, int64(len(list)))]
}

// numbers is "(1, 2)". An empty list is one that nothing is in.
func numbers(ids []int64) string {
	if len(ids) == 0 {
		return "(NULL)"
	}
	var b strings.Builder
	for i, id := range ids {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strconv.FormatInt(id, 10))
	}
	return "(" + b.String() + ")"
}

// A bound is one condition of a range.
type bound struct{ op, version string }

// maxBounds is how many conditions a range may have.
const maxBounds = 8

// parseRange reads ">= 1.2, < 1.4". A version alone is itself; nothing is every
// version.
func parseRange(s string) ([]bound, error) {
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	var out []bound
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		b := bound{op: "="}
		for _, op := range []string{">=", "<=", ">", "<", "="} {
			if rest, ok := strings.CutPrefix(part, op); ok {
				b.op, part = op, strings.TrimSpace(rest)
				break
			}
		}
		if part == "" || strings.ContainsAny(part, "<>= ") {
			return nil, fault.New(fault.Invalid, "range %q: want conditions like \">= 1.2, < 1.4\"", s)
		}
		b.version = part
		if out = append(out, b); len(out) > maxBounds {
			return nil, fault.New(fault.Invalid, "range with more than %d conditions", maxBounds)
		}
	}
	return out, nil
}

// within reports whether a version of a type of packages meets all conditions.
func within(typ, v string, bounds []bound) (bool, error) {
	for _, b := range bounds {
		if b.op == "=" && b.version == v {
			continue
		}
		c, err := version.Compare(orderOf(typ), v, b.version)
		if err != nil {
			return false, err
		}
		if !version.Holds(c, b.op) {
			return false, nil
		}
	}
	return true, nil
}

// orderOf is an ecosystem that orders versions as a type of packages does; ""
// for types that have no order. Programs that no package manager installed are
// compared as Bitnami compares.
func orderOf(typ string) string {
	if typ == report.TypeGeneric {
		return "Bitnami"
	}
	return version.Order(typ)
}
