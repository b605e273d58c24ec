package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"

	"github.com/onceover/onceover/internal/check/text"
)

// A builtin is a rule in code: it is called with the place of one of its
// keywords.
type builtin struct {
	keywords []string
	find     func(s *scan, at, end int)
}

var builtins = []builtin{
	{[]string{"-----begin"}, (*scan).pem},
	{[]string{"ls0tls1crudjti"}, (*scan).encodedPEM}, // base64 of "-----BEGIN "
	{[]string{"://"}, (*scan).userInfo},
	{[]string{"eyj"}, (*scan).jwt},         // base64 of `{"`
	{[]string{"zxlk"}, (*scan).encodedJWT}, // base64 of that
	{[]string{"putty-user-key-file-"}, (*scan).putty},
}

// maxPEM bounds a private key: RSA with 16384 bits takes 12.7 kB.
const maxPEM = 24 << 10

// pem finds private keys: of RFC 7468, of OpenSSH and of OpenPGP, also as
// strings with "\n" for the ends of their lines, and indented.
func (s *scan) pem(at, end int) {
	line := cut(s.buf, end, 48)
	label, _, ok := bytes.Cut(line, []byte("-----"))
	if !ok || len(label) < 2 || label[0] != ' ' || !bytes.Contains(label, []byte("PRIVATE KEY")) {
		return
	}
	l := printable(string(label[1:]))
	body := cut(s.buf, end+len(label)+5, maxPEM)
	stop := bytes.Index(body, []byte("-----END"))
	if stop < 0 {
		s.spend(len(body) / 8) // looking for it is quick
		return
	}
	if !s.spend(stop) {
		return
	}
	text := strings.NewReplacer(`\r`, "\n", `\n`, "\n", `\t`, "\n", `\`, "\n", "\r", "\n", " ", "\n", "\t", "\n", `"`, "\n", "'", "\n", ",", "\n", "+\n", "\n").Replace(string(body[:stop]))
	f := Secret{Rule: "private-key", Title: "Private key (" + l + ")", Kind: PrivateKey, Severity: Critical, Masked: "-----BEGIN " + l + "-----********"}
	raw, header := pemBody(text)
	switch {
	case strings.Contains(l, "PGP"):
		f.Rule, f.Title = "pgp-private-key", "OpenPGP private key"
		if len(raw) < 64 {
			return
		}
	case strings.Contains(l, "OPENSSH"):
		f.Rule, f.Title = "openssh-private-key", "OpenSSH private key"
		var kdf bool
		if f.Encrypted, kdf = opensshEncrypted(raw); !kdf {
			return
		}
	case strings.Contains(l, "ENCRYPTED") || strings.Contains(header, "ENCRYPTED"):
		f.Encrypted = true
		if len(raw) < 32 {
			return
		}
	default:
		// DER of a sequence that goes on to the end: anything else is the
		// text of a programme, or a key that somebody has cut.
		if !isSequence(raw) {
			return
		}
	}
	if f.Encrypted {
		f.Rule, f.Title, f.Severity = f.Rule+"-encrypted", f.Title+", encrypted", Medium
	}
	s.noteKey(f, at, end+len(label)+5+stop+8)
}

// pemBody decodes what stands between the lines of a PEM block. A checksum of
// OpenPGP and headers are left out.
func pemBody(text string) (raw []byte, header string) {
	var b strings.Builder
	words := strings.Fields(text)
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case strings.HasSuffix(w, ":"):
			header += w
			if i+1 < len(words) { // its value, one or two words
				i++
				header += words[i]
				for i+1 < len(words) && strings.ContainsAny(words[i+1], ",:()") {
					i++
					header += words[i]
				}
			}
		case strings.HasPrefix(w, "ENCRYPTED"), strings.Contains(w, "-CBC"), strings.Contains(w, "-EDE3"):
			header += w
		case strings.HasPrefix(w, "=") && len(w) == 5:
		case strings.Trim(w, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") == "":
			b.WriteString(strings.TrimRight(w, "="))
		}
	}
	// What does not decode at the end is lost; the beginning tells enough.
	return decode([]byte(b.String())), header
}

// isSequence tells whether b is one SEQUENCE of DER with at least 40 bytes.
func isSequence(b []byte) bool {
	length, head, ok := derLength(b)
	return ok && b[0] == 0x30 && length >= 40 && length+head <= len(b)+3 && length+head >= len(b)-16
}

