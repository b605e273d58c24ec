package password

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

const (
	// wantedLength is the least length of a password that counts as a rule
	// of length, as in pwquality's own default.
	wantedLength = 8
	// crackMinimum is the length below which pam_cracklib and
	// pam_pwquality do not go, whatever is configured.
	crackMinimum = 6
	// maxComplexityBytes bounds a file of PAM, pwquality.conf and
	// login.defs.
	maxComplexityBytes = 256 << 10
)

// A Complexity says what an image demands of new passwords.
type Complexity struct {
	// MinLength says whether passwords need wantedLength characters or
	// more; Length is what they need, 0 if nothing is demanded.
	MinLength bool `json:"min_length"`
	Length    int  `json:"length,omitempty"`
	// The kinds of characters that every password must contain.
	Upper   bool `json:"uppercase_letter"`
	Lower   bool `json:"lowercase_letter"`
	Digit   bool `json:"number"`
	Special bool `json:"special_character"`
	// Source is what decides: "pam_pwquality", "pam_cracklib",
	// "pam_passwdqc", "pam_unix", "login.defs", or "" for nothing. Path and
	// Layer are the file that says so.
	Source string `json:"source,omitempty"`
	Path   string `json:"path,omitempty"`
	Layer  string `json:"layer,omitempty"`
	// Suggestion is what to do, empty if all is demanded.
	Suggestion string    `json:"suggestion,omitempty"`
	Problems   []Problem `json:"problems,omitempty"`
}

// Good reports whether everything is demanded.
func (c Complexity) Good() bool {
	return c.MinLength && c.Upper && c.Lower && c.Digit && c.Special
}

// pamFiles are the services that passwd(1) goes through, by distribution: the
// one that the others include comes first.
var pamFiles = []string{"common-password", "system-auth", "password-auth", "base-password", "passwd", "chpasswd"}

// pamDirs are where PAM looks for services, first the one that wins (pam(8));
// authselect keeps what /etc/pam.d links to in a directory of its own.
var pamDirs = []string{"/etc/pam.d", "/etc/authselect", "/usr/lib/pam.d", "/usr/etc/pam.d"}

const (
	pwqualityPath = "/etc/security/pwquality.conf"
	pwqualityDir  = "/etc/security/pwquality.conf.d"
	loginDefsPath = "/etc/login.defs"
)

func complexityFile(p string) bool {
	// Every file of a layer is asked about.
	if !strings.HasPrefix(p, "/etc/") && !strings.HasPrefix(p, "/usr/lib/pam.d/") && !strings.HasPrefix(p, "/usr/etc/") {
		return false
	}
	switch dir := path.Dir(p); {
	case p == pwqualityPath || p == loginDefsPath || p == "/etc/passwdqc.conf":
		return true
	case dir == pwqualityDir:
		return strings.HasSuffix(p, ".conf")
	case slices.Contains(pamDirs, dir):
		return pamRank(p) < len(pamFiles)*len(pamDirs)
	}
	return false
}

// CheckComplexity reads what files say of new passwords: the "password" stack
// of PAM with the module that judges quality, and login.defs where there is no
// PAM. The second result is false for an image that keeps no accounts, or no
// rules because nobody can set a password there: it has neither passwd nor any
// of these files.
func CheckComplexity(files []File) (Complexity, bool) {
	var r reader
	by := map[string]File{}
	for _, f := range files {
		if len(f.Content) > maxComplexityBytes && complexityFile(f.Path) {
			r.problem(f.Path, 0, "larger than what is read of it: the rest is not read")
			f.Content = f.Content[:maxComplexityBytes]
		}
		by[f.Path] = f
	}
	_, passwd := by[passwdPath]
	stack, pam := r.stack(by)
	defs, hasDefs := by[loginDefsPath]
	if !passwd && !pam && !hasDefs {
		return Complexity{}, false
	}

	var c Complexity
	for _, m := range stack {
		c = c.or(r.module(m, by))
	}
	if !pam && hasDefs {
		c = r.loginDefs(defs) // shadow without PAM asks here
	}
	c.Suggestion = c.suggestion()
	c.Problems = r.problems
	return c, true
}

// A pamModule is one line of the password stack.
type pamModule struct {
	file File
	line int
	name string // without directory and ".so"
	args map[string]string
}

