package oracle

import (
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/report"
)

// syftRules explain what syft finds and Onceover does not, on any image.
func syftRules() []Rule { return slices.Concat(packageRules, recallRules, syftOnlyRules) }

// osvRules explain what osv-scanner finds and Onceover does not.
func osvRules() []Rule { return slices.Concat(recallRules, osvOnlyRules) }

var syftOnlyRules = []Rule{
	{
		Name:   "program of a runtime",
		Reason: "a program that is a script of an OTP application; Onceover lists the application, with the same name and version",
		Explains: func(d Difference) bool {
			return missing(d, report.TypeGeneric) && d.Package.Version != "" && slices.Contains(d.Elsewhere, report.TypeOTP)
		},
	},
	{
		Name:   "Go program without modules",
		Reason: "Debian builds Go programs outside of modules: the binary names no module and no version of its own, so that nothing can be matched; syft lists the path of the package, Onceover the standard library",
		Explains: func(d Difference) bool {
			return missing(d, report.TypeGo) && d.Package.Version == "" && slices.ContainsFunc(d.Here, func(o Item) bool { return o.Name == "stdlib" })
		},
	},
	{
		Name:   "assembly by its product",
		Reason: "syft names an assembly by the product in its version resource (\"Json.NET\", or one name for all of Mono), Onceover by the assembly, as NuGet and advisories do; a version of zeros is none",
		Explains: func(d Difference) bool {
			return missing(d, report.TypeNuGet) && slices.ContainsFunc(d.Here, func(o Item) bool {
				return o.Version == d.Package.Version || o.Version == "" && strings.Trim(d.Package.Version, ".0") == ""
			})
		},
	},
	{
		Name:   "R package of a test",
		Reason: "the sources of a package that a test of another one builds; nobody built it, so that R cannot load it (its DESCRIPTION lacks Built)",
		Explains: func(d Difference) bool {
			return missing(d, report.TypeCRAN) && !slices.ContainsFunc(d.Paths, func(p string) bool { return !strings.Contains(p, "/tests/testthat/") })
		},
	},
	{
		Name:   "plug-in by its title",
		Reason: "syft names a WordPress plug-in by its title, Onceover by its slug, as advisories do",
		Explains: func(d Difference) bool {
			return missing(d, report.TypeWordPress) && slices.ContainsFunc(d.Here, func(o Item) bool { return o.Version == d.Package.Version })
		},
	},
}

var osvOnlyRules = []Rule{
	{
		Name:   "wheel in a file",
		Reason: "a wheel that lies there as a file is what pip and venv install from, it is not installed; Debian keeps its own in a package that is listed",
		Explains: func(d Difference) bool {
			return missing(d, report.TypePython) && !slices.ContainsFunc(d.Paths, func(p string) bool { return !strings.HasSuffix(p, ".whl") })
		},
	},
}

// recallRules hold for both.
var recallRules = []Rule{
	{
		Name: "inside an npm package",
		Reason: "the package.json lies below the root of an installed npm package and not in a node_modules there: a mark for a bundler, a test case, or a part that the publisher compiled in. " +
			"Onceover lists it as declared if it states a version; without one nothing can be matched",
		Explains: func(d Difference) bool {
			return missing(d, report.TypeNPM) && (d.Declared || d.Package.Version == "") &&
				!slices.ContainsFunc(d.Paths, func(p string) bool { return !insideNPMPackage(p) })
		},
	},
	{
		Name: "jar that Debian renamed",
		Reason: "Debian puts a version into the names of jars (tomcat10-catalina-10.1.55.jar, log4j-1.2-1.2.17.jar); the others take the artifact from there, Onceover lists the same jar " +
			"under the coordinates and the version that its manifest and its family tell",
		Explains: func(d Difference) bool {
			_, a1 := coordinates(d.Package)
			return missing(d, report.TypeJava) && !slices.ContainsFunc(d.Paths, func(p string) bool { return !strings.HasPrefix(p, "/usr/share/") }) &&
				slices.ContainsFunc(d.Here, func(o Item) bool {
					_, a2 := coordinates(o)
					return withoutDigits(a1) == withoutDigits(a2) && (a1 != a2 || o.Version != d.Package.Version)
				})
		},
	},
	{
		Name: "jar by the name of its bundle",
		Reason: "the others cut the symbolic name of a bundle at its last dot (org.eclipse.jetty.http:http), take the end of a file's name (org.springframework:spring for jetty9-spring.jar), or say that " +
			"they know nothing; Onceover lists the same jar in the same version under the coordinates that it was published with",
		Explains: func(d Difference) bool {
			g, a := coordinates(d.Package)
			a, _, _ = strings.Cut(a, ";")
			return missing(d, report.TypeJava) && (a == "unknown" && len(d.Here) > 0 || slices.ContainsFunc(d.Here, func(o Item) bool {
				_, ours := coordinates(o)
				return o.Version == d.Package.Version && (strings.HasSuffix(g, "."+a) || strings.HasSuffix(ours, "-"+a) || strings.HasSuffix(ours, "."+a))
			}))
		},
	},
	{
		Name:   "group by guess",
		Reason: "both name the same artifact and version of the same jar, which holds no pom.properties: its group is a guess on either side, and the artifact is listed once",
		Explains: func(d Difference) bool {
			_, a1 := coordinates(d.Package)
			return missing(d, report.TypeJava) && slices.ContainsFunc(d.Here, func(o Item) bool {
				_, a2 := coordinates(o)
				return a1 == a2 && o.Version == d.Package.Version
			})
		},
	},
}

func withoutDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, s)
}

func missing(d Difference, kind string) bool { return d.Side == OnlyOracle && d.Package.Type == kind }

// insideNPMPackage reports whether a package.json lies deeper in node_modules
// than the root of a package.
func insideNPMPackage(path string) bool {
	inside := ""
	for _, modules := range []string{"/node_modules/", "/usr/share/nodejs/"} { // the latter is Debian's
		if i := strings.LastIndex(path, modules); i >= 0 {
			inside = path[i+len(modules):]
			break
		}
	}
	if inside == "" {
		return false
	}
	rest := strings.Split(inside, "/")
	root := 1
	if strings.HasPrefix(rest[0], "@") {
		root = 2
	}
	return len(rest) > root+1
}
