package buildcmd

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

const (
	// maxNesting bounds what opens a level in a script before it is parsed:
	// the parser calls itself for each.
	maxNesting = 4000
	// maxCommands bounds the commands of one script, maxWords and
	// maxWordBytes one of them.
	maxCommands  = 2000
	maxWords     = 500
	maxWordBytes = 8 << 10
	// maxScripts is how deep scripts within scripts (sh -c) are followed.
	maxScripts = 3
)

// A script is what a RUN instruction executes.
type script struct {
	commands []*command
	// plain says that the script could not be parsed and was split at
	// operators and spaces instead.
	plain bool
}

// A command is one simple command of a script.
type command struct {
	// name is the program without its directory, args what follows, with
	// quotes taken away; "$X" and "$(…)" stand as they are written.
	name string
	args []string
	// env are assignments before the command.
	env []Pair
	// wrap are programs that the command is run through: sudo, env.
	wrap []string
	// from is the command whose output is piped into this one.
	from *command
	// into are files that the output goes to.
	into []string
	// here is the text of here documents.
	here string
	// text is the command as written.
	text string
}

// parseScript parses a script as bash does, which takes what sh takes.
func parseScript(text string) (sc script) {
	defer func() {
		// The parser is not ours and the text is an image's.
		if recover() != nil {
			sc = plainScript(text)
		}
	}()
	return parseNested(text, 0)
}

func parseNested(text string, depth int) script {
	if tooDeep(text) {
		return plainScript(text)
	}
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), "")
	if err != nil {
		return plainScript(text)
	}
	w := walker{text: text, from: map[*syntax.CallExpr]*syntax.CallExpr{}, made: map[*syntax.CallExpr]*command{}, depth: depth}
	syntax.Walk(file, w.visit)
	for call, from := range w.from {
		if c := w.made[call]; c != nil {
			c.from = w.made[from]
		}
	}
	return script{commands: w.commands}
}

// tooDeep counts whatever may open a level: brackets, backquotes, operators and
// the words of compound commands, in quotes or not.
func tooDeep(text string) bool {
	n := 0
	for i := range len(text) {
		switch text[i] {
		case '(', '{', '`', '!', '|', '&', '[', '<':
			n++
		}
	}
	for _, w := range strings.FieldsFunc(text, func(r rune) bool { return r < 'a' || r > 'z' }) {
		switch w {
		case "if", "while", "until", "for", "case", "select", "elif", "function", "time", "coproc":
			n++
		}
	}
	return n > maxNesting
}

type walker struct {
	text     string
	commands []*command
	from     map[*syntax.CallExpr]*syntax.CallExpr
	made     map[*syntax.CallExpr]*command
	depth    int
}

func (w *walker) visit(n syntax.Node) bool {
	if len(w.commands) >= maxCommands {
		return false
	}
	switch n := n.(type) {
	case *syntax.BinaryCmd:
		if n.Op == syntax.Pipe || n.Op == syntax.PipeAll {
			if to, from := firstCall(n.Y), lastCall(n.X); to != nil && from != nil {
				w.from[to] = from
			}
		}
	case *syntax.Stmt:
		call, _ := n.Cmd.(*syntax.CallExpr)
		if call == nil && n.Cmd != nil {
			if d, ok := n.Cmd.(*syntax.DeclClause); ok {
				w.declare(n, d)
			}
			return true
		}
		w.call(n, call)
	}
	return true
}

// call makes a command of a statement; call is nil for one of redirections
// alone.
func (w *walker) call(stmt *syntax.Stmt, call *syntax.CallExpr) {
	c := &command{text: w.source(stmt)}
	var words []string
	if call != nil {
		for _, a := range call.Assigns {
			c.env = append(c.env, w.pair(a))
		}
		for _, arg := range call.Args[:min(len(call.Args), maxWords)] {
			words = append(words, w.word(arg))
		}
		w.made[call] = c
	}
	for _, r := range stmt.Redirs {
		switch {
		case r.Hdoc != nil:
			c.here += w.word(r.Hdoc)
		case r.Op == syntax.WordHdoc && r.Word != nil:
			c.here += w.word(r.Word)
		case r.Word != nil && (r.Op == syntax.RdrOut || r.Op == syntax.AppOut || r.Op == syntax.RdrClob || r.Op == syntax.RdrAll || r.Op == syntax.AppAll):
			c.into = append(c.into, w.word(r.Word))
		case r.Word != nil && r.Op == syntax.RdrIn:
			if s := w.word(r.Word); strings.HasPrefix(s, "<(") {
				words = append(words, s) // bash < <(curl …)
			}
		}
	}
	c.set(words)
	w.commands = append(w.commands, c)
	w.inner(c)
}

