package oracle

import (
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/report"
)

// syftRules explain what syft finds and Onceover does not, on any image.
func syftRules() []Rule { return slices.Concat(packageRules, recallRules) }

// osvRules explain what osv-scanner finds and Onceover does not.
func osvRules() []Rule {
	return append(slices.Clone(recallRules), Rule{
		Name:   "wheel in a file",
		Reason: "a wheel that lies there as a file is what pip and venv install from, it is not installed; Debian keeps its own in a package that is listed",
		Explains: func(d Difference) bool {
			return d.Side == OnlyOracle && d.Package.Type == report.TypePython &&
				!slices.ContainsFunc(d.Paths, func(p string) bool { return !strings.HasSuffix(p, ".whl") })
		},
	})
}

var recallRules = []Rule{
	{
		Name: "inside an npm package",
		Reason: "the package.json lies below the root of an installed npm package and not in a node_modules there: a mark for a bundler, a test case, or a part that the publisher compiled in. " +
			"Onceover lists it as declared if it states a version; without one nothing can be matched",
		Explains: func(d Difference) bool {
			return d.Side == OnlyOracle && d.Package.Type == report.TypeNPM && (d.Declared || d.Package.Version == "") &&
				!slices.ContainsFunc(d.Paths, func(p string) bool { return !insideNPMPackage(p) })
		},
	},
	{
		Name:   "group by guess",
		Reason: "both name the same artifact and version of the same jar, which holds no pom.properties: its group is a guess on either side, and the artifact is listed once",
		Explains: func(d Difference) bool {
			_, a1 := coordinates(d.Package)
			return d.Side == OnlyOracle && d.Package.Type == report.TypeJava && slices.ContainsFunc(d.Here, func(o Item) bool {
				_, a2 := coordinates(o)
				return a1 == a2 && o.Version == d.Package.Version
			})
		},
	},
}

// insideNPMPackage reports whether a package.json lies deeper in node_modules
// than the root of a package.
func insideNPMPackage(path string) bool {
	const modules = "/node_modules/"
	i := strings.LastIndex(path, modules)
	if i < 0 {
		return false
	}
	rest := strings.Split(path[i+len(modules):], "/")
	root := 1
	if strings.HasPrefix(rest[0], "@") {
		root = 2
	}
	return len(rest) > root+1
}
