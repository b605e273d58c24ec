package buildcmd

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// maxStepBytes bounds one entry of the history, maxSteps their number.
	// The longest of the official images is 6 KB; a heredoc may be longer.
	maxStepBytes = 64 << 10
	maxSteps     = 1000
	// maxHistoryBytes bounds all entries together.
	maxHistoryBytes = 1 << 20
	// maxPairs bounds the variables of one instruction.
	maxPairs = 500
)

// A Step is one instruction of a Dockerfile, as far as the history tells.
type Step struct {
	// Index into the history; -1 for what only the configuration tells.
	Index int
	// Layer is the diff ID of the layer that the step made, "" if none.
	Layer string
	// Keyword is the instruction, "RUN"; "" for a step that no Dockerfile
	// describes ("bazel build ...").
	Keyword string
	// Text is what follows the keyword; for RUN it is the script alone.
	Text string
	// Flags are options of the instruction, "--mount=type=cache".
	Flags []string
	// Args are build arguments that RUN was given.
	Args []Pair
	// Shell that runs the script, "/bin/sh"; "" for the form without one,
	// and for other instructions.
	Shell string
	// OnBuild says that the instruction waits for images built on this one.
	OnBuild bool
	// Cut says that the entry was longer than what is looked at.
	Cut bool

	// vars are the pairs of ENV, ARG and LABEL.
	vars []Pair
}

// A Pair is a variable, build argument or label.
type Pair struct{ Name, Value string }

// String is the instruction as in a Dockerfile, unmasked.
func (s Step) String() string {
	var b strings.Builder
	if s.OnBuild {
		b.WriteString("ONBUILD ")
	}
	b.WriteString(s.Keyword)
	for _, f := range s.Flags {
		b.WriteString(" " + f)
	}
	if b.Len() > 0 && s.Text != "" {
		b.WriteByte(' ')
	}
	b.WriteString(s.Text)
	return b.String()
}

// Steps brings the history of an image into the form of a Dockerfile, lowest
// first. What the configuration says and the history does not comes last. The
// second result counts steps beyond the limits.
func Steps(img Image) ([]Step, int) {
	history, left := img.History, 0
	if len(history) > maxSteps {
		history, left = history[:maxSteps], len(history)-maxSteps
	}
	layers, total := img.layers(), 0
	var out []Step
	for i, h := range history {
		if total += min(len(h.CreatedBy), maxStepBytes); total > maxHistoryBytes {
			left += len(history) - i
			break
		}
		s := parseStep(h.CreatedBy)
		s.Index, s.Layer = i, layers[i]
		out = append(out, s)
	}
	for i := range out {
		out[i].vars = out[i].parsePairs()
	}
	return append(out, untold(img, out)...), left
}

// untold are steps for what is configured and not in the history.
func untold(img Image, steps []Step) []Step {
	told := map[string]map[string]bool{}
	for _, s := range steps {
		if told[s.Keyword] == nil {
			told[s.Keyword] = map[string]bool{}
		}
		switch s.Keyword {
		case "ENV", "LABEL":
			for _, p := range s.pairs() {
				told[s.Keyword][p.Name] = true
			}
		case "EXPOSE", "VOLUME":
			for _, w := range s.list() {
				told[s.Keyword][w] = true
			}
		}
	}
	var out []Step
	add := func(keyword, text string) {
		s := Step{Index: -1, Keyword: keyword}
		s.Text, s.Cut = bounded(text)
		s.vars = s.parsePairs()
		out = append(out, s)
	}
	for i, e := range img.Env {
		if name, value, _ := strings.Cut(e, "="); i < maxPairs && !told["ENV"][name] {
			add("ENV", name+"="+quoted(value))
		}
	}
	for i, name := range slices.Sorted(maps.Keys(img.Labels)) {
		if i < maxPairs && !told["LABEL"][name] {
			add("LABEL", quoted(name)+"="+quoted(img.Labels[name]))
		}
	}
	for i, p := range img.Exposed {
		if port, _, _ := strings.Cut(p, "/"); i < maxPairs && !told["EXPOSE"][p] && !told["EXPOSE"][port] {
			add("EXPOSE", p)
		}
	}
	if len(img.Entrypoint) > 0 && told["ENTRYPOINT"] == nil {
		add("ENTRYPOINT", execForm(img.Entrypoint))
	}
	if len(img.Cmd) > 0 && told["CMD"] == nil {
		add("CMD", execForm(img.Cmd))
	}
	for i, v := range img.Volumes {
		if i < maxPairs && !told["VOLUME"][v] {
			add("VOLUME", v)
		}
	}
	return out
}

