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

const key = "osrelease/1"

// Limits. Real files have 200 to 800 bytes and about 15 keys.
const (
	maxBytes      = 64 << 10
	maxKeys       = 200
	maxValueBytes = 4096
)

// Paths are the files that can name the distribution, best first. Those after
// the first two are one-line texts of systems without os-release.
func Paths() []string {
	return []string{
		"/etc/os-release", "/usr/lib/os-release",
		"/etc/centos-release", "/etc/redhat-release", "/etc/system-release",
	}
}

// An Analyzer reads os-release files.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes Paths.
func (Analyzer) Wants(p string, _ fs.FileInfo) bool {
	for _, s := range Paths() {
		if p == s {
			return true
		}
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
		if strings.HasSuffix(f.Path, "-release") && !strings.HasSuffix(f.Path, "/os-release") {
			values = fromSentence(line)
			break
		}
		k, v, ok := strings.Cut(line, "=")
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
	if len(values) == 0 && len(problems.List()) == 0 {
		return nil, nil
	}
	return &report.Facts{OSRelease: values, Problems: problems.List()}, nil
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