// stack are the modules of the password stack that can refuse a password, and
// whether there is such a stack at all.
func (r *reader) stack(by map[string]File) ([]pamModule, bool) {
	var names []string
	for p := range by {
		if slices.Contains(pamDirs, path.Dir(p)) && complexityFile(p) {
			names = append(names, p)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(pamRank(a), pamRank(b)), strings.Compare(a, b))
	})
	seen := map[string]bool{}
	var out []pamModule
	for _, p := range names {
		if seen[path.Base(p)] {
			continue // /etc hides the vendor's
		}
		seen[path.Base(p)] = true
		r.joined(by[p], func(n int, line string) {
			if m, ok := parsePAM(line); ok {
				m.file, m.line = by[p], n
				out = append(out, m)
			}
		})
	}
	return out, len(names) > 0
}

// pamRank orders files by service, then directory. A service may be a link to a
// file with more to its name: system-auth-ac, common-password-pc.
func pamRank(p string) int {
	name := slices.IndexFunc(pamFiles, func(f string) bool {
		return path.Base(p) == f || strings.HasPrefix(path.Base(p), f+"-")
	})
	if name < 0 {
		name = len(pamFiles)
	}
	return name*len(pamDirs) + slices.Index(pamDirs, path.Dir(p))
}

// joined calls f with the lines of a file, those that end in "\" joined with
// the next, comments cut off.
func (r *reader) joined(file File, f func(n int, line string)) {
	var b strings.Builder
	start := 0
	r.lines(file, func(n int, line string) {
		if b.Len() == 0 {
			start = n
		}
		if i := strings.IndexByte(line, '#'); i >= 0 {
			line = line[:i]
		}
		if rest, more := strings.CutSuffix(line, "\\"); more && b.Len() < maxLineBytes {
			b.WriteString(rest + " ")
			return
		}
		b.WriteString(line)
		f(start, b.String())
		b.Reset()
	})
	if b.Len() > 0 {
		f(start, b.String())
	}
}

// parsePAM reads one line of a file in pam.d (pam.conf(5)).
func parsePAM(line string) (pamModule, bool) {
	f := strings.Fields(line)
	if len(f) < 3 || strings.TrimPrefix(strings.ToLower(f[0]), "-") != "password" {
		return pamModule{}, false
	}
	control, rest := f[1], f[2:]
	if strings.HasPrefix(control, "[") {
		for !strings.HasSuffix(control, "]") && len(rest) > 0 {
			control, rest = control+" "+rest[0], rest[1:]
		}
	}
	if len(rest) == 0 || !canRefuse(control) {
		return pamModule{}, false
	}
	m := pamModule{name: strings.TrimSuffix(path.Base(rest[0]), ".so"), args: map[string]string{}}
	for _, a := range rest[1:] {
		k, v, _ := strings.Cut(a, "=")
		m.args[strings.ToLower(k)] = v
	}
	return m, true
}

// canRefuse says whether a module with this control can keep a password from
// being set.
func canRefuse(control string) bool {
	switch c := strings.ToLower(control); {
	case c == "required" || c == "requisite" || c == "sufficient":
		return true
	case strings.HasPrefix(c, "["):
		// Anything but "go on" for what is not listed: Debian writes
		// [success=1 default=ignore] for pam_unix, whose failure then
		// runs into pam_deny.
		return true
	}
	return false
}

// module is what one module of the stack demands.
func (r *reader) module(m pamModule, by map[string]File) Complexity {
	c := Complexity{Source: m.name, Path: m.file.Path, Layer: m.file.Layer}
	switch m.name {
	case "pam_pwquality":
		s := settings{"minlen": "8"}
		r.pwquality(s, by)
		s.set(m.args)
		if s["enforcing"] == "0" {
			return Complexity{}
		}
		c.quality(s)
	case "pam_cracklib":
		s := settings{"minlen": "9", "dcredit": "1", "ucredit": "1", "lcredit": "1", "ocredit": "1"}
		s.set(m.args)
		c.quality(s)
	case "pam_passwdqc":
		s := settings{"min": "disabled,24,11,8,7"}
		if f, ok := by["/etc/passwdqc.conf"]; ok && m.args["config"] != "" {
			r.keyValues(f, s)
		}
		s.set(m.args)
		if s["enforce"] == "none" {
			return Complexity{}
		}
		c.passwdqc(s["min"])
	case "pam_unix":
		c.Length = number(m.args["minlen"])
		if c.Length == 0 {
			if _, obscure := m.args["obscure"]; !obscure {
				return Complexity{}
			}
			c.Length = crackMinimum // what "obscure" starts from
		}
	default:
		return Complexity{}
	}
	c.MinLength = c.Length >= wantedLength
	return c
}