func quoted(v string) string {
	if v == "" || strings.ContainsAny(v, " \t\n\"'\\") {
		return strconv.Quote(v)
	}
	return v
}

// keywords are the instructions of a Dockerfile.
var keywords = map[string]bool{
	"ADD": true, "ARG": true, "CMD": true, "COPY": true, "ENTRYPOINT": true, "ENV": true, "EXPOSE": true, "FROM": true, "HEALTHCHECK": true,
	"LABEL": true, "MAINTAINER": true, "ONBUILD": true, "RUN": true, "SHELL": true, "STOPSIGNAL": true, "USER": true, "VOLUME": true, "WORKDIR": true,
}

// shellCall is how a script is handed to a shell: "/bin/bash -o pipefail -c ".
var shellCall = pattern(`^((?:/usr/local/bin/|/usr/bin/|/bin/|/busybox/)?(?:sh|bash|dash|ash|zsh|ksh))((?: [-+][a-zA-Z]+| pipefail| errexit| nounset)*) -[a-z]*c(?:\s|$)`)

// windowsCall is the same on Windows, whose scripts are not parsed.
var windowsCall = pattern(`(?i)^(?:cmd(?:\.exe)? /S /C|(?:[^ ]*\\)?(?:powershell|pwsh)(?:\.exe)? )`)

// parseStep reads one entry of a history.
//
//	/bin/sh -c #(nop)  ENV A=b         docker, buildah: an instruction
//	|1 A=b /bin/sh -c make             docker, buildah: RUN with arguments
//	/bin/sh -c make                    docker, buildah: RUN
//	RUN |1 A=b /bin/sh -c make # buildkit
//	ENV A=b                            BuildKit, kaniko
//	RUN make                           kaniko
func parseStep(createdBy string) Step {
	text, cut := bounded(createdBy)
	text = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), "# buildkit"))
	s := parseInstruction(text)
	if s.Keyword == "ONBUILD" {
		if in := parseInstruction(s.Text); in.Keyword != "" && in.Keyword != "ONBUILD" {
			in.OnBuild = true
			s = in
		}
	}
	s.Cut = cut
	return s
}

func parseInstruction(text string) Step {
	var s Step

	if _, rest, ok := strings.Cut(text, "#(nop)"); ok && shellCall().MatchString(text[:len(text)-len(rest)]) {
		s.Keyword, s.Text = keyword(strings.TrimSpace(rest))
		s.flags()
		return s
	}
	s.Keyword, s.Text = keyword(text)
	switch s.Keyword {
	case "RUN":
		s.flags()
		s.script()
	case "":
		switch {
		case strings.HasPrefix(text, "|") || shellCall().MatchString(text) || windowsCall().MatchString(text):
			s.Keyword = "RUN"
			s.script()
		}
	default:
		s.flags()
	}
	return s
}

func bounded(s string) (string, bool) {
	cut := len(s) > maxStepBytes
	if cut {
		s = s[:maxStepBytes]
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.ReplaceAll(s, "\x00", " "), cut
}

// keyword splits off an instruction; "" if text begins with none.
func keyword(text string) (string, string) {
	word, rest := text, ""
	if i := strings.IndexAny(text, " \t\n"); i >= 0 {
		word, rest = text[:i], text[i:]
	}
	if !keywords[word] {
		return "", text
	}
	return word, strings.TrimSpace(rest)
}

// flags takes options off the front of the text.
func (s *Step) flags() {
	for strings.HasPrefix(s.Text, "--") {
		word, rest, _ := strings.Cut(s.Text, " ")
		s.Flags, s.Text = append(s.Flags, word), strings.TrimSpace(rest)
	}
}

// script takes build arguments and the call of the shell off the front of what
// RUN was given.
func (s *Step) script() {
	if rest, ok := strings.CutPrefix(s.Text, "|"); ok {
		digits, rest, _ := strings.Cut(rest, " ")
		if n, err := strconv.Atoi(digits); err == nil && n >= 0 {
			s.arguments(n, rest)
		}
	}
	if m := shellCall().FindStringSubmatchIndex(s.Text); m != nil {
		// A script in quotes is one that the Dockerfile hands to a shell.
		if rest := strings.TrimSpace(s.Text[m[1]:]); rest == "" || rest[0] != '"' && rest[0] != '\'' {
			s.Shell, s.Text = s.Text[m[2]:m[3]], rest
			return
		}
	}
	if windowsCall().MatchString(s.Text) {
		s.Shell = "windows"
		return
	}
	var words []string
	if strings.HasPrefix(s.Text, "[") && json.Unmarshal([]byte(s.Text), &words) == nil {
		for i, w := range words {
			words[i] = shellQuote(w)
		}
		s.Text = strings.Join(words, " ")
	}
}

// arguments reads n build arguments. They are not quoted, so a value with
// spaces is known by what follows it: the next name, or the shell.
func (s *Step) arguments(n int, text string) {
	end := len(text)
	for i := 0; i < len(text); i++ {
		if (i == 0 || text[i-1] == ' ') && shellCall().MatchString(text[i:min(len(text), i+128)]) {
			end = i
			break
		}
	}
	s.Args = joinPairs(strings.Fields(text[:end]), min(n, maxPairs), isName)
	s.Text = strings.TrimSpace(text[end:])
}

func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

func shellQuote(w string) string {
	if w != "" && !strings.ContainsFunc(w, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=@,+%", r)
	}) {
		return w
	}
	return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
}

