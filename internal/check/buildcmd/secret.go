package buildcmd

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

// secretWords make a name that of a secret, by its parts: "DB_PASSWORD".
var secretWords = []string{
	"PASSWORD", "PASSWD", "PASS", "PWD", "PASSPHRASE", "SECRET", "SECRETS", "TOKEN", "APIKEY", "CREDENTIAL", "CREDENTIALS", "PASSCODE",
}

// secretPairs do so together.
var secretPairs = [][2]string{{"API", "KEY"}, {"ACCESS", "KEY"}, {"PRIVATE", "KEY"}, {"SECRET", "KEY"}, {"SIGNING", "KEY"}, {"ENCRYPTION", "KEY"}, {"MASTER", "KEY"}, {"ACCOUNT", "KEY"}, {"AUTH", "KEY"}}

// notSecret are last parts of names whose value is about a secret.
var notSecret = []string{
	"FILE", "PATH", "DIR", "URL", "URI", "HOST", "NAME", "ID", "LENGTH", "TTL", "EXPIRY", "EXPIRATION", "EXPIRE", "EXPIRES", "TYPE", "HEADER", "ALGORITHM", "ALG",
	"ENABLED", "ENABLE", "REQUIRED", "POLICY", "VERSION", "ENDPOINT", "ISSUER", "AUDIENCE", "REGEX", "FIELD", "STORE", "PROVIDER", "COUNT", "LIMIT", "TIMEOUT", "SIZE", "PREFIX", "USER", "USERNAME",
}

// secretName reports whether a variable of this name holds a secret.
func secretName(name string) bool {
	parts := nameParts(name)
	if len(parts) == 0 || len(name) > 200 {
		return false
	}
	last := parts[len(parts)-1]
	if slices.Contains(notSecret, last) || len(parts) == 1 && (last == "PWD" || last == "PASS") || name == "OLD_PWD" || name == "OLDPWD" {
		return false
	}
	for i, p := range parts {
		if slices.Contains(secretWords, p) || strings.HasSuffix(p, "PASSWORD") || strings.HasSuffix(p, "PASSWD") || strings.HasSuffix(p, "TOKEN") || strings.HasSuffix(p, "APIKEY") {
			return true
		}
		if i > 0 && slices.Contains(secretPairs, [2]string{parts[i-1], p}) {
			return true
		}
	}
	return false
}

// nameParts splits a name at everything that is no letter, and where a capital
// follows a small letter.
func nameParts(name string) []string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'A' && c <= 'Z':
			if i > 0 && name[i-1] >= 'a' && name[i-1] <= 'z' {
				b.WriteByte(' ')
			}
			b.WriteByte(c)
		case c >= 'a' && c <= 'z':
			b.WriteByte(c - 'a' + 'A')
		default:
			b.WriteByte(' ')
		}
	}
	return strings.Fields(b.String())
}

// secretValue reports whether a value may be a secret: it is not empty, no
// switch, no reference to where the secret is.
func secretValue(v string) bool {
	v = strings.TrimSpace(v)
	if len(v) < 3 || strings.HasPrefix(v, "$") || strings.HasPrefix(v, "<") || strings.HasPrefix(v, "{{") || strings.HasPrefix(v, "%") ||
		strings.HasPrefix(v, "/run/secrets/") || strings.HasPrefix(v, "/") && !strings.ContainsAny(v, "+=") {
		return false
	}
	switch strings.ToLower(v) {
	case "true", "false", "yes", "none", "null", "nil", "undefined", "unset", "optional", "required", "redacted", "placeholder", "hidden", "off":
		return false
	}
	return strings.Trim(v, "*xX.-_#") != ""
}

