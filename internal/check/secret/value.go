package secret

import (
	"strings"
)

// stopWords in a value say that somebody wrote it for others to replace.
var stopWords = []string{
	"example", "sample", "placeholder", "changeme", "change_me", "change-me", "replaceme", "replace_me", "replace-with",
	"your_", "your-", "yourtoken", "yourpassword", "yoursecret", "yourkey", "yourapi", "redacted", "dummy", "xxxx", "****", "....", "____",
	"insert_", "todo", "fixme", "00000000", "11111111", "12345678", "abcdefgh", "deadbeef", "ffffffff", "aaaaaaaa", "notreal", "<", "${", "{{", "$(", "%(",
}

// isPlaceholder tells a value that stands for another one.
func isPlaceholder(v string) bool {
	if len(v) > 4096 {
		v = v[:4096]
	}
	low := strings.ToLower(v)
	for _, w := range stopWords {
		if strings.Contains(low, w) {
			return true
		}
	}
	return false
}

// words are values of configuration that are never passwords.
var words = map[string]bool{
	"true": true, "false": true, "null": true, "none": true, "nil": true, "yes": true, "no": true, "on": true, "off": true, "required": true, "optional": true,
	"undefined": true, "string": true, "password": true, "passwd": true, "secret": true, "token": true, "prompt": true, "ask": true, "auto": true,
	"enabled": true, "disabled": true, "default": true, "empty": true, "hidden": true, "internal": true, "external": true, "plain": true, "plaintext": true,
	"object": true, "boolean": true, "number": true, "integer": true, "text": true, "basic": true, "bearer": true, "sufficient": true, "requisite": true,
	"files": true, "systemd": true, "compat": true, "sha512": true, "sha256": true, "md5": true, "bcrypt": true, "yescrypt": true, "files sss": true, "include": true,
	"substack": true, "password:": true, "sasl": true, "ldap": true, "pam": true, "file": true, "env": true, "vault": true, "username": true, "user": true,
}

// isReference tells a value that only says where the real one is, or that is
// a word of configuration.
func isReference(v string) bool {
	switch low := strings.ToLower(v); {
	case words[low], strings.HasPrefix(v, "$"), strings.HasPrefix(v, "%"), strings.HasPrefix(v, "@"), strings.HasPrefix(v, "&"), strings.HasPrefix(v, "!"), strings.HasPrefix(v, "*"):
		return true
	case strings.HasPrefix(v, "/"), strings.HasPrefix(v, "./"), strings.HasPrefix(v, "../"), strings.HasPrefix(v, "~"), strings.HasPrefix(v, "\\"):
		return true
	case strings.HasPrefix(low, "vault:"), strings.HasPrefix(low, "env:"), strings.HasPrefix(low, "file:"), strings.HasPrefix(low, "arn:"), strings.HasPrefix(low, "projects/"),
		strings.HasPrefix(v, "ENC("), strings.HasPrefix(v, "ENC["), strings.HasPrefix(low, "ref+"), strings.HasPrefix(low, "secretsmanager:"), strings.HasPrefix(low, "{cipher}"), strings.HasPrefix(low, "os.environ"), strings.HasPrefix(low, "process.env"):
		return true
	case strings.HasSuffix(low, ".txt"), strings.HasSuffix(low, ".pem"), strings.HasSuffix(low, ".key"), strings.HasSuffix(low, ".json"), strings.HasSuffix(low, ".yaml"), strings.HasSuffix(low, ".yml"):
		return true
	}
	return strings.Count(v, v[:1]) == len(v)
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '.' || c == '-'
}

const (
	maxName  = 64  // bytes of a name on either side of its keyword
	maxGap   = 24  // bytes between a name and its operator, or that and the value
	maxValue = 512 // bytes of a value
)

// An assignment is a name, an operator and a value, as indexes of a text.
type assignment struct {
	name, nameEnd int
	value, end    int
	quoted        bool
}