// derLength is the length of the content of a DER element of at most 64 KiB,
// and of what stands before it.
func derLength(b []byte) (length, head int, ok bool) {
	switch {
	case len(b) < 4:
		return 0, 0, false
	case b[1] < 0x80:
		return int(b[1]), 2, true
	case b[1] == 0x81:
		return int(b[2]), 3, true
	case b[1] == 0x82:
		return int(b[2])<<8 | int(b[3]), 4, true
	}
	return 0, 0, false
}

// opensshEncrypted reads the name of the cipher (PROTOCOL.key of OpenSSH).
func opensshEncrypted(raw []byte) (encrypted, ok bool) {
	rest, ok := bytes.CutPrefix(raw, []byte("openssh-key-v1\x00"))
	if !ok || len(rest) < 64 || rest[0] != 0 || rest[1] != 0 || rest[2] != 0 || int(rest[3]) > 32 {
		return false, false
	}
	return string(rest[4:4+int(rest[3])]) != "none", true
}

// noteKey notes a private key; the hash is of the letters of its body alone,
// so that the same key in another layout is the same.
func (s *scan) noteKey(f Secret, from, to int) {
	n := len(s.found)
	s.note(f, rankKey, from, to)
	if len(s.found) > n {
		v := strings.Map(func(r rune) rune {
			if r <= ' ' || r == '\\' {
				return -1
			}
			return r
		}, strings.ReplaceAll(string(s.buf[from:to]), `\n`, ""))
		s.found[n].Hash = digest(s.salt, v)
		s.found[n].Context = f.Masked
	}
}

// encodedPEM finds private keys in base64, as Kubernetes keeps them.
func (s *scan) encodedPEM(at, _ int) {
	i := at
	for limit := min(len(s.buf), at+2*maxPEM); i < limit && isBase64(s.buf[i]); i++ {
	}
	if !s.spend(i - at) {
		return
	}
	block, _ := pem.Decode(decode(s.buf[at:i]))
	if block == nil || !strings.Contains(block.Type, "PRIVATE KEY") {
		return
	}
	f := Secret{Rule: "private-key-base64", Title: "Private key in base64 (" + printable(block.Type[:min(len(block.Type), 40)]) + ")", Kind: PrivateKey, Severity: Critical}
	if strings.Contains(block.Type, "ENCRYPTED") || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
		f.Rule, f.Severity, f.Encrypted = "private-key-base64-encrypted", Medium, true
	}
	s.note(f, rankKey, at, i)
}

// decode is what base64 says as far as it can be read.
func decode(b []byte) []byte {
	b = bytes.TrimRight(b, "=")
	raw := make([]byte, base64.RawStdEncoding.DecodedLen(len(b)))
	n, _ := base64.RawStdEncoding.Decode(raw, b)
	return raw[:n]
}

func isBase64(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '+' || c == '/' || c == '='
}

func isBase64URL(c byte) bool {
	return text.IsWord(c) || c == '-' || c == '='
}

// putty finds private keys in the format of PuTTY.
func (s *scan) putty(at, end int) {
	head := cut(s.buf, end, 2048)
	if !s.spend(len(head)) {
		return
	}
	i := bytes.Index(head, []byte("Private-Lines:"))
	if i < 0 {
		return
	}
	f := Secret{Rule: "putty-private-key", Title: "PuTTY private key", Kind: PrivateKey, Severity: Critical, Masked: "PuTTY-User-Key-File ********"}
	if !bytes.Contains(head[:i], []byte("Encryption: none")) {
		f.Rule, f.Title, f.Severity, f.Encrypted = "putty-private-key-encrypted", "PuTTY private key, encrypted", Medium, true
	}
	stop := bytes.Index(cut(s.buf, end+i, maxPEM), []byte("Private-MAC"))
	if stop < 0 {
		return
	}
	s.noteKey(f, at, end+i+stop)
}

const (
	maxUser     = 128
	maxPassword = 256
	maxHost     = 256
)

