package secret

import (
	"bytes"
	"path"
	"strings"
)

// structured reads files whose layout says what is a password without a name
// before it. Such files are small: only what is in the first chunk counts.
func (s *scan) structured() {
	name := strings.ToLower(path.Base(s.path))
	switch {
	case name == ".netrc" || name == "_netrc" || name == "netrc":
		s.netrc()
	case name == ".pgpass" || name == "pgpass.conf" || name == "pgpass":
		s.pgpass()
	case name == ".git-credentials" || strings.HasSuffix(s.path, "/git/credentials"):
		s.lines("git-credentials", "Password of a Git remote", Connection, func(l string) (int, int) {
			_, rest, ok := strings.Cut(l, "://")
			user, pass, ok2 := strings.Cut(rest, ":")
			i := strings.LastIndexByte(pass, '@')
			if !ok || !ok2 || i < 1 || strings.ContainsAny(user, "/@") {
				return 0, 0
			}
			from := len(l) - len(pass)
			return from, from + i
		})
	case name == "sasl_passwd" || name == "rsyncd.secrets" || name == "passwd.client":
		s.lines("mail-password", "Password of a mail or rsync account", Password, func(l string) (int, int) {
			i := strings.LastIndexByte(l, ':')
			if i < 1 || strings.HasPrefix(strings.TrimSpace(l), "#") {
				return 0, 0
			}
			return i + 1, len(l)
		})
	case name == "chap-secrets" || name == "pap-secrets":
		s.lines("ppp-secret", "Password of a PPP peer", Password, func(l string) (int, int) {
			f := strings.Fields(l)
			if len(f) < 3 || strings.HasPrefix(f[0], "#") {
				return 0, 0
			}
			from := strings.Index(l, f[1]) + len(f[1])
			from += strings.Index(l[from:], f[2])
			return from, from + len(f[2])
		})
	case name == ".erlang.cookie" || name == ".vault-token" || name == "ldap.secret" || name == "nslcd.secret" || name == "master.key" && strings.Contains(s.path, "/config/"):
		if v := bytes.TrimSpace(s.buf); len(v) >= 8 && len(v) <= maxValue && !bytes.ContainsAny(v, " \n\t") {
			from := bytes.Index(s.buf, v)
			s.note(Secret{Rule: "secret-file", Title: "File that holds nothing but a secret", Kind: Token, Severity: High}, rankParsed, from, from+len(v))
		}
	}
}

// maxLines bounds the lines that are read of a file with a layout.
const maxLines = 10000

// lines notes what part, a pair of indexes, find gives for each line.
func (s *scan) lines(rule, title string, kind Kind, find func(line string) (from, to int)) {
	at := 0
	for range maxLines {
		if at >= len(s.buf) || s.err != nil {
			return
		}
		n := bytes.IndexByte(s.buf[at:], '\n')
		if n < 0 {
			n = len(s.buf) - at
		}
		if n <= 4096 {
			line := strings.TrimRight(string(s.buf[at:at+n]), "\r \t")
			if from, to := find(line); to > from && to <= len(line) && !isPlaceholder(line[from:to]) {
				s.note(Secret{Rule: rule, Title: title, Kind: kind, Severity: High}, rankParsed, at+from, at+to)
			}
		}
		at += n + 1
	}
}

// netrc reads the tokens of a netrc file (ftp(1), curl(1)).
func (s *scan) netrc() {
	type word struct{ from, to int }
	var before string
	at := 0
	for n := 0; n < 4*maxLines && s.err == nil; n++ {
		for at < len(s.buf) && s.buf[at] <= ' ' {
			at++
		}
		if at >= len(s.buf) {
			return
		}
		w := word{at, at}
		if s.buf[at] == '"' {
			w.from++
			for at++; at < len(s.buf) && s.buf[at] != '"' && s.buf[at] != '\n'; at++ {
			}
			w.to = at
			at++
		} else {
			for at < len(s.buf) && s.buf[at] > ' ' {
				at++
			}
			w.to = at
		}
		v := string(s.buf[w.from:min(w.to, w.from+maxValue)])
		if before == "password" && v != "" && !isPlaceholder(v) {
			s.note(Secret{Rule: "netrc-password", Title: "Password in a netrc file", Kind: Password, Severity: High}, rankParsed, w.from, w.from+len(v))
			v = ""
		}
		before = v
	}
}

// pgpass reads host:port:database:user:password, where a backslash escapes a
// colon (libpq, "The Password File").
func (s *scan) pgpass() {
	s.lines("pgpass-password", "Password in a pgpass file", Password, func(l string) (int, int) {
		if strings.HasPrefix(strings.TrimSpace(l), "#") {
			return 0, 0
		}
		colons := 0
		for i := 0; i < len(l); i++ {
			switch l[i] {
			case '\\':
				i++
			case ':':
				if colons++; colons == 4 && i+1 < len(l) && l[i+1:] != "*" {
					return i + 1, len(l)
				}
			}
		}
		return 0, 0
	})
}
