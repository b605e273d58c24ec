package report

import (
	"path"
	"slices"
	"strings"
)

// Merge joins the reports of an image's layers, lowest first, by the overlay
// rules: a whiteout deletes its path from the layers below, an opaque
// directory hides what lies below in it, and any entry that is not a directory
// hides whatever stands at or beneath its path. It does not change the
// reports.
func Merge(layers []*LayerReport) Inventory {
	m := newMerger(layers)
	inv := Inventory{Complete: true, Packages: []Package{}}
	for _, l := range layers {
		inv.Ledger.Add(l.Ledger)
		inv.Complete = inv.Complete && l.Complete
		for _, p := range l.Problems {
			p.Layer = l.DiffID
			inv.Problems = append(inv.Problems, p)
		}
	}
	slices.SortFunc(inv.Problems, Problem.Compare)
	inv.Distro = m.distro()
	inv.Packages = append(inv.Packages, m.databases()...)
	inv.Packages = append(inv.Packages, m.standalone()...)
	inv.Packages = m.settleClaims(inv.Packages)
	m.setOwners(inv.Packages)
	slices.SortFunc(inv.Packages, Package.Compare)
	inv.Packages = foldSBOM(inv.Packages)
	inv.Packages = slices.CompactFunc(inv.Packages, func(a, b Package) bool { return a.Compare(b) == 0 })
	return inv
}

// merger answers which paths of which layers survive.
type merger struct {
	layers []*LayerReport
	// deleted and opaque are the whiteouts and opaque directories of each
	// layer, with symbolic links in their parents resolved.
	deleted, opaque []map[string]bool
	// symlinks are the symbolic links of each layer by resolved path, and
	// links the same by the directory they lead to.
	symlinks []map[string]string
	links    []map[string][]string
}

func newMerger(layers []*LayerReport) *merger {
	m := &merger{layers: layers}
	for i, l := range layers {
		deleted, opaque := m.resolveAll(l.Whiteouts, i), m.resolveAll(l.Opaques, i)
		m.deleted = append(m.deleted, deleted)
		m.opaque = append(m.opaque, opaque)
		symlinks := make(map[string]string, len(l.Symlinks))
		for link, target := range l.Symlinks {
			symlinks[m.resolve(link, i)] = target
		}
		m.symlinks = append(m.symlinks, symlinks)
		links := map[string][]string{}
		for link := range symlinks {
			to := m.walk(link, i, true)
			links[to] = append(links[to], link)
		}
		m.links = append(m.links, links)
	}
	return m
}

func (m *merger) resolveAll(paths []string, layer int) map[string]bool {
	out := make(map[string]bool, len(paths))
	for _, p := range paths {
		out[m.resolve(p, layer)] = true
	}
	return out
}

// maxLinks is how many symbolic links one path may lead through, as in the
// kernel.
const maxLinks = 40

// resolve follows the symbolic links among the parents of a path of a layer,
// as an engine does when it unpacks the layer onto those below it.
func (m *merger) resolve(p string, layer int) string {
	return m.walk(p, layer, false)
}

// walk follows the links among the parents of p as they stand when layer
// applied, and the last element too if last is set.
func (m *merger) walk(p string, layer int, last bool) string {
	rest := strings.Split(strings.Trim(path.Clean(p), "/"), "/")
	cur := "/"
	for links := 0; len(rest) > 0; {
		next := path.Join(cur, rest[0])
		rest = rest[1:]
		if len(rest) == 0 && !last {
			return next
		}
		target, ok := m.linkAt(next, layer)
		if !ok {
			cur = next
			continue
		}
		if links++; links > maxLinks {
			return p
		}
		if path.IsAbs(target) {
			cur = "/"
		}
		rest = append(strings.Split(strings.Trim(path.Clean(target), "/"), "/"), rest...)
	}
	return cur
}

// linkAt is the target of the symbolic link that stands at p when layer has
// been applied.
func (m *merger) linkAt(p string, layer int) (string, bool) {
	for i := min(layer, len(m.symlinks)-1); i >= 0; i-- {
		if t, ok := m.symlinks[i][p]; ok {
			return t, true
		}
		if m.gone(p, i) || m.stands(p, i) {
			return "", false
		}
	}
	return "", false
}

// gone reports whether layer i deletes p from the layers below it, by a
// whiteout or an opaque directory.
func (m *merger) gone(p string, i int) bool {
	if i >= len(m.deleted) { // while the layer's own whiteouts are resolved
		return false
	}
	if m.deleted[i][p] {
		return true
	}
	for d := p; d != "/"; {
		d = path.Dir(d)
		if m.deleted[i][d] || m.opaque[i][d] {
			return true
		}
	}
	return false
}

// hidden reports whether a file at resolved path p of a layer is hidden by a
// layer above it.
func (m *merger) hidden(p string, layer int) bool {
	for i := layer + 1; i < len(m.layers); i++ {
		if m.gone(p, i) || m.covered(p, i) {
			return true
		}
	}
	return false
}

// covered reports whether layer i puts something in the place of the file at
// p: any entry at p itself, or one that is not a directory at a parent of it.
func (m *merger) covered(p string, i int) bool {
	l := m.layers[i]
	for d := p; d != "/"; d = path.Dir(d) {
		for _, name := range m.names(d, i) {
			h := PathHash(name)
			if (has(l.Hides, h) || has(l.Passed, h) || d == p && has(l.Dirs, h)) && m.resolve(name, i) == d {
				return true
			}
		}
	}
	return false
}

