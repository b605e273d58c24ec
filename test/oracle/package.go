package oracle

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	packageurl "github.com/package-url/packageurl-go"

	"github.com/onceover/onceover/internal/report"
)

// An Item is one package as either side names it, in one form:
//
//   - Type is the type of the package URL.
//   - Java packages are "group:artifact".
//   - Python names are normalised by PEP 503.
//   - Go versions stand without "v" and "go", rpm versions without an epoch
//     of 0.
//   - An unknown version is empty.
type Item struct {
	Type, Name, Version string
}

// Compare orders items by type, name and version.
func (i Item) Compare(o Item) int {
	return cmp.Or(cmp.Compare(i.Type, o.Type), cmp.Compare(i.Name, o.Name), cmp.Compare(i.Version, o.Version))
}

func (i Item) String() string { return i.Type + " " + i.Name + " " + i.Version }

// A List is the packages of an image with the places where each was found.
type List map[Item][]string

// Items in order.
func (l List) Items() []Item { return slices.SortedFunc(maps.Keys(l), Item.Compare) }

func (l List) add(i Item, path string) {
	i.normalize()
	if !slices.Contains(l[i], path) {
		l[i] = append(l[i], path)
	}
}

func (i *Item) normalize() {
	switch i.Type {
	case report.TypePython:
		i.Name = pythonName(i.Name)
	case report.TypeGo:
		i.Version = strings.TrimPrefix(strings.TrimPrefix(i.Version, "go"), "v")
		if i.Version == "(devel)" {
			i.Version = ""
		}
	case report.TypeRPM:
		i.Version = strings.TrimPrefix(i.Version, "0:")
	}
	if i.Version == "UNKNOWN" {
		i.Version = ""
	}
}

var pythonSeparators = regexp.MustCompile(`[-_.]+`)

func pythonName(s string) string {
	return strings.ToLower(pythonSeparators.ReplaceAllString(s, "-"))
}

// types are syft's names of package types that have another in a package URL.
var types = map[string]string{
	"go-module": report.TypeGo, "python": report.TypePython, "java-archive": report.TypeJava,
	"dotnet": report.TypeNuGet, "rust-crate": report.TypeCargo, "php-composer": report.TypeComposer, "R-package": report.TypeCRAN,
	"lua-rocks": report.TypeLua, "erlang-otp": report.TypeOTP, "wordpress-plugin": report.TypeWordPress, "portage": report.TypeEbuild,
	"binary": report.TypeGeneric,
}

// SyftPackages is what syft finds in an OCI layout or docker-archive, given as
// syft wants it ("oci-dir:PATH").
func (t Tools) SyftPackages(ctx context.Context, target string) (List, error) {
	out, err := t.run(ctx, nil, t.Syft, "scan", target, "-q", "-o", "json")
	if err != nil {
		return nil, err
	}
	return ReadSyft(out)
}

// ReadSyft reads the JSON output of syft for one image.
func ReadSyft(out []byte) (List, error) {
	var doc struct {
		Artifacts []struct {
			Name, Version, Type, PURL string
			Locations                 []struct{ Path string }
		}
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		return nil, fmt.Errorf("read syft's report: %w", err)
	}
	list := List{}
	for _, a := range doc.Artifacts {
		i := Item{Type: a.Type, Name: a.Name, Version: a.Version}
		if t, ok := types[a.Type]; ok {
			i.Type = t
		}
		if i.Type == report.TypeJava {
			p, err := packageurl.FromString(a.PURL)
			if err != nil {
				return nil, fmt.Errorf("read syft's report: %w", err)
			}
			i.Name = p.Namespace + ":" + p.Name
		}
		path := ""
		if len(a.Locations) > 0 {
			path = a.Locations[0].Path
		}
		list.add(i, path)
	}
	return list, nil
}

// Scan is what onceover found in one image.
type Scan struct {
	Packages List
	// Declared are packages that a file names and that are not installed.
	Declared List
	// Owned are the installed packages whose files a distribution's package
	// owns, wherever they lie.
	Owned map[Item]bool
	// Modules are the modularity labels of packages that have one.
	Modules  map[Item]string
	Findings []Finding
	Complete bool
	Problems []report.Problem
}

// ReadScan reads the JSON output of "onceover scan" of one image.
func ReadScan(out []byte) (*Scan, error) {
	var doc struct {
		Images []struct {
			Packages []report.Package `json:"packages"`
			Findings []report.Finding `json:"findings"`
			Problems []report.Problem `json:"problems"`
			Complete bool             `json:"complete"`
			Error    string           `json:"error"`
		} `json:"images"`
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		return nil, fmt.Errorf("read onceover's report: %w", err)
	}
	if len(doc.Images) != 1 {
		return nil, fmt.Errorf("read onceover's report: %d images, want 1", len(doc.Images))
	}
	img := doc.Images[0]
	if img.Error != "" {
		return nil, fmt.Errorf("onceover could not scan the image: %s", img.Error)
	}
	s := &Scan{Packages: List{}, Declared: List{}, Owned: map[Item]bool{}, Modules: map[Item]string{}, Complete: img.Complete, Problems: img.Problems}
	for _, p := range img.Packages {
		i := Item{Type: p.Type, Name: p.Name, Version: p.Version}
		i.normalize()
		if p.Declared {
			s.Declared.add(i, p.Path)
			continue
		}
		if _, again := s.Packages[i]; !again || s.Owned[i] {
			s.Owned[i] = p.OwnedBy != ""
		}
		s.Packages.add(i, p.Path)
		if p.Module != "" {
			s.Modules[i] = p.Module
		}
	}
	for _, f := range img.Findings {
		i := Item{Type: f.Package.Type, Name: f.Package.Name, Version: f.Package.Version}
		i.normalize()
		s.Findings = append(s.Findings, Finding{Package: i.withoutGroup(), ID: f.Evidence.Record, Aliases: slices.Concat([]string{f.ID}, f.Aliases, f.CVEs)})
	}
	return s, nil
}

// Differences are those of the package lists, with what only Onceover knows.
func (s *Scan) Differences(oracle List) []Difference {
	ds := Differences(s.Packages, oracle)
	for i := range ds {
		d := &ds[i]
		d.Owned = d.Side == OnlyOurs && s.Owned[d.Package]
		if d.Side == OnlyOurs {
			continue
		}
		_, d.Declared = s.Declared[d.Package]
		for _, o := range s.Packages.Items() {
			if o.Type != d.Package.Type && o.Name == d.Package.Name && o.Version == d.Package.Version {
				d.Elsewhere = append(d.Elsewhere, o.Type)
			}
		}
	}
	return ds
}
