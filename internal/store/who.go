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

	ImageList     []WhoImage
	HostList      []WhoHost
	ContainerList []WhoContainer

	// Advisories that were meant and concern something in the project,
	// sorted. Of a question for advisories only.
	Advisories []string
	// Versions of the package that are in the range, and those that the
	// rules of their ecosystem cannot compare with it, sorted. Of a
	// question for packages only.
	Versions, Incomparable []string
}

// A WhoImage is an image with what it was listed for.
type WhoImage struct {
	ID, Name, Version, ConfigDigest string
	Packages                        []WhoPackage
}

// A WhoPackage is a package in a place of an image, and the advisory that the
// question was for.
type WhoPackage struct {
	Type, Name, Version, Path, Layer string
	Advisory, FixState, FixedVersion string
	Severity                         int64 // report.SeverityRank
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
	sqlVulParts  = `SELECT DISTINCT pp.part_id, f.vul_id FROM finding f JOIN part_package pp ON pp.package_id = f.package_id AND pp.counted = 1 WHERE f.vul_id IN {in}`
	sqlNamed     = `SELECT p.id, p.type, p.version FROM package p WHERE p.name = $1 ORDER BY p.type, p.version, p.id LIMIT $2`
	sqlPkgParts  = `SELECT DISTINCT pp.part_id FROM part_package pp WHERE pp.package_id IN {in} AND pp.declared = 0`

	sqlWhoImages = `SELECT i.content_id, i.id, i.name, i.version, c.config_digest FROM image i JOIN content c ON c.id = i.content_id WHERE i.content_id IN {in} ORDER BY i.content_id, i.name, i.version, i.id`
	sqlWhoVuls   = `SELECT cp.content_id, p.type, p.name, p.version, pp.path, pt.layer, v.advisory, f.fix_state, f.fixed_version, f.severity
FROM content_part cp JOIN part pt ON pt.id = cp.part_id JOIN part_package pp ON pp.part_id = cp.part_id AND pp.counted = 1
JOIN finding f ON f.package_id = pp.package_id JOIN vulnerability v ON v.id = f.vul_id JOIN package p ON p.id = pp.package_id
WHERE cp.content_id IN {in} AND f.vul_id IN {these} ORDER BY cp.content_id, p.type, p.name, p.version, pp.path, v.advisory`
	sqlWhoPackages = `SELECT cp.content_id, p.type, p.name, p.version, pp.path, pt.layer, '', '', '', 0
FROM content_part cp JOIN part pt ON pt.id = cp.part_id JOIN part_package pp ON pp.part_id = cp.part_id AND pp.declared = 0 JOIN package p ON p.id = pp.package_id
WHERE cp.content_id IN {in} AND p.id IN {these} ORDER BY cp.content_id, p.type, p.name, p.version, pp.path`
	sqlWhoHosts      = `SELECT id, host_id, host_name, private_ip, last_seen FROM agent WHERE id IN {in} ORDER BY id`
	sqlWhoContainers = `SELECT DISTINCT i.content_id, k.agent_id, a.host_name, k.engine, k.container_id, k.name, k.pod_name
FROM image i JOIN container k ON k.image_id = i.id AND k.running = 1 JOIN agent a ON a.id = k.agent_id
WHERE i.content_id IN {in} ORDER BY i.content_id, k.agent_id, k.engine, k.container_id`
)

// WhoHas tells who has a vulnerability, named by a CVE or an advisory. One
// that concerns nothing in the project gives zeros.
func (s *Store) WhoHas(ctx context.Context, project, name string, list Whose, p Page) (Who, error) {
	if err := s.index.refresh(ctx, s); err != nil {
		return Who{}, fmt.Errorf("who has %s: %w", name, err)
	}
	var out Who
	err := s.inView(ctx, func(tx *sql.Tx) error {
		advisories := map[int64]string{}
		err := each(ctx, tx, sqlVulsNamed, []any{text(name), text(name)}, func(r *sql.Rows) error {
			var id int64
			var advisory string
			err := r.Scan(&id, &advisory)
			advisories[id] = advisory
			return err
		})
		if err != nil {
			return err
		}
		parts := map[int64][]int64{} // by advisory
		ids := slices.Sorted(maps.Keys(advisories))
		err = eachIn(ctx, tx, sqlVulParts, ids, func(r *sql.Rows) error {
			var part, vul int64
			err := r.Scan(&part, &vul)
			parts[vul] = append(parts[vul], part)
			return err
		})
		if err != nil {
			return err
		}
		var all []int64
		for vul, of := range parts {
			if len(advisories) == 1 || s.index.any(project, of) {
				out.Advisories = append(out.Advisories, advisories[vul])
				all = append(all, of...)
			}
		}
		slices.Sort(out.Advisories)
		found := s.index.holders(project, all)
		if found.Images == 0 {
			out.Advisories = nil
		}
		details := strings.Replace(sqlWhoVuls, "{these}", numbers(ids), 1)
		return fillWho(ctx, tx, &out, found, list, p, func(contents []int64, scan func(*sql.Rows) error) error {
			return eachIn(ctx, tx, details, contents, scan)
		})
	})
	if err != nil {
		return Who{}, fmt.Errorf("who has %s: %w", name, err)
	}
	return out, nil
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
		in, ids, odd, err := inRange(ctx, tx, q, bounds)
		if err != nil {
			return err
		}
		var all []int64
		parts := map[int64]bool{}
		for _, group := range []struct {
			versions map[string][]int64
			to       *[]string
			counts   bool
		}{{in, &out.Versions, true}, {odd, &out.Incomparable, false}} {
			for v, ids := range group.versions {
				var of []int64
				err := eachIn(ctx, tx, sqlPkgParts, ids, func(r *sql.Rows) error {
					var part int64
					err := r.Scan(&part)
					of = append(of, part)
					return err
				})
				if err != nil {
					return err
				}
				if !s.index.any(project, of) {
					continue // of another project, or of nobody any more
				}
				*group.to = append(*group.to, v)
				for _, part := range of {
					if group.counts && !parts[part] {
						parts[part] = true
						all = append(all, part)
					}
				}
			}
			slices.Sort(*group.to)
		}
		details := strings.Replace(sqlWhoPackages, "{these}", numbers(ids), 1)
		return fillWho(ctx, tx, &out, s.index.holders(project, all), list, p, func(contents []int64, scan func(*sql.Rows) error) error {
			return eachIn(ctx, tx, details, contents, scan)
		})
	})
	if err != nil {
		return Who{}, fmt.Errorf("who has package %s: %w", q.Name, err)
	}
	return out, nil
}