// databases are schemes of URLs whose password opens a store of data.
var databases = map[string]string{
	"postgres": "PostgreSQL", "postgresql": "PostgreSQL", "mysql": "MySQL", "mariadb": "MariaDB", "mongodb": "MongoDB", "mongodb+srv": "MongoDB", "redis": "Redis", "rediss": "Redis",
	"amqp": "AMQP", "amqps": "AMQP", "mssql": "SQL Server", "sqlserver": "SQL Server", "oracle": "Oracle", "clickhouse": "ClickHouse", "cassandra": "Cassandra", "couchbase": "Couchbase", "couchdb": "CouchDB",
	"neo4j": "Neo4j", "bolt": "Neo4j", "cockroachdb": "CockroachDB", "kafka": "Kafka", "nats": "NATS", "memcached": "Memcached", "influxdb": "InfluxDB", "elasticsearch": "Elasticsearch", "hive2": "Hive", "dm": "DM", "gaussdb": "GaussDB", "opengauss": "openGauss", "tidb": "TiDB",
	"mysql2": "MySQL", "mysql+pymysql": "MySQL", "postgresql+psycopg2": "PostgreSQL", "postgresql+asyncpg": "PostgreSQL", "pgsql": "PostgreSQL", "ldap": "LDAP", "ldaps": "LDAP", "smtp": "SMTP", "smtps": "SMTP", "imap": "IMAP", "imaps": "IMAP",
}

// userInfo finds the password in scheme://user:password@host.
func (s *scan) userInfo(at, end int) {
	i := end
	for limit := min(len(s.buf), end+maxUser); i < limit && isUserByte(s.buf[i]); i++ {
	}
	if i >= len(s.buf) || s.buf[i] != ':' || s.class == material {
		return
	}
	from := i + 1
	i = from
	for limit := min(len(s.buf), from+maxPassword); i < limit && isPasswordByte(s.buf[i]); i++ {
	}
	if i == from || i >= len(s.buf) || s.buf[i] != '@' || !s.spend(i-at) {
		return
	}
	// A password may hold an @ that nobody has escaped.
	to, host := i, i+1
	for j := host; j < min(len(s.buf), host+maxHost) && isPasswordByte(s.buf[j]) && s.buf[j] != '/'; j++ {
		host = j + 1
	}
	if host == to+1 {
		return
	}
	scheme := at
	for limit := max(0, at-24); scheme > limit && (isNameByte(s.buf[scheme-1]) || s.buf[scheme-1] == '+'); scheme-- {
	}
	name, user, v := strings.ToLower(string(s.buf[scheme:at])), string(s.buf[end:from-1]), string(s.buf[from:to])
	if name == "" || isPlaceholder(v) || isReference(v) || isPlaceholder(string(s.buf[to:host])) || strings.ContainsAny(v, "{}<>|*") || isManual(user, v) {
		return
	}
	hostName, _, _ := strings.Cut(string(s.buf[to+1:host]), ":")
	if hostName == "host" || hostName == "hostname" || hostName == "server" || hostName == "proxy" || strings.HasPrefix(hostName, "...") || strings.HasPrefix(hostName, "{") || strings.HasPrefix(hostName, "%") {
		return
	}
	f := Secret{Rule: "url-password", Title: "Password in a URL", Kind: Connection, Severity: High}
	product, isDatabase := databases[name]
	base, _, _ := strings.Cut(name, "+")
	if !isDatabase {
		product, isDatabase = databases[base]
	}
	if isDatabase {
		f.Rule, f.Title, f.Severity = "database-url", "Password of "+product+" in a URL", Critical
	}
	// Packages show in their comments how to write such a URL.
	if s.class == packaged && (!isDatabase || !strings.Contains(hostName, ".") || hostName == "127.0.0.1") {
		return
	}
	n := len(s.found)
	s.note(f, rankParsed, from, to)
	if len(s.found) > n {
		c := printable(name + "://" + user[:min(len(user), 24)] + ":********@" + hostName)
		s.found[n].Context = c[:min(len(c), maxContext)]
	}
}

// isManual tells user:password of manuals.
func isManual(user, v string) bool {
	u, p := strings.ToLower(user), strings.ToLower(v)
	switch p {
	case "pass", "password", "passwd", "pw", "pwd", "secret", "mypass", "mypassword", "passw0rd", "p", "p4ss", "x", "y", "token":
		// Some do use "password"; with a name that is none of manuals it
		// is told.
		return u == "" || u == "user" || u == "username" || u == "usr" || u == "u" || u == "name" || u == "foo" || u == "me" || u == "myuser" || u == "login" || u == "bob" || u == "alice" || u == "joe" || len(v) < 6
	case "bar", "baz", "foo", "b", "def", "abc", "123", "tiger", "anonymous", "anoncvs", "guest":
		return true
	}
	return strings.HasPrefix(p, "some") || strings.HasPrefix(p, "my")
}

