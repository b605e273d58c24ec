package osrelease

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/lines"
	"github.com/onceover/onceover/internal/report"
)

const key = "osrelease/3"

// Limits. Real files have 200 to 800 bytes and about 15 keys.
const (
	maxBytes      = 64 << 10
	maxKeys       = 200
	maxValueBytes = 4096
)

// Paths are the files that can name the distribution. Those after the first two
// belong to systems that are older than os-release; of several the first counts.
func Paths() []string {
	return []string{
		"/etc/os-release", "/usr/lib/os-release",
		suse, alpine, "/etc/centos-release", debian, lsb,
		"/etc/euleros-release", "/etc/oracle-release", "/etc/redhat-release", "/etc/system-release",
	}
}

// The files that hold neither assignments nor a sentence, and lsb-release,
// which has names of its own for what it assigns.
const (
	suse   = "/etc/SuSE-release"
	alpine = "/etc/alpine-release"
	debian = "/etc/debian_version"
	lsb    = "/etc/lsb-release"
)

// An Analyzer reads os-release files.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes Paths.
func (Analyzer) Wants(p string, _ fs.FileInfo) bool {
	if p == "/usr/lib/os-release" {
		return true
	}
	base, ok := strings.CutPrefix(p, "/etc/")
	if !ok {
		return false
	}
	switch base {
	case "os-release", "SuSE-release", "alpine-release", "centos-release", "debian_version", "lsb-release", "euleros-release",
		"oracle-release", "redhat-release", "system-release":
		return true
	}
	return false
}

// Analyze implements analyze.Analyzer.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	if f.Size > maxBytes {
		return nil, fmt.Errorf("read release file: %w", analyze.Limited("bytes", f.Size, maxBytes))
	}
	var problems analyze.Problems
	values := map[string]string{}
	r := lines.New(ctx, f.Reader())
	for n := 1; r.Next(); n++ {
		line := strings.TrimSpace(string(r.Line()))
		if line == "" || line[0] == '#' {
			continue
		}
		switch f.Path {
		case "/etc/os-release", "/usr/lib/os-release", lsb, suse:
		case alpine:
			values = fromNumber("alpine", "Alpine Linux", line)
		case debian:
			values = fromNumber("debian", "Debian GNU/Linux", line)
		default:
			values = fromSentence(line)
		}
		if f.Path == suse && n == 1 {
			values = fromSUSE(line)
			continue
		}
		if !assigns(f.Path) {
			break
		}
		k, v, ok := strings.Cut(line, "=")
		if f.Path == suse {
			k, v = strings.TrimSpace(k), strings.TrimSpace(v)
		}
		if !ok || !keyName(k) {
			problems.Add(f.Path, key, "line %d is no assignment", n)
			continue
		}
		if len(v) > maxValueBytes {
			problems.Add(f.Path, key, "line %d: %v", n, analyze.Limited("bytes", int64(len(v)), maxValueBytes))
			continue
		}
		if len(values) == maxKeys {
			return nil, fmt.Errorf("read release file: %w", analyze.Limited("keys", maxKeys+1, maxKeys))
		}
		values[k] = unquote(v)
	}
	if r.Err() != nil {
		return nil, fmt.Errorf("read release file: %w", r.Err())
	}
	switch f.Path {
	case lsb:
		values = fromLSB(values)
	case suse:
		values = withPatchLevel(values)
	}
	if len(values) == 0 && len(problems.List()) == 0 {
		return nil, nil
	}
	return &report.Facts{OSRelease: values, Problems: problems.List()}, nil
}

// assigns reports whether the lines of the file are assignments.
func assigns(p string) bool {
	return p == lsb || p == suse || strings.HasSuffix(p, "/os-release")
}

