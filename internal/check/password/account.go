package password

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
)

const (
	// maxFileBytes bounds each file that is read. A shadow file of 10,000
	// accounts takes 1.5 MB.
	maxFileBytes = 4 << 20
	// maxLineBytes bounds a line of passwd and shadow: libxcrypt's hash of
	// up to 384 bytes and room for the rest.
	maxLineBytes = 2 << 10
	// maxAccounts bounds the accounts of an image.
	maxAccounts = 20_000
	// maxNameBytes bounds the name of an account; useradd(8) allows 32
	// characters.
	maxNameBytes = 256
	// maxProblems bounds what is reported of damaged lines.
	maxProblems = 100
)

// A File is one file of the merged image.
type File struct {
	// Path is absolute within the image and clean.
	Path string
	// Layer is the diff ID of the layer that the file comes from. It is
	// handed on to the accounts of the file.
	Layer string
	// Content is the whole file.
	Content []byte
}

// A Problem is something that could not be read. Its text never quotes the
// file.
type Problem struct {
	Path string `json:"path"`
	Line int    `json:"line,omitempty"`
	Text string `json:"text"`
}

// An entry is an account as a file tells it, with what it keeps for a password.
type entry struct {
	Account
	// secret is the field of shadow or passwd, or the plain-text password.
	secret string
	// order sorts entries: accounts that matter most are guessed first.
	order int
}

// A user is what /etc/passwd says of an account.
type user struct {
	uid   int
	login bool
	field string
	line  int
}

// lines calls f with each line of a file and its number, without the line end.
// Lines that are too long are a problem and are left out.
func (r *reader) lines(file File, f func(n int, line string)) {
	rest := file.Content
	if len(rest) > maxFileBytes {
		r.problem(file.Path, 0, fmt.Sprintf("larger than %d bytes: the rest is not read", maxFileBytes))
		rest = rest[:maxFileBytes]
	}
	for n := 1; len(rest) > 0; n++ {
		line := rest
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			line, rest = rest[:i], rest[i+1:]
		} else {
			rest = nil
		}
		if len(line) > maxLineBytes {
			r.problem(file.Path, n, fmt.Sprintf("line longer than %d bytes", maxLineBytes))
			continue
		}
		f(n, strings.TrimSuffix(string(line), "\r"))
	}
}

// A reader collects accounts and problems.
type reader struct {
	entries  []entry
	problems []Problem
	// left counts accounts beyond maxAccounts, hidden problems beyond
	// maxProblems.
	left, hidden int
}

func (r *reader) problem(path string, line int, text string) {
	if len(r.problems) == maxProblems {
		r.hidden++
		return
	}
	r.problems = append(r.problems, Problem{Path: path, Line: line, Text: text})
}

func (r *reader) add(e entry) {
	if len(r.entries) == maxAccounts {
		r.left++
		return
	}
	r.entries = append(r.entries, e)
}

// passwd reads /etc/passwd (passwd(5)).
func (r *reader) passwd(file File) (map[string]user, []string) {
	users, names := map[string]user{}, []string(nil)
	r.lines(file, func(n int, line string) {
		f := strings.Split(line, ":")
		if len(f) < 7 || strings.HasPrefix(line, "#") || f[0] == "" || f[0][0] == '+' || f[0][0] == '-' {
			if strings.TrimSpace(line) != "" && line[0] != '#' && line[0] != '+' && line[0] != '-' {
				r.problem(file.Path, n, "not a line of passwd")
			}
			return
		}
		if _, twice := users[f[0]]; twice || len(f[0]) > maxNameBytes || len(users) == maxAccounts {
			return // getpwnam takes the first
		}
		uid, err := strconv.ParseUint(f[2], 10, 32)
		if err != nil {
			r.problem(file.Path, n, "the user id is no number")
			uid = math.MaxUint32
		}
		users[f[0]] = user{uid: int(uid), login: hasLogin(f[6]), field: f[1], line: n}
		names = append(names, f[0])
	})
	return users, names
}

// system joins /etc/passwd and /etc/shadow. Either may be missing: the
// analyser of one layer sees one of them only.
func (r *reader) system(passwd, shadow *File) {
	var users map[string]user
	var names []string
	if passwd != nil {
		users, names = r.passwd(*passwd)
	}
	if shadow != nil {
		seen := map[string]bool{}
		r.lines(*shadow, func(n int, line string) {
			f := strings.Split(line, ":")
			if len(f) < 2 || f[0] == "" || len(f[0]) > maxNameBytes {
				if t := strings.TrimSpace(line); t != "" && t[0] != '#' {
					r.problem(shadow.Path, n, "not a line of shadow")
				}
				return
			}
			if seen[f[0]] {
				return // getspnam takes the first
			}
			seen[f[0]] = true
			u, known := users[f[0]]
			if passwd != nil && !known {
				return // no such account: nobody can log in
			}
			if known && u.field != "x" {
				return // passwd keeps the password itself
			}
			e := entry{secret: f[1]}
			e.User, e.Service, e.Path, e.Line, e.Layer = f[0], ServiceSystem, shadow.Path, n, shadow.Layer
			e.Login = !known || u.login
			e.order = orderOf(f[0], u, known)
			if len(f) > 2 {
				e.Changed, _ = strconv.Atoi(f[2])
				if e.Changed < 0 || e.Changed > 100_000 {
					e.Changed = 0
				}
			}
			r.add(e)
		})
	}
	for _, name := range names {
		u := users[name]
		if u.field == "x" {
			continue
		}
		e := entry{secret: u.field, order: orderOf(name, u, true)}
		e.User, e.Service, e.Path, e.Line, e.Layer, e.Login = name, ServiceSystem, passwd.Path, u.line, passwd.Layer, u.login
		r.add(e)
	}
}

// orderOf is 0 for the superuser, 1 for accounts with a shell, 2 for others.
func orderOf(name string, u user, known bool) int {
	switch {
	case name == "root" || known && u.uid == 0:
		return 0
	case !known || u.login:
		return 1
	default:
		return 2
	}
}

// hasLogin says whether a shell lets one in. An empty one is /bin/sh.
func hasLogin(shell string) bool {
	base := shell[strings.LastIndexByte(shell, '/')+1:]
	switch base {
	case "nologin", "false", "true", "sync", "halt", "shutdown":
		return false
	}
	return true
}

// locked says whether a field of shadow lets no password in: it begins with
// "!" or "*", or is a word that can be no hash. A hash behind "!" is that of an
// account that was locked; it is not guessed.
func locked(field string) bool {
	if field == "" {
		return false
	}
	switch field[0] {
	case '!', '*':
		return true
	}
	switch strings.ToUpper(field) {
	case "X", "LK", "NP", "NOLOGIN", "LOCKED":
		return true
	}
	return false
}
