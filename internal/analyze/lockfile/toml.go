package lockfile

import (
	"context"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

// cargoLock reads Cargo.lock.
func cargoLock(ctx context.Context, f analyze.File, l *list) error {
	return tables(ctx, f, l, func(name, version string) { l.add(report.TypeCargo, name, version) })
}

// pythonTOML reads the lock files of Poetry, uv and PDM, and pylock.toml.
func pythonTOML(ctx context.Context, f analyze.File, l *list) error {
	return tables(ctx, f, l, func(name, version string) { l.add(report.TypePython, normalize(name), version) })
}

// tables tells name and version of each [[package]] or [[packages]] of a TOML
// file written by a machine: one key a line, plain strings.
func tables(ctx context.Context, f analyze.File, l *list, tell func(name, version string)) error {
	var name, version string
	inside, long := false, false
	flush := func() {
		if inside {
			tell(name, version)
		}
		name, version = "", ""
	}
	err := each(ctx, f, l, func(line string) {
		if strings.Count(line, `"""`)%2 == 1 {
			long = !long // a text of several lines begins or ends
			return
		}
		if long {
			return
		}
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") && !strings.Contains(line, "=") {
			flush()
			inside = line == "[[package]]" || line == "[[packages]]"
			return
		}
		if !inside {
			return
		}
		k, v, ok := strings.Cut(line, "=")
		if !ok {
			return
		}
		v = strings.TrimSpace(v)
		if len(v) < 2 || v[0] != '"' && v[0] != '\'' {
			return
		}
		v, _, _ = strings.Cut(v[1:], v[:1])
		switch strings.TrimSpace(k) {
		case "name":
			name = v
		case "version":
			version = v
		}
	})
	flush()
	return err
}
