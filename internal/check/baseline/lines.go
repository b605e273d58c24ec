package baseline

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"
)

// logicalLines yields the lines of b without their ends. With join, a line that
// ends in a backslash goes on in the next. A line longer than maxLineBytes is
// left out, and *err says so.
func logicalLines(b []byte, join bool, err *error) iter.Seq[string] {
	return func(yield func(string) bool) {
		held := ""
		for len(b) > 0 {
			var raw []byte
			raw, b, _ = bytes.Cut(b, []byte("\n"))
			if len(held)+len(raw) > maxLineBytes {
				*err = fmt.Errorf("line of %d bytes: %w: at most %d", len(held)+len(raw), ErrLimit, maxLineBytes)
				held = ""
				continue
			}
			line := strings.TrimRight(string(raw), "\r")
			if join && strings.HasSuffix(line, `\`) {
				held += strings.TrimSuffix(line, `\`) + " "
				continue
			}
			line, held = held+line, ""
			if !yield(line) {
				return
			}
		}
		if held != "" {
			yield(held)
		}
	}
}

// settingLines yields the lines of b without blanks around them, but for empty
// ones and comments, which begin with one of marks. err is as in logicalLines.
func settingLines(b []byte, err *error, marks ...string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range logicalLines(b, false, err) {
			line = strings.TrimSpace(line)
			if line == "" || slices.ContainsFunc(marks, func(m string) bool { return strings.HasPrefix(line, m) }) {
				continue
			}
			if !yield(line) {
				return
			}
		}
	}
}

// tooMany is the error of a list that is full.
func tooMany(what string) error {
	return fmt.Errorf("more than %d %s: %w", maxEntries, what, ErrLimit)
}

// clip makes s fit to be kept: valid UTF-8 without control characters, at most
// maxValueBytes.
func clip(s string) string {
	if len(s) > maxValueBytes {
		s = s[:maxValueBytes]
	}
	clean := true
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= utf8.RuneSelf || s[i] == 0x7f {
			clean = false
			break
		}
	}
	if clean {
		return strings.Clone(s)
	}
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// clipAll clips each of args, and the list.
func clipAll(args []string) []string {
	if len(args) > maxArgs {
		args = args[:maxArgs]
	}
	if len(args) == 0 {
		return nil
	}
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = clip(a)
	}
	return out
}

// splitWords splits a line at blanks. Quotes of either kind hold a word
// together, and a backslash within double quotes takes the next byte as it is.
func splitWords(line string) []string {
	var words []string
	var word strings.Builder
	in, quote := false, byte(0)
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == '"' && c == '\\' && i+1 < len(line):
			i++
			word.WriteByte(line[i])
		case quote != 0:
			word.WriteByte(c)
		case c == '"' || c == '\'':
			in, quote = true, c
		case c == ' ' || c == '\t':
			if in {
				words = append(words, word.String())
				word.Reset()
				in = false
			}
		default:
			in = true
			word.WriteByte(c)
		}
	}
	if in {
		words = append(words, word.String())
	}
	return words
}

// unquote takes one pair of quotes off.
func unquote(s string) string {
	if n := len(s); n >= 2 && (s[0] == '"' || s[0] == '\'') && s[n-1] == s[0] {
		return s[1 : n-1]
	}
	return s
}

// secretState is what is kept of a secret value.
func secretState(v string) string {
	if v == "" {
		return "empty"
	}
	return "set"
}

// set makes a look-up of names.
func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}
