package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/package-url/packageurl-go"

	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/version"
)

// A Violation is a package that a rule denies.
type Violation struct {
	// ID is stable for the same rule, package, version, path and layer.
	ID string `json:"id"`
	// Rule is the id of the rule, Reason what it gives and Severity its
	// severity, one of report's; File and Line say where it stands.
	Rule     string `json:"rule"`
	Reason   string `json:"reason"`
	Severity string `json:"severity"`
	File     string `json:"file"`
	Line     int    `json:"line"`
	// The package.
	Type    string `json:"type"`
	Name    string `json:"app_name"`
	Version string `json:"app_version"`
	Path    string `json:"app_path"`
	Layer   string `json:"layer_digest,omitempty"`
}

// An Undecided is a package of which a rule could not tell: everything but the
// version holds.
type Undecided struct {
	Rule    string `json:"rule"`
	Type    string `json:"type"`
	Name    string `json:"app_name"`
	Version string `json:"app_version"`
	Path    string `json:"app_path"`
	Reason  string `json:"reason"`
}

// A Result is what a policy says of an image.
type Result struct {
	// Policy is the version of the list.
	Policy     string      `json:"policy"`
	Violations []Violation `json:"violations,omitempty"`
	Undecided  []Undecided `json:"undecided,omitempty"`
}

// Check judges the packages of an inventory, in their order. What is only
// declared and not installed is left out, as it is from counts.
func (p *Policy) Check(inv report.Inventory) Result {
	res := Result{Policy: p.Version()}
	if p.Len() == 0 {
		return res
	}
	for i := range inv.Packages {
		pkg := &inv.Packages[i]
		if pkg.Declared {
			continue
		}
		v, u := p.Judge(pkg, inv.Distro)
		res.Violations = append(res.Violations, v...)
		res.Undecided = append(res.Undecided, u...)
	}
	return res
}

// Judge are the rules that deny a package, and those that cannot tell. A
// package is compliant if none denies it.
func (p *Policy) Judge(pkg *report.Package, d report.Distro) ([]Violation, []Undecided) {
	if p.Len() == 0 {
		return nil, nil
	}
	var purl *packageurl.PackageURL
	if p.purls {
		if u, err := packageurl.FromString(report.PURL(*pkg, d)); err == nil {
			purl = &u
		}
	}
	var denied []Violation
	var unknown []Undecided
	try := func(i int) {
		r := p.rules[i]
		if !r.holds(pkg, purl) {
			return
		}
		in, err := r.inRange(pkg, purl)
		switch {
		case err != nil:
			unknown = append(unknown, Undecided{Rule: r.id, Type: pkg.Type, Name: pkg.Name, Version: pkg.Version, Path: pkg.Path, Reason: err.Error()})
		case in:
			denied = append(denied, Violation{ID: violationID(r, pkg), Rule: r.id, Reason: r.reason, Severity: r.severity, File: r.file, Line: r.line,
				Type: pkg.Type, Name: pkg.Name, Version: pkg.Version, Path: pkg.Path, Layer: pkg.Layer})
		}
	}
	// Both lists are in the order of the rules: merge them.
	a, b := p.byName[pkg.Name], p.others
	for len(a) > 0 || len(b) > 0 {
		if len(b) == 0 || len(a) > 0 && a[0] < b[0] {
			try(a[0])
			a = a[1:]
		} else {
			try(b[0])
			b = b[1:]
		}
	}
	return denied, unknown
}

func violationID(r *rule, pkg *report.Package) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{r.id, pkg.Type, pkg.Name, pkg.Version, pkg.Arch, pkg.Path, pkg.Layer}, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// holds reports whether everything but the version holds.
func (r *rule) holds(pkg *report.Package, purl *packageurl.PackageURL) bool {
	switch {
	case r.exact != "" && r.exact != pkg.Name, r.name != nil && !r.name.MatchString(pkg.Name):
		return false
	case len(r.types) > 0 && !slices.Contains(r.types, pkg.Type):
		return false
	case r.path != nil && !r.inPath(pkg.Path):
		return false
	case r.purl == nil:
		return true
	case purl == nil || purl.Type != r.purl.Type:
		return false
	case r.purl.Namespace != purl.Namespace && (r.purl.Namespace != "" || !report.OSType(pkg.Type)):
		// A distribution's package may be denied whatever distribution.
		return false
	case r.purlName != nil:
		return r.purlName.MatchString(purl.Name)
	default:
		return r.purl.Name == purl.Name
	}
}

// inPath reports whether a pattern holds for a path, or for the archive that
// the path leads into.
func (r *rule) inPath(path string) bool {
	if r.path.MatchString(path) {
		return true
	}
	outer, _, inside := strings.Cut(path, "!")
	return inside && r.path.MatchString(outer)
}

// inRange reports whether the version is one that the rule denies. An error
// means that nobody can tell.
func (r *rule) inRange(pkg *report.Package, purl *packageurl.PackageURL) (bool, error) {
	if r.purl != nil && r.purl.Version != "" {
		return r.purl.Version == purl.Version || r.purl.Version == pkg.Version, nil
	}
	if len(r.versions) == 0 {
		return true, nil
	}
	if pkg.Version == "" {
		return false, fmt.Errorf("the version is not known")
	}
	var cannot error
	for _, all := range r.versions {
		in, err := inAll(all, pkg)
		if err != nil {
			cannot = err
		} else if in {
			return true, nil
		}
	}
	return false, cannot
}

func inAll(all []bound, pkg *report.Package) (bool, error) {
	eco := version.Order(pkg.Type)
	for _, b := range all {
		c := 0
		switch {
		case b.version == pkg.Version:
		case eco == "" && (b.op == "=" || b.op == "!="):
			c = 1
		case eco == "":
			return false, fmt.Errorf("there is no order of versions of type %q", pkg.Type)
		default:
			var err error
			if c, err = version.Compare(eco, pkg.Version, b.version); err != nil {
				return false, fmt.Errorf("the version cannot be compared: %w", err)
			}
		}
		if !version.Holds(c, b.op) {
			return false, nil
		}
	}
	return true, nil
}