// inRange finds the packages of a question by their versions: those within the
// range, and those that cannot be compared with it.
func inRange(ctx context.Context, tx *sql.Tx, q PackageQuestion, bounds []bound) (in map[string][]int64, ids []int64, odd map[string][]int64, err error) {
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
			ids = append(ids, id)
		}
		return nil
	})
	return in, ids, odd, err
}

// fillWho fills in the numbers and one page of one list. details reads what in
// some contents was asked for.
func fillWho(ctx context.Context, tx *sql.Tx, out *Who, h holders, list Whose, p Page, details func([]int64, func(*sql.Rows) error) error) error {
	out.Images, out.Hosts, out.Containers = h.Images, h.Hosts, h.Containers
	switch list {
	case WhoseImages:
		contents, skip := h.slice(p, func(c weighed) int64 { return c.images })
		return listImages(ctx, tx, out, contents, skip, p.Limit, details)
	case WhoseHosts:
		from := min(max(0, p.Offset), int64(len(h.agents)))
		to := min(from+p.Limit, int64(len(h.agents)))
		return eachIn(ctx, tx, sqlWhoHosts, h.agents[from:to], func(r *sql.Rows) error {
			var w WhoHost
			err := r.Scan(&w.AgentID, &w.HostID, &w.HostName, &w.PrivateIP, &w.LastSeen)
			out.HostList = append(out.HostList, w)
			return err
		})
	case WhoseContainers:
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
		return fault.New(fault.Invalid, "list %q: want images, hosts or containers", list)
	}
}

func listImages(ctx context.Context, tx *sql.Tx, out *Who, contents []int64, skip, limit int64, details func([]int64, func(*sql.Rows) error) error) error {
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
	if err != nil {
		return err
	}
	packages := map[int64][]WhoPackage{}
	err = details(contents, func(r *sql.Rows) error {
		var content int64
		var w WhoPackage
		err := r.Scan(&content, &w.Type, &w.Name, &w.Version, &w.Path, &w.Layer, &w.Advisory, &w.FixState, &w.FixedVersion, &w.Severity)
		packages[content] = append(packages[content], w)
		return err
	})
	if err != nil {
		return err
	}
	for _, w := range window(rows, skip, limit) {
		w.image.Packages = packages[w.content]
		out.ImageList = append(out.ImageList, w.image)
	}
	return nil
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
		ok := false
		switch b.op {
		case "=":
			ok = c == 0
		case "<":
			ok = c < 0
		case "<=":
			ok = c <= 0
		case ">":
			ok = c > 0
		case ">=":
			ok = c >= 0
		}
		if !ok {
			return false, nil
		}
	}
	return true, nil
}

// orderOf is an ecosystem that orders versions as a type of packages does; ""
// for types that have no order.
func orderOf(typ string) string {
	switch typ {
	case report.TypeDeb, report.TypeOpkg:
		return "Debian"
	case report.TypeRPM:
		return "Red Hat"
	case report.TypeAPK:
		return "Alpine"
	case report.TypeGo:
		return "Go"
	case report.TypeNPM:
		return "npm"
	case report.TypePython:
		return "PyPI"
	case report.TypeJava:
		return "Maven"
	case report.TypeGem:
		return "RubyGems"
	case report.TypeCargo:
		return "crates.io"
	case report.TypeNuGet:
		return "NuGet"
	case report.TypeComposer:
		return "Packagist"
	case report.TypeCRAN:
		return "CRAN"
	case report.TypeHex:
		return "Hex"
	case report.TypeSwift:
		return "SwiftURL"
	case report.TypeConan:
		return "ConanCenter"
	case report.TypeBitnami, report.TypeGeneric:
		return "Bitnami"
	default:
		return ""
	}
}
