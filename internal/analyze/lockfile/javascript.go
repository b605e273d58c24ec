package lockfile

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

// npmLock reads package-lock.json: "packages" by their places since version 2,
// a tree of "dependencies" before, and beside it in version 2.
func npmLock(ctx context.Context, f analyze.File, l *list) error {
	const modules = "node_modules/"
	d := json.NewDecoder(f.Reader())
	places := 0
	return analyze.JSONObject(ctx, d, func(field string) error {
		switch {
		case field == "packages":
			return analyze.JSONObject(ctx, d, func(place string) error {
				places++
				var p struct {
					Name    string `json:"name"`
					Version string `json:"version"`
					Link    bool   `json:"link"`
				}
				if err := analyze.JSONValue(d, &p); err != nil {
					return err
				}
				i := strings.LastIndex(place, modules)
				if i < 0 || p.Link {
					return nil // the application itself, or a part of it
				}
				if p.Name == "" {
					p.Name = place[i+len(modules):]
				}
				l.add(report.TypeNPM, p.Name, p.Version)
				return nil
			})
		case field == "dependencies" && places == 0:
			return npmTree(ctx, d, l, 0)
		default:
			return analyze.JSONSkip(d)
		}
	})
}

// maxTreeDepth is far deeper than a tree of node_modules can be on a file system.
const maxTreeDepth = 100

func npmTree(ctx context.Context, d *json.Decoder, l *list, depth int) error {
	if depth > maxTreeDepth {
		return analyze.Limited("levels", maxTreeDepth+1, maxTreeDepth)
	}
	return analyze.JSONObject(ctx, d, func(name string) error {
		version := ""
		err := analyze.JSONObject(ctx, d, func(field string) error {
			switch field {
			case "version":
				return analyze.JSONValue(d, &version)
			case "dependencies":
				return npmTree(ctx, d, l, depth+1)
			default:
				return analyze.JSONSkip(d)
			}
		})
		if alias, ok := strings.CutPrefix(version, "npm:"); ok {
			name, version = nameAt(alias)
		}
		l.add(report.TypeNPM, name, version)
		return err
	})
}

// nameAt takes "@scope/name@1.2.3" apart.
func nameAt(s string) (name, version string) {
	i := strings.LastIndexByte(s, '@')
	if i <= 0 {
		return s, ""
	}
	return s[:i], s[i+1:]
}

// yarnLock reads both forms of yarn.lock: blocks that begin with the requests
// they answer, and state a version (Yarn 1) or a resolution (later).
func yarnLock(ctx context.Context, f analyze.File, l *list) error {
	name := ""
	return each(ctx, f, l, func(line string) {
		switch {
		case line == "" || line[0] == '#':
		case line[0] != ' ':
			name = yarnName(line)
		case strings.HasPrefix(line, `  version "`):
			version, _, _ := between(line, `"`, `"`)
			l.add(report.TypeNPM, name, version)
		case strings.HasPrefix(line, `  resolution: "`):
			resolution, _, _ := between(line, `"`, `"`)
			if name, version, ok := strings.Cut(resolution, "@npm:"); ok {
				l.add(report.TypeNPM, name, version)
			}
		}
	})
}

// yarnName is the package that the first request of a line like
// `"@a/b@^1.0.0", "@a/b@^1.2.0":` is for; the name behind an alias.
func yarnName(line string) string {
	line, _, _ = strings.Cut(strings.TrimSuffix(line, ":"), ", ")
	line = strings.Trim(line, `"`)
	if _, alias, ok := strings.Cut(line, "@npm:"); ok {
		line = alias
	}
	if i := strings.IndexByte(line[min(1, len(line)):], '@'); i >= 0 {
		return line[:i+1]
	}
	return line
}

// pnpmLock reads the keys beneath "packages:": "/name/1.0.0_peers" (version 5),
// "/name@1.0.0(peers)" (6), "name@1.0.0" (9).
func pnpmLock(ctx context.Context, f analyze.File, l *list) error {
	inside := false
	return each(ctx, f, l, func(line string) {
		if line != "" && line[0] != ' ' {
			inside = line == "packages:"
			return
		}
		id, ok := strings.CutPrefix(line, "  ")
		if !inside || !ok || id == "" || id[0] == ' ' {
			return
		}
		id, _, _ = strings.Cut(strings.TrimSuffix(strings.TrimSpace(id), ":"), "(")
		id = strings.TrimPrefix(strings.Trim(id, `'"`), "/")
		if id == "" {
			return
		}
		name, version := nameAt(id)
		part, scope := strings.Split(id, "/"), strings.Count(id[:1], "@")
		if len(part) > scope+1 { // version 5
			name = strings.Join(part[:scope+1], "/")
			version, _, _ = strings.Cut(part[scope+1], "_")
		}
		if version != "" && '0' <= version[0] && version[0] <= '9' {
			l.add(report.TypeNPM, name, version)
		}
	})
}

// bunLock reads the text form of Bun's lock file, where each package stands on a
// line of its own: `"a": ["a@1.0.0", …],`.
func bunLock(ctx context.Context, f analyze.File, l *list) error {
	inside := false
	return each(ctx, f, l, func(line string) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, `"packages": {`) {
			inside = true
		}
		if !inside {
			return
		}
		if id, _, ok := between(line, `": ["`, `"`); ok {
			name, version := nameAt(id)
			l.add(report.TypeNPM, name, version)
		}
	})
}
