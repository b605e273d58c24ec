// Command gen makes the list of facts for the starter generation out of the
// changelogs of Debian packages. It needs apt-get and dpkg-deb, a network, and
// some minutes; it is run by go generate, by hand, before a release.
//
// For each release it sets up a private package list with the release, its
// updates and its security archive, takes the smallest package of each source
// in sources.txt at its newest version, and reads the changelog in it.
package main

import (
	"bytes"
	"cmp"
	_ "embed"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/onceover/onceover/internal/version"
)

//go:embed sources.txt
var sourceList string

// A release of Debian that the starter generation covers.
type release struct{ number, codename string }

func main() {
	log.SetFlags(0)
	out := flag.String("out", "starter.tsv.zst", "file to write")
	mirror := flag.String("mirror", os.Getenv("ONCEOVER_DEBIAN_MIRROR"), "URL of a Debian mirror with debian and debian-security below it; default $ONCEOVER_DEBIAN_MIRROR")
	work := flag.String("work", "", "directory for downloads, kept if given")
	flag.Parse()
	if *mirror == "" {
		log.Fatal("gen: say where Debian is: --mirror URL, or ONCEOVER_DEBIAN_MIRROR")
	}
	if err := run(*out, *mirror, *work); err != nil {
		log.Fatalf("gen: %v", err)
	}
}

func run(out, mirror, work string) error {
	if work == "" {
		dir, err := os.MkdirTemp("", "starter-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		work = dir
	}
	wanted := map[string]bool{}
	for line := range strings.Lines(sourceList) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") {
			wanted[line] = true
		}
	}
	var b bytes.Buffer
	// bullseye is out of support: its security archive is no longer whole.
	releases := []release{{"12", "bookworm"}, {"13", "trixie"}}
	for _, r := range releases {
		if err := r.write(&b, filepath.Join(work, r.codename), mirror, wanted); err != nil {
			return fmt.Errorf("%s: %w", r.codename, err)
		}
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		return err
	}
	packed := enc.EncodeAll(b.Bytes(), nil)
	log.Printf("%d bytes, %d compressed", b.Len(), len(packed))
	return os.WriteFile(out, packed, 0o644)
}

func (r release) write(b *bytes.Buffer, dir, mirror string, wanted map[string]bool) error {
	apt, err := newApt(dir, mirror, r.codename)
	if err != nil {
		return err
	}
	pkgs, err := apt.packages()
	if err != nil {
		return err
	}
	bySource := map[string][]pkg{}
	for _, p := range pkgs {
		if wanted[p.source] {
			bySource[p.source] = append(bySource[p.source], p)
		}
	}
	sources := make([]string, 0, len(bySource))
	for s := range bySource {
		sources = append(sources, s)
	}
	slices.Sort(sources)
	if err := apt.prefetch(sources, bySource); err != nil {
		return err
	}
	fmt.Fprintf(b, "# Debian %s: %s, %s-updates, %s-security\n", r.number, r.codename, r.codename, r.codename)
	facts := 0
	for _, s := range sources {
		entries, p, err := apt.changelog(bySource[s])
		if err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
		if entries == nil {
			log.Printf("%s: %s: no changelog in any package", r.codename, s)
			continue
		}
		fixes := extract(entries)
		if len(fixes) == 0 {
			continue
		}
		fmt.Fprintf(b, "@ %s %s %s\n", r.number, s, p.sourceVersion)
		for _, f := range fixes {
			fmt.Fprintf(b, "%s %s %s\n", strings.TrimPrefix(f.cve, "CVE-"), f.version, f.date)
		}
		facts += len(fixes)
	}
	log.Printf("%s: %d of %d sources, %d facts", r.codename, len(sources), len(wanted), facts)
	return nil
}

// pkg is one binary package of the list.
type pkg struct {
	name, version         string
	source, sourceVersion string
	size                  int64
}

// apt is a private package list; nothing of the machine's own is touched.
type apt struct{ dir string }

func newApt(dir, mirror, codename string) (apt, error) {
	a := apt{dir}
	for _, d := range []string{"lists/partial", "cache/archives/partial", "etc/preferences.d", "etc/apt.conf.d", "debs"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return a, err
		}
	}
	const keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
	var s strings.Builder
	for _, line := range []string{
		mirror + "/debian " + codename, mirror + "/debian " + codename + "-updates",
		mirror + "/debian-security " + codename + "-security",
	} {
		fmt.Fprintf(&s, "deb [arch=amd64 signed-by=%s] %s main\n", keys, line)
	}
	for name, text := range map[string]string{"etc/sources.list": s.String(), "status": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return a, err
		}
	}
	_, err := a.get("update")
	return a, err
}

