package version

import "github.com/onceover/onceover/internal/report"

// Ecosystem is the ecosystem in which packages of a language are published, by
// the type of a package URL; "" for packages of distributions and for types
// without an ecosystem. The types beside report's constants are those of
// package URLs.
func Ecosystem(packageType string) string {
	switch packageType {
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
	case report.TypeBitnami:
		return "Bitnami"
	case report.TypeCRAN:
		return "CRAN"
	case "hackage":
		return "Hackage"
	case "pub":
		return "Pub"
	case report.TypeHex:
		return "Hex"
	case report.TypeSwift:
		return "SwiftURL"
	case report.TypeConan:
		return "ConanCenter"
	default:
		return ""
	}
}

// Order is an ecosystem in which Compare orders versions as a type of packages
// does, those of distributions among them; "" for types that have no order.
func Order(packageType string) string {
	switch packageType {
	case report.TypeDeb, report.TypeOpkg:
		return "deb"
	case report.TypeRPM:
		return "rpm"
	case report.TypeAPK:
		return "apk"
	default:
		return Ecosystem(packageType)
	}
}

// Holds reports whether "a OPERATOR b" is so where Compare says c of a and b.
// The operators are <, <=, >, >=, = and !=; with any other nothing holds.
func Holds(c int, operator string) bool {
	switch operator {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	case ">=":
		return c >= 0
	case "=":
		return c == 0
	case "!=":
		return c != 0
	default:
		return false
	}
}