// pair is an assignment, as far as it has a name and a value.
func (w *walker) pair(a *syntax.Assign) (p Pair) {
	if a.Name != nil {
		p.Name = a.Name.Value
	}
	if a.Value != nil {
		p.Value = w.word(a.Value)
	}
	return p
}

// declare makes a command of export and its like.
func (w *walker) declare(stmt *syntax.Stmt, d *syntax.DeclClause) {
	c := &command{text: w.source(stmt), name: d.Variant.Value}
	for _, a := range d.Args {
		p := w.pair(a)
		c.env = append(c.env, p)
		c.args = append(c.args, p.Name+"="+p.Value)
	}
	w.commands = append(w.commands, c)
}

// inner follows scripts within a script: sh -c "…", eval "…", su -c "…", and
// the here document of a shell.
func (w *walker) inner(c *command) {
	if w.depth >= maxScripts {
		return
	}
	text := ""
	switch {
	case c.shell() || c.name == "su" || c.name == "runuser":
		for i, a := range c.args {
			if len(a) > 1 && a[0] == '-' && a[1] != '-' && strings.HasSuffix(a, "c") && i+1 < len(c.args) {
				text = c.args[i+1]
				break
			}
		}
		if text == "" && c.shell() {
			text = c.here
		}
	case c.name == "eval":
		text = strings.Join(c.args, " ")
	case c.name == "" && c.here != "" && len(c.env) == 0:
		text = c.here // RUN <<EOF
	}
	if text == "" || len(text) > maxStepBytes {
		return
	}
	for _, in := range parseNested(text, w.depth+1).commands {
		if len(w.commands) >= maxCommands {
			return
		}
		in.wrap = append(append([]string(nil), c.wrap...), in.wrap...)
		w.commands = append(w.commands, in)
	}
}

func (w *walker) source(n syntax.Node) string {
	from, to := int(n.Pos().Offset()), int(n.End().Offset())
	if from < 0 || to > len(w.text) || from > to {
		return ""
	}
	return w.text[from:to]
}

// word is a word as a string: quotes are taken away, expansions stay as they
// are written.
func (w *walker) word(word *syntax.Word) string {
	var b strings.Builder
	w.parts(&b, word.Parts)
	s := b.String()
	return s[:min(len(s), maxWordBytes)]
}

func (w *walker) parts(b *strings.Builder, parts []syntax.WordPart) {
	for _, p := range parts {
		if b.Len() > maxWordBytes {
			return
		}
		switch p := p.(type) {
		case *syntax.Lit:
			b.WriteString(unescaped(p.Value))
		case *syntax.SglQuoted:
			b.WriteString(p.Value)
		case *syntax.DblQuoted:
			w.parts(b, p.Parts)
		default:
			b.WriteString(w.source(p))
		}
	}
}

