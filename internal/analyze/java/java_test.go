package java

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/report"
)

// An entry is a file of an archive made for a test.
type entry struct {
	name    string
	content []byte
	stored  bool
}

func text(name, content string) entry { return entry{name: name, content: []byte(content)} }

func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		if e.stored {
			h.Method = zip.Store
		}
		f, err := w.CreateHeader(h)
		if err == nil {
			_, err = f.Write(e.content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pom(group, name, version string) entry {
	return text("META-INF/maven/"+group+"/"+name+"/pom.properties",
		fmt.Sprintf("#Created by a test\r\nversion=%s\r\ngroupId=%s\r\nartifactId=%s\r\n", version, group, name))
}

func manifest(fields ...string) entry {
	return text("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\r\n"+strings.Join(fields, "\r\n")+"\r\n\r\nName: x\r\nImplementation-Version: 99\r\n")
}

func found(t *testing.T, p string, content []byte) []string {
	t.Helper()
	facts := analyzetest.Facts(t, New(), analyzetest.File(p, content))
	if facts == nil {
		return nil
	}
	var out []string
	for _, p := range facts.Packages {
		if p.Type != report.TypeJava {
			t.Errorf("type %s", p.Type)
		}
		out = append(out, p.Name+" "+p.Version+" "+p.Path)
	}
	return out
}

func TestIdentity(t *testing.T) {
	for _, tc := range []struct {
		name, file string
		entries    []entry
		want       []string // name and version
	}{
		{"pom.properties", "lib-1.2.jar", []entry{pom("org.x", "lib", "1.2"), manifest()}, []string{"org.x:lib 1.2"}},
		{"shaded", "lib-1.2.jar", []entry{pom("com.a", "other", "3"), pom("org.x", "lib", "1.2"), manifest()},
			[]string{"org.x:lib 1.2", "com.a:other 3"}},
		{"digits in the name", "log4j-1.2-api-2.17.1.jar", []entry{pom("org.l", "log4j-1.2-api", "2.17.1"), manifest()}, []string{"org.l:log4j-1.2-api 2.17.1"}},
		{"renamed", "app.jar", []entry{pom("org.x", "lib", "1.2"), manifest("Implementation-Version: 1.2")}, []string{"org.x:lib 1.2"}},
		{"contained, not itself", "app.jar", []entry{pom("org.x", "lib", "1.2"), manifest("Implementation-Version: 7")}, []string{"app 7", "org.x:lib 1.2"}},
		{"twice", "lib.jar", []entry{pom("org.x", "lib", "1.2"), text("x/META-INF/maven/org.x/lib/pom.properties", "groupId=org.x\nartifactId=lib\nversion=1.2\n")}, []string{"org.x:lib 1.2"}},
		{"manifest", "thing.jar", []entry{manifest("Implementation-Version: 4.5", "Implementation-Vendor-Id: org.things")}, []string{"org.things:thing 4.5"}},
		{"folded manifest", "thing.jar", []entry{manifest("Implementation-Vend", "Bundle-Version: 4.5.", " 6")}, []string{"thing 4.5.6"}},
		{"version of the file first", "thing-1.0.jar", []entry{manifest("Implementation-Version: 4.5")}, []string{"thing 1.0"}},
		{"family", "spring-web-5.3.1.jar", []entry{manifest("Implementation-Title: spring-web")}, []string{"org.springframework:spring-web 5.3.1"}},
		{"family within a family", "spring-boot-starter-2.7.0.jar", []entry{manifest()}, []string{"org.springframework.boot:spring-boot-starter 2.7.0"}},
		{"known alone", "antlr-2.7.7.jar", []entry{manifest()}, []string{"antlr:antlr 2.7.7"}},
		{"not a member", "antler-2.7.7.jar", []entry{manifest()}, []string{"antler 2.7.7"}},
		{"digits and a dotted version", "log4j-1.2-api-2.17.1.jar", []entry{manifest()}, []string{"log4j-1.2-api 2.17.1"}},
		{"digits of a qualifier", "thing-1.0-beta-2.1.jar", []entry{manifest()}, []string{"thing 1.0-beta-2.1"}},
		{"a classifier", "thing-1.0-jre.jar", []entry{manifest()}, []string{"thing 1.0-jre"}},
		{"a version of Scala", "things_2.13-3.4.0.jar", []entry{manifest()}, []string{"things_2.13 3.4.0"}},
		{"bundle of group and artifact", "xz-1.9.jar", []entry{manifest("Bundle-SymbolicName: org.tukaani.xz;singleton:=true")}, []string{"org.tukaani:xz 1.9"}},
		{"bundle that leaves out what repeats", "mongodb-driver-core-3.6.3.jar", []entry{manifest("Bundle-SymbolicName: org.mongodb.driver-core")}, []string{"org.mongodb:mongodb-driver-core 3.6.3"}},
		{"bundle with dots", "maven-core-ext-3.jar", []entry{manifest("Bundle-SymbolicName: org.apache.maven.core.ext")}, []string{"org.apache.maven:maven-core-ext 3"}},
		{"bundle of another name", "assisted-4.jar", []entry{manifest("Bundle-SymbolicName: com.google.inject.assistedinject")}, []string{"assisted 4"}},
		{"bundle of one word", "time-4.jar", []entry{manifest("Bundle-SymbolicName: joda.time")}, []string{"time 4"}},
		{"module", "driver-4.jar", []entry{manifest("Automatic-Module-Name: org.things.driver")}, []string{"org.things:driver 4"}},
		{"vendor of many groups", "thing-1.jar", []entry{manifest("Implementation-Vendor-Id: org.apache")}, []string{"thing 1"}},
		{"pom.xml alone", "thing-1.0.jar", []entry{manifest(), text("META-INF/maven/org.other/x/pom.xml", ""), text("META-INF/maven/org.things/thing/pom.xml", "<project/>")}, []string{"org.things:thing 1.0"}},
		{"pom.xml of a product", "thing.jar", []entry{manifest("Bundle-Version: 4"), text("META-INF/maven/org.things/thing-core/pom.xml", "<project/>")}, []string{"org.things:thing-core 4"}},
		{"pom.xml of another", "thing.jar", []entry{manifest("Bundle-Version: 4"), text("META-INF/maven/org.other/things/pom.xml", "<project/>")}, []string{"thing 4"}},
		{"coordinates by the path", "app-1.0.jar", []entry{pom("org.a", "app", "1.0"), text("META-INF/maven/com.b/lib/pom.properties", "artifactId=lib\nversion=2\n"), text("META-INF/maven/com.c/none/pom.properties", "groupId=com.c\n")}, []string{"org.a:app 1.0", "com.b:lib 2"}},
		{"title with coordinates", "batik-all.jar", []entry{manifest("Implementation-Title: org.apache.batik:batik-all", "Implementation-Version: 1.16")}, []string{"org.apache.batik:batik-all 1.16"}},
		{"title of something else", "thing.jar", []entry{manifest("Implementation-Title: org.apache.batik:batik-all", "Implementation-Version: 1.16")}, []string{"thing 1.16"}},
		{"release in the name, by the title", "spring3-core-3.x.jar", []entry{manifest("Implementation-Title: spring-core", "Implementation-Version: 4.3.30.RELEASE")}, []string{"org.springframework:spring-core 4.3.30.RELEASE"}},
		{"release in the name, by the version", "tomcat9-catalina-9.0.70.jar", []entry{manifest()}, []string{"org.apache.tomcat:tomcat-catalina 9.0.70"}},
		{"release at the end", "commons-collections3-3.2.2.jar", []entry{manifest()}, []string{"commons-collections:commons-collections 3.2.2"}},
		{"another release", "tomcat9-catalina-8.0.jar", []entry{manifest()}, []string{"tomcat9-catalina 8.0"}},
		{"release in the name, by the bundle", "mina2-core.jar", []entry{manifest("Bundle-SymbolicName: org.apache.mina.core", "Bundle-Version: 2.2.1")}, []string{"org.apache.mina:mina-core 2.2.1"}},
		{"a number that belongs to the name", "commons-lang3-3.12.0.jar", []entry{manifest()}, []string{"org.apache.commons:commons-lang3 3.12.0"}},
		{"release before the version", "log4j-1.2-1.2.17.jar", []entry{manifest()}, []string{"log4j:log4j 1.2.17"}},
		{"group before it moved", "asm-commons-3.3.jar", []entry{manifest()}, []string{"asm:asm-commons 3.3"}},
		{"group since it moved", "asm-commons-9.4.jar", []entry{manifest()}, []string{"org.ow2.asm:asm-commons 9.4"}},
		{"no member of a short family", "asmack-9.4.jar", []entry{manifest()}, []string{"asmack 9.4"}},
		{"version nobody filled in", "derbyclient.jar", []entry{manifest("Bundle-Version: 10.14.2000000.???")}, []string{"org.apache.derby:derbyclient "}},
		{"only a link's version", "thing-4.x.jar", []entry{manifest()}, []string{"thing 4.x"}},
		{"renamed, with content", "maven3-provider.jar", []entry{pom("org.m", "maven-provider", "3.8"), pom("org.s", "simple", "1.7"), manifest("Implementation-Version: 3.8")},
			[]string{"org.m:maven-provider 3.8", "org.s:simple 1.7"}},
		{"renamed, of two", "thing.jar", []entry{pom("org.m", "a", "3.8"), pom("org.m", "b", "3.8"), manifest("Implementation-Version: 3.8")},
			[]string{"thing 3.8", "org.m:a 3.8", "org.m:b 3.8"}},
		{"bundle", "org.eclipse.other_3.7.0.v1.jar", []entry{manifest()}, []string{"org.eclipse.other 3.7.0.v1"}},
		{"only a name", "thing-1.0.jar", []entry{text("a.class", "x")}, []string{"thing 1.0"}},
		{"nothing", "thing.jar", []entry{text("a.class", "x")}, nil},
		{"no version", "thing.jar", []entry{manifest()}, []string{"thing "}},
		{"placeholder", "thing.jar", []entry{manifest("Implementation-Version: ${project.version}")}, []string{"thing "}},
		{"placeholder in pom.properties", "thing.jar", []entry{manifest(), pom("${g}", "thing", "1")}, []string{"thing "}},
		{"jenkins", "git.hpi", []entry{manifest("Group-Id: org.jenkins-ci.plugins", "Short-Name: git", "Plugin-Version: 4.1 (private)")}, []string{"org.jenkins-ci.plugins:git 4.1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := "/app/" + tc.file
			var want []string
			for _, w := range tc.want {
				want = append(want, w+" "+p)
			}
			if diff := cmp.Diff(want, found(t, p, archive(t, tc.entries...))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWants(t *testing.T) {
	for _, ext := range []string{"jar", "war", "ear", "par", "sar", "jpi", "hpi", "kar", "lpkg", "nar", "rar", "JAR", "Lpkg"} {
		if !New().Wants("/a."+ext, nil) {
			t.Errorf("%s is not wanted", ext)
		}
	}
	for _, p := range []string{"/jar", "/a.jars", "/a.tar", "/a.jmod", "/a.zip", "/a.jar.asc", "/.ja", "/xlpkg"} {
		if New().Wants(p, nil) {
			t.Errorf("%s is wanted", p)
		}
	}
	if testing.AllocsPerRun(10, func() { New().Wants("/usr/share/LIB.JAR", nil) }) > 0 {
		t.Error("allocates")
	}
}

func TestRepositories(t *testing.T) {
	b := archive(t, text("a.class", "x"))
	for p, want := range map[string]string{
		"/root/.m2/repository/org/things/big/thing/1.0/thing-1.0.jar":                        "org.things.big:thing 1.0",
		"/root/.m2/repository/org/things/thing/1.0-SNAPSHOT/thing-1.0-SNAPSHOT.jar":          "org.things:thing 1.0-SNAPSHOT",
		"/usr/share/maven-repo/org/jsr-305/jsr305/0.1-SNAPSHOT/jsr305-0.1-SNAPSHOT.jar":      "org.jsr-305:jsr305 0.1-SNAPSHOT",
		"/root/.m2/repository/org/things/thing/1.0/thing-1.0-linux-x86_64.jar":               "org.things:thing 1.0",
		"/root/.gradle/caches/modules-2/files-2.1/org.things/thing/1.0/0123ab/thing-1.0.jar": "org.things:thing 1.0",
		"/srv/.cache/coursier/v1/https/repo1/maven2/org/things/thing/1.0/thing-1.0.jar":      "org.things:thing 1.0",
		"/root/.m2/repository/org/things/thing/1.0/other-1.0.jar":                            "other 1.0",
		"/root/.m2/repository/thing/1.0/thing-1.0.jar":                                       "thing 1.0",
		"/srv/repo/org/things/thing/1.0/thing-1.0.jar":                                       "thing 1.0",
	} {
		if diff := cmp.Diff([]string{want + " " + p}, found(t, p, b)); diff != "" {
			t.Errorf("%s: %s", p, diff)
		}
	}
	// What the archive says itself counts more.
	p := "/root/.m2/repository/org/things/thing/1.0/thing-1.0.jar"
	if diff := cmp.Diff([]string{"com.x:thing 2 " + p}, found(t, p, archive(t, pom("com.x", "thing", "2")))); diff != "" {
		t.Error(diff)
	}
}

func fat(t testing.TB) []byte {
	lib := archive(t, pom("org.x", "lib", "1.2"))
	war := archive(t, manifest(), entry{"WEB-INF/lib/lib-1.2.jar", lib, false}, entry{"WEB-INF/lib/kept-2.jar", archive(t, pom("org.k", "kept", "2")), true})
	return archive(t, pom("org.app", "app", "9"), entry{"BOOT-INF/lib/lib-1.2.jar", lib, true}, entry{"web.war", war, true}, entry{"../up-3.jar", archive(t, manifest()), false})
}

func TestSuite(t *testing.T) { analyzetest.Suite(t, New(), "/app/app.jar", fat(t)) }

func TestNested(t *testing.T) {
	want := []string{
		"org.app:app 9 /app/app.jar",
		"org.x:lib 1.2 /app/app.jar!/BOOT-INF/lib/lib-1.2.jar",
		"web  /app/app.jar!/web.war",
		"org.x:lib 1.2 /app/app.jar!/web.war!/WEB-INF/lib/lib-1.2.jar",
		"org.k:kept 2 /app/app.jar!/web.war!/WEB-INF/lib/kept-2.jar",
		"up 3 /app/app.jar!/up-3.jar",
	}
	if diff := cmp.Diff(want, found(t, "/app/app.jar", fat(t))); diff != "" {
		t.Error(diff)
	}
	t.Run("behind a script", func(t *testing.T) {
		b := append([]byte("#!/bin/sh\nexec java -jar \"$0\"\n"), fat(t)...)
		if diff := cmp.Diff(want, found(t, "/app/app.jar", b)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestBrokenPartKeepsTheRest(t *testing.T) {
	b := archive(t, pom("org.app", "app", "9"), text("lib/bad.jar", "this is no archive"), entry{"lib/x-1.jar", archive(t, manifest()), true})
	facts := analyzetest.Facts(t, New(), analyzetest.File("/app/app.jar", b))
	if len(facts.Packages) != 2 || len(facts.Problems) != 1 || facts.Problems[0].Path != "/app/app.jar" {
		t.Errorf("got %+v", facts)
	}
}

func TestNoArchive(t *testing.T) {
	facts, err := New().Analyze(t.Context(), analyzetest.File("/x.jar", []byte("#!/bin/sh\necho only a script\n")))
	if facts != nil || err != nil {
		t.Errorf("script: got %v, %v", facts, err)
	}
	if _, err := New().Analyze(t.Context(), analyzetest.File("/x.jar", []byte("PK\x03\x04 cut"))); !errors.Is(err, zip.ErrFormat) {
		t.Errorf("cut: got %v", err)
	}
	if New().Sniff([]byte("Rar!")) || !New().Sniff([]byte("PK\x03\x04")) {
		t.Error("sniffs wrongly")
	}
}

// Jars that a distribution or a build tool left on this machine or in the
// directory that ONCEOVER_JARS names: none may fail, and every one with a
// pom.properties of its own name has a group.
func TestRealArchives(t *testing.T) {
	var jars []string
	for _, dir := range []string{os.Getenv("ONCEOVER_JARS"), "/usr/share/java", "/usr/share/maven-repo"} {
		if dir == "" {
			continue
		}
		m, err := filepath.Glob(filepath.Join(dir, "*.jar"))
		if err != nil {
			t.Fatal(err)
		}
		jars = append(jars, m...)
	}
	n := 0
	for _, j := range jars {
		if fi, err := os.Lstat(j); err != nil || !fi.Mode().IsRegular() {
			continue
		}
		facts := analyzetest.Facts(t, New(), analyzetest.Open(t, j, j))
		if facts == nil || len(facts.Packages) == 0 || len(facts.Problems) > 0 {
			t.Errorf("%s: got %+v", j, facts)
			continue
		}
		t.Logf("%s: %s %s", j, facts.Packages[0].Name, facts.Packages[0].Version)
		n++
	}
	if n == 0 {
		t.Skip("no jars in ONCEOVER_JARS or /usr/share/java")
	}
}

// A small archive that unfolds to a gigabyte costs no more memory than one
// nested archive may take. The bomb is one deflated megabyte, repeated.
func TestBombStaysSmall(t *testing.T) {
	const megabytes = 1000
	var part bytes.Buffer
	fw, err := flate.NewWriter(&part, flate.BestCompression)
	if err == nil {
		_, err = io.CopyN(fw, zeros{}, 1<<20)
	}
	if err == nil {
		err = fw.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	raw := bytes.Repeat(part.Bytes(), megabytes)
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.CreateRaw(&zip.FileHeader{Name: "lib/bomb.jar", Method: zip.Deflate,
		CompressedSize64: uint64(len(raw)), UncompressedSize64: megabytes << 20})
	if err == nil {
		_, err = f.Write(raw)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = New().Analyze(t.Context(), analyzetest.File("/app.jar", b.Bytes()))
	runtime.ReadMemStats(&after)
	if !errors.Is(err, analyze.ErrLimit) {
		t.Errorf("got %v", err)
	}
	used := after.TotalAlloc - before.TotalAlloc
	t.Logf("%d bytes of archive: %d bytes allocated: %v", b.Len(), used, err)
	if used > maxNestedBytes+32<<20 {
		t.Errorf("%d bytes allocated", used)
	}
}

// A nested archive of several chunks is read as it is; one whose compressed
// data breaks off is a problem.
func TestLargeNestedArchive(t *testing.T) {
	noise := make([]byte, 3*chunkBytes)
	rng := rand.NewChaCha8([32]byte{1})
	if _, err := rng.Read(noise); err != nil {
		t.Fatal(err)
	}
	inner := archive(t, entry{"noise", noise, true}, manifest())
	outer := archive(t, manifest(), entry{"in-1.jar", inner, false})
	if diff := cmp.Diff([]string{"out 2 /out-2.jar", "in 1 /out-2.jar!/in-1.jar"}, found(t, "/out-2.jar", outer)); diff != "" {
		t.Error(diff)
	}
	i := bytes.LastIndex(outer, []byte("PK\x01\x02")) + 20
	copy(outer[i:], "\x00\x00\x10\x00") // its compressed size: one megabyte
	facts := analyzetest.Facts(t, New(), analyzetest.File("/out-2.jar", outer))
	if len(facts.Packages) != 1 || len(facts.Problems) != 1 {
		t.Errorf("got %+v", facts)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// A stored entry that claims more than its archive holds is refused before
// anything is made ready for its size.
func TestStoredEntryLargerThanItsArchive(t *testing.T) {
	inner := archive(t, manifest())
	b := archive(t, manifest(), entry{"a-1.jar", inner, true})
	for _, off := range []int{20, 24} { // both sizes in the central directory
		i := bytes.LastIndex(b, []byte("PK\x01\x02")) + off
		copy(b[i:], "\xff\xff\xff\x7f")
	}
	facts := analyzetest.Facts(t, New(), analyzetest.File("/x-1.jar", b))
	if len(facts.Packages) != 1 || len(facts.Problems) != 1 {
		t.Errorf("got %+v", facts)
	}
}

func TestLimits(t *testing.T) {
	want := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, analyze.ErrLimit) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	f := analyzetest.File("/a.jar", nil)
	f.Size = maxFileBytes + 1
	_, err := New().Analyze(t.Context(), f)
	want("file bytes", err)

	deep := archive(t, manifest())
	for range maxDepth {
		deep = archive(t, manifest(), entry{"a-1.jar", deep, true})
	}
	facts, err := New().Analyze(t.Context(), analyzetest.File("/a-1.jar", deep))
	want("depth", err)
	if n := len(facts.Packages); n != maxDepth {
		t.Errorf("depth: got %d packages, want %d", n, maxDepth)
	}

	small := archive(t, manifest())
	w := &walk{ctx: t.Context(), archives: maxArchives}
	want("archives", w.archive("/a.jar", bytes.NewReader(small), int64(len(small)), 1))

	w = &walk{ctx: t.Context(), pkgs: make([]report.Package, maxPackages)}
	want("packages", w.archive("/a.jar", bytes.NewReader(small), int64(len(small)), 1))

	w = &walk{ctx: t.Context(), directory: maxDirectoryBytes + slackBytes}
	want("directory bytes", w.archive("/a.jar", bytes.NewReader(small), int64(len(small)), 1))

	var id identity
	for i := range maxPOMs + 1 {
		id.addPOM(fmt.Sprintf("META-INF/maven/g/a%d/pom.xml", i))
	}
	if len(id.poms) != maxPOMs {
		t.Errorf("poms: %d are kept", len(id.poms))
	}

	long := archive(t, manifest(), text(strings.Repeat("n", maxNameBytes)+".jar", ""))
	facts = analyzetest.Facts(t, New(), analyzetest.File("/a.jar", long))
	if len(facts.Packages) != 1 || len(facts.Problems) != 1 {
		t.Errorf("name: got %+v", facts)
	}

	field := archive(t, manifest("Implementation-Version: "+strings.Repeat("1", maxFieldBytes+1)))
	if diff := cmp.Diff([]string{"a  /a.jar"}, found(t, "/a.jar", field)); diff != "" {
		t.Errorf("field: %s", diff)
	}

	noise := make([]byte, 64<<10)
	for i := range noise {
		noise[i] = byte(i * i >> 3)
	}
	big := archive(t, text("META-INF/MANIFEST.MF", "X: "+string(bytes.Repeat(noise, maxTextBytes/len(noise)+1))))
	_, err = New().Analyze(t.Context(), analyzetest.File("/a.jar", big))
	want("text bytes", err)

	e := &zip.File{FileHeader: zip.FileHeader{CompressedSize64: 1 << 40}}
	drain := func(i *inflating) error { _, err := io.Copy(io.Discard, i); return err }
	want("nested bytes", drain(&inflating{w: &walk{ctx: t.Context()}, e: e, r: zeros{}, max: maxNestedBytes}))
	want("inflated bytes", drain(&inflating{w: &walk{ctx: t.Context(), inflated: maxInflatedBytes}, e: e, r: zeros{}, max: maxNestedBytes}))
	want("held bytes", drain(&inflating{w: &walk{ctx: t.Context(), held: maxHeldBytes}, e: e, r: zeros{}, max: maxNestedBytes, held: true}))
	e = &zip.File{FileHeader: zip.FileHeader{CompressedSize64: 1000}}
	i := &inflating{w: &walk{ctx: t.Context()}, e: e, r: zeros{}, max: maxNestedBytes}
	want("ratio", drain(i))
	if i.n > ratioFreeBytes+64<<10 {
		t.Errorf("ratio: found after %d bytes", i.n)
	}
}

func FuzzArchive(f *testing.F) {
	f.Add(fat(f))
	f.Add(archive(f, manifest(), entry{"a-1.jar", archive(f, manifest()), true}))
	f.Fuzz(func(t *testing.T, b []byte) {
		facts, err := New().Analyze(t.Context(), analyzetest.File("/app/app.jar", b))
		if err != nil || facts == nil {
			return
		}
		for _, p := range facts.Packages {
			if !word(strings.ReplaceAll(p.Name, ":", "")) || p.Version != "" && !word(p.Version) {
				t.Errorf("unusable package %+v", p)
			}
		}
	})
}

func FuzzManifest(f *testing.F) {
	f.Add("Implementation-Version: 1\n 2\n\nx", "groupId=a\nartifactId=b\nversion=1", "a-1.jar")
	f.Fuzz(func(t *testing.T, m, p, base string) {
		var id identity
		_ = id.readManifest(t.Context(), strings.NewReader(m))
		_ = id.readProperties(t.Context(), "x", strings.NewReader(p))
		for _, a := range id.artifacts("/" + base) {
			if a.artifact == "" {
				t.Errorf("no name: %+v", a)
			}
		}
	})
}
