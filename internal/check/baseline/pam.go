package baseline

import (
	"strings"
)

// A PAMRule is one line of a file of /etc/pam.d (pam.d(5)).
type PAMRule struct {
	// Type is "auth", "account", "password" or "session"; "include" for an
	// @include, whose file stands in Module.
	Type string `json:"type"`
	// Control as written: "required", "[success=1 default=ignore]" …
	Control string `json:"control"`
	// Module is the file name of the module without its directory, or the
	// file that "include" and "substack" name.
	Module string `json:"module"`
	// Args are kept of modules whose arguments are no secrets.
	Args []string `json:"args"`
}

// pamOpen are the modules whose arguments are kept.
var pamOpen = set("pam_unix.so", "pam_pwquality.so", "pam_cracklib.so", "pam_passwdqc.so", "pam_pwhistory.so",
	"pam_faillock.so", "pam_tally.so", "pam_tally2.so", "pam_wheel.so", "pam_limits.so", "pam_umask.so",
	"pam_permit.so", "pam_deny.so", "pam_rootok.so", "pam_securetty.so", "pam_nologin.so", "pam_faildelay.so", "pam_env.so")

func parsePAM(b []byte) ([]PAMRule, error) {
	out := []PAMRule{}
	var err error
	for line := range logicalLines(b, true, &err) {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if len(out) == maxEntries {
			return out, tooMany("rules")
		}
		if rest, ok := strings.CutPrefix(line, "@include"); ok {
			out = append(out, PAMRule{Type: "include", Control: "include", Module: clip(strings.TrimSpace(rest)), Args: []string{}})
			continue
		}
		kind, rest := cutBlank(line)
		control, rest := cutControl(rest)
		module, rest := cutBlank(rest)
		if module == "" {
			continue
		}
		r := PAMRule{
			Type:    clip(strings.ToLower(strings.TrimPrefix(kind, "-"))),
			Control: clip(strings.ToLower(control)),
			Module:  clip(module[strings.LastIndexByte(module, '/')+1:]),
			Args:    []string{},
		}
		if pamOpen[r.Module] {
			if args := clipAll(strings.Fields(rest)); args != nil {
				r.Args = args
			}
		}
		out = append(out, r)
	}
	return out, err
}

func cutBlank(s string) (word, rest string) {
	i := strings.IndexAny(s, " \t")
	if i < 0 {
		return s, ""
	}
	return s[:i], strings.TrimLeft(s[i:], " \t")
}

// cutControl takes one word, or all of "[value=action …]".
func cutControl(s string) (control, rest string) {
	if strings.HasPrefix(s, "[") {
		if i := strings.IndexByte(s, ']'); i > 0 {
			return s[:i+1], strings.TrimLeft(s[i+1:], " \t")
		}
	}
	return cutBlank(s)
}