// tokenShape are values that are a secret whatever their name: keys and tokens
// with a prefix that their issuer has published.
var tokenShape = pattern(`\b(?:AKIA|ASIA)[A-Z2-7]{16}\b` + // AWS access key id
	`|\bLTAI[0-9A-Za-z]{12,26}\b` + // Alibaba Cloud
	`|\bAKID[0-9A-Za-z]{32}\b` + // Tencent Cloud
	`|\bAIza[0-9A-Za-z_-]{35}` + // Google
	`|\bgh[pousr]_[0-9A-Za-z]{36,}|\bgithub_pat_[0-9A-Za-z_]{60,}` +
	`|\bgl(?:pat|dt|rt|cbt|ptt)-[0-9A-Za-z_-]{20,}` +
	`|\bxox[abeoprs]-[0-9A-Za-z-]{10,}` + // Slack
	`|\b[sr]k_live_[0-9A-Za-z]{16,}` + // Stripe
	`|\bnpm_[0-9A-Za-z]{36}\b|\bpypi-AgEI[0-9A-Za-z_-]{50,}|\bdckr_pat_[0-9A-Za-z_-]{20,}|\bhvs\.[0-9A-Za-z_-]{24,}|\bSG\.[0-9A-Za-z_-]{16,}\.[0-9A-Za-z_-]{32,}` +
	`|\bsk-(?:proj-|ant-)?[0-9A-Za-z_-]{32,}` +
	`|\beyJ[0-9A-Za-z_-]{10,}\.eyJ[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]{10,}` + // JSON web token
	`|-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----(?:[^-]|-[^-])*`)

// tokenMarks are what one of tokenShape's alternatives needs: looking for them
// first is a hundred times faster.
var tokenMarks = []string{"AKIA", "ASIA", "LTAI", "AKID", "AIza", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "xox", "k_live_", "npm_", "pypi-",
	"dckr_pat_", "hvs.", "SG.", "sk-", "eyJ", "PRIVATE KEY"}

// hasToken reports whether a text contains a key or token.
func hasToken(text string) bool {
	return slices.ContainsFunc(tokenMarks, func(m string) bool { return strings.Contains(text, m) }) && tokenShape().MatchString(text)
}

// hasCredential reports whether a text contains a URL with a password.
func hasCredential(text string) bool {
	return strings.Contains(text, "://") && strings.Contains(text, "@") && urlCredential().MatchString(text)
}

// urlCredential is a password in a URL.
var urlCredential = pattern(`\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://[^\s/:@'"]{0,100}:([^\s/@'"$]{2,200})@`)

// oneValue is a value as a shell takes it: in quotes, or up to a space.
const oneValue = `(?:"((?:\\.|[^"\\])*)"|'([^']*)'|([^\s"'&;|)}][^\s&;|)}]*))`

// A maskRule finds what must not be shown: what the groups of its expression
// hold. It is tried on texts that contain one of the words, in small letters.
type maskRule struct {
	words  []string
	secret func() *regexp.Regexp
}

