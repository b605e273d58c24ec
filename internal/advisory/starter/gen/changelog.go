package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/version"
)

// changelogOf reads usr/share/doc/*/changelog.Debian.gz, or changelog.gz of
// packages made for Debian, out of a package; nil if it has none.
func changelogOf(deb, source string) ([]byte, error) {
	cmd := exec.Command("dpkg-deb", "--fsys-tarfile", deb)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var text []byte
	for tr := tar.NewReader(pipe); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		dir, base := path.Split(h.Name)
		if h.Typeflag != tar.TypeReg || !strings.HasPrefix(dir, "./usr/share/doc/") {
			continue
		}
		if base != "changelog.Debian.gz" && !(base == "changelog.gz" && text == nil) {
			continue
		}
		gz, err := gzip.NewReader(tr)
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(gz)
		if err != nil {
			return nil, err
		}
		if len(b) > 0 && headPattern.Match(b[:min(len(b), 300)]) {
			text = b
		}
	}
	if _, err := io.Copy(io.Discard, pipe); err != nil {
		return nil, err
	}
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("unpack %s of %s: %w", deb, source, err)
	}
	return text, nil
}

// An entry is one upload.
type entry struct {
	version string
	date    string // YYYYMMDD
	lines   []string
}

var (
	headPattern = regexp.MustCompile(`(?m)^[a-z0-9][a-z0-9+.-]* \(([^)\s]+)\) [^;]*;`)
	footPattern = regexp.MustCompile(`^ -- .* <.*>  ?(.*)$`)
)

// parseChangelog reads entries as deb-changelog(5) describes them.
func parseChangelog(text []byte) []entry {
	var out []entry
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, " \t\r\n")
		if m := headPattern.FindStringSubmatch(line); m != nil {
			out = append(out, entry{version: m[1]})
			continue
		}
		if len(out) == 0 {
			continue
		}
		e := &out[len(out)-1]
		if m := footPattern.FindStringSubmatch(line); m != nil {
			e.date = day(m[1])
			continue
		}
		if line != "" {
			e.lines = append(e.lines, line)
		}
	}
	return out
}

func day(s string) string {
	for _, layout := range []string{"Mon, 2 Jan 2006 15:04:05 -0700", "Mon, _2 Jan 2006 15:04:05 -0700", "2 Jan 2006 15:04:05 -0700"} {
		if t, err := time.Parse(layout, strings.TrimSpace(s)); err == nil {
			return t.UTC().Format("20060102")
		}
	}
	return "0"
}

// A fix says that a version is the lowest that names a CVE.
type fix struct{ cve, version, date string }

var (
	cvePattern = regexp.MustCompile(`CVE-[0-9]{4}-[0-9]{4,}`)
	// notFixed finds lines that name a CVE for another reason than that it
	// is fixed here.
	notFixed = regexp.MustCompile(`(?i)not affected|unaffected|not vulnerable|revert|does not affect|doesn't affect|not fixed|still vulnerable|regression`)
)

// extract takes the lowest version for each CVE.
func extract(entries []entry) []fix {
	lowest := map[string]fix{}
	for _, e := range entries {
		for _, line := range e.lines {
			if notFixed.MatchString(line) {
				continue
			}
			for _, id := range cvePattern.FindAllString(line, -1) {
				have, ok := lowest[id]
				if ok {
					if c, err := version.Compare("Debian", e.version, have.version); err != nil || c >= 0 {
						continue
					}
				}
				lowest[id] = fix{id, e.version, e.date}
			}
		}
	}
	out := make([]fix, 0, len(lowest))
	for _, f := range lowest {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b fix) int { return strings.Compare(a.cve, b.cve) })
	return out
}
