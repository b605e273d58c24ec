package report

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// layerOf makes a report of a layer from a listing, with every directory on the
// way named, as Walk of package layer does: "/a" a file that carries a
// package of the same name, "/a/" a named directory, "/a -> b" a link,
// "!/a" a whiteout, "%/a" an opaque directory.
func layerOf(id string, listing ...string) *LayerReport {
	r := &LayerReport{DiffID: id, Complete: true, Symlinks: map[string]string{}}
	for _, s := range listing {
		for d := path.Dir("/" + cleaned(s)); d != "/"; d = path.Dir(d) {
			r.Dirs = append(r.Dirs, PathHash(d))
		}
		if p, ok := strings.CutPrefix(s, "!"); ok {
			r.Whiteouts = append(r.Whiteouts, p)
		} else if p, ok := strings.CutPrefix(s, "%"); ok {
			r.Opaques = append(r.Opaques, p)
			r.Dirs = append(r.Dirs, PathHash(p))
		} else if p, to, ok := strings.Cut(s, " -> "); ok {
			r.Symlinks[p] = to
			r.Hides = append(r.Hides, PathHash(p))
		} else if p, ok := strings.CutSuffix(s, "/"); ok {
			r.Dirs = append(r.Dirs, PathHash(p))
		} else {
			r.Hides = append(r.Hides, PathHash(s))
			r.Packages = append(r.Packages, Package{Type: TypeNPM, Name: s, Version: id, Path: s})
		}
	}
	r.Normalize()
	return r
}

func survivors(inv Inventory) []string {
	out := []string{}
	for _, p := range inv.Packages {
		out = append(out, p.Path+"@"+p.Layer)
	}
	slices.Sort(out)
	return out
}