// assignmentAt reads what is assigned to the name that the keyword
// b[at:at+n] is a part of: `NAME = value`, `"name": "value"`, `name => 'value'`,
// `<name>value</name>`, `key="name" value="value"`, `name: NAME` and `value: …`
// on the next line, `--name value`, and calls like `define('NAME', 'value')`.
func assignmentAt(b []byte, at, n int) (assignment, bool) {
	var a assignment
	for ; n > 0 && !isNameByte(b[at]); at, n = at+1, n-1 { // `"sk"`
	}
	for ; n > 0 && !isNameByte(b[at+n-1]); n-- { // "sk:"
	}
	for a.name = at; a.name > 0 && at-a.name < maxName && isNameByte(b[a.name-1]); a.name-- {
	}
	i := at + n
	for limit := min(len(b), i+maxName); i < limit && (isNameByte(b[i])); i++ {
	}
	a.nameEnd = i
	// Further words of a name in prose: "API Key: …".
	for limit := min(len(b), i+maxGap); i < limit && (isNameByte(b[i]) || b[i] == ' ' || b[i] == '\t'); i++ {
	}
	flag := a.name+1 < len(b) && b[a.name] == '-' && b[a.name+1] == '-'
	switch {
	case flag || i >= len(b) || !isOperator(b[i]) && !isGap(b[i]):
		i = a.nameEnd
	case i > a.nameEnd:
		a.nameEnd = trimEnd(b, a.nameEnd, i)
	}
	gap := i
	for limit := min(len(b), i+maxGap); i < limit && isGap(b[i]); i++ {
	}
	if v := valueBehind(b, gap); v > 0 {
		i = v
	}
	op := i
	for limit := min(len(b), i+3); i < limit && isOperator(b[i]); i++ {
	}
	if sign := string(b[op:i]); sign == "|" || sign == "?" || sign == "" && !(flag && i > gap) {
		return a, false
	}
	if i > op && b[op] == ',' && !isFirstArgument(b, a.name) {
		return a, false
	}
	// Only spaces of the same line: what follows on the next line is
	// another matter, but for a value in quotes or an element of XML.
	for limit := min(len(b), i+maxGap); i < limit && (b[i] == ' ' || b[i] == '\t' || b[i] == '(' || b[i] == '['); i++ {
	}
	if i < len(b) && b[i] == '\\' {
		i++
	}
	if i >= len(b) {
		return a, false
	}
	if q := b[i]; q == '"' || q == '\'' || q == '`' {
		a.quoted = true
		i++
		for i+1 < len(b) && b[i] == q && b[i+1] == q {
			i += 2 // a string of many lines
		}
		a.value = i
		for limit := min(len(b), i+maxValue); i < limit && b[i] != q && b[i] != '\n' && b[i] != '\\'; i++ {
		}
	} else {
		a.value = i
		for limit := min(len(b), i+maxValue); i < limit && !endsValue(b[i]); i++ {
		}
	}
	a.end = i
	return a, a.end > a.value
}

// isFirstArgument tells whether the string at b[at] is the first of a call: in
// a list or a sentence a comma gives no value to the word before it.
func isFirstArgument(b []byte, at int) bool {
	if at == 0 || b[at-1] != '"' && b[at-1] != '\'' {
		return false
	}
	for at--; at > 0 && b[at-1] == ' '; at-- {
	}
	return at > 0 && b[at-1] == '('
}

// valueBehind is the index behind the word "value" where it follows a name as
// in `name: NAME` with `value: …` on the next line, `"name": "NAME", "value": …`
// and `key="NAME" value=…`; else 0.
func valueBehind(b []byte, at int) int {
	i := at
	for limit := min(len(b), at+maxName); i < limit && (isGap(b[i]) && b[i] != '\\' || b[i] == ',' || b[i] == '\n' || b[i] == '\r'); i++ {
	}
	if i == at || string(cut(b, i, 5)) != "value" || i+5 < len(b) && isNameByte(b[i+5]) {
		return 0
	}
	for i += 5; i < len(b) && (b[i] == '"' || b[i] == '\'' || b[i] == ' '); i++ {
	}
	return i
}

func cut(b []byte, at, n int) []byte { return b[at:min(len(b), at+n)] }

func trimEnd(b []byte, from, to int) int {
	for to > from && !isNameByte(b[to-1]) {
		to--
	}
	return to
}

func isGap(c byte) bool {
	switch c {
	case ' ', '\t', '"', '\'', '`', ']', ')', '\\':
		return true
	}
	return false
}

func isOperator(c byte) bool {
	switch c {
	case '=', ':', '>', ',', '|', '?':
		return true
	}
	return false
}

func endsValue(c byte) bool {
	switch c {
	case '"', '\'', '`', ',', ';', '<', '>', '(', ')', '{', '}', '[', ']', '\\':
		return true
	}
	return c <= ' ' || c == 0x7f
}
