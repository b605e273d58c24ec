package hss

import (
	"bytes"
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
)

// decodeBody reads a JSON object into p. No body, blanks and null are all
// "nothing given".
func decodeBody(r *http.Request, p any) error {
	if r.Body == nil {
		return nil
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return fault.Wrap(fault.Unparsable, err, "read the request body")
	}
	if len(b) > maxBody {
		return fault.New(fault.TooLarge, "the request body is larger than %d bytes", maxBody)
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return nil
	}
	if err := checkTexts(b); err != nil {
		return err
	}
	if err := checkNames(b); err != nil {
		return err
	}
	err = json.Unmarshal(b, p)
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
	names map[string]bool // nil in a list
	value bool            // a value comes next, and no name
}

// checkNames refuses objects that name a member twice, of which another reader
// may have taken the other one, and deep nesting. What is not JSON it leaves to
// the parser.
func checkNames(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var levels []level
	for {
		token, err := d.Token()
		if err != nil {
			return nil
		}
		if token == json.Delim('}') || token == json.Delim(']') {
			levels = levels[:len(levels)-1]
			if len(levels) == 0 {
				return nil
			}
			continue
		}
		if n := len(levels); n > 0 && levels[n-1].names != nil {
			l := &levels[n-1]
			l.value = !l.value
			if l.value {
				name := folded(token.(string))
				if l.names[name] {
					return fault.New(fault.Unparsable, "the request body names %.64q twice", token)
				}
				l.names[name] = true
				continue
			}
		}
		switch token {
		case json.Delim('{'):
			levels = append(levels, level{names: map[string]bool{}})
		case json.Delim('['):
			levels = append(levels, level{})
		}
		if len(levels) == 0 {
			return nil
		}
		if len(levels) > maxDepth {
			return fault.New(fault.Unparsable, "the request body nests deeper than %d levels", maxDepth)
		}
	}
}

// folded makes equal what encoding/json takes for the same member: names that
// differ in case only. To upper case first, for letters of which there are more
// than two.
func folded(name string) string { return strings.ToLower(strings.ToUpper(name)) }