// fromNumber is a system whose file holds its version alone. A release that is
// being made has words there ("bookworm/sid"), and other systems borrow them.
func fromNumber(id, name, line string) map[string]string {
	if len(line) > maxValueBytes || strings.Trim(line, "0123456789._") != "" || line[0] < '0' || line[0] > '9' {
		return nil
	}
	return map[string]string{"ID": id, "NAME": name, "VERSION_ID": line, "PRETTY_NAME": name + " " + line}
}

// fromLSB takes the names of lsb_release(1) for those of os-release.
func fromLSB(lsb map[string]string) map[string]string {
	id := strings.ToLower(lsb["DISTRIB_ID"])
	if id != "ubuntu" && id != "linuxmint" { // others have files of their own
		return nil
	}
	out := map[string]string{"ID": id, "NAME": lsb["DISTRIB_ID"], "VERSION_ID": lsb["DISTRIB_RELEASE"], "PRETTY_NAME": lsb["DISTRIB_DESCRIPTION"]}
	if c := lsb["DISTRIB_CODENAME"]; c != "" {
		out["VERSION_CODENAME"] = c
	}
	return out
}

// fromSUSE reads the first line of SuSE-release: "SUSE Linux Enterprise Server
// 11 (x86_64)", "openSUSE 12.1 (x86_64)".
func fromSUSE(line string) map[string]string {
	for _, s := range []struct{ words, id string }{
		{"SUSE Linux Enterprise Server ", "sles"},
		{"SUSE Linux Enterprise Desktop ", "sled"},
		{"openSUSE ", "opensuse"},
	} {
		rest, ok := strings.CutPrefix(line, s.words)
		if !ok || len(line) > maxValueBytes {
			continue
		}
		version, _, _ := strings.Cut(rest, " ")
		if version != "" && version[0] >= '0' && version[0] <= '9' {
			return map[string]string{"ID": s.id, "NAME": strings.TrimSpace(s.words), "VERSION_ID": version, "PRETTY_NAME": line}
		}
	}
	return map[string]string{}
}

// withPatchLevel adds the service pack, which has a line of its own.
func withPatchLevel(values map[string]string) map[string]string {
	if values["ID"] == "" {
		return nil
	}
	if level := values["PATCHLEVEL"]; level != "" && level != "0" && values["ID"] != "opensuse" {
		values["VERSION_ID"] += "." + level
	}
	for _, k := range []string{"VERSION", "PATCHLEVEL", "CODENAME"} {
		delete(values, k)
	}
	return values
}

func keyName(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return s != ""
}

// unquote undoes shell quoting as os-release(5) allows it: one pair of single
// or double quotes around the value, backslashes before special characters.
func unquote(s string) string {
	if len(s) >= 2 && s[0] == '\'' && s[len(s)-1] == '\'' {
		return s[1 : len(s)-1]
	}
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// families tell the ID from the words before "release".
var families = []struct{ words, id string }{
	{"centos", "centos"},
	{"red hat enterprise linux", "rhel"},
	{"fedora", "fedora"},
	{"oracle linux", "ol"},
	{"enterprise linux enterprise linux", "ol"},
	{"scientific linux", "scientific"},
	{"amazon linux", "amzn"},
	{"almalinux", "almalinux"},
	{"rocky linux", "rocky"},
	{"cloudlinux", "cloudlinux"},
	{"euleros", "euleros"},
	{"openeuler", "openEuler"},
	{"kylin linux", "kylin"},
	{"vmware photon", "photon"},
}

// fromSentence reads "CentOS release 5.11 (Final)". It gives nothing where no
// known distribution or no version is named.
func fromSentence(line string) map[string]string {
	name, rest, ok := strings.Cut(line, " release ")
	if !ok || len(line) > maxValueBytes {
		return nil
	}
	version, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	if version == "" || version[0] < '0' || version[0] > '9' {
		return nil
	}
	for _, f := range families {
		if strings.HasPrefix(strings.ToLower(name), f.words) {
			return map[string]string{"ID": f.id, "NAME": name, "VERSION_ID": version, "PRETTY_NAME": line}
		}
	}
	return nil
}