// unescaped takes backslashes away, and with them line ends that they hide.
func unescaped(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
			if s[i] == '\n' {
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func firstCall(s *syntax.Stmt) *syntax.CallExpr {
	for s != nil {
		switch c := s.Cmd.(type) {
		case *syntax.CallExpr:
			return c
		case *syntax.BinaryCmd:
			s = c.X
		case *syntax.Subshell:
			s = edge(c.Stmts, false)
		case *syntax.Block:
			s = edge(c.Stmts, false)
		default:
			return nil
		}
	}
	return nil
}

func lastCall(s *syntax.Stmt) *syntax.CallExpr {
	for s != nil {
		switch c := s.Cmd.(type) {
		case *syntax.CallExpr:
			return c
		case *syntax.BinaryCmd:
			if s = c.Y; c.Op == syntax.OrStmt {
				s = c.X // what is after "||" says that it went wrong
			}
		case *syntax.Subshell:
			s = edge(c.Stmts, true)
		case *syntax.Block:
			s = edge(c.Stmts, true)
		default:
			return nil
		}
	}
	return nil
}

func edge(stmts []*syntax.Stmt, last bool) *syntax.Stmt {
	switch {
	case len(stmts) == 0:
		return nil
	case last:
		return stmts[len(stmts)-1]
	default:
		return stmts[0]
	}
}

// plainScript splits a script that cannot be parsed.
func plainScript(text string) script {
	sc := script{plain: true}
	text = strings.NewReplacer("\\\n", " ", "&&", "\n", "||", "\n", ";", "\n").Replace(text)
	for line := range strings.SplitSeq(text, "\n") {
		var before *command
		for part := range strings.SplitSeq(line, "|") {
			words := splitWords(part)
			if len(words) == 0 {
				continue
			}
			if len(sc.commands) == maxCommands {
				return sc
			}
			c := &command{text: strings.TrimSpace(part), from: before}
			var rest []string
			for i := 0; i < min(len(words), maxWords); i++ {
				if name, value, ok := strings.Cut(words[i], "="); ok && len(rest) == 0 && isName(name) {
					c.env = append(c.env, Pair{name, value})
					continue
				}
				if to, ok := strings.CutPrefix(words[i], ">"); ok {
					if to = strings.TrimPrefix(to, ">"); to == "" && i+1 < len(words) {
						i++
						to = words[i]
					}
					c.into = append(c.into, to)
					continue
				}
				rest = append(rest, words[i])
			}
			c.set(rest)
			sc.commands = append(sc.commands, c)
			before = c
		}
	}
	return sc
}

// wrappers are programs that run another, with those of their options that
// take a value.
var wrappers = map[string]string{
	"sudo": "ugUhpCrtTD", "doas": "uC", "env": "uCS", "exec": "a", "command": "", "nohup": "", "nice": "n", "ionice": "cnp", "timeout": "ks",
	"xargs": "nIPLdEsa", "stdbuf": "ioe", "setsid": "", "eatmydata": "", "gosu": "", "su-exec": "", "chroot": "", "busybox": "", "time": "fo", "fakeroot": "",
}

// set sets name and args from words, with wrappers taken off.
func (c *command) set(words []string) {
	for len(words) > 0 && len(c.wrap) < 5 {
		name := base(words[0])
		valued, ok := wrappers[name]
		if !ok {
			break
		}
		rest := words[1:]
		for len(rest) > 0 && len(rest[0]) > 1 && rest[0][0] == '-' {
			opt := rest[0]
			rest = rest[1:]
			if opt == "--" {
				break
			}
			if len(opt) == 2 && strings.IndexByte(valued, opt[1]) >= 0 && len(rest) > 0 {
				rest = rest[1:]
			}
		}
		switch name {
		case "env", "sudo":
			for len(rest) > 0 {
				k, v, ok := strings.Cut(rest[0], "=")
				if !ok || !isName(k) {
					break
				}
				c.env, rest = append(c.env, Pair{k, v}), rest[1:]
			}
		case "timeout", "gosu", "su-exec", "chroot":
			if len(rest) > 0 {
				rest = rest[1:]
			}
		}
		if len(rest) == 0 {
			break
		}
		c.wrap, words = append(c.wrap, name), rest
	}
	if len(words) > 0 {
		c.name, c.args = base(words[0]), words[1:]
	}
}

func base(p string) string { return p[strings.LastIndexByte(p, '/')+1:] }

// is reports whether the command is one of names.
func (c *command) is(names ...string) bool {
	for _, n := range names {
		if c.name == n {
			return true
		}
	}
	return false
}

// shell reports whether the command is a shell.
func (c *command) shell() bool { return c.is("sh", "bash", "dash", "ash", "zsh", "ksh") }

// interpreter reports whether the command runs what it reads.
func (c *command) interpreter() bool {
	return c.shell() || c.is("python", "python2", "python3", "perl", "ruby", "node", "php", "source", ".") || strings.HasPrefix(c.name, "python3.")
}

// has reports whether one of the words is an argument, alone or before "=".
func (c *command) has(words ...string) bool {
	for _, a := range c.args {
		for _, w := range words {
			if a == w || len(a) > len(w) && a[len(w)] == '=' && a[:len(w)] == w {
				return true
			}
		}
	}
	return false
}

// short reports whether a one-letter option is given, alone or with others:
// "-k" in "-fsSLk".
func (c *command) short(letter byte) bool {
	for _, a := range c.args {
		if len(a) > 1 && a[0] == '-' && a[1] != '-' && strings.IndexByte(a[1:], letter) >= 0 {
			return true
		}
	}
	return false
}

// value is the value of an option, given as "-p X", "-pX" or "--pass=X".
func (c *command) value(options ...string) (string, bool) {
	for i, a := range c.args {
		for _, o := range options {
			switch {
			case a == o && i+1 < len(c.args):
				return c.args[i+1], true
			case strings.HasPrefix(o, "--") && strings.HasPrefix(a, o+"="):
				return a[len(o)+1:], true
			case !strings.HasPrefix(o, "--") && len(a) > 2 && strings.HasPrefix(a, o) && !strings.HasPrefix(a, "--"):
				return a[2:], true
			}
		}
	}
	return "", false
}

// operands are the arguments that are not options.
func (c *command) operands() []string {
	var out []string
	for _, a := range c.args {
		if !strings.HasPrefix(a, "-") {
			out = append(out, a)
		}
	}
	return out
}

// all is everything that the command is given: arguments, here documents and
// the files that its output goes to.
func (c *command) all() string {
	return strings.Join(c.args, " ") + " " + c.here + " " + strings.Join(c.into, " ")
}
