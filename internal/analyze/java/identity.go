package java

import (
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/analyze/lines"
)

// An artifact is one Maven artifact.
type artifact struct {
	group, artifact, version string
	licenses                 []string
	// from is the entry that says so.
	from string
}

func (a artifact) name() string {
	if a.group == "" {
		return a.artifact
	}
	return a.group + ":" + a.artifact
}

// An identity collects what an archive says about itself.
type identity struct {
	manifest map[string]string // main section, keys in lower case; nil if none
	props    []artifact
	// poms are the coordinates in the paths of pom.xml files; their
	// versions are often those of a parent, and are not read.
	poms []artifact
}

// readManifest reads the main section of a manifest ("JAR File Specification":
// fields, folded by a leading blank, up to a blank line).
func (id *identity) readManifest(ctx context.Context, r io.Reader) error {
	if id.manifest == nil {
		id.manifest = map[string]string{}
	}
	lr := lines.New(ctx, r)
	last := ""
	for lr.Next() {
		line := string(lr.Line())
		if line == "" {
			break
		}
		if line[0] == ' ' {
			if v := id.manifest[last]; last != "" && len(v) <= maxFieldBytes {
				id.manifest[last] = v + line[1:]
			}
			continue
		}
		k, v, ok := strings.Cut(line, ":")
		last = strings.ToLower(k)
		if !ok || !manifestKey(last) || id.manifest[last] != "" {
			last = ""
			continue
		}
		id.manifest[last] = strings.TrimPrefix(v, " ")
	}
	if lr.Err() != nil {
		return fmt.Errorf("read manifest: %w", lr.Err())
	}
	return nil
}

// manifestKey reports whether a field is read at all.
func manifestKey(k string) bool {
	switch k {
	case "implementation-title", "implementation-version", "implementation-vendor-id",
		"specification-version", "bundle-name", "bundle-symbolicname", "bundle-version", "bundle-license",
		"automatic-module-name",
		"short-name", "extension-name", "group-id", "plugin-version", "plugin-license-name":
		return true
	}
	return false
}

// field is a field of the manifest, "" if it is absent, too long or not text of
// one line.
func (id *identity) field(keys ...string) string {
	for _, k := range keys {
		if v := strings.TrimSpace(id.manifest[k]); usable(v) {
			return v
		}
	}
	return ""
}

// usable reports whether s can be a value: not empty, short, no control
// characters, no placeholder that a build forgot to replace.
func usable(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return s != "" && len(s) <= maxFieldBytes && !strings.Contains(s, "${")
}

// word is the same for names and versions, which hold no blanks either.
func word(s string) bool { return usable(s) && !strings.Contains(s, " ") }

// readProperties reads a pom.properties. Coordinates that it leaves out are
// those of the path META-INF/maven/GROUP/ARTIFACT; one without a version is no
// evidence of anything.
func (id *identity) readProperties(ctx context.Context, from string, r io.Reader) error {
	a := artifact{from: from}
	defaults, _ := mavenPath(from)
	lr := lines.New(ctx, r)
	for lr.Next() {
		k, v, ok := strings.Cut(string(lr.Line()), "=")
		if !ok {
			k, v, _ = strings.Cut(string(lr.Line()), ":")
		}
		v = strings.TrimSpace(v)
		switch strings.TrimSpace(k) {
		case "groupId":
			a.group = v
		case "artifactId":
			a.artifact = v
		case "version":
			a.version = v
		}
	}
	if lr.Err() != nil {
		return fmt.Errorf("read pom.properties: %w", lr.Err())
	}
	if a.group == "" {
		a.group = defaults.group
	}
	if a.artifact == "" {
		a.artifact = defaults.artifact
	}
	if word(a.group) && word(a.artifact) && word(a.version) && !strings.Contains(a.group+a.artifact, ":") {
		id.props = append(id.props, a)
	}
	return nil
}

// addPOM notes the coordinates in the path of a pom.xml.
func (id *identity) addPOM(entry string) {
	if a, ok := mavenPath(entry); ok && len(id.poms) < maxPOMs {
		id.poms = append(id.poms, a)
	}
}

