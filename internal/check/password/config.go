package password

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"io"
	"path"
	"strings"
)

const (
	// maxConfigBytes bounds a plain-text configuration.
	maxConfigBytes = 1 << 20
	// maxConfigAccounts bounds the accounts of one configuration.
	maxConfigAccounts = 200
)

// configOf is the reader for a plain-text configuration, nil if path is none.
func configOf(p string) func(*reader, File) {
	base := path.Base(p)
	switch {
	case base == "tomcat-users.xml":
		return (*reader).tomcat
	case base == "my.cnf" || base == ".my.cnf" || base == "debian.cnf" && path.Dir(p) == "/etc/mysql",
		strings.HasSuffix(base, ".cnf") && (strings.Contains(p, "/mysql/") || strings.Contains(p, "/my.cnf.d/")):
		return (*reader).mysql
	case strings.HasPrefix(base, "redis") && strings.HasSuffix(base, ".conf"),
		strings.HasPrefix(base, "sentinel") && strings.HasSuffix(base, ".conf"),
		base == "users.acl" && strings.Contains(p, "redis"):
		return (*reader).redis
	}
	return nil
}

// plain adds an account of a configuration.
func (r *reader) plain(file File, line int, service, user, secret string, n *int) {
	if *n++; *n > maxConfigAccounts {
		if *n == maxConfigAccounts+1 {
			r.problem(file.Path, line, "more accounts than are looked at")
		}
		return
	}
	e := entry{secret: secret, order: 0}
	e.User, e.Service, e.Path, e.Line, e.Layer, e.Login = user[:min(len(user), maxNameBytes)], service, file.Path, line, file.Layer, true
	r.add(e)
}

func (r *reader) cut(file File) File {
	if len(file.Content) > maxConfigBytes {
		r.problem(file.Path, 0, "larger than what is read of a configuration: the rest is not read")
		file.Content = file.Content[:maxConfigBytes]
	}
	return file
}

// redis reads requirepass, masterauth and the rules of access of a
// configuration of redis or of its file of users (redis.io/docs, "ACL").
func (r *reader) redis(file File) {
	accounts := 0
	r.lines(r.cut(file), func(n int, line string) {
		f := fields(line)
		if len(f) < 2 {
			return
		}
		switch strings.ToLower(f[0]) {
		case "requirepass", "masterauth":
			if f[1] != "" {
				r.plain(file, n, ServiceRedis, "default", f[1], &accounts)
			}
		case "sentinel":
			if len(f) >= 4 && strings.EqualFold(f[1], "auth-pass") {
				r.plain(file, n, ServiceRedis, f[2], f[3], &accounts)
			}
		case "user":
			r.redisUser(file, n, f, &accounts)
		}
	})
}

// redisUser reads "user NAME RULE…": ">" stands before a password and "#"
// before its SHA-256. Rules apply from left to right.
func (r *reader) redisUser(file File, line int, f []string, accounts *int) {
	on, nopass := false, false
	var secrets []string
	for _, rule := range f[2:] {
		switch lower := strings.ToLower(rule); {
		case lower == "on":
			on = true
		case lower == "off":
			on = false
		case lower == "nopass":
			nopass, secrets = true, nil
		case lower == "resetpass" || lower == "reset":
			nopass, secrets = false, nil
		case len(rule) > 1 && rule[0] == '>':
			nopass, secrets = false, append(secrets, rule[1:])
		case len(rule) == 65 && rule[0] == '#':
			nopass, secrets = false, append(secrets, "{sha256}"+strings.ToLower(rule[1:]))
		}
	}
	if !on {
		return
	}
	if nopass {
		secrets = []string{""}
	}
	for _, s := range secrets {
		r.plain(file, line, ServiceRedis, f[1], s, accounts)
	}
}

// tomcat reads the users of Tomcat's UserDatabaseRealm.
func (r *reader) tomcat(file File) {
	file = r.cut(file)
	d := xml.NewDecoder(bytes.NewReader(file.Content))
	d.Strict = false
	// Accounts are ASCII where it matters; nothing is converted.
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	accounts := 0
	for {
		line, _ := d.InputPos()
		t, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			r.problem(file.Path, line, "not well-formed XML")
			return
		}
		e, ok := t.(xml.StartElement)
		if !ok || e.Name.Local != "user" {
			continue
		}
		name, secret, has := "", "", false
		for _, a := range e.Attr {
			switch a.Name.Local {
			case "username", "name":
				name = a.Value
			case "password":
				secret, has = a.Value, true
			}
		}
		if has && name != "" {
			r.plain(file, line, ServiceTomcat, name, secret, &accounts)
		}
	}
}

// mysql reads passwords of option files (MySQL manual, "Using Option Files").
func (r *reader) mysql(file File) {
	accounts, name := 0, ""
	r.lines(r.cut(file), func(n int, line string) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			return
		}
		if line[0] == '[' {
			name = ""
			return
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			return
		}
		key, value = strings.ToLower(strings.ReplaceAll(strings.TrimSpace(key), "_", "-")), optionValue(value)
		switch key {
		case "user":
			name = value
		case "password", "master-password", "wsrep-sst-auth":
			user := name
			if key == "wsrep-sst-auth" {
				u, p, _ := strings.Cut(value, ":")
				user, value = u, p
			}
			if user == "" {
				user = "root"
			}
			if value != "" { // an empty one asks for the password
				r.plain(file, n, ServiceMySQL, user, value, &accounts)
			}
		}
	})
}

// optionValue is the value of an option without quotes and comment.
func optionValue(v string) string {
	v = strings.TrimSpace(v)
	if len(v) > 0 && (v[0] == '"' || v[0] == '\'') {
		if end := strings.IndexByte(v[1:], v[0]); end >= 0 {
			return v[1 : 1+end]
		}
	}
	if i := strings.Index(v, " #"); i >= 0 {
		v = strings.TrimSpace(v[:i])
	}
	return v
}

// fields splits a line of a configuration at white space; quoted parts stay
// whole. A line that begins with "#" has none.
func fields(line string) []string {
	var out []string
	for line = strings.TrimSpace(line); line != "" && (len(out) > 0 || line[0] != '#'); line = strings.TrimSpace(line) {
		if q := line[0]; q == '"' || q == '\'' {
			if end := strings.IndexByte(line[1:], q); end >= 0 {
				out, line = append(out, line[1:1+end]), line[2+end:]
				continue
			}
		}
		end := strings.IndexAny(line, " \t")
		if end < 0 {
			end = len(line)
		}
		out, line = append(out, line[:end]), line[end:]
	}
	return out
}

// parsePlain makes a password that stands there as it is one to compare with.
func parsePlain(secret string) stored {
	if sum, ok := strings.CutPrefix(secret, "{sha256}"); ok {
		want, err := hex.DecodeString(sum)
		if err != nil || len(want) != sha256.Size {
			return malformed(KindSHA256Hex)
		}
		return stored{kind: KindSHA256Hex, price: priceDigest, match: func(guess string) (bool, error) {
			got := sha256.Sum256([]byte(guess))
			return bytes.Equal(got[:], want), nil
		}}
	}
	if strings.HasPrefix(secret, "${") || strings.HasPrefix(secret, "{{") || strings.HasPrefix(secret, "@@") {
		return stored{kind: KindPlain, why: "the password is put in at run time"}
	}
	return stored{kind: KindPlain, price: priceDigest, match: func(guess string) (bool, error) { return guess == secret, nil }}
}
