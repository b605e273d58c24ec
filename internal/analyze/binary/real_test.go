package binary

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/test/shareddata"
)

var update = flag.Bool("update", false, "write testdata/excerpts.txt anew from real programs")

// A real file is one of an unpacked package: DIR/ORIGIN/PACKAGE_VERSION/….
type real struct {
	origin, pkg, version string
	path                 string
	file                 analyze.File
}

// realFiles calls do with each file below ONCEOVER_BINARIES that the analyser
// would see. `make binaries` fills build/cache/binaries, which stands in for it.
func realFiles(t *testing.T, do func(real)) {
	t.Helper()
	if testing.Short() {
		t.Skip("reads some hundred megabytes")
	}
	dir := os.Getenv("ONCEOVER_BINARIES")
	if dir == "" {
		dir = filepath.Join(shareddata.Root(), "build", "cache", "binaries")
	}
	if _, err := os.Stat(dir); err != nil {
		msg := "no real programs: `make binaries` fetches some, or set ONCEOVER_BINARIES"
		if os.Getenv("ONCEOVER_REQUIRE_ORACLES") == "1" {
			t.Fatal(msg)
		}
		t.Skip(msg)
	}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		part := strings.SplitN(filepath.ToSlash(rel), "/", 3)
		if len(part) < 3 {
			return nil
		}
		fi, err := d.Info()
		if err != nil || !New().Wants("/"+part[2], fi) {
			return err
		}
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		defer f.Close()
		head := make([]byte, analyze.SniffBytes)
		if n, _ := f.ReadAt(head, 0); !New().Sniff(head[:n]) {
			return nil
		}
		pkg, version, _ := strings.Cut(part[1], "_")
		do(real{part[0], pkg, strings.ReplaceAll(version, "%3a", ":"), "/" + part[2],
			analyze.File{Path: "/" + part[2], Info: fi, Content: f, Size: fi.Size()}})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// upstream is the version of a Debian package as its authors know it. Debian
// goes back to a lower version as "higher+reallylower".
func upstream(v string) string {
	if _, rest, ok := strings.Cut(v, ":"); ok {
		v = rest
	}
	if i := strings.LastIndexByte(v, '-'); i >= 0 {
		v = v[:i]
	}
	if _, lower, ok := strings.Cut(v, "+really"); ok {
		v = lower
	}
	return repacked.ReplaceAllString(strings.TrimPrefix(v, "v"), "")
}

var repacked = regexp.MustCompile(`[+.~](dfsg|ds|deb|repack|git|beta).*$`)

// sameVersion compares by the numbers and letters alone: 6.9.11-60 is
// 6.9.11.60, and a release candidate of Debian's has a tilde.
func sameVersion(a, b string) bool {
	plain := strings.NewReplacer("-", ".", "~", ".", "+", ".")
	return plain.Replace(a) == plain.Replace(b)
}

// explained are versions that differ from the package's, by package and
// program.
var explained = map[string]string{
	"@embedded-postgres+linux-x64 openssl":    "a library beside the program",
	"@embedded-postgres+linux-x64 zlib":       "a library beside the program",
	"@embedded-postgres+linux-x64 xz":         "a library beside the program",
	"@embedded-postgres+linux-x64 postgresql": "the package adds a number of its own",
	"bash bash":                     "Debian numbers the release, 5.1; Bash counts its patches, 5.1.4",
	"libgs10 ghostscript":           "Ghostscript writes 10.00.0",
	"jq jq":                         "jq 1.7.1 of Debian calls itself 1.7",
	"libkrb5-26-heimdal heimdal":    "Debian writes 7.8.git",
	"libkrb5-26t64-heimdal heimdal": "Debian writes 7.8.git",
	"libluajit-5.1-2 luajit":        "Debian writes 2.1.0~beta3+git",
	"luajit luajit":                 "Debian writes 2.1.0~beta3+git",
	"openssh-client openssh":        "OpenSSH 10.0p1 calls itself 10.0p2, as its authors announced",
	"openssh-server openssh":        "OpenSSH 10.0p1 calls itself 10.0p2, as its authors announced",
}

// What is found in packages has the version of the package.
func TestRealPrograms(t *testing.T) {
	files, found := 0, 0
	names, packages := map[string]bool{}, map[string]bool{}
	realFiles(t, func(r real) {
		files++
		if r.origin == "debian" && !packages[r.pkg] {
			packages[r.pkg] = false
		}
		facts, err := New().Analyze(t.Context(), r.file)
		if err != nil {
			t.Errorf("%s %s%s: %v", r.origin, r.pkg, r.path, err)
			return
		}
		if facts == nil {
			return
		}
		found++
		p := facts.Packages[0]
		names[p.Name], packages[r.pkg] = true, true
		if explained[r.pkg+" "+p.Name] == "" && !sameVersion(p.Version, upstream(r.version)) {
			t.Errorf("%s %s %s: %s is %s %s", r.origin, r.pkg, r.version, r.path, p.Name, p.Version)
		}
	})
	t.Logf("%d files looked at, %d programs found, %d names", files, found, len(names))
	if found == 0 {
		t.Error("nothing found")
	}
	// What test/binaries/fetch brings was chosen because it holds a program.
	for pkg, ok := range packages {
		if !ok {
			t.Errorf("no program found in %s", pkg)
		}
	}
}

// updateExcerpts writes the excerpts anew, two for each form of the table.
func updateExcerpts(t *testing.T) {
	lines := map[string][]string{}
	realFiles(t, func(r real) {
		content := make([]byte, r.file.Size)
		if _, err := r.file.Content.ReadAt(content, 0); err != nil {
			t.Fatal(err)
		}
		base := path.Base(r.path)
		p := programOf(base)
		for i := range p.evidence {
			e := &p.evidence[i]
			one := *p
			one.evidence = p.evidence[i : i+1]
			a, err := one.find(t.Context(), r.file, !p.text)
			if err != nil || a == nil {
				continue
			}
			if piece := cut(t, p, e, base, content, a); piece != nil {
				key := fmt.Sprintf("%s %d", p.files[0], i)
				origin := fmt.Sprintf("%s %s %s %s", r.origin, r.pkg, r.version, r.path)
				lines[key] = append(lines[key], fmt.Sprintf("%s %s\t%s\t%s\t%s", a.name, a.version, base, origin, quote(piece)))
			}
		}
	})
	var out bytes.Buffer
	out.WriteString("# Pieces of real programs around their evidence, a few hundred bytes each:\n" +
		"# what it is, name of the file, where it comes from, content.\n" +
		"# Written by TestExcerpts with -update.\n")
	var keys []string
	for k := range lines {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	seen := map[string]bool{}
	for _, k := range keys {
		for _, l := range []string{lines[k][0], lines[k][len(lines[k])-1]} {
			if !seen[l] {
				seen[l] = true
				out.WriteString(l + "\n")
			}
		}
	}
	if err := os.WriteFile(excerptFile, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// cut is the piece of content that proves e, with a little around it.
func cut(t *testing.T, p *program, e *evidence, base string, content []byte, want *finding) []byte {
	for at := 0; ; {
		n := bytes.Index(content[at:], []byte(e.literal))
		if n < 0 {
			return nil
		}
		at += n
		if e.version(content, at) == want.version {
			for _, around := range []int{24, 64, 128, windowBytes} {
				piece := slices.Clone(content[max(0, at-around):min(len(content), at+len(e.literal)+around)])
				if e.also != "" {
					piece = append(append(piece, "\x00\x00\x00\x00"...), e.also...)
				}
				one := *p
				one.evidence = []evidence{*e}
				x := excerpt{base: base, content: piece}
				a, err := one.find(t.Context(), analyzetest.File("/"+base, x.file()), !p.text)
				if err == nil && a != nil && *a == *want {
					return piece
				}
			}
		}
		at += len(e.literal)
	}
}

// quote is strconv.Quote with bytes in place of characters.
func quote(b []byte) string {
	var s strings.Builder
	s.WriteByte('"')
	for _, c := range b {
		switch {
		case c == '"' || c == '\\':
			s.WriteByte('\\')
			s.WriteByte(c)
		case c == '\n':
			s.WriteString(`\n`)
		case c < ' ' || c > '~':
			s.WriteString(`\x` + strconv.FormatUint(uint64(c)+0x100, 16)[1:])
		default:
			s.WriteByte(c)
		}
	}
	s.WriteByte('"')
	return s.String()
}
