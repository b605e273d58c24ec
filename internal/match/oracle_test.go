package match

import (
	"archive/zip"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/version"
	"github.com/onceover/onceover/test/shareddata"
)

// raw is an OSV record as it is written, read without the code under test.
type raw struct {
	ID        string
	Withdrawn string
	Aliases   []string
	Upstream  []string
	Affected  []struct {
		Package struct{ Ecosystem, Name string }
		Ranges  []struct {
			Type   string
			Events []map[string]string
		}
		Versions []string
	}
}

// affects is the evaluation algorithm of the OSV schema, word for word: sort
// the events, walk them, remember whether the last one that applies made the
// version vulnerable.
func affects(t *testing.T, eco string, versions []string, ranges [][]map[string]string, v string) bool {
	if slices.Contains(versions, v) {
		return true
	}
	less := func(a, b string) bool {
		if a == "0" {
			return b != "0"
		}
		if b == "0" {
			return false
		}
		c, err := version.Compare(eco, version.Normal(eco, a), version.Normal(eco, b))
		if err != nil {
			t.Fatal(err)
		}
		return c < 0
	}
	for _, events := range ranges {
		type point struct{ kind, v string }
		var points []point
		for _, e := range events {
			for k, v := range e {
				points = append(points, point{k, v})
			}
		}
		slices.SortStableFunc(points, func(a, b point) int {
			switch {
			case less(a.v, b.v):
				return -1
			case less(b.v, a.v):
				return 1
			default:
				return 0
			}
		})
		vulnerable := false
		for _, p := range points {
			switch p.kind {
			case "introduced":
				if !less(v, p.v) {
					vulnerable = true
				}
			case "fixed", "limit":
				if !less(v, p.v) {
					vulnerable = false
				}
			case "last_affected":
				if less(p.v, v) {
					vulnerable = false
				}
			}
		}
		if vulnerable {
			return true
		}
	}
	return false
}

var sharedDB = sync.OnceValues(func() (*advisory.DB, error) {
	dir := shareddata.Find()
	to := filepath.Join(sharedDir, "shared.db")
	if _, err := advisory.Build(context.Background(), advisory.BuildOptions{From: filepath.Join(dir, "osv"), To: to}); err != nil {
		return nil, err
	}
	return advisory.Open(to)
})

// subjects are ecosystems whose records say everything about a package by
// name and version alone.
var subjects = []struct {
	eco, typ string
	d        report.Distro
}{
	{"Debian:12", "deb", report.Distro{ID: "debian", VersionID: "12"}},
	{"Alpine:v3.18", "apk", report.Distro{ID: "alpine", VersionID: "3.18.4"}},
	{"Ubuntu:22.04:LTS", "deb", report.Distro{ID: "ubuntu", VersionID: "22.04"}},
	{"Alpaquita:23", "apk", report.Distro{ID: "alpaquita", VersionID: "23"}},
	{"Azure Linux:3", "rpm", report.Distro{ID: "azurelinux", VersionID: "3.0"}},
	{"Rocky Linux:9", "rpm", report.Distro{ID: "rocky", VersionID: "9.3"}},
	{"PyPI", "pypi", report.Distro{}},
	{"npm", "npm", report.Distro{}},
	{"RubyGems", "gem", report.Distro{}},
	{"Maven", "maven", report.Distro{}},
	{"Packagist", "composer", report.Distro{}},
	{"crates.io", "cargo", report.Distro{}},
	{"Bitnami", "bitnami", report.Distro{}},
}

// For every package of an ecosystem, at every version that its records name,
// the findings must be those of the OSV algorithm on the records as they are
// written: none more, none less, folded or not.
func TestAgainstTheRecordsThemselves(t *testing.T) {
	if testing.Short() {
		t.Skip("evaluates every record once more")
	}
	dir := shareddata.Dir(t)
	db, err := sharedDB()
	if err != nil {
		t.Fatal(err)
	}
	m := New(db)
	all := records(t, filepath.Join(dir, "osv"))
	for _, s := range subjects {
		t.Run(s.eco, func(t *testing.T) {
			byName := all[s.eco]
			checked, positive := 0, 0
			for name, rs := range byName {
				for _, v := range sample(rs, s.eco, name) {
					var want []string
					for _, r := range rs {
						for _, a := range r.Affected {
							if a.Package.Ecosystem != s.eco || advisory.Name(s.eco, a.Package.Name) != name {
								continue
							}
							var ranges [][]map[string]string
							for _, rg := range a.Ranges {
								if rg.Type != "GIT" {
									ranges = append(ranges, rg.Events)
								}
							}
							if s.typ == "rpm" && modularRecord(ranges) {
								continue // not for packages without a module: TestPackage
							}
							if affects(t, s.eco, a.Versions, ranges, v) {
								want = append(want, r.ID)
							}
						}
					}
					fs, err := m.Package(s.d, report.Package{Type: s.typ, Name: name, Version: v})
					if err != nil {
						t.Fatal(err)
					}
					var got []string
					for _, f := range fs {
						n := len(got)
						for _, id := range slices.Concat([]string{f.ID}, f.Aliases, f.CVEs) {
							if slices.Contains(want, id) {
								got = append(got, id) // by itself, or folded
							}
						}
						if len(got) == n {
							got = append(got, f.ID) // nothing says so
						}
					}
					slices.Sort(want)
					slices.Sort(got)
					want, got = slices.Compact(want), slices.Compact(got)
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("%s %s: %s", name, v, diff)
					}
					checked++
					positive += len(want)
				}
			}
			t.Logf("%d packages, %d versions, %d findings", len(byName), checked, positive)
			if positive == 0 {
				t.Error("no findings at all")
			}
		})
	}
}

