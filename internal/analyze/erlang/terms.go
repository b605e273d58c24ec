package erlang

import (
	"bytes"
	"context"
	"errors"

	"github.com/onceover/onceover/internal/analyze"
)

var errTerm = errors.New("not a term")

// walk goes over Erlang terms in text form ("Data Types" in the reference manual)
// and tells each atom, string and binary that stands in a tuple or list after
// its first element. keys holds, for each tuple or list around the value, the
// first element if that is plain text and it is a tuple, else "".
func walk(ctx context.Context, b []byte, value func(keys []string, value string)) error {
	var keys []string
	first := false // the next element is the first of a tuple
	tell := func(s []byte) {
		switch {
		case len(keys) == 0:
		case first:
			keys[len(keys)-1] = string(s[:min(len(s), maxTextBytes)])
		default:
			value(keys, string(s[:min(len(s), maxTextBytes+1)]))
		}
		first = false
	}
	for n := 0; len(b) > 0; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		switch c := b[0]; {
		case c == '%':
			i := bytes.IndexByte(b, '\n')
			if i < 0 {
				return depthLeft(keys)
			}
			b = b[i:]
		case c == '{' || c == '[':
			if len(keys) == maxDepth {
				return analyze.Limited("levels", maxDepth+1, maxDepth)
			}
			keys, first = append(keys, ""), c == '{'
			b = b[1:]
		case c == '}' || c == ']':
			if len(keys) == 0 {
				return errTerm
			}
			keys, first = keys[:len(keys)-1], false
			b = b[1:]
		case c == '"' || c == '\'':
			s, rest, ok := quoted(b)
			if !ok {
				return errTerm
			}
			tell(s)
			b = rest
		case bytes.HasPrefix(b, []byte("<<")):
			i := bytes.Index(b, []byte(">>"))
			if s, rest, ok := quoted(bytes.TrimLeft(b[2:], " \t\r\n")); ok {
				tell(s)
				i = len(b) - len(rest)
				j := bytes.Index(rest, []byte(">>"))
				if j < 0 {
					return errTerm
				}
				i += j
			}
			if i < 0 {
				return errTerm
			}
			b = b[i+2:]
		case c == '$' && len(b) > 1: // a character
			b = b[2:]
			first = false
		case wordByte(c):
			i := 1
			for i < len(b) && wordByte(b[i]) {
				i++
			}
			tell(b[:i])
			b = b[i:]
		default:
			b = b[1:]
		}
	}
	return depthLeft(keys)
}

// depthLeft is the error of a text that ends within a term.
func depthLeft(keys []string) error {
	if len(keys) > 0 {
		return errTerm
	}
	return nil
}

// quoted is the text in the quotes at the start of b. Escapes stay as they
// are: no name or version has any.
func quoted(b []byte) (s, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '"' && b[0] != '\'' {
		return nil, nil, false
	}
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case b[0]:
			return b[1:i], b[i+1:], true
		}
	}
	return nil, nil, false
}

func wordByte(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c == '@'
}
