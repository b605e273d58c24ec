package sbom

import (
	"fmt"
	"strings"

	packageurl "github.com/package-url/packageurl-go"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

// fromPURL is the package that a package URL names, written as the analyser of
// its type writes it. It gives false for types that no analyser knows, and for
// URLs without a version.
func fromPURL(s string) (report.Package, bool, error) {
	if len(s) > maxPURLBytes {
		return report.Package{}, false, analyze.Limited("bytes in a package URL", int64(len(s)), maxPURLBytes)
	}
	u, err := packageurl.FromString(s)
	if err != nil {
		return report.Package{}, false, err
	}
	p := report.Package{Type: u.Type, Name: u.Name, Version: u.Version}
	q := u.Qualifiers.Map()
	switch u.Type {
	case report.TypeDeb, report.TypeAPK, report.TypeAlpm, report.TypeRPM:
		p.Arch = q["arch"]
		p.Vendor = u.Namespace
		if e := q["epoch"]; e != "" && e != "0" && !strings.Contains(p.Version, ":") {
			p.Version = e + ":" + p.Version
		}
		p.Source, p.SourceVersion = source(q["upstream"], u.Type)
		if p.Source == p.Name {
			p.Source = ""
		}
		if p.SourceVersion == p.Version {
			p.SourceVersion = ""
		}
	case report.TypeGo, report.TypeNPM, report.TypeComposer, report.TypeSwift, report.TypeEbuild:
		if u.Namespace != "" {
			p.Name = u.Namespace + "/" + u.Name
		}
		if p.Name == "stdlib" && u.Type == report.TypeGo {
			p.Version = strings.TrimPrefix(p.Version, "go")
		}
	case report.TypeJava:
		if u.Namespace != "" {
			p.Name = u.Namespace + ":" + u.Name
		}
	case report.TypePython:
		p.Name = pythonName(p.Name)
	case report.TypeBitnami:
		p.Arch = q["arch"]
	case report.TypeGem, report.TypeNuGet, report.TypeCargo, report.TypeConda, report.TypeCRAN, report.TypeLua,
		report.TypeHex, report.TypeOTP, report.TypeConan:
	case report.TypeGeneric:
		if u.Namespace != "" {
			return p, false, nil // a name of somebody's own
		}
	default:
		return p, false, nil
	}
	if p.Version == "" {
		return p, false, nil
	}
	for _, v := range []string{p.Name, p.Version, p.Arch, p.Source, p.SourceVersion, p.Vendor} {
		if len(v) > maxFieldBytes {
			return p, false, analyze.Limited("bytes in a field", int64(len(v)), maxFieldBytes)
		}
		if v != "" && !analyze.Plain(v) {
			return p, false, fmt.Errorf("%q is no name or version", analyze.Clip(v))
		}
	}
	return p, true, nil
}

// source takes the qualifier "upstream" apart: "name", "name@version", for rpms
// the name of the source package's file.
func source(s, typ string) (name, version string) {
	if typ == report.TypeRPM {
		s = strings.TrimSuffix(strings.TrimSuffix(s, ".rpm"), ".src")
		r := strings.LastIndexByte(s, '-')
		if r <= 0 {
			return s, ""
		}
		v := strings.LastIndexByte(s[:r], '-')
		if v <= 0 {
			return "", ""
		}
		return s[:v], s[v+1:]
	}
	name, version, _ = strings.Cut(s, "@")
	return name, version
}

// pythonName is the name as PEP 503 normalises it.
func pythonName(s string) string {
	var b strings.Builder
	dash := false
	for _, c := range []byte(strings.ToLower(s)) {
		if c == '-' || c == '_' || c == '.' {
			dash = true
			continue
		}
		if dash && b.Len() > 0 {
			b.WriteByte('-')
		}
		dash = false
		b.WriteByte(c)
	}
	return b.String()
}
