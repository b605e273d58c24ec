package lockfile

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

// gemfileLock reads Gemfile.lock: beneath "specs:" each gem is indented by four
// blanks, "name (1.2.3)" or "name (1.2.3-x86_64-linux)", what it needs by six.
func gemfileLock(ctx context.Context, f analyze.File, l *list) error {
	inside := false
	return each(ctx, f, l, func(line string) {
		switch {
		case line == "  specs:":
			inside = true
		case !strings.HasPrefix(line, "    "):
			inside = false
		case inside && line[4:] != "" && line[4] != ' ':
			name, version, ok := strings.Cut(line[4:], " (")
			if !ok {
				return
			}
			version, platform, _ := strings.Cut(strings.TrimSuffix(version, ")"), "-")
			l.addFor(report.TypeGem, name, version, platform)
		}
	})
}

// goMod reads the requirements of go.mod (https://go.dev/ref/mod#go-mod-file).
func goMod(ctx context.Context, f analyze.File, l *list) error {
	inside := false
	return each(ctx, f, l, func(line string) {
		line, _, _ = strings.Cut(line, "//")
		w := strings.Fields(line)
		switch {
		case len(w) == 0:
		case w[0] == ")":
			inside = false
		case len(w) == 2 && w[0] == "require" && w[1] == "(":
			inside = true
		case len(w) == 3 && w[0] == "require":
			l.add(report.TypeGo, strings.Trim(w[1], `"`), w[2])
		case inside && len(w) == 2:
			l.add(report.TypeGo, strings.Trim(w[0], `"`), w[1])
		}
	})
}

// composerLock reads composer.lock.
func composerLock(ctx context.Context, f analyze.File, l *list) error {
	d := json.NewDecoder(f.Reader())
	return analyze.JSONObject(ctx, d, func(field string) error {
		if field != "packages" && field != "packages-dev" {
			return analyze.JSONSkip(d)
		}
		return analyze.JSONArray(ctx, d, func() error {
			var p struct {
				Name    string `json:"name"`
				Version string `json:"version"`
			}
			err := analyze.JSONValue(d, &p)
			l.add(report.TypeComposer, strings.ToLower(p.Name), p.Version)
			return err
		})
	})
}

// nugetLock reads NuGet's packages.lock.json, a list for each framework.
func nugetLock(ctx context.Context, f analyze.File, l *list) error {
	var lock struct {
		Dependencies map[string]map[string]struct {
			Type     string `json:"type"`
			Resolved string `json:"resolved"`
		} `json:"dependencies"`
	}
	if err := decode(ctx, f, &lock); err != nil {
		return err
	}
	for _, framework := range lock.Dependencies {
		for name, p := range framework {
			if p.Type != "Project" {
				l.add(report.TypeNuGet, name, p.Resolved)
			}
		}
	}
	return nil
}

// gradleLock reads Gradle's "group:name:version=configurations".
func gradleLock(ctx context.Context, f analyze.File, l *list) error {
	return each(ctx, f, l, func(line string) {
		id, _, ok := strings.Cut(line, "=")
		part := strings.Split(id, ":")
		if ok && len(part) == 3 && !strings.HasPrefix(line, "#") {
			l.add(report.TypeJava, part[0]+":"+part[1], part[2])
		}
	})
}

// mixLock reads mix.lock: `"a": {:hex, :a, "1.0.0", …},`.
func mixLock(ctx context.Context, f analyze.File, l *list) error {
	return each(ctx, f, l, func(line string) {
		name, rest, ok := between(line, "{:hex, :", ",")
		if !ok {
			return
		}
		version, _, _ := between(rest, `"`, `"`)
		l.add(report.TypeHex, strings.Trim(name, `"`), version)
	})
}

// rebarLock reads rebar.lock: `{<<"a">>,{pkg,<<"a">>,<<"1.0.0">>},0}`.
func rebarLock(ctx context.Context, f analyze.File, l *list) error {
	return each(ctx, f, l, func(line string) {
		for {
			name, rest, ok := between(line, `{pkg,<<"`, `">>`)
			if !ok {
				return
			}
			version, rest, _ := between(rest, `<<"`, `">>`)
			l.add(report.TypeHex, name, version)
			line = rest
		}
	})
}

// swiftResolved reads Package.resolved. A package is called by the address of its
// repository, as advisories do.
func swiftResolved(ctx context.Context, f analyze.File, l *list) error {
	type pins []struct {
		Location string `json:"location"`
		URL      string `json:"repositoryURL"` // version 1
		State    struct {
			Version string `json:"version"`
		} `json:"state"`
	}
	var lock struct {
		Pins   pins `json:"pins"`
		Object struct {
			Pins pins `json:"pins"`
		} `json:"object"`
	}
	if err := decode(ctx, f, &lock); err != nil {
		return err
	}
	for _, p := range append(lock.Pins, lock.Object.Pins...) {
		l.add(report.TypeSwift, repository(p.Location+p.URL), p.State.Version)
	}
	return nil
}

// repository is the address of a repository without scheme, user and suffix.
func repository(url string) string {
	if _, rest, ok := strings.Cut(url, "://"); ok {
		url = rest
	}
	if user, rest, ok := strings.Cut(url, "@"); ok && !strings.Contains(user, "/") {
		url = strings.Replace(rest, ":", "/", 1)
	}
	return strings.TrimSuffix(strings.TrimSuffix(url, "/"), ".git")
}

// conanLock reads conan.lock: lists of references "name/1.0@user/channel#rev"
// since Conan 2, a graph of them before.
func conanLock(ctx context.Context, f analyze.File, l *list) error {
	var lock struct {
		Requires       []string `json:"requires"`
		BuildRequires  []string `json:"build_requires"`
		PythonRequires []string `json:"python_requires"`
		Graph          struct {
			Nodes map[string]struct {
				Ref string `json:"ref"`
			} `json:"nodes"`
		} `json:"graph_lock"`
	}
	if err := decode(ctx, f, &lock); err != nil {
		return err
	}
	refs := append(append(lock.Requires, lock.BuildRequires...), lock.PythonRequires...)
	for _, n := range lock.Graph.Nodes {
		refs = append(refs, n.Ref)
	}
	for _, ref := range refs {
		ref, _, _ = strings.Cut(ref, "#")
		ref, _, _ = strings.Cut(ref, "@")
		name, version, _ := strings.Cut(ref, "/")
		l.add(report.TypeConan, name, version)
	}
	return nil
}