func modularRecord(ranges [][]map[string]string) bool {
	for _, events := range ranges {
		for _, e := range events {
			if strings.Contains(e["fixed"], ".module+el") {
				return true
			}
		}
	}
	return false
}

// records reads the records of all subjects by ecosystem and package, from
// every zip: some ecosystems are spread.
func records(t *testing.T, dir string) map[string]map[string][]raw {
	zips, err := filepath.Glob(filepath.Join(dir, "*.zip"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string][]raw{}
	for _, s := range subjects {
		out[s.eco] = map[string][]raw{}
	}
	seen := map[string]bool{}
	for _, path := range zips {
		z, err := zip.OpenReader(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range z.File {
			r := read(t, e)
			if r.Withdrawn != "" || seen[r.ID] {
				continue
			}
			seen[r.ID] = true
			done := map[[2]string]bool{}
			for _, a := range r.Affected {
				eco := a.Package.Ecosystem
				k := [2]string{eco, advisory.Name(eco, a.Package.Name)}
				if out[eco] != nil && !done[k] {
					done[k] = true
					out[eco][k[1]] = append(out[eco][k[1]], r)
				}
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func read(t *testing.T, e *zip.File) raw {
	f, err := e.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r raw
	if err := json.NewDecoder(f).Decode(&r); err != nil {
		t.Fatal(err)
	}
	return r
}

const perPackage = 4

// sample gives versions at and around the borders, a few for each package.
func sample(rs []raw, eco, name string) []string {
	var vs []string
	for _, r := range rs {
		for _, a := range r.Affected {
			if a.Package.Ecosystem != eco || advisory.Name(eco, a.Package.Name) != name {
				continue
			}
			for _, rg := range a.Ranges {
				if rg.Type == "GIT" {
					continue
				}
				for _, e := range rg.Events {
					for _, v := range e {
						vs = append(vs, v, v+".1")
					}
				}
			}
			if n := len(a.Versions); n > 0 {
				vs = append(vs, a.Versions[0], a.Versions[n/2], a.Versions[n-1])
			}
		}
	}
	slices.Sort(vs)
	vs = slices.Compact(vs)
	vs = slices.DeleteFunc(vs, func(v string) bool {
		_, err := version.Compare(eco, v, "0")
		return err != nil || v == "0" || v == "*"
	})
	if len(vs) > perPackage {
		step := len(vs) / perPackage
		var few []string
		for i := 0; i < len(vs); i += step {
			few = append(few, vs[i])
		}
		vs = few
	}
	return vs
}

// BenchmarkInventory matches 428 Debian packages that are nearly up to date:
// each lacks the newest fix of its source and no other. All but the first time
// the matcher remembers them.
func BenchmarkInventory(b *testing.B) {
	m, inv := nearlyUpToDate(b)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		fs, _, err := m.Inventory(inv, nil)
		if err != nil {
			b.Fatal(err)
		}
		n = len(fs)
	}
	b.ReportMetric(float64(n), "findings")
}

// BenchmarkPackage matches each of them anew.
func BenchmarkPackage(b *testing.B) {
	m, inv := nearlyUpToDate(b)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n = 0
		for _, p := range inv.Packages {
			fs, err := m.Package(inv.Distro, p)
			if err != nil {
				b.Fatal(err)
			}
			n += len(fs)
		}
	}
	b.ReportMetric(float64(n), "findings")
}

func nearlyUpToDate(b *testing.B) (*Matcher, report.Inventory) {
	shareddata.Dir(b)
	db, err := sharedDB()
	if err != nil {
		b.Fatal(err)
	}
	m := New(db)
	inv := report.Inventory{Distro: report.Distro{ID: "debian", VersionID: "12"}}
	for i := range 428 {
		name := debianSources[i%len(debianSources)]
		as, err := db.Affected("Debian:12", name)
		if err != nil {
			b.Fatal(err)
		}
		newest := "1"
		for _, a := range as {
			if m.lower("Debian:12", newest, a.Ranges[0].Fixed) {
				newest = a.Ranges[0].Fixed
			}
		}
		inv.Packages = append(inv.Packages, report.Package{Type: "deb", Name: fmt.Sprintf("%s-%d", name, i), Source: name, Version: newest + "~"})
	}
	return m, inv
}

var debianSources = strings.Fields(`apache2 apt bash bind9 busybox bzip2 c-ares cairo coreutils cups curl db5.3 dbus
	dpkg e2fsprogs elfutils expat ffmpeg file freetype gcc-12 ghostscript git glib2.0 glibc gnupg2 gnutls28 grep gzip
	harfbuzz icu imagemagick jq krb5 libarchive libde265 libgcrypt20 libheif libidn2 libjpeg-turbo libpng1.6
	libssh libssh2 libtasn1-6 libtirpc libvpx libwebp libx11 libxml2 libxpm libxslt libzstd lz4 mariadb ncurses
	nettle nghttp2 nginx nodejs nss openjpeg2 openldap openssh openssl pam patch pcre2 perl php8.2 poppler
	postgresql-15 postgresql-common procps python3.11 python-urllib3 readline ruby3.1 sed shadow sqlite3 sudo
	systemd tar tiff tzdata unzip util-linux vim wget xz-utils zlib`)