// pairs are the variables of ENV, ARG and LABEL.
func (s Step) pairs() []Pair { return s.vars }

// parsePairs reads NAME=VALUE with quotes and backslashes, or "NAME VALUE", the
// old form. The classic builder writes values without their quotes, so a value
// may go on after a space.
func (s Step) parsePairs() []Pair {
	switch s.Keyword {
	case "ENV", "ARG", "LABEL":
	default:
		return nil
	}
	words := splitWords(s.Text)
	if len(words) == 0 {
		return nil
	}
	if !strings.Contains(words[0], "=") {
		if s.Keyword == "ARG" {
			return []Pair{{words[0], ""}}
		}
		_, value, _ := strings.Cut(s.Text, words[0])
		return []Pair{{words[0], strings.TrimSpace(value)}}
	}
	return joinPairs(words, maxPairs, func(name string) bool { return name != "" && !strings.ContainsAny(name, " \t/\"'") })
}

// joinPairs makes up to most pairs of words; a word that begins none goes on
// with the value before it.
func joinPairs(words []string, most int, isName func(string) bool) []Pair {
	var out []Pair
	var value []string
	end := func() {
		if len(out) > 0 {
			out[len(out)-1].Value = strings.Join(value, " ")
		}
	}
	for _, w := range words {
		if name, v, ok := strings.Cut(w, "="); ok && len(out) < most && isName(name) {
			end()
			out, value = append(out, Pair{Name: name}), append(value[:0], v)
		} else {
			value = append(value, w)
		}
	}
	end()
	return out
}

// list are the words of EXPOSE, VOLUME, COPY and the like, in whatever form
// they were written: JSON, "map[80/tcp:{}]", or words.
func (s Step) list() []string {
	text := s.Text
	var words []string
	if strings.HasPrefix(text, "[") {
		if json.Unmarshal([]byte(text), &words) == nil {
			return words
		}
		text = strings.Trim(text, "[]")
	}
	if rest, ok := strings.CutPrefix(text, "map["); ok {
		for _, w := range strings.Fields(strings.TrimSuffix(rest, "]")) {
			words = append(words, strings.TrimSuffix(w, ":{}"))
		}
		return words
	}
	return splitWords(text)
}

// splitWords splits at spaces outside of quotes and takes quotes and
// backslashes away.
func splitWords(text string) []string {
	var out []string
	var b strings.Builder
	var quote byte
	in := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quote != 0:
			switch {
			case c == quote:
				quote = 0
			case c == '\\' && quote == '"' && i+1 < len(text):
				i++
				b.WriteByte(text[i])
			default:
				b.WriteByte(c)
			}
		case c == '"' || c == '\'':
			// A quote that is never closed is a character.
			if strings.IndexByte(text[i+1:], c) < 0 {
				b.WriteByte(c)
			} else {
				quote = c
			}
			in = true
		case c == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
			in = true
		case c == ' ' || c == '\t' || c == '\n':
			if in {
				out = append(out, b.String())
				b.Reset()
				in = false
			}
		default:
			b.WriteByte(c)
			in = true
		}
	}
	if in {
		out = append(out, b.String())
	}
	return out
}

// execForm is a list of words as ENTRYPOINT and CMD have it.
func execForm(words []string) string {
	b, err := json.Marshal(words)
	if err != nil {
		return strings.Join(words, " ")
	}
	return string(b)
}

// runs is the script that an instruction executes, now or when a container
// starts; "" if it executes none.
func (s Step) runs() string {
	switch s.Keyword {
	case "RUN":
		if s.Shell == "windows" {
			return ""
		}
		return s.Text
	case "CMD", "ENTRYPOINT":
		if !strings.HasPrefix(s.Text, "[") {
			return s.Text
		}
		words := s.list()
		for i, w := range words {
			words[i] = shellQuote(w)
		}
		return strings.Join(words, " ")
	}
	return ""
}
