package dotnet

import (
	"context"
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

// depsFile is what matters of a deps.json.
type depsFile struct {
	RuntimeTarget json.RawMessage                    `json:"runtimeTarget"`
	Targets       map[string]map[string]targetAssets `json:"targets"`
	Libraries     map[string]struct {
		Type string `json:"type"`
	} `json:"libraries"`
}

// targetAssets are the files that one library brings to one target.
type targetAssets struct {
	Runtime        map[string]json.RawMessage `json:"runtime"`
	Native         map[string]json.RawMessage `json:"native"`
	RuntimeTargets map[string]json.RawMessage `json:"runtimeTargets"`
	Resources      map[string]struct {
		Locale string `json:"locale"`
	} `json:"resources"`
}

// dependencies are the libraries that a deps.json lists.
func dependencies(ctx context.Context, f analyze.File) (*report.Facts, error) {
	content, err := analyze.ReadAll(ctx, f, maxDepsBytes)
	if err != nil {
		return nil, err
	}
	return libraries(ctx, f.Path, content)
}

// libraries are the packages of a list of dependencies that stands at p.
func libraries(ctx context.Context, p string, content []byte) (*report.Facts, error) {
	if len(content) == 0 {
		return nil, nil
	}
	var d depsFile
	if err := json.Unmarshal(content, &d); err != nil {
		return nil, err
	}
	if n := len(d.Libraries); n > maxLibraries {
		return nil, analyze.Limited("libraries", int64(n), maxLibraries)
	}
	files, err := d.files(ctx, path.Dir(p))
	if err != nil {
		return nil, err
	}
	split := splitByPlatform(files)
	facts := &report.Facts{}
	var problems analyze.Problems
	for _, id := range slices.Sorted(maps.Keys(d.Libraries)) {
		name, version, _ := strings.Cut(id, "/")
		switch d.Libraries[id].Type {
		case "package", "project":
		case "runtimepack":
			name = strings.TrimPrefix(name, "runtimepack.")
		default:
			continue // an assembly that the application only refers to
		}
		if !plain(name) || !plain(version) {
			problems.Add(p, key, "a library cannot be called %q", analyze.Clip(id))
			continue
		}
		facts.Packages = append(facts.Packages, report.Package{
			Type: report.TypeNuGet, Name: name, Version: version, Path: p, Declared: len(files[id]) == 0 && !split[id],
		})
		if len(files[id]) > 0 {
			facts.Ownership = append(facts.Ownership, report.Ownership{
				Path: p, Owner: report.TypeNuGet + ":" + name, Files: files[id],
			})
		}
	}
	facts.Problems = problems.List()
	if len(facts.Packages) == 0 && len(facts.Problems) == 0 {
		return nil, nil
	}
	return facts, nil
}

// splitByPlatform are the libraries whose files come with a package for each
// platform, as .NET Core 2 itself: "Microsoft.NETCore.App" has none, and
// "runtime.linux-x64.Microsoft.NETCore.App" of the same version has them all.
// Advisories name the former.
func splitByPlatform(files map[string]report.Hashes) map[string]bool {
	split := map[string]bool{}
	for id := range files {
		rest, ok := strings.CutPrefix(id, "runtime.")
		if !ok {
			continue
		}
		if _, name, ok := strings.Cut(rest, "."); ok {
			split[name] = true
		}
	}
	return split
}

// files are the hashes of the files that each library has brought to the
// directory dir. Publishing puts assemblies and native libraries next to the
// deps.json, translations into a directory for each language, and files for
// particular platforms where the package has them.
func (d *depsFile) files(ctx context.Context, dir string) (map[string]report.Hashes, error) {
	out := make(map[string]report.Hashes, len(d.Libraries))
	n := 0
	for _, target := range d.chosen() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for id, a := range target {
			n += len(a.Runtime) + len(a.Native) + len(a.RuntimeTargets) + len(a.Resources)
			if n > maxAssets {
				return nil, analyze.Limited("files", int64(n), maxAssets)
			}
			add := func(elem ...string) {
				p := path.Join(append([]string{dir}, elem...)...)
				if path.Base(p) != "_._" { // stands for "no file" in packages
					out[id] = append(out[id], report.PathHash(p))
				}
			}
			for p := range a.Runtime {
				add(path.Base(p))
			}
			for p := range a.Native {
				add(path.Base(p))
			}
			for p, r := range a.Resources {
				add(r.Locale, path.Base(p))
			}
			for p := range a.RuntimeTargets {
				add(p)
			}
		}
	}
	for id := range out {
		slices.Sort(out[id])
		out[id] = slices.Compact(out[id])
	}
	return out, nil
}

// chosen are the targets that count: that of the runtime, or all if the file
// does not say which it is.
func (d *depsFile) chosen() []map[string]targetAssets {
	var name string
	var object struct {
		Name string `json:"name"`
	}
	if json.Unmarshal(d.RuntimeTarget, &name) != nil && json.Unmarshal(d.RuntimeTarget, &object) == nil {
		name = object.Name
	}
	if t, ok := d.Targets[name]; ok {
		return []map[string]targetAssets{t}
	}
	return slices.Collect(maps.Values(d.Targets))
}

// plain reports whether s can be a name or a version.
func plain(s string) bool { return analyze.Plain(s) && len(s) <= maxTextBytes }
