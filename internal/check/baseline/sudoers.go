package baseline

import (
	"strings"
)

// A SudoRule is one line of sudoers(5).
type SudoRule struct {
	// Kind is "grant", "default" or "include".
	Kind string `json:"kind"`
	// Who is the user list of a grant ("%wheel"), the scope of defaults
	// ("", "@host", ":user"), or the path of an include.
	Who string `json:"who"`
	// AllHosts, AllRunAs and AllCommands say that the list is or holds ALL.
	AllHosts    bool `json:"all_hosts"`
	AllRunAs    bool `json:"all_runas"`
	AllCommands bool `json:"all_commands"`
	// NoPassword says that a command carries the tag NOPASSWD.
	NoPassword bool `json:"no_password"`
	// Negated says that commands are taken out with "!", which is easy to
	// get around.
	Negated bool `json:"negated"`
	// Wildcard says that a command holds "*".
	Wildcard bool `json:"wildcard"`
	// Options are the names of defaults, "!" before one that is off, with
	// the value of those that hold no secret.
	Options []string `json:"options"`
}

// sudoValues are defaults whose value is kept.
var sudoValues = set("timestamp_timeout", "passwd_tries", "passwd_timeout", "logfile", "secure_path", "umask", "env_reset", "requiretty", "use_pty")

func parseSudoers(b []byte) ([]SudoRule, error) {
	out := []SudoRule{}
	var err error
	for line := range logicalLines(b, true, &err) {
		line = strings.TrimSpace(line)
		if len(out) == maxEntries {
			return out, tooMany("rules")
		}
		if name, ok := sudoInclude(line); ok {
			out = append(out, SudoRule{Kind: "include", Who: clip(name), Options: []string{}})
			continue
		}
		if i := strings.IndexByte(line, '#'); i >= 0 && !(i+1 < len(line) && line[i+1] >= '0' && line[i+1] <= '9') {
			line = strings.TrimSpace(line[:i]) // "#1000" is a user ID
		}
		switch {
		case line == "":
		case strings.HasPrefix(line, "Defaults"):
			out = append(out, sudoDefaults(strings.TrimPrefix(line, "Defaults")))
		case isSudoAlias(line):
		default:
			if r, ok := sudoGrant(line); ok {
				out = append(out, r)
			}
		}
	}
	return out, err
}

func sudoInclude(line string) (string, bool) {
	for _, p := range []string{"@includedir", "#includedir", "@include", "#include"} {
		if rest, ok := strings.CutPrefix(line, p); ok && rest != "" && (rest[0] == ' ' || rest[0] == '\t') {
			return unquote(strings.TrimSpace(rest)), true
		}
	}
	return "", false
}

func isSudoAlias(line string) bool {
	word, _ := cutBlank(line)
	switch word {
	case "User_Alias", "Runas_Alias", "Host_Alias", "Cmnd_Alias", "Cmd_Alias":
		return true
	}
	return false
}

func sudoDefaults(rest string) SudoRule {
	r := SudoRule{Kind: "default", Options: []string{}}
	if rest != "" && rest[0] != ' ' && rest[0] != '\t' {
		r.Who, rest = cutBlank(rest)
		r.Who = clip(r.Who)
	}
	for _, o := range strings.Split(rest, ",") {
		name, value, has := strings.Cut(strings.TrimSpace(o), "=")
		name = strings.TrimRight(strings.TrimSpace(name), "+-")
		if name == "" || len(r.Options) == maxArgs {
			continue
		}
		if has && sudoValues[strings.TrimLeft(name, "!")] {
			name += "=" + unquote(strings.TrimSpace(value))
		}
		r.Options = append(r.Options, clip(name))
	}
	return r
}

func sudoGrant(line string) (SudoRule, bool) {
	left, right, ok := strings.Cut(line, "=")
	if !ok {
		return SudoRule{}, false
	}
	who, hosts := cutBlank(strings.TrimSpace(left))
	r := SudoRule{Kind: "grant", Who: clip(who), AllHosts: hasWord(hosts, "ALL"), Options: []string{}}
	right = strings.TrimSpace(right)
	if strings.HasPrefix(right, "(") {
		if i := strings.IndexByte(right, ')'); i > 0 {
			r.AllRunAs = hasWord(right[1:i], "ALL")
			right = strings.TrimSpace(right[i+1:])
		}
	}
	for _, c := range strings.Split(right, ",") {
		c = strings.TrimSpace(c)
		for {
			tag, rest, ok := strings.Cut(c, ":")
			if !ok || tag == "" || strings.Trim(tag, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") != "" {
				break
			}
			r.NoPassword = r.NoPassword || tag == "NOPASSWD"
			c = strings.TrimSpace(rest)
		}
		switch {
		case c == "ALL":
			r.AllCommands = true
		case strings.HasPrefix(c, "!"):
			r.Negated = true
		case strings.Contains(c, "*"):
			r.Wildcard = true
		}
	}
	return r, true
}

func hasWord(list, word string) bool {
	for _, w := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ':' || r == ' ' || r == '\t' }) {
		if w == word {
			return true
		}
	}
	return false
}
