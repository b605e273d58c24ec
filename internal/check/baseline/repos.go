package baseline

import (
	"strings"
)

// repoValues are options of yum.conf(5) and of repositories that hold no
// secret. Of URLs only the scheme is kept.
var (
	repoValues = set("gpgcheck", "enabled", "sslverify", "repo_gpgcheck", "localpkg_gpgcheck", "clean_requirements_on_remove", "installonly_limit")
	repoURLs   = set("baseurl", "mirrorlist", "metalink")
)

func parseRepo(b []byte) ([]Directive, error) {
	return parseINI(b, func(d *Directive, value string) {
		switch {
		case repoValues[d.Name]:
			d.Args = []string{clip(value)}
		case repoURLs[d.Name]:
			if scheme, _, ok := strings.Cut(value, "://"); ok {
				d.Args = []string{clip(strings.ToLower(scheme))}
			}
		}
	})
}

// parseINI reads sections of "name = value". Names are in lower case. keep
// decides what is kept of a value.
func parseINI(b []byte, keep func(d *Directive, value string)) ([]Directive, error) {
	out := []Directive{}
	var err error
	section := ""
	for line := range settingLines(b, &err, "#", ";") {
		if len(out) == maxEntries {
			return out, tooMany("options")
		}
		if line[0] == '[' {
			name, _, _ := strings.Cut(line[1:], "]")
			section = clip(strings.ToLower(strings.TrimSpace(name)))
			out = append(out, Directive{Section: section})
			continue
		}
		name, value, _ := strings.Cut(line, "=")
		d := Directive{Section: section, Name: clip(strings.ToLower(strings.TrimSpace(name)))}
		keep(&d, unquote(strings.TrimSpace(value)))
		out = append(out, d)
	}
	return out, err
}

// aptValues are options of apt.conf(5) that rules may ask for.
var aptValues = set("apt::get::allowunauthenticated", "acquire::allowinsecurerepositories", "acquire::allowweakrepositories",
	"acquire::allowdowngradetoinsecurerepositories", "acquire::https::verify-peer", "acquire::https::verify-host",
	"acquire::check-valid-until", "apt::get::assume-yes", "apt::sandbox::user", "apt::install-recommends")

// parseAptConf reads lines of "Name::Of::Option "value";". Options in braces
// are read with the names around them.
func parseAptConf(b []byte) ([]Directive, error) {
	out := []Directive{}
	var err error
	var scope []string
	for line := range settingLines(b, &err, "#", "//") {
		for _, part := range strings.FieldsFunc(strings.NewReplacer("{", " {;", "}", ";};").Replace(line), func(r rune) bool { return r == ';' }) {
			part = strings.TrimSpace(part)
			switch {
			case part == "":
			case part == "}":
				if len(scope) > 0 {
					scope = scope[:len(scope)-1]
				}
			case strings.HasSuffix(part, "{"):
				if len(scope) == maxDepth {
					return out, tooMany("levels")
				}
				scope = append(scope, strings.ToLower(strings.TrimSpace(strings.TrimSuffix(part, "{"))))
			default:
				if len(out) == maxEntries {
					return out, tooMany("options")
				}
				name, rest := cutBlank(part)
				name = strings.ToLower(name)
				if len(scope) > 0 {
					name = strings.Join(scope, "::") + "::" + name
				}
				if aptValues[name] {
					out = append(out, Directive{Name: clip(name), Args: []string{clip(unquote(rest))}})
				}
			}
		}
	}
	return out, err
}

// parseAptSources reads sources.list(5) in both forms. A directive is a source:
// its name is the scheme of the URL, its Args are options that turn checks off.
func parseAptSources(b []byte) ([]Directive, error) {
	out := []Directive{}
	var err error
	trusted := false
	var schemes []string
	stanza := func() {
		for _, s := range schemes {
			out = append(out, aptSource(s, trusted))
		}
		schemes, trusted = nil, false
	}
	for line := range logicalLines(b, false, &err) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			stanza()
			continue
		}
		if len(out)+len(schemes) >= maxEntries {
			return out, tooMany("sources")
		}
		f := strings.Fields(line)
		switch low := strings.ToLower(f[0]); {
		case low == "deb" || low == "deb-src":
			rest := strings.TrimSpace(line[len(f[0]):])
			options := ""
			if strings.HasPrefix(rest, "[") {
				options, rest, _ = strings.Cut(rest[1:], "]")
			}
			if scheme, _, ok := strings.Cut(strings.TrimSpace(rest), ":"); ok {
				out = append(out, aptSource(scheme, strings.Contains(strings.ToLower(options), "trusted=yes")))
			}
		case low == "uris:":
			for _, u := range f[1:] {
				if scheme, _, ok := strings.Cut(u, ":"); ok && len(schemes) < maxArgs {
					schemes = append(schemes, scheme)
				}
			}
		case low == "trusted:":
			trusted = len(f) > 1 && strings.EqualFold(f[1], "yes")
		}
	}
	stanza()
	return out, err
}

func aptSource(scheme string, trusted bool) Directive {
	d := Directive{Name: clip(strings.ToLower(scheme))}
	if trusted {
		d.Args = []string{"trusted"}
	}
	return d
}

// parseAPKRepositories keeps the scheme of each line of apk-repositories(5),
// "file" for a directory.
func parseAPKRepositories(b []byte) ([]Directive, error) {
	out := []Directive{}
	var err error
	for line := range settingLines(b, &err, "#") {
		if len(out) == maxEntries {
			return out, tooMany("repositories")
		}
		if line[0] == '@' { // a tag
			_, line = cutBlank(line)
		}
		scheme, _, ok := strings.Cut(line, "://")
		if !ok {
			scheme = "file"
		}
		out = append(out, Directive{Name: clip(strings.ToLower(scheme))})
	}
	return out, err
}