// stands reports whether layer i has an entry at p.
func (m *merger) stands(p string, i int) bool {
	l := m.layers[i]
	return slices.ContainsFunc(m.names(p, i), func(name string) bool {
		h := PathHash(name)
		return has(l.Dirs, h) || has(l.Hides, h) || has(l.Passed, h)
	})
}

// maxNames bounds how many names one path is looked up by.
const maxNames = 64

// names are p and the other names by which layer i may call it, through
// symbolic links of the layers below.
func (m *merger) names(p string, i int) []string {
	out := []string{p}
	for n := 0; n < len(out) && len(out) < maxNames; n++ {
		for dir := path.Dir(out[n]); ; dir = path.Dir(dir) {
			under := strings.TrimPrefix(out[n], strings.TrimSuffix(dir, "/"))
			for below := range i {
				for _, link := range m.links[below][dir] {
					if name := link + under; !slices.Contains(out, name) {
						out = append(out, name)
					}
				}
			}
			if dir == "/" {
				break
			}
		}
	}
	return out
}

func has(sorted Hashes, h uint64) bool {
	_, ok := slices.BinarySearch(sorted, h)
	return ok
}

// standalone are the packages that rest on a file of their own.
func (m *merger) standalone() []Package {
	var out []Package
	for i, l := range m.layers {
		for _, p := range l.Packages {
			file, inner, nested := strings.Cut(p.Path, "!")
			file = m.resolve(file, i)
			if m.hidden(file, i) {
				continue
			}
			p.Path = file
			if nested {
				p.Path += "!" + inner
			}
			p.Layer = l.DiffID
			out = append(out, p)
		}
	}
	return out
}

// version of a package, for attribution.
type installed struct{ typ, name, version, arch string }

func (p Package) installed() installed { return installed{p.Type, p.Name, p.Version, p.Arch} }

// databases are the packages of the topmost visible state of each database,
// each attributed to the earliest layer from which it continuously stands
// there.
func (m *merger) databases() []Package {
	type state struct {
		layer int
		db    *Database
	}
	history := map[string][]state{}
	for i, l := range m.layers {
		for j := range l.Databases {
			db := &l.Databases[j]
			p := m.resolve(db.Path, i)
			history[p] = append(history[p], state{i, db})
		}
	}
	var out []Package
	for p, states := range history {
		top := states[len(states)-1]
		if m.hidden(p, top.layer) {
			continue
		}
		// A database that was deleted and written anew starts afresh.
		first := len(states) - 1
		for first > 0 && !m.goneBetween(p, states[first-1].layer, states[first].layer) {
			first--
		}
		origin := map[installed]string{}
		for k := first; k < len(states); k++ {
			now := map[installed]string{}
			for _, pkg := range states[k].db.Packages {
				key := pkg.installed()
				if from, ok := origin[key]; ok {
					now[key] = from
				} else {
					now[key] = m.layers[states[k].layer].DiffID
				}
			}
			origin = now
		}
		for _, pkg := range top.db.Packages {
			pkg.Path = p
			pkg.Layer = origin[pkg.installed()]
			out = append(out, pkg)
		}
	}
	return out
}

func (m *merger) goneBetween(p string, low, high int) bool {
	for i := low + 1; i <= high; i++ {
		if m.gone(p, i) {
			return true
		}
	}
	return false
}

// setOwners marks the language packages whose file a distribution package that
// is still installed has put there.
func (m *merger) setOwners(pkgs []Package) {
	present := map[string]bool{}
	for _, p := range pkgs {
		if OSType(p.Type) {
			present[p.Type+":"+p.Name] = true
		}
	}
	diverted := m.diversions()
	owner := map[uint64]string{}
	for i, l := range m.layers {
		for _, o := range l.Ownership {
			if !present[o.Owner] || m.hidden(m.resolve(o.Path, i), i) {
				continue
			}
			for _, h := range o.Files {
				h = diverted.place(o.Owner, h)
				if cur, ok := owner[h]; !ok || o.Owner < cur {
					owner[h] = o.Owner
				}
			}
		}
	}
	for i := range pkgs {
		if OSType(pkgs[i].Type) {
			continue
		}
		file, _, _ := strings.Cut(pkgs[i].Path, "!")
		pkgs[i].OwnedBy = owner[PathHash(file)]
	}
}

// distro reads the os-release file that a process in the image would see.
func (m *merger) distro() Distro {
	top := len(m.layers) - 1
	if top < 0 {
		return Distro{}
	}
	found := map[string]map[string]string{}
	for i, l := range m.layers {
		for p, kv := range l.OSReleases {
			if p = m.resolve(p, i); !m.hidden(p, i) {
				found[p] = kv
			}
		}
	}
	for _, want := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		if kv, ok := found[m.walk(want, top, true)]; ok {
			return distroOf(kv)
		}
	}
	paths := make([]string, 0, len(found))
	for p := range found {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	for _, p := range paths {
		if d := distroOf(found[p]); d.ID != "" {
			return d
		}
	}
	return Distro{}
}

func distroOf(kv map[string]string) Distro {
	d := Distro{
		ID:        strings.ToLower(kv["ID"]),
		VersionID: kv["VERSION_ID"],
		IDLike:    strings.Fields(strings.ToLower(kv["ID_LIKE"])),
		Codename:  kv["VERSION_CODENAME"],
		Name:      kv["PRETTY_NAME"],
	}
	if d.Name == "" {
		d.Name = strings.TrimSpace(kv["NAME"] + " " + d.VersionID)
	}
	return d
}
