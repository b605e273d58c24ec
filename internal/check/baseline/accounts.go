package baseline

import (
	"fmt"
	"strconv"
	"strings"
)

// An Account is one line of /etc/passwd (passwd(5)).
type Account struct {
	Name string `json:"name"`
	UID  int    `json:"uid"`
	GID  int    `json:"gid"`
	Home string `json:"home"`
	// Shell as the file has it. The empty shell is /bin/sh.
	Shell string `json:"shell"`
	// Login says that the shell lets someone in: it is none of nologin,
	// false, true, sync, halt and shutdown.
	Login bool `json:"login"`
	// Password is where the password is: "shadow" for an x, "locked",
	// "empty", or "inline" for a hash in this file that everyone can read.
	Password string `json:"password"`
}

// A Password is one line of /etc/shadow (shadow(5)) without the hash. Days are
// -1 where the field is empty.
type Password struct {
	Name string `json:"name"`
	// State is "set", "locked" (a hash behind "!"), "none" (no password
	// can fit) or "empty".
	State string `json:"state"`
	// Hash is the kind of the hash, after crypt(5): "yescrypt",
	// "sha512crypt", "md5crypt", "des" …; "" if there is none, "unknown" if
	// it is none of those.
	Hash string `json:"hash"`
	// LastChange is in days since 1970.
	LastChange int `json:"last_change"`
	MinDays    int `json:"min_days"`
	MaxDays    int `json:"max_days"`
	WarnDays   int `json:"warn_days"`
	Inactive   int `json:"inactive"`
	Expire     int `json:"expire"`
}

// A Group is one line of /etc/group (group(5)).
type Group struct {
	Name    string   `json:"name"`
	GID     int      `json:"gid"`
	Members []string `json:"members"`
	// Password is as Account.Password.
	Password string `json:"password"`
}

func parsePasswd(b []byte) ([]Account, error) {
	out := []Account{}
	err := eachRecord(b, 7, func(f []string) bool {
		a := Account{Name: clip(f[0]), UID: number(f[2]), GID: number(f[3]), Home: clip(f[5]), Shell: clip(f[6])}
		a.Login = letsIn(a.Shell)
		a.Password = passwordPlace(f[1])
		out = append(out, a)
		return len(out) < maxEntries
	})
	return out, err
}

func parseShadow(b []byte) ([]Password, error) {
	out := []Password{}
	err := eachRecord(b, 2, func(f []string) bool {
		for len(f) < 9 {
			f = append(f, "")
		}
		p := Password{
			Name: clip(f[0]), LastChange: number(f[2]), MinDays: number(f[3]), MaxDays: number(f[4]),
			WarnDays: number(f[5]), Inactive: number(f[6]), Expire: number(f[7]),
		}
		p.State, p.Hash = hashKind(f[1])
		out = append(out, p)
		return len(out) < maxEntries
	})
	return out, err
}

func parseGroup(b []byte) ([]Group, error) {
	out := []Group{}
	err := eachRecord(b, 3, func(f []string) bool {
		g := Group{Name: clip(f[0]), GID: number(f[2]), Members: []string{}, Password: passwordPlace(f[1])}
		if len(f) > 3 {
			for _, m := range strings.Split(f[3], ",") {
				if m = strings.TrimSpace(m); m != "" && len(g.Members) < maxEntries {
					g.Members = append(g.Members, clip(m))
				}
			}
		}
		out = append(out, g)
		return len(out) < maxEntries
	})
	return out, err
}

// eachRecord calls f with the fields of each line that has at least want of
// them, until f returns false. Lines with fewer are an error that does not stop.
func eachRecord(b []byte, want int, f func([]string) bool) error {
	var limit, damaged error
	full := false
	for line := range logicalLines(b, false, &limit) {
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if full {
			return tooMany("records")
		}
		fields := strings.Split(line, ":")
		if len(fields) < want || fields[0] == "" {
			// "+" lines of NIS have fewer fields, and nothing else should. A
			// count is told, never the line: it may hold a hash.
			damaged = fmt.Errorf("a record with %d fields: want %d", len(fields), want)
			continue
		}
		full = !f(fields)
	}
	if limit != nil {
		return limit
	}
	return damaged
}

// number is a field that holds a number; -1 if it does not.
func number(s string) int {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return int(min(n, 1<<40))
}

func letsIn(shell string) bool {
	switch shell[strings.LastIndexByte(shell, '/')+1:] {
	case "nologin", "false", "true", "sync", "halt", "shutdown", "git-shell":
		return false
	}
	return true
}

func passwordPlace(s string) string {
	switch {
	case s == "":
		return "empty"
	case s == "x":
		return "shadow"
	case s[0] == '!' || s[0] == '*':
		return "locked"
	}
	return "inline"
}

// hashPrefixes are the identifiers of crypt(5).
var hashPrefixes = []struct{ prefix, kind string }{
	{"$y$", "yescrypt"}, {"$gy$", "gost-yescrypt"}, {"$7$", "scrypt"},
	{"$2a$", "bcrypt"}, {"$2b$", "bcrypt"}, {"$2x$", "bcrypt"}, {"$2y$", "bcrypt"},
	{"$6$", "sha512crypt"}, {"$5$", "sha256crypt"}, {"$sm3$", "sm3crypt"},
	{"$sha1", "sha1crypt"}, {"$md5", "sunmd5"}, {"$1$", "md5crypt"}, {"$3$", "nt"},
	{"_", "bsdi-des"},
}

// hashKind says what stands in the password field of /etc/shadow.
func hashKind(s string) (state, kind string) {
	if s == "" {
		return "empty", ""
	}
	state = "set"
	bare := strings.TrimLeft(s, "!")
	if bare != s {
		state = "locked"
	}
	for _, h := range hashPrefixes {
		if strings.HasPrefix(bare, h.prefix) && len(bare) > len(h.prefix)+8 {
			return state, h.kind
		}
	}
	switch {
	case len(bare) == 13 && strings.Trim(bare, "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == "":
		return state, "des"
	case len(bare) < 13:
		return "none", "" // "*", "x", "NP": no password gives this
	}
	return state, "unknown"
}