func TestMergeHides(t *testing.T) {
	for _, tc := range []struct {
		name   string
		layers [][]string
		want   []string
	}{
		{"alone", [][]string{{"/a"}}, []string{"/a@0"}},
		{"replaced", [][]string{{"/a"}, {"/a"}}, []string{"/a@1"}},
		{"whiteout", [][]string{{"/a", "/b"}, {"!/a"}}, []string{"/b@0"}},
		{"whiteout of a parent", [][]string{{"/d/a", "/b"}, {"!/d"}}, []string{"/b@0"}},
		{"whiteout acts before own entries", [][]string{{"/d/a"}, {"!/d", "/d/b"}}, []string{"/d/b@1"}},
		{"opaque", [][]string{{"/d/a", "/e"}, {"%/d", "/d/b"}}, []string{"/d/b@1", "/e@0"}},
		{"opaque keeps its siblings", [][]string{{"/da"}, {"%/d"}}, []string{"/da@0"}},
		{"file hides a tree", [][]string{{"/d/a"}, {"/d"}}, []string{"/d@1"}},
		{"link hides a tree", [][]string{{"/d/a"}, {"/d -> x"}}, []string{}},
		{"directory hides a file", [][]string{{"/d"}, {"/d/", "/d/a"}}, []string{"/d/a@1"}},
		{"directory in the place of a link", [][]string{{"/usr/lib/a", "/lib -> usr/lib"}, {"/lib/b"}}, []string{"/lib/b@1", "/usr/lib/a@0"}},
		{"deleted in the place of a link", [][]string{{"/usr/lib/a", "/lib -> /usr/lib"}, {"!/lib/a"}}, []string{"/usr/lib/a@0"}},
		{"beneath a file", [][]string{{"/a"}, {"/b"}, {"/a/x", "/b/x"}, {"!/a"}}, []string{"/b/x@2"}},
		{"opaque top", [][]string{{"/a"}, {"%/", "/b"}}, []string{"/b@1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var layers []*LayerReport
			for i, l := range tc.layers {
				layers = append(layers, layerOf(fmt.Sprint(i), l...))
			}
			if diff := cmp.Diff(tc.want, survivors(Merge(layers))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A "!" parts an archive from what is in it, and can be part of a name.
func TestMergeArchives(t *testing.T) {
	for _, tc := range []struct {
		name, file, inner string
		top               string
		want              []string
	}{
		{"kept", "/a.jar", "!b.jar", "/x", []string{"/a.jar!b.jar@0", "/x@1"}},
		{"archive deleted", "/a.jar", "!b.jar", "!/a.jar", []string{}},
		{"odd name kept", "/a!b/c", "", "!/a", []string{"/a!b/c@0"}},
		{"odd name deleted", "/a!b/c", "", "!/a!b", []string{}},
		{"archive of an odd name deleted", "/a!b/c.jar", "!d!e", "!/a!b", []string{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			low := layerOf("0", tc.file)
			low.Packages[0].Path += tc.inner
			if diff := cmp.Diff(tc.want, survivors(Merge([]*LayerReport{low, layerOf("1", tc.top)}))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func db(id, p string, pkgs ...string) *LayerReport {
	r := &LayerReport{DiffID: id, Complete: true, Hides: []uint64{PathHash(p)}}
	d := Database{Path: p}
	for _, s := range pkgs {
		name, v, _ := strings.Cut(s, "=")
		d.Packages = append(d.Packages, Package{Type: TypeDeb, Name: name, Version: v, Path: p})
	}
	r.Databases = []Database{d}
	return r
}

func TestMergeDatabaseAttribution(t *testing.T) {
	const p = "/var/lib/dpkg/status"
	other := layerOf("x", "/srv/app")
	for _, tc := range []struct {
		name   string
		layers []*LayerReport
		want   []string
	}{
		{"kept", []*LayerReport{db("0", p, "a=1"), other, db("2", p, "a=1", "b=1")}, []string{"a=1@0", "b=1@2"}},
		{"removed", []*LayerReport{db("0", p, "a=1", "b=1"), db("1", p, "b=1")}, []string{"b=1@0"}},
		{"upgraded", []*LayerReport{db("0", p, "a=1"), db("1", p, "a=2")}, []string{"a=2@1"}},
		{"removed and back", []*LayerReport{db("0", p, "a=1"), db("1", p), db("2", p, "a=1")}, []string{"a=1@2"}},
		{"deleted", []*LayerReport{db("0", p, "a=1"), layerOf("1", "!/var")}, []string{}},
		{"deleted and new", []*LayerReport{db("0", p, "a=1"), layerOf("1", "!"+p), db("2", p, "a=1")}, []string{"a=1@2"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := []string{}
			for _, p := range Merge(tc.layers).Packages {
				if p.Type == TypeDeb {
					got = append(got, p.Name+"="+p.Version+"@"+p.Layer)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMergeOwnership(t *testing.T) {
	base := db("0", "/var/lib/dpkg/status", "python3-six=1")
	base.Ownership = []Ownership{
		{Path: "/var/lib/dpkg/info/python3-six.list", Owner: "deb:python3-six", Files: []uint64{PathHash("/usr/lib/six.egg-info")}},
		{Path: "/var/lib/dpkg/info/gone.list", Owner: "deb:gone", Files: []uint64{PathHash("/usr/lib/gone.egg-info")}},
	}
	base.Packages = []Package{
		{Type: TypePython, Name: "six", Version: "1", Path: "/usr/lib/six.egg-info"},
		{Type: TypePython, Name: "gone", Version: "1", Path: "/usr/lib/gone.egg-info"},
	}
	got := map[string]string{}
	for _, p := range Merge([]*LayerReport{base}).Packages {
		got[p.Name] = p.OwnedBy
	}
	want := map[string]string{"python3-six": "", "six": "deb:python3-six", "gone": ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestMergeDistro(t *testing.T) {
	alpine := map[string]string{"ID": "alpine", "VERSION_ID": "3.18.9", "PRETTY_NAME": "Alpine Linux v3.18"}
	debian := map[string]string{"ID": "debian", "VERSION_ID": "12", "VERSION_CODENAME": "bookworm", "PRETTY_NAME": "Debian 12"}
	withRelease := func(l *LayerReport, p string, kv map[string]string) *LayerReport {
		l.OSReleases = map[string]map[string]string{p: kv}
		l.Hides = append(l.Hides, PathHash(p))
		l.Normalize()
		return l
	}
	for _, tc := range []struct {
		name   string
		layers []*LayerReport
		want   Distro
	}{
		{"none", []*LayerReport{layerOf("0", "/a")}, Distro{}},
		{"through the link", []*LayerReport{withRelease(layerOf("0", "/etc/os-release -> ../usr/lib/os-release"), "/usr/lib/os-release", debian)},
			Distro{ID: "debian", VersionID: "12", Codename: "bookworm", Name: "Debian 12"}},
		{"replaced", []*LayerReport{withRelease(layerOf("0"), "/etc/os-release", debian), withRelease(layerOf("1"), "/etc/os-release", alpine)},
			Distro{ID: "alpine", VersionID: "3.18.9", Name: "Alpine Linux v3.18"}},
		{"made from another", []*LayerReport{withRelease(layerOf("0"), "/etc/os-release", map[string]string{
			"ID": "linuxmint", "VERSION_ID": "21.3", "VERSION_CODENAME": "virginia", "UBUNTU_CODENAME": "jammy", "PRETTY_NAME": "Linux Mint 21.3"})},
			Distro{ID: "linuxmint", VersionID: "21.3", Codename: "virginia", Base: "jammy", Name: "Linux Mint 21.3"}},
		{"from repositories with extended support", []*LayerReport{
			withRelease(layerOf("0"), "/etc/os-release", map[string]string{"ID": "rhel", "VERSION_ID": "9.4", "PRETTY_NAME": "Red Hat Enterprise Linux 9.4 (Plow)"}),
			withRelease(layerOf("1"), "/root/buildinfo/content_manifests/app-1.json", map[string]string{KeyStream: "eus"})},
			Distro{ID: "rhel", VersionID: "9.4", Stream: "eus", Name: "Red Hat Enterprise Linux 9.4 (Plow)"}},
		{"another distribution has no such streams", []*LayerReport{
			withRelease(layerOf("0"), "/etc/os-release", alpine),
			withRelease(layerOf("1"), "/root/buildinfo/content_manifests/app-1.json", map[string]string{KeyStream: "eus"})},
			Distro{ID: "alpine", VersionID: "3.18.9", Name: "Alpine Linux v3.18"}},
		{"etc before usr", []*LayerReport{withRelease(layerOf("0"), "/etc/os-release", alpine), withRelease(layerOf("1"), "/usr/lib/os-release", debian)},
			Distro{ID: "alpine", VersionID: "3.18.9", Name: "Alpine Linux v3.18"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := Merge(tc.layers).Distro
			if len(got.IDLike) == 0 {
				got.IDLike = nil
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// cleaned is the path alone.
func cleaned(s string) string {
	s, _, _ = strings.Cut(strings.TrimLeft(s, "!%"), " -> ")
	return strings.TrimSuffix(s, "/")
}

// A file that was moved aside is owned where it stands; what an administrator
// put in its place is nobody's.
func TestMergeDiversions(t *testing.T) {
	hash := func(p string) Hashes { return Hashes{PathHash(p)} }
	divert := func(owner string) Ownership {
		return Ownership{Path: "/var/lib/dpkg/diversions", Owner: owner,
			Diverted: []Diversion{{From: PathHash("/usr/bin/x"), To: PathHash("/usr/bin/x.moved")}}}
	}
	for _, tc := range []struct {
		name  string
		owner []Ownership
		want  map[string]string
	}{
		{"none", nil, map[string]string{"/usr/bin/x": "deb:a"}},
		{"by the administrator", []Ownership{divert("")}, map[string]string{"/usr/bin/x.moved": "deb:a"}},
		{"by a package", []Ownership{divert("deb:b"), {Path: "/b.list", Owner: "deb:b", Files: hash("/usr/bin/x")}},
			map[string]string{"/usr/bin/x": "deb:b", "/usr/bin/x.moved": "deb:a"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := &LayerReport{DiffID: "1", Complete: true,
				Databases: []Database{{Path: "/status", Packages: []Package{
					{Type: TypeDeb, Name: "a", Version: "1"}, {Type: TypeDeb, Name: "b", Version: "1"}}}},
				Ownership: append([]Ownership{{Path: "/a.list", Owner: "deb:a", Files: hash("/usr/bin/x")}}, tc.owner...),
				Packages: []Package{{Type: TypeGeneric, Name: "x", Version: "1", Path: "/usr/bin/x"},
					{Type: TypeGeneric, Name: "x", Version: "2", Path: "/usr/bin/x.moved"}},
			}
			l.Normalize()
			got := map[string]string{}
			for _, p := range Merge([]*LayerReport{l}).Packages {
				if p.OwnedBy != "" {
					got[p.Path] = p.OwnedBy
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A package that rests on a directory lasts as long as the directory does, and
// is one however many files of it say so.
func TestMergePackageOfADirectory(t *testing.T) {
	const dir = "/nix/store/a-x-1"
	h := Hashes{PathHash(dir)}
	p := Package{Type: TypeNix, Name: "x", Version: "1", Path: dir}
	for _, tc := range []struct {
		name  string
		above LayerReport
		want  int
	}{
		{"alone", LayerReport{}, 1},
		{"joined by a directory", LayerReport{Dirs: h}, 1},
		{"deleted", LayerReport{Whiteouts: []string{dir}}, 0},
		{"opaque directory", LayerReport{Dirs: h, Opaques: []string{dir}}, 0},
		{"file in its place", LayerReport{Hides: h}, 0},
		{"parent deleted", LayerReport{Whiteouts: []string{"/nix"}}, 0},
	} {
		l := &LayerReport{DiffID: "1", Complete: true, Dirs: h, Packages: []Package{p, p, p}}
		l.Normalize()
		if len(l.Packages) != 1 {
			t.Errorf("%s: %d packages in the layer", tc.name, len(l.Packages))
		}
		if got := Merge([]*LayerReport{l, &tc.above}).Packages; len(got) != tc.want {
			t.Errorf("%s: got %v", tc.name, got)
		}
	}
}