func (a apt) get(args ...string) ([]byte, error) {
	opt := func(k, v string) string { return "-o" + k + "=" + v }
	at := func(p string) string { return filepath.Join(a.dir, p) }
	cmd := exec.Command("apt-get", append([]string{"-q",
		opt("Dir::Etc::SourceList", at("etc/sources.list")), opt("Dir::Etc::SourceParts", "/dev/null"),
		opt("Dir::Etc::Preferences", "/dev/null"), opt("Dir::Etc::PreferencesParts", at("etc/preferences.d")),
		opt("Dir::State", at(".")), opt("Dir::State::Lists", at("lists")), opt("Dir::State::Status", at("status")),
		opt("Dir::Cache", at("cache")), opt("APT::Architecture", "amd64"), opt("APT::Architectures", "amd64"),
		opt("APT::Sandbox::User", "root"), opt("Acquire::Languages", "none"), opt("Acquire::Retries", "1"),
		opt("Acquire::Check-Valid-Until", "false"),
	}, args...)...)
	cmd.Dir = at("debs")
	var errText bytes.Buffer
	cmd.Stderr = &errText
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("apt-get %s: %w: %s", args[0], err, strings.TrimSpace(errText.String()))
	}
	return out, nil
}

// packages reads the lists that apt-get fetched.
func (a apt) packages() ([]pkg, error) {
	out, err := a.get("indextargets", "--format", "$(FILENAME)", "Created-By: Packages")
	if err != nil {
		return nil, err
	}
	var all []pkg
	for name := range strings.FieldsSeq(string(out)) {
		raw, err := exec.Command("/usr/lib/apt/apt-helper", "cat-file", name).Output()
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		all = append(all, parsePackages(raw)...)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no packages in %s", a.dir)
	}
	return all, nil
}

func parsePackages(raw []byte) []pkg {
	var out []pkg
	var p pkg
	for line := range strings.Lines(string(raw) + "\n\n") {
		line = strings.TrimRight(line, "\n")
		key, value, _ := strings.Cut(line, ": ")
		switch key {
		case "Package":
			p.name = value
		case "Version":
			p.version = value
		case "Source":
			var v string
			p.source, v, _ = strings.Cut(value, " (")
			p.sourceVersion = strings.TrimSuffix(v, ")")
		case "Size":
			p.size, _ = strconv.ParseInt(value, 10, 64)
		case "":
			if p.name != "" {
				p.source = cmp.Or(p.source, p.name)
				p.sourceVersion = cmp.Or(p.sourceVersion, p.version)
				out = append(out, p)
			}
			p = pkg{}
		}
	}
	return out
}

// batch is how many packages one run of apt-get fetches: starting it costs
// more than a small package.
const batch = 50

// prefetch downloads the first choice for each source. What fails is left to
// changelog, which tries the others.
func (a apt) prefetch(sources []string, bySource map[string][]pkg) error {
	var names []string
	for _, s := range sources {
		if err := byChoice(bySource[s]); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
		p := bySource[s][0]
		if have, err := a.have(p); err != nil || have == "" {
			names = append(names, p.name+"="+p.version)
		}
	}
	for part := range slices.Chunk(names, batch) {
		if _, err := a.get(append([]string{"download"}, part...)...); err != nil {
			log.Printf("prefetch: %v", err)
		}
	}
	return nil
}

// byChoice sorts the newest first, and the smallest of equally new ones.
func byChoice(ps []pkg) (failed error) {
	slices.SortFunc(ps, func(x, y pkg) int {
		c, err := version.Compare("Debian", y.sourceVersion, x.sourceVersion)
		if err != nil {
			failed = err
		}
		return cmp.Or(c, cmp.Compare(x.size, y.size), cmp.Compare(x.name, y.name))
	})
	return failed
}

// changelog reads the changelog of the newest version that can be had, from
// the smallest package that has one: several link their documentation to
// another.
func (a apt) changelog(ps []pkg) ([]entry, pkg, error) {
	for _, p := range ps {
		deb, err := a.download(p)
		if err != nil {
			// Mirrors lag behind their own lists; an older version
			// of the package knows a little less.
			log.Printf("skip %s %s: %v", p.name, p.version, err)
			continue
		}
		text, err := changelogOf(deb, p.source)
		if err != nil {
			return nil, pkg{}, fmt.Errorf("%s: %w", deb, err)
		}
		if text != nil {
			return parseChangelog(text), p, nil
		}
	}
	return nil, pkg{}, nil
}

// have returns the file of a package that was downloaded, "" if it was not.
func (a apt) have(p pkg) (string, error) {
	pattern := filepath.Join(a.dir, "debs", p.name+"_"+strings.ReplaceAll(p.version, ":", "%3a")+"_*.deb")
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) != 1 {
		return "", err
	}
	return files[0], nil
}

func (a apt) download(p pkg) (string, error) {
	if have, err := a.have(p); err != nil || have != "" {
		return have, err
	}
	if _, err := a.get("download", p.name+"="+p.version); err != nil {
		return "", err
	}
	have, err := a.have(p)
	if err == nil && have == "" {
		err = fmt.Errorf("download of %s %s brought no file", p.name, p.version)
	}
	return have, err
}
