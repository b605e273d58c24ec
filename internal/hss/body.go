package hss

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/onceover/onceover/internal/fault"
)

const (
	// maxBody is the largest body, in bytes. The authenticator has its own
	// limit, before it hashes.
	maxBody = 8 << 20
	// maxDepth is how deep a body may nest. The deepest of the contract has
	// five levels.
	maxDepth = 64
	// maxNoted is how many ids of a body are noted for the audit log.
	maxNoted = 50
)

// A body is what a request carries, read and walked once.
type body struct {
	raw []byte
	ids []string // that it names, for the audit log
	err error    // what is wrong with it: told to the client when it is decoded
}

// readBody reads a request. No body, blanks and null are all "nothing given".
func readBody(r *http.Request) (out body) {
	if r.Body == nil {
		return out
	}
	var err error
	switch out.raw, err = io.ReadAll(io.LimitReader(r.Body, maxBody+1)); {
	case err != nil:
		return body{err: fault.Wrap(fault.Unparsable, err, "read the request body")}
	case len(out.raw) > maxBody:
		return body{err: fault.New(fault.TooLarge, "the request body is larger than %d bytes", maxBody)}
	}
	if out.raw = bytes.TrimSpace(out.raw); len(out.raw) > 0 {
		out.ids, out.err = walk(out.raw)
		out.err = cmp.Or(checkTexts(out.raw), out.err)
	}
	return out
}

// decode fills in p from a JSON object.
func (b body) decode(p any) error {
	if b.err != nil || len(b.raw) == 0 {
		return b.err
	}
	err := json.Unmarshal(b.raw, p)
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fault.New(fault.Invalid, "the request body: %s is a %s, which does not fit", fieldName(wrong.Field), wrong.Value)
	}
	if err != nil {
		return fault.New(fault.Unparsable, "the request body is not JSON: %w", err)
	}
	return nil
}

func fieldName(f string) string {
	if f == "" {
		return "the whole"
	}
	return f
}

// checkTexts refuses what encoding/json would replace without a word: bytes
// that are no UTF-8, and halves of surrogate pairs; and NULs, which no text of
// the contract has and PostgreSQL does not store.
func checkTexts(b []byte) error {
	if !utf8.Valid(b) {
		return fault.New(fault.Unparsable, "the request body is not UTF-8")
	}
	// In JSON a backslash stands in texts only; in anything else the parser
	// finds it.
	for i := 0; i+1 < len(b); i++ {
		if b[i] != '\\' {
			continue
		}
		i++
		if b[i] != 'u' {
			continue
		}
		c := escaped(b[i-1:])
		if c == 0 {
			return fault.New(fault.Invalid, "the request body has a NUL in a text")
		}
		if c < 0 || !utf16.IsSurrogate(c) {
			continue
		}
		i += 5
		if utf16.DecodeRune(c, escaped(b[min(i, len(b)):])) == unicode.ReplacementChar {
			return fault.New(fault.Unparsable, "the request body has half a surrogate pair")
		}
	}
	return nil
}

// escaped is the number of an escape like \u0041 that b begins with, else -1.
func escaped(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}

// A level is an object or a list that is being read.
type level struct {
	names  map[string]bool // nil in a list
	member string          // whose value comes next; in a list, that of the list
	value  bool            // a value comes next, and no name
}

// walk refuses objects that name a member twice, of which another reader may have
// taken the other one, and deep nesting. What is not JSON it leaves to the parser.
// On its way it finds ids: texts in members whose name ends in "id", "ids" or
// "id_list". Nothing else is noted: a body may hold passwords.
func walk(b []byte) (ids []string, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var levels []level
	for {
		token, err := d.Token()
		if err != nil {
			return ids, nil
		}
		if token == json.Delim('}') || token == json.Delim(']') {
			levels = levels[:len(levels)-1]
			if len(levels) == 0 {
				return ids, nil
			}
			continue
		}
		member := ""
		if n := len(levels); n > 0 {
			l := &levels[n-1]
			if l.names != nil {
				l.value = !l.value
			}
			if l.value {
				l.member = token.(string)
				name := folded(l.member)
				if l.names[name] {
					return ids, fault.New(fault.Unparsable, "the request body names %.64q twice", token)
				}
				l.names[name] = true
				continue
			}
			member = l.member
		}
		switch token {
		case json.Delim('{'):
			levels = append(levels, level{names: map[string]bool{}})
		case json.Delim('['):
			levels = append(levels, level{member: member})
		default:
			if id, ok := token.(string); ok && isID(member) && len(ids) < maxNoted {
				ids = append(ids, id)
			}
		}
		if len(levels) == 0 {
			return ids, nil
		}
		if len(levels) > maxDepth {
			return ids, fault.New(fault.Unparsable, "the request body nests deeper than %d levels", maxDepth)
		}
	}
}

func isID(name string) bool {
	for _, suffix := range []string{"id", "ids", "id_list"} {
		if before, ok := strings.CutSuffix(name, suffix); ok && (before == "" || strings.HasSuffix(before, "_")) {
			return true
		}
	}
	return false
}

// folded makes equal what encoding/json takes for the same member: names that
// differ in case only. To upper case first, for letters of which there are more
// than two.
func folded(name string) string { return strings.ToLower(strings.ToUpper(name)) }
