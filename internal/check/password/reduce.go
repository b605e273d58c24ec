package password

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// Options that CheckComplexity reads. Their values are kept if they can be
// those of such an option: numbers, mostly.
var (
	moduleOptions  = []string{"minlen", "ucredit", "lcredit", "dcredit", "ocredit", "minclass", "enforcing", "min", "enforce", "obscure", "config"}
	moduleNames    = []string{"pam_pwquality", "pam_cracklib", "pam_passwdqc", "pam_unix"}
	enforceWords   = []string{"none", "users", "everyone"}
	plainCharacter = "0123456789-+"
)

// reduced is what CheckComplexity reads of a file, and nothing else of it: the
// same answer follows from it.
func reduced(file File) string {
	var r reader
	var b strings.Builder
	switch {
	case file.Path == loginDefsPath:
		r.lines(file, func(_ int, line string) {
			if w := strings.Fields(line); len(w) >= 2 && w[0] == "PASS_MIN_LEN" {
				b.WriteString("PASS_MIN_LEN " + plain("", w[1]) + "\n")
			}
		})
	case slices.Contains(pamDirs, path.Dir(file.Path)):
		r.joined(file, func(_ int, line string) {
			m, ok := parsePAM(line)
			if !ok || !slices.Contains(moduleNames, m.name) {
				return
			}
			b.WriteString("password required " + m.name + ".so")
			for _, k := range moduleOptions {
				if v, ok := m.args[k]; ok {
					b.WriteString(" " + k)
					if v = plain(k, v); v != "" {
						b.WriteString("=" + v)
					}
				}
			}
			b.WriteString("\n")
		})
	default:
		s := settings{}
		r.keyValues(file, s)
		for _, k := range moduleOptions {
			if v, ok := s[k]; ok {
				b.WriteString(k + " = " + plain(k, v) + "\n")
			}
		}
	}
	return b.String()
}

// plain is the value of an option if it can be one.
func plain(option, v string) string {
	switch {
	case option == "config" && v != "":
		return "/etc/passwdqc.conf" // that there is one is all that counts
	case option == "enforce" && slices.Contains(enforceWords, v):
		return v
	case option == "min":
		// One length for each kind of password; "disabled" refuses a kind.
		var list []string
		for f := range strings.SplitSeq(v, ",") {
			if f != "disabled" {
				f = strconv.Itoa(number(f))
			}
			if list = append(list, f); len(list) == 5 {
				break
			}
		}
		return strings.Join(list, ",")
	case len(v) > 10 || strings.Trim(v, plainCharacter) != "":
		return ""
	}
	return v
}
