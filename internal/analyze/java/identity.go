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

// readProperties reads a pom.properties. One without the three coordinates is
// no evidence of anything.
func (id *identity) readProperties(ctx context.Context, from string, r io.Reader) error {
	a := artifact{from: from}
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
	if word(a.group) && word(a.artifact) && word(a.version) && !strings.Contains(a.group+a.artifact, ":") {
		id.props = append(id.props, a)
	}
	return nil
}

// artifacts are what the archive called base is and contains: first itself,
// then what was shaded into it.
func (id *identity) artifacts(base string) []artifact {
	slices.SortFunc(id.props, func(a, b artifact) int { return strings.Compare(a.from, b.from) })
	id.props = slices.CompactFunc(id.props, func(a, b artifact) bool { return a.name() == b.name() && a.version == b.version })
	stem := strings.TrimSuffix(base, path.Ext(base))
	fileName, fileVersion := splitFileName(stem)

	self := -1
	for i, p := range id.props {
		if stem == p.artifact || stem == p.artifact+"-"+p.version || fileName == p.artifact {
			self = i
			break
		}
	}
	for i := 0; self < 0 && i < len(id.props); i++ {
		p := id.props[i].artifact
		if fileName != "" && (strings.HasPrefix(p, fileName) || strings.HasSuffix(fileName, p)) {
			self = i
		}
	}
	if self < 0 && len(id.props) == 1 && id.sameVersion(id.props[0].version, fileVersion) {
		self = 0 // a renamed file
	}
	var out []artifact
	if self >= 0 {
		out = append(out, id.props[self])
		id.props = slices.Delete(id.props, self, self+1)
	} else if a, ok := id.fromManifest(fileName, fileVersion, path.Ext(base)); ok {
		out = append(out, a)
	}
	if l := id.field("bundle-license", "plugin-license-name"); l != "" && len(out) > 0 {
		out[0].licenses = []string{l}
	}
	return append(out, id.props...)
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
	if word(fileVersion) {
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
			if v := id.field(k); word(v) {
				a.version = v
				break
			}
		}
	}
	if a.group == "" {
		a.group = knownGroup(a.artifact)
	}
	if g := id.field("implementation-vendor-id"); a.group == "" && word(g) && strings.Contains(g, ".") {
		a.group = g
	}
	if !word(a.group) || strings.Contains(a.group, ":") {
		a.group = ""
	}
	return a, word(a.artifact) && !strings.Contains(a.artifact, ":")
}

// splitFileName takes "commons-io-2.11.0" apart: the version begins at the
// first "-" that a digit follows, else, as OSGi bundles are named, at the last
// "_" that a digit follows.
func splitFileName(stem string) (name, version string) {
	for i := 1; i+1 < len(stem); i++ {
		if stem[i] == '-' && digit(stem[i+1]) {
			return stem[:i], stem[i+1:]
		}
	}
	if i := strings.LastIndexByte(stem, '_'); i > 0 && i+1 < len(stem) && digit(stem[i+1]) {
		return stem[:i], stem[i+1:]
	}
	return stem, ""
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// knownGroups are the groups of families that are published without Maven's
// files in their archives, by the beginning of the artifact; the longest
// beginning counts.
var knownGroups = []struct{ prefix, group string }{
	{"spring-", "org.springframework"},
	{"spring-boot", "org.springframework.boot"},
	{"spring-security-", "org.springframework.security"},
	{"spring-data-", "org.springframework.data"},
	{"spring-cloud-", "org.springframework.cloud"},
	{"spring-integration-", "org.springframework.integration"},
	{"spring-kafka", "org.springframework.kafka"},
	{"spring-batch-", "org.springframework.batch"},
	{"spring-session-", "org.springframework.session"},
	{"spring-ws-", "org.springframework.ws"},
	{"tomcat-", "org.apache.tomcat"},
	{"tomcat-embed-", "org.apache.tomcat.embed"},
	{"kotlin-stdlib", "org.jetbrains.kotlin"},
	{"kotlin-reflect", "org.jetbrains.kotlin"},
	{"okhttp", "com.squareup.okhttp3"},
	{"okio", "com.squareup.okio"},
	{"hibernate-core", "org.hibernate"},
	{"groovy", "org.codehaus.groovy"},
	{"micrometer-", "io.micrometer"},
	{"reactor-core", "io.projectreactor"},
	{"kafka-clients", "org.apache.kafka"},
	{"kafka_", "org.apache.kafka"},
	{"lucene-", "org.apache.lucene"},
	{"bcprov-", "org.bouncycastle"},
	{"bcpkix-", "org.bouncycastle"},
	{"ant", "org.apache.ant"},
}

func knownGroup(artifact string) string {
	group, length := "", 0
	for _, k := range knownGroups {
		// "ant" alone is exact, a longer family name may stand for its members.
		if len(k.prefix) <= 4 && artifact != k.prefix {
			continue
		}
		if strings.HasPrefix(artifact, k.prefix) && len(k.prefix) > length {
			group, length = k.group, len(k.prefix)
		}
	}
	return group
}