var masks = sync.OnceValue(func() []maskRule {
	return []maskRule{
		{[]string{"://"}, urlCredential},
		{[]string{"://"}, pattern(`\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://([^\s/:@'"$]{16,200})@`)}, // a token instead of a name
		{[]string{"bearer", "basic", "authorization"}, pattern(`(?i)\bbearer\s+([^\s"']{4,})|\bbasic\s+([0-9A-Za-z+/]{8,}=*)|\bauthorization\s*:\s*(?:[a-z]+\s+)?([^\s"']{4,})`)},
		{[]string{"passw", "passphrase", "secret", "token", "key", "credential", "_pass", "pwd"}, pattern(`(?i)(?:passw(?:or)?d|passphrase|secret|token|api_?-?key|access_?-?key|private_?-?key|credentials?|authkey|signing_?key|_pass|_pwd|[a-z]pwd)[a-z0-9_.-]*["']?\s*[=:]\s*` + oneValue)},
		{[]string{"--pass", "--token", "--secret", "--api-key", "--auth-token", "--storepass", "--keypass", "--http-password", "--proxy-password"}, pattern(`(?i)--(?:password|passwd|pass|token|secret|api-key|auth-token|storepass|keypass|passphrase|http-password|proxy-password)[= ]\s*` + oneValue)},
		{[]string{"pass"}, pattern(`(?i)-(?:storepass|keypass|srcstorepass|deststorepass|passin|passout)\s+(?:pass:)?` + oneValue)},
		{[]string{"curl", "wget", "http"}, pattern(`(?i)\b(?:curl|wget|http)\b[^\n;|&]*?\s(?:-u|--user)[= ]?\s*(?:"[^\s:"]{1,100}:([^"]+)"|'[^\s:']{1,100}:([^']+)'|[^\s:"']{1,100}:` + oneValue + `)`)},
		{[]string{"useradd", "usermod"}, pattern(`(?i)\buser(?:add|mod)\b[^\n;|&]*?\s(?:-p|--password)(?:=|\s*)` + oneValue)},
		{[]string{"mysql", "mariadb"}, pattern(`(?i)\b(?:mysql|mysqladmin|mariadb|mysqldump)\b[^\n;|&]*?\s-p` + oneValue)},
		{[]string{"login"}, pattern(`(?i)\b(?:docker|podman|nerdctl|buildah|skopeo|helm|oras)\b[^\n;|&]*?\slogin\b[^\n;|&]*?\s-p\s*` + oneValue)},
		{[]string{"sshpass"}, pattern(`(?i)\bsshpass\s+-p\s*` + oneValue)},
		{[]string{"--stdin"}, pattern(`(?i)\bpasswd\b[^\n;|&]*--stdin[^\n;|&]*<<<\s*` + oneValue)},
		{[]string{"passwd", "login", "gpg", "openssl", "kinit"}, pattern(`(?i)(?:echo|printf)\s+(?:-\w+\s+)*(?:"([^"]*)"|'([^']*)'|([^\s"'|;&]+))[^\n;&|]*\|\s*(?:sudo\s+)?(?:/\S*/)?(?:chpasswd|passwd|docker\s+login|podman\s+login|gpg|openssl|kinit|smbpasswd|vncpasswd)`)},
		{[]string{"chpasswd"}, pattern(`(?i)\bchpasswd\b[^\n;|&]*<<<\s*` + oneValue)},
		{[]string{"chpasswd"}, pattern(`(?is)\bchpasswd\b[^\n;|&]*<<-?\s*["']?\w+["']?[^\n]*\n(.*?)\n\w+(?:\n|$)`)},
		{[]string{"identified"}, pattern(`(?i)identified\s+by\s+["'\\]*([^\s"'\\;]{2,})`)},
	}
})

const mask = "***"

// masked hides secrets in an instruction: those that its own shape gives away,
// and the values in known.
func masked(text string, known []string) string {
	for _, v := range known {
		text = strings.ReplaceAll(text, v, mask)
	}
	if hasToken(text) {
		text = tokenShape().ReplaceAllString(text, mask)
	}
	lower := strings.ToLower(text)
	for _, m := range masks() {
		if slices.ContainsFunc(m.words, func(w string) bool { return strings.Contains(lower, w) }) {
			text = replaceGroup(m.secret(), text)
		}
	}
	return text
}

func replaceGroup(re *regexp.Regexp, text string) string {
	found := re.FindAllStringSubmatchIndex(text, -1)
	if len(found) == 0 {
		return text
	}
	var b strings.Builder
	at := 0
	for _, m := range found {
		for g := 2; g < len(m); g += 2 {
			if m[g] < 0 {
				continue
			}
			secret := text[m[g]:m[g+1]]
			if secret == "" || secret == mask || isVariable(secret) {
				continue
			}
			b.WriteString(text[at:m[g]])
			b.WriteString(mask)
			at = m[g+1]
		}
	}
	b.WriteString(text[at:])
	return b.String()
}

var variable = pattern(`^\$(?:\w+|\{\w+\})$`)

// isVariable reports whether a value is a variable and nothing else.
func isVariable(s string) bool { return variable().MatchString(s) }

// pattern compiles an expression when it is first used: nothing is done at
// start-up.
func pattern(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}