// mavenPath are the coordinates in "META-INF/maven/GROUP/ARTIFACT/pom.xml".
func mavenPath(entry string) (artifact, bool) {
	part := strings.Split(strings.TrimPrefix(entry, "/"), "/")
	if len(part) != 5 || part[0] != "META-INF" || part[1] != "maven" {
		return artifact{}, false
	}
	a := artifact{group: part[2], artifact: part[3], from: entry}
	return a, word(a.group) && word(a.artifact) && !strings.Contains(a.group+a.artifact, ":")
}

// artifacts are what the archive at p is and contains: first itself, then what
// was shaded into it.
func (id *identity) artifacts(p string) []artifact {
	slices.SortFunc(id.props, func(a, b artifact) int { return strings.Compare(a.from, b.from) })
	id.props = slices.CompactFunc(id.props, func(a, b artifact) bool { return a.name() == b.name() && a.version == b.version })
	base := path.Base(p)
	stem := strings.TrimSuffix(base, path.Ext(base))
	fileName, fileVersion := splitFileName(stem)

	var out []artifact
	if self := id.self(stem, fileName, fileVersion); self >= 0 {
		out = append(out, id.props[self])
		id.props = slices.Delete(id.props, self, self+1)
	} else if a, ok := inRepository(p); ok {
		out = append(out, a)
	} else if a, ok := id.fromManifest(fileName, fileVersion, path.Ext(base)); ok {
		out = append(out, a)
	}
	if l := id.field("bundle-license", "plugin-license-name"); l != "" && len(out) > 0 {
		out[0].licenses = []string{l}
	}
	return append(out, id.props...)
}

// self is the index of the pom.properties that tells of the archive itself, -1
// if none does: the one that fits the name of the file, or where the file was
// renamed, the only one of the version that the archive has.
func (id *identity) self(stem, fileName, fileVersion string) int {
	for i, p := range id.props {
		if stem == p.artifact || stem == p.artifact+"-"+p.version || fileName == p.artifact {
			return i
		}
	}
	for i, a := range id.props {
		if fileName != "" && (strings.HasPrefix(a.artifact, fileName) || strings.HasSuffix(fileName, a.artifact)) {
			return i
		}
	}
	if len(id.props) == 1 {
		if id.sameVersion(id.props[0].version, fileVersion) {
			return 0
		}
		return -1
	}
	self := -1
	for i, p := range id.props {
		if v := id.field("implementation-version"); v == "" || p.version != v {
			continue
		}
		if self >= 0 {
			return -1
		}
		self = i
	}
	return self
}

// sameVersion reports whether version is the one that the manifest or the name
// of the file tell, or neither tells any.
func (id *identity) sameVersion(version, fileVersion string) bool {
	told := false
	for _, v := range []string{fileVersion, id.field("implementation-version"), id.field("specification-version"), id.field("bundle-version")} {
		if v == version {
			return true
		}
		told = told || v != ""
	}
	return !told
}

// fromManifest is the identity of an archive without a pom.properties of its
// own.
func (id *identity) fromManifest(fileName, fileVersion, ext string) (artifact, bool) {
	if id.manifest == nil && (fileVersion == "" || len(id.props) > 0) {
		return artifact{}, false // a file that is only called like an archive of Java
	}
	a := artifact{artifact: fileName}
	if word(fileVersion) && !strings.HasSuffix(fileVersion, ".x") { // "4.x" is a link's name
		a.version = fileVersion
	}
	if ext == ".hpi" || ext == ".jpi" { // a Jenkins plug-in says it all
		if s := id.field("short-name", "extension-name"); word(s) {
			a.artifact = s
		}
		if v, _, _ := strings.Cut(id.field("plugin-version"), " "); word(v) {
			a.version = v
		}
		a.group = id.field("group-id")
	}
	// A file named by its product alone: "liquibase.jar" is liquibase-core,
	// if that is the only project which left its pom.xml.
	if fileVersion == "" && fileName != "" && len(id.props) == 0 && len(id.poms) == 1 && strings.HasPrefix(id.poms[0].artifact, fileName+"-") {
		a.artifact, a.group = id.poms[0].artifact, id.poms[0].group
	}
	if a.artifact == "" {
		for _, k := range []string{"bundle-name", "short-name", "extension-name", "implementation-title"} {
			if s := id.field(k); word(s) {
				a.artifact = s
				break
			}
		}
	}
	if a.version == "" {
		for _, k := range []string{"implementation-version", "specification-version", "plugin-version", "bundle-version"} {
			if v := id.field(k); word(v) && !strings.Contains(v, "?") {
				a.version = v
				break
			}
		}
	}
	if a.version == "" && word(fileVersion) {
		a.version = fileVersion
	}
	if a.group == "" {
		a.group, a.artifact, a.version = id.group(a.artifact, a.version)
	}
	if !word(a.group) || strings.Contains(a.group, ":") {
		a.group = ""
	}
	return a, word(a.artifact) && !strings.Contains(a.artifact, ":")
}

