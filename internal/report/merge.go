package report

import (
	"cmp"
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
	for _, l := range m.ledgers() {
		inv.Ledger.Add(l)
	}
	for _, l := range layers {
		inv.Complete = inv.Complete && l.Complete
		partial := l.Partial
		if partial == nil && !l.Complete {
			partial = []string{CheckPackages} // not joined
		}
		for _, check := range partial {
			if !slices.Contains(inv.Partial, check) {
				inv.Partial = append(inv.Partial, check)
			}
		}
		for _, p := range l.Problems {
			p.Layer = l.DiffID
			inv.Problems = append(inv.Problems, p)
		}
	}
	slices.SortFunc(inv.Problems, Problem.Compare)
	inv.Distro = m.distro()
	inv.Checked = m.checked()
	inv.Secrets = m.secrets()
	inv.Malware = m.malware()
	inv.Settings = m.settings()
	inv.Packages = append(inv.Packages, m.databases()...)
	inv.Packages = append(inv.Packages, m.standalone()...)
	inv.Packages = m.settleClaims(inv.Packages)
	m.setOwners(inv.Packages)
	setBitnamiOwners(inv.Packages)
	slices.SortFunc(inv.Packages, Package.Compare)
	inv.Packages = foldSBOM(inv.Packages, inv.Distro)
	inv.Packages = slices.CompactFunc(inv.Packages, func(a, b Package) bool { return a.Compare(b) == 0 })
	return inv
}

// merger holds what the steps of a merge share.
type merger struct{ *view }

func newMerger(layers []*LayerReport) *merger { return &merger{newView(layers)} }

// standalone are the packages that rest on a file of their own.
func (m *merger) standalone() []Package {
	all := 0
	for _, l := range m.layers {
		all += len(l.Packages)
	}
	out := make([]Package, 0, all)
	for i, l := range m.layers {
		for _, p := range l.Packages {
			if m.hidden(fileOf(p.Path, l), i) {
				continue
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
			history[db.Path] = append(history[db.Path], state{i, db})
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
		for first > 0 && !m.gone(p, states[first-1].layer, states[first].layer) {
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

// setOwners marks the language packages whose file a distribution package that
// is still installed has put there.
func (m *merger) setOwners(pkgs []Package) {
	present := map[string]bool{}
	for _, p := range pkgs {
		if OSType(p.Type) {
			present[p.Type+":"+p.Name] = true
		}
	}
	// Packages rest on few of the files that are owned: look for those.
	owner := map[uint64]string{}
	for _, p := range pkgs {
		if !OSType(p.Type) {
			for f := range filesOf(p.Path) {
				owner[PathHash(f)] = ""
			}
		}
	}
	if len(owner) == 0 {
		return
	}
	var maybe [1 << 16]bool // by the low bits
	for h := range owner {
		maybe[uint16(h)] = true
	}
	diverted := m.diversions()
	for i, l := range m.layers {
		for _, o := range l.Ownership {
			if !present[o.Owner] || m.hidden(o.Path, i) {
				continue
			}
			for _, h := range o.Files {
				if len(diverted) > 0 {
					h = diverted.place(o.Owner, h)
				}
				if !maybe[uint16(h)] {
					continue
				}
				if cur, ok := owner[h]; ok && (cur == "" || o.Owner < cur) {
					owner[h] = o.Owner
				}
			}
		}
	}
	for i := range pkgs {
		if OSType(pkgs[i].Type) {
			continue
		}
		for f := range filesOf(pkgs[i].Path) {
			if o := owner[PathHash(f)]; o != "" {
				pkgs[i].OwnedBy = o
				break
			}
		}
	}
}

// fileOf is the file of a layer that a package at p rests on. A "!" may begin
// the path inside an archive, or be part of a name.
func fileOf(p string, l *LayerReport) string {
	for f := range filesOf(p) {
		if f != p && has(l.Hides, PathHash(f)) {
			return f
		}
	}
	return p
}

// filesOf are the files that a package at p can rest on.
func filesOf(p string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := range len(p) {
			if p[i] == '!' && !yield(p[:i]) {
				return
			}
		}
		yield(p)
	}
}

// distro reads the os-release file that a process in the image would see.
func (m *merger) distro() Distro {
	found := map[string]map[string]string{}
	for i, l := range m.layers {
		for p, kv := range l.OSReleases {
			if !m.hidden(p, i) {
				found[p] = kv
			}
		}
	}
	for _, want := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		if kv, ok := found[m.follow(want)]; ok {
			d := distroOf(kv)
			if d.ID == "euleros" && found["/etc/euleros-release"]["PRETTY_NAME"] != "" {
				// os-release keeps naming an older service pack.
				d.Name = found["/etc/euleros-release"]["PRETTY_NAME"]
			}
			if d.ID == "rhel" {
				d.Stream = streamOf(found)
			}
			return d
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

// KeyStream is the key under which an analyser says what extended support
// packages were taken from, in place of a key of os-release.
const KeyStream = "ONCEOVER_STREAM"

// streamOf is what the files of the image say of extended support. Base image
// and application have a file each: the one of them that has it counts.
func streamOf(found map[string]map[string]string) string {
	out := ""
	for _, kv := range found {
		out = max(out, kv[KeyStream])
	}
	return out
}

func distroOf(kv map[string]string) Distro {
	d := Distro{
		ID:        strings.ToLower(kv["ID"]),
		VersionID: kv["VERSION_ID"],
		IDLike:    strings.Fields(strings.ToLower(kv["ID_LIKE"])),
		Codename:  kv["VERSION_CODENAME"],
		Name:      kv["PRETTY_NAME"],
	}
	if d.ID != "debian" && d.ID != "ubuntu" {
		d.Base = cmp.Or(kv["UBUNTU_CODENAME"], kv["DEBIAN_CODENAME"])
	}
	if d.Name == "" {
		d.Name = strings.TrimSpace(kv["NAME"] + " " + d.VersionID)
	}
	return d
}