// or joins what two modules of a stack demand: a password must pass both. The
// one that demands more names the source.
func (c Complexity) or(o Complexity) Complexity {
	if o.weight() > c.weight() {
		c.Source, c.Path, c.Layer = o.Source, o.Path, o.Layer
	}
	c.Length = max(c.Length, o.Length)
	c.MinLength = c.MinLength || o.MinLength
	c.Upper, c.Lower = c.Upper || o.Upper, c.Lower || o.Lower
	c.Digit, c.Special = c.Digit || o.Digit, c.Special || o.Special
	return c
}

func (c Complexity) weight() int {
	n := c.Length
	for _, b := range []bool{c.Upper, c.Lower, c.Digit, c.Special} {
		if b {
			n += 100
		}
	}
	return n
}

// settings are options of a module by name.
type settings map[string]string

func (s settings) set(o map[string]string) {
	for k, v := range o {
		s[k] = v
	}
}

// quality reads the options that pam_pwquality and pam_cracklib share. A
// negative credit is the number of characters of a kind that must be there; a
// positive one makes up for as many characters of length.
func (c *Complexity) quality(s settings) {
	length := number(s["minlen"])
	for _, k := range []struct {
		option string
		kind   *bool
	}{{"ucredit", &c.Upper}, {"lcredit", &c.Lower}, {"dcredit", &c.Digit}, {"ocredit", &c.Special}} {
		switch n := number(s[k.option]); {
		case n < 0:
			*k.kind = true
		case n > 0:
			length -= n
		}
	}
	if number(s["minclass"]) >= 4 {
		c.Upper, c.Lower, c.Digit, c.Special = true, true, true, true
	}
	c.Length = max(length, crackMinimum)
}

// passwdqc reads min=N0,N1,N2,N3,N4 (pam_passwdqc(8)): the least length of a
// password of one kind of character, of two, of a phrase, of three kinds and
// of four.
func (c *Complexity) passwdqc(min string) {
	least, onlyFour := 0, true
	for i, f := range strings.Split(min, ",") {
		if f == "disabled" || i > 4 {
			continue
		}
		if n := number(f); least == 0 || n < least {
			least = n
		}
		if i < 4 {
			onlyFour = false
		}
	}
	c.Length = least
	if onlyFour && least > 0 {
		c.Upper, c.Lower, c.Digit, c.Special = true, true, true, true
	}
}

// pwquality reads pwquality.conf(5) and the files beside it, which are read
// first, in their order.
func (r *reader) pwquality(s settings, by map[string]File) {
	var names []string
	for p := range by {
		if path.Dir(p) == pwqualityDir && strings.HasSuffix(p, ".conf") {
			names = append(names, p)
		}
	}
	slices.Sort(names)
	for _, p := range append(names, pwqualityPath) {
		if f, ok := by[p]; ok {
			r.keyValues(f, s)
		}
	}
}

func (r *reader) keyValues(f File, s settings) {
	r.lines(f, func(n int, line string) {
		if i := strings.IndexByte(line, '#'); i >= 0 {
			line = line[:i]
		}
		if k, v, ok := strings.Cut(line, "="); ok {
			s[strings.ToLower(strings.TrimSpace(k))] = strings.TrimSpace(v)
		}
	})
}

// loginDefs reads PASS_MIN_LEN (login.defs(5)).
func (r *reader) loginDefs(f File) Complexity {
	var c Complexity
	r.lines(f, func(n int, line string) {
		w := strings.Fields(line)
		if len(w) >= 2 && w[0] == "PASS_MIN_LEN" {
			c.Length = number(w[1])
			c.Source, c.Path, c.Layer = "login.defs", f.Path, f.Layer
		}
	})
	c.MinLength = c.Length >= wantedLength
	return c
}

// number is s as a number of a sensible size, 0 if it is none.
func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < -1000 || n > 1000 {
		return 0
	}
	return n
}

// suggestion says what is missing and how to demand it.
func (c Complexity) suggestion() string {
	var missing, options []string
	if !c.MinLength {
		missing, options = append(missing, fmt.Sprintf("at least %d characters", wantedLength)), append(options, fmt.Sprintf("minlen=%d", wantedLength))
	}
	for _, k := range []struct {
		demanded     bool
		name, option string
	}{{c.Upper, "an upper-case letter", "ucredit=-1"}, {c.Lower, "a lower-case letter", "lcredit=-1"},
		{c.Digit, "a digit", "dcredit=-1"}, {c.Special, "a special character", "ocredit=-1"}} {
		if !k.demanded {
			missing, options = append(missing, k.name), append(options, k.option)
		}
	}
	if len(missing) == 0 {
		return ""
	}
	return fmt.Sprintf("New passwords need not have %s. Demand it with pam_pwquality in the password stack of PAM: %s.",
		strings.Join(missing, ", "), strings.Join(options, " "))
}
