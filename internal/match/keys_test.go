package match

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/report"
)

// TestKeys holds that a package is found again by the names under which its
// advisories stand in a generation.
func TestKeys(t *testing.T) {
	rocky := report.Distro{ID: "rocky", VersionID: "9.3"}
	m := New(compile(t, rec("NUGET-1", "NuGet", "Newtonsoft.Json", unfixed, `"x":1,`)))
	for _, tc := range []struct {
		name   string
		distro report.Distro
		p      report.Package
		want   []advisory.Key
	}{
		{"deb by its source", bookworm, report.Package{Type: report.TypeDeb, Name: "libssl3", Version: "3", Source: "openssl"}, []advisory.Key{{Ecosystem: "Debian:12", Name: "openssl"}}},
		{"rpm by itself", alma8, report.Package{Type: report.TypeRPM, Name: "openssl-libs", Version: "3", Source: "openssl"}, []advisory.Key{{Ecosystem: "AlmaLinux:8", Name: "openssl-libs"}}},
		{"rpm by both", rocky, report.Package{Type: report.TypeRPM, Name: "openssl-libs", Version: "3", Source: "openssl"},
			[]advisory.Key{{Ecosystem: "Rocky Linux:9", Name: "openssl-libs"}, {Ecosystem: "Rocky Linux:9", Name: "openssl"}}},
		{"lower case", bookworm, report.Package{Type: report.TypeNuGet, Name: "Newtonsoft.Json", Version: "9"}, []advisory.Key{{Ecosystem: "NuGet", Name: "newtonsoft.json"}}},
		{"PEP 503", bookworm, report.Package{Type: report.TypePython, Name: "Ruamel.Yaml", Version: "1"}, []advisory.Key{{Ecosystem: "PyPI", Name: "ruamel-yaml"}}},
		{"another name", bookworm, report.Package{Type: report.TypeGeneric, Name: "httpd", Version: "2.4.1"}, []advisory.Key{{Ecosystem: "Bitnami", Name: "apache"}}},
		{"owned here and perhaps not there", bookworm, report.Package{Type: report.TypeNPM, Name: "lodash", Version: "4", OwnedBy: "deb:node-lodash", Declared: true}, []advisory.Key{{Ecosystem: "npm", Name: "lodash"}}},
		{"nothing to look up", report.Distro{}, report.Package{Type: report.TypeDeb, Name: "libssl3", Version: "3"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := m.Keys(tc.distro, tc.p)
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
			// What is looked up is among them.
			p := tc.p
			p.Declared, p.OwnedBy = false, ""
			for _, l := range lookups(distroEcosystems(tc.distro, m.ecosystems), p) {
				if !slices.Contains(got, advisory.Key{Ecosystem: l.ecosystem, Name: advisory.Name(l.ecosystem, l.name)}) {
					t.Errorf("%s %s is looked up", l.ecosystem, l.name)
				}
			}
		})
	}
	fs, err := m.Package(bookworm, report.Package{Type: report.TypeNuGet, Name: "Newtonsoft.Json", Version: "9"})
	if err != nil || len(fs) != 1 {
		t.Errorf("%d findings, %v", len(fs), err)
	}
}