func isUserByte(c byte) bool {
	switch c {
	case '"', '\'', '`', '<', '>', '/', '@', ':', '?', '#', '\\', '{', '}', '[', ']', '(', ')', '$', ',', ' ', '|', '^':
		return false
	}
	return c > ' ' && c < 0x7f
}

func isPasswordByte(c byte) bool {
	switch c {
	case '"', '\'', '`', '<', '>', '/', '@', '\\', ' ', ';', '(', ')', ',':
		return false
	}
	return c > ' ' && c < 0x7f
}

// maxJWT bounds a JSON Web Token.
const maxJWT = 8 << 10

// jwt finds JSON Web Tokens with a signature (RFC 7519).
func (s *scan) jwt(at, _ int) {
	if at > 0 && isBase64URL(s.buf[at-1]) && s.buf[at-1] != '=' || s.class == packaged || s.class == material || s.class == tests {
		return
	}
	text := cut(s.buf, at, maxJWT)
	if f, n, ok := s.readJWT(text); ok {
		s.note(f, rankToken, at, at+n)
	}
}

// readJWT reads the token that b begins with, and returns its length.
func (s *scan) readJWT(b []byte) (f Secret, n int, ok bool) {
	if !bytes.HasPrefix(b, []byte("eyJ")) {
		return f, 0, false
	}
	var dot [2]int
	dots := 0
	for ; n < len(b); n++ {
		if b[n] == '.' && dots < 2 {
			dot[dots] = n
			dots++
		} else if !isBase64URL(b[n]) {
			break
		}
	}
	if !s.spend(n) || dots < 2 || n-dot[1] < 20 || dot[1]-dot[0] < 10 || string(cut(b, dot[0]+1, 2)) != "ey" {
		return f, 0, false
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(string(b[:dot[0]]), "="))
	var header struct {
		Algorithm string `json:"alg"`
	}
	if err != nil || json.Unmarshal(raw, &header) != nil || header.Algorithm == "" || strings.EqualFold(header.Algorithm, "none") {
		return f, 0, false
	}
	f = Secret{Rule: "jwt", Title: "JSON Web Token with a signature", Kind: Token, Severity: Medium}
	if claims, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(string(b[dot[0]+1:dot[1]]), "=")); err == nil && bytes.Contains(claims, []byte("kubernetes")) {
		f.Rule, f.Title, f.Severity = "kubernetes-service-account-token", "Token of a Kubernetes service account", Critical
	}
	return f, n, true
}

// encodedJWT finds such tokens in base64, as Kubernetes keeps them.
func (s *scan) encodedJWT(at, _ int) {
	if at > 0 && isBase64(s.buf[at-1]) && s.buf[at-1] != '=' || s.class == packaged || s.class == material || s.class == tests {
		return
	}
	i := at
	for limit := min(len(s.buf), at+2*maxJWT); i < limit && isBase64(s.buf[i]); i++ {
	}
	if !s.spend(i - at) {
		return
	}
	if f, _, ok := s.readJWT(decode(s.buf[at:i])); ok {
		f.Title += ", in base64"
		s.note(f, rankToken, at, i)
	}
}

// maxComment is how far before an assignment the start of a comment is looked
// for.
const maxComment = 2 << 10

// plausible tells whether an assignment of a file of configuration gives a
// value, and not a comment, a reference, or an expression.
func (s *scan) plausible(a assignment) bool {
	v := string(s.buf[a.value:a.end])
	if isReference(v) || isPlaceholder(v) {
		return false
	}
	if !a.quoted && a.end < len(s.buf) && (s.buf[a.end] == '(' || s.buf[a.end] == '[' || s.buf[a.end] == '{') {
		return false
	}
	start := a.name - min(a.name, maxComment)
	if head := s.buf[start:a.name]; bytes.LastIndex(head, []byte("<!--")) > bytes.LastIndex(head, []byte("-->")) {
		return false
	}
	start = max(start, bytes.LastIndexByte(s.buf[start:a.name], '\n')+1+start)
	before := strings.TrimSpace(string(s.buf[start:a.name]))
	// A line of npmrc begins with the "//" of a URL.
	return !strings.HasPrefix(before, "#") && before != "//" && !strings.HasPrefix(before, "// ") && !strings.HasPrefix(before, ";") && !strings.HasPrefix(before, "*") && !strings.HasPrefix(before, "<!--")
}