// group are the coordinates of an artifact without a pom.properties: the group
// by the path of a pom.xml, the manifest's title, the table of families, the
// name of the bundle or module, or the vendor. The artifact is another than the
// file says where a distribution put a release into the name of the file
// ("tomcat9-catalina", "log4j-1.2") and the rest of the evidence bears that out.
func (id *identity) group(name, version string) (group, artifact, v string) {
	for _, p := range id.poms {
		if p.artifact == name {
			return p.group, name, version
		}
	}
	if base, v, ok := strings.Cut(version, "-"); ok && strings.HasPrefix(v, base+".") && dotted(v) {
		version = v // "log4j-1.2-1.2.17"
	}
	other := withoutRelease(name)
	title := id.field("implementation-title")
	if g, a, ok := strings.Cut(title, ":"); ok && word(g) && word(a) && !strings.Contains(a, ":") && (a == name || a == other) {
		return g, a, version
	}
	if g := knownGroup(name, version); g != "" {
		return g, name, version
	}
	if other != "" {
		g := knownGroup(other, version)
		if g != "" && (title == other || id.field("bundle-name") == other || majorOf(version) == releaseIn(name)) {
			return g, other, version
		}
	}
	for _, k := range []string{"bundle-symbolicname", "automatic-module-name"} {
		bundle, _, _ := strings.Cut(id.field(k), ";")
		bundle = strings.TrimSpace(bundle)
		if g := groupOfBundle(bundle, name); g != "" {
			return g, name, version
		}
		if g := groupOfBundle(bundle, other); other != "" && g != "" {
			return g, other, version
		}
	}
	// "org.apache" is a vendor of a hundred groups, and no group.
	if g := id.field("implementation-vendor-id"); word(g) && strings.Contains(g, ".") && g != "org.apache" {
		return g, name, version
	}
	return "", name, version
}

// withoutRelease is "tomcat-catalina" for "tomcat9-catalina" and "lucene" for
// "lucene3", "" if the first word does not end in a number.
func withoutRelease(name string) string {
	first, rest, dash := strings.Cut(name, "-")
	if bare := strings.TrimRight(first, "0123456789"); bare != "" && bare != first {
		if dash {
			bare += "-"
		}
		return bare + rest
	}
	// "commons-collections3" has its number at the end.
	if bare := strings.TrimRight(name, "0123456789"); dash && bare != name && !strings.HasSuffix(bare, "-") {
		return bare
	}
	return ""
}

// releaseIn is the number that withoutRelease takes off.
func releaseIn(name string) string {
	first, _, _ := strings.Cut(name, "-")
	if bare := strings.TrimRight(first, "0123456789"); bare != first {
		return first[len(bare):]
	}
	return name[len(strings.TrimRight(name, "0123456789")):]
}

// majorOf is the first number of a version.
func majorOf(version string) string {
	return version[:len(version)-len(strings.TrimLeft(version, "0123456789"))]
}

