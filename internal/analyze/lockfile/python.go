package lockfile

import (
	"context"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

// requirements reads the lines of a pip requirements file that pin a version.
func requirements(ctx context.Context, f analyze.File, l *list) error {
	return each(ctx, f, l, func(line string) {
		line, _, _ = strings.Cut(line, "#")
		line, _, _ = strings.Cut(line, ";") // conditions
		name, version, ok := strings.Cut(strings.TrimSpace(line), "==")
		if !ok || strings.HasPrefix(line, "-") {
			return
		}
		name, _, _ = strings.Cut(name, "[") // extras
		words := strings.Fields(strings.TrimPrefix(version, "="))
		if len(words) == 0 || strings.ContainsAny(words[0], "*,") {
			return
		}
		name = strings.TrimSpace(name)
		if strings.IndexFunc(name, func(c rune) bool {
			return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '.' && c != '-' && c != '_'
		}) >= 0 {
			return // not pip's, or a range
		}
		l.add(report.TypePython, normalize(name), words[0])
	})
}

// pipfileLock reads Pipfile.lock.
func pipfileLock(ctx context.Context, f analyze.File, l *list) error {
	type section map[string]struct {
		Version string `json:"version"`
	}
	var lock struct {
		Default section `json:"default"`
		Develop section `json:"develop"`
	}
	if err := decode(ctx, f, &lock); err != nil {
		return err
	}
	for _, s := range []section{lock.Default, lock.Develop} {
		for name, p := range s {
			l.add(report.TypePython, normalize(name), strings.TrimPrefix(p.Version, "=="))
		}
	}
	return nil
}

// normalize is the rule of PEP 503: lower case, and one "-" for each run of
// "-", "_" and ".".
func normalize(name string) string {
	parts := strings.FieldsFunc(strings.ToLower(name), func(c rune) bool { return c == '-' || c == '_' || c == '.' })
	return strings.Join(parts, "-")
}
