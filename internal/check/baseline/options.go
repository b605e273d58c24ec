package baseline

import (
	"strings"
)

// parseSSHD reads sshd_config(5): keywords without regard to case, "=" or
// blanks before the arguments. Directives after a Match line have the section
// "match".
func parseSSHD(b []byte) ([]Directive, error) {
	out := []Directive{}
	var err error
	section := ""
	for line := range settingLines(b, &err, "#") {
		if len(out) == maxEntries {
			return out, tooMany("options")
		}
		name, rest := cutOption(line)
		d := Directive{Section: section, Name: clip(strings.ToLower(name))}
		if args := splitWords(rest); !sshdHidden[d.Name] {
			for i, a := range args {
				if strings.HasPrefix(a, "#") { // a comment, since OpenSSH 8.5
					args = args[:i]
					break
				}
			}
			d.Args = clipAll(args)
		}
		if d.Name == "match" {
			section = "match"
			if len(d.Args) == 1 && strings.EqualFold(d.Args[0], "all") {
				section = "" // "Match all" ends the conditions
			}
		}
		out = append(out, d)
	}
	return out, err
}

// sshdHidden are options of sshd that hold what the administrator wrote:
// commands and variables.
var sshdHidden = set("setenv", "forcecommand", "authorizedkeyscommand", "authorizedprincipalscommand", "subsystem")

// cutOption cuts "name value", "name=value" and "name = value".
func cutOption(line string) (name, rest string) {
	i := strings.IndexAny(line, " \t=")
	if i < 0 {
		return line, ""
	}
	name, rest = line[:i], strings.TrimLeft(line[i:], " \t")
	rest = strings.TrimLeft(strings.TrimPrefix(rest, "="), " \t")
	return name, rest
}

// parseOptions reads login.defs(5), pwquality.conf(5), faillock.conf(5) and
// useradd's defaults: a name, and a value that is no secret. No option of theirs
// is one, but who writes such files may have put one there.
func parseOptions(b []byte) ([]Directive, error) {
	out := []Directive{}
	var err error
	for line := range logicalLines(b, false, &err) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if len(out) == maxEntries {
			return out, tooMany("options")
		}
		name, rest := cutOption(line)
		d := Directive{Name: clip(name)}
		rest = unquote(strings.TrimSpace(rest))
		switch {
		case saysSecret(name) && !isDigits(strings.TrimPrefix(rest, "-")):
			d.State = secretState(rest)
		case rest != "":
			d.Args = []string{clip(rest)}
		}
		out = append(out, d)
	}
	return out, err
}

// shellVariables are what is kept of a shell profile.
var shellVariables = set("TMOUT", "HISTSIZE", "HISTFILESIZE", "UMASK")

// parseShell reads the umask and a few variables of a profile. It is no shell:
// it takes each command "umask N" and "NAME=N" for set, wherever it stands.
func parseShell(b []byte) ([]Directive, error) {
	out := []Directive{}
	var err error
	for line := range logicalLines(b, false, &err) {
		line, _, _ = strings.Cut(line, "#")
		for _, command := range strings.FieldsFunc(line, func(r rune) bool { return r == ';' || r == '&' || r == '|' }) {
			words := strings.Fields(command)
			for len(words) > 1 {
				switch words[0] {
				case "export", "readonly", "declare", "typeset", "-r", "-x", "-rx", "-xr", "then", "else", "do", "{":
					words = words[1:]
					continue
				}
				break
			}
			if len(words) == 0 {
				continue
			}
			if len(out) == maxEntries {
				return out, tooMany("commands")
			}
			if words[0] == "umask" && len(words) == 2 && isDigits(words[1]) {
				out = append(out, Directive{Name: "umask", Args: []string{clip(words[1])}})
			} else if name, value, ok := strings.Cut(words[0], "="); ok && shellVariables[name] {
				if value = unquote(value); isDigits(value) {
					out = append(out, Directive{Name: name, Args: []string{clip(value)}})
				}
			}
		}
	}
	return out, err
}

// saysSecret tells whether a name is one of a secret.
func saysSecret(name string) bool {
	name = strings.ToLower(name)
	for _, w := range []string{"passw", "passphrase", "pwd", "bindpw", "secret", "token", "credential", "apikey", "api_key", "private"} {
		if strings.Contains(name, w) {
			return true
		}
	}
	return false
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// parseLimits reads limits.conf(5): "domain type item value". The name is the
// item; Args are domain, type, value.
func parseLimits(b []byte) ([]Directive, error) {
	out := []Directive{}
	var err error
	for line := range logicalLines(b, false, &err) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) != 4 {
			continue
		}
		if len(out) == maxEntries {
			return out, tooMany("limits")
		}
		out = append(out, Directive{Name: clip(f[2]), Args: clipAll([]string{f[0], f[1], f[3]})})
	}
	return out, err
}

// parseBanner keeps which escapes of a banner tell the system: of agetty(8)
// \m, \r, \s and \v. The text itself is not kept.
func parseBanner(b []byte) ([]Directive, error) {
	d := Directive{Name: "escapes"}
	text := string(b)
	for _, e := range []string{`\m`, `\r`, `\s`, `\v`} {
		if strings.Contains(text, e) {
			d.Args = append(d.Args, e)
		}
	}
	out := []Directive{d}
	if strings.TrimSpace(text) != "" {
		out = append(out, Directive{Name: "text"})
	}
	return out, nil
}

// parsePolicy reads the one word of /etc/crypto-policies/config.
func parsePolicy(b []byte) ([]Directive, error) {
	out := []Directive{}
	var err error
	for line := range logicalLines(b, false, &err) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			return append(out, Directive{Name: "policy", Args: []string{clip(line)}}), err
		}
	}
	return out, err
}
