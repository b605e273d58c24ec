package report

import (
	"cmp"
	"strings"

	packageurl "github.com/package-url/packageurl-go"
)

// PURL is the package URL of p in an image of distribution d, in canonical
// form (https://github.com/package-url/purl-spec).
func PURL(p Package, d Distro) string {
	var ns string
	name, version := p.Name, p.Version
	q := map[string]string{}
	if p.Arch != "" {
		q["arch"] = p.Arch
	}
	switch p.Type {
	case TypeDeb, TypeAPK:
		ns = d.ID
	case TypeAlpm:
		ns = cmp.Or(d.ID, "arch")
	case TypeRPM:
		ns = d.ID
		if epoch, rest, ok := strings.Cut(version, ":"); ok {
			q["epoch"], version = epoch, rest
		}
	case TypeGo, TypeNPM, TypeComposer, TypeSwift, TypeEbuild:
		if i := strings.LastIndexByte(name, '/'); i >= 0 {
			ns, name = name[:i], name[i+1:]
		}
	case TypeJava:
		if g, a, ok := strings.Cut(name, ":"); ok {
			ns, name = g, a
		}
	}
	if OSType(p.Type) {
		if d.ID != "" && d.VersionID != "" {
			q["distro"] = d.ID + "-" + d.VersionID
		}
		if p.Source != "" && p.Source != p.Name {
			q["upstream"] = p.Source
			if p.SourceVersion != "" && p.Type != TypeRPM {
				q["upstream"] += "@" + p.SourceVersion
			}
		}
	}
	if p.SBOM && OSType(p.Type) && p.Vendor != "" {
		ns = p.Vendor
	}
	typ := p.Type
	switch typ {
	case TypeOpkg, TypeKernel, TypeKernelModule, TypeSnap, TypeFlatpak, TypeWordPress:
		ns, typ = typ, packageurl.TypeGeneric // not types of the specification
	}
	return packageurl.NewPackageURL(typ, ns, name, version, packageurl.QualifiersFromMap(q), "").ToString()
}