// groupOfBundle takes the artifact off the symbolic name of a bundle. Maven's
// bundle plug-in and Gradle's make the name of both, and leave out what the
// artifact repeats of the end of the group: org.mongodb:mongodb-driver-core is
// "org.mongodb.driver-core". A name that does not end in the artifact tells no
// group: "com.google.inject.assistedinject" belongs to com.google.inject.extensions.
func groupOfBundle(name, artifact string) string {
	dashed := strings.ReplaceAll(name, ".", "-")
	for i := strings.LastIndexByte(name, '.'); i > 0; i = strings.LastIndexByte(name[:i], '.') {
		group := name[:i]
		last := strings.LastIndexByte(group, '.')
		if last < 0 {
			return "" // one word is no group
		}
		rest := dashed[i+1:]
		if artifact == rest || artifact == group[last+1:]+"-"+rest {
			return group
		}
	}
	return ""
}

// repositories are the ends of the paths at which a repository of artifacts
// begins, those of Maven, of Debian and of Coursier.
var repositories = []string{"/.m2/repository/", "/maven-repo/", "/maven2/"}

// inRepository is the artifact by its place in a repository:
// GROUP/AS/PATH/ARTIFACT/VERSION/ARTIFACT-VERSION.jar (Maven), or
// files-2.1/GROUP/ARTIFACT/VERSION/HASH/ARTIFACT-VERSION.jar (Gradle).
func inRepository(p string) (artifact, bool) {
	dir, base := path.Split(p[strings.LastIndexByte(p, '!')+1:])
	stem := strings.TrimSuffix(base, path.Ext(base))
	part := strings.Split(strings.Trim(dir, "/"), "/")
	n := len(part)
	var a artifact
	if n >= 5 && part[n-5] == "files-2.1" {
		a = artifact{group: part[n-4], artifact: part[n-3], version: part[n-2]}
	} else {
		for _, r := range repositories {
			i := strings.LastIndex(dir, r)
			if i < 0 {
				continue
			}
			gav := strings.Split(strings.Trim(dir[i+len(r):], "/"), "/")
			if n := len(gav); n >= 3 {
				a = artifact{group: strings.Join(gav[:n-2], "."), artifact: gav[n-2], version: gav[n-1]}
			}
			break
		}
	}
	ok := a.artifact != "" && (stem == a.artifact+"-"+a.version || strings.HasPrefix(stem, a.artifact+"-"+a.version+"-")) &&
		word(a.group) && word(a.artifact) && word(a.version) && !strings.Contains(a.group+a.artifact, ":")
	return a, ok
}

// splitFileName takes "commons-io-2.11.0" apart: the version begins at the
// first "-" that a digit follows, unless a word and another version with a dot
// come behind it ("log4j-1.2-api-2.17.1"); else, as OSGi bundles are named, at
// the last "_" that a digit follows.
func splitFileName(stem string) (name, version string) {
	at := -1
	for i := 1; i+1 < len(stem); i++ {
		if stem[i] != '-' || !digit(stem[i+1]) {
			continue
		}
		if at < 0 || partOfName(stem[at+1:i]) && dotted(stem[i+1:]) {
			at = i
		}
	}
	if at < 0 {
		if at = strings.LastIndexByte(stem, '_'); at <= 0 || at+1 == len(stem) || !digit(stem[at+1]) {
			return stem, ""
		}
	}
	return stem[:at], stem[at+1:]
}

// partOfName reports whether s, "1.2-api", goes on behind its number with a
// word that no version has.
func partOfName(s string) bool {
	_, word, ok := strings.Cut(s, "-")
	if !ok {
		return false
	}
	word = strings.ToLower(strings.TrimRight(word, "0123456789."))
	switch word {
	case "", "alpha", "beta", "rc", "m", "cr", "sp", "b", "pre", "preview", "milestone", "snapshot", "incubating", "ga", "final", "release", "rev", "r", "build", "patch", "p":
		return false
	}
	return true
}

// dotted reports whether s begins with a number, a dot and a number.
func dotted(s string) bool {
	rest := strings.TrimLeft(s, "0123456789")
	return len(rest) < len(s) && len(rest) > 1 && rest[0] == '.' && digit(rest[1])
}

func digit(c byte) bool { return c >= '0' && c <= '9' }
