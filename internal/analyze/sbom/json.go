package sbom

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/onceover/onceover/internal/analyze"
)

// A jsonReader walks a document token by token.
type jsonReader struct {
	ctx context.Context
	dec *json.Decoder
	c   *collector
	n   int
}

func readJSON(ctx context.Context, r io.Reader, c *collector) error {
	j := &jsonReader{ctx: ctx, dec: json.NewDecoder(&tokenLimit{r: r}), c: c}
	j.dec.UseNumber()
	t, err := j.token()
	if err != nil {
		return err
	}
	if t != json.Delim('{') {
		return nil
	}
	return j.document(1)
}

func (j *jsonReader) token() (json.Token, error) {
	if j.n%checkEvery == 0 && j.ctx.Err() != nil {
		return nil, j.ctx.Err()
	}
	j.n++
	t, err := j.dec.Token()
	if err != nil {
		return nil, fmt.Errorf("parse JSON: %w", err)
	}
	return t, nil
}

// A tokenLimit is a reader of JSON that fails at a token of more than
// maxTokenBytes, which the decoder would hold in memory several times.
type tokenLimit struct {
	r        io.Reader
	n        int64
	inString bool
	escaped  bool
}

// Read implements io.Reader.
func (t *tokenLimit) Read(b []byte) (int, error) {
	n, err := t.r.Read(b)
	for _, c := range b[:n] {
		t.n++
		switch {
		case t.escaped:
			t.escaped = false
		case t.inString && c == '\\':
			t.escaped = true
		case c == '"':
			t.inString = !t.inString
			t.n = 0
		case !t.inString && (c <= ' ' || c == ',' || c == ':' || c == '{' || c == '[' || c == '}' || c == ']'):
			t.n = 0
		}
		if t.n > maxTokenBytes {
			return 0, analyze.Limited("bytes in a value", t.n, maxTokenBytes)
		}
	}
	return n, err
}

// object calls each with every key of the object that has been entered; each
// consumes the value.
func (j *jsonReader) object(each func(key string) error) error {
	for {
		t, err := j.token()
		if err != nil {
			return err
		}
		if t == json.Delim('}') {
			return nil
		}
		k, ok := t.(string)
		if !ok {
			return fmt.Errorf("parse JSON: a key is %v", t)
		}
		if err := each(k); err != nil {
			return err
		}
	}
}

// enter consumes the next value, unless it is of the kind wanted: then it is
// entered.
func (j *jsonReader) enter(want json.Delim, depth int) (bool, error) {
	if depth > maxDepth {
		return false, analyze.Limited("levels", int64(depth), maxDepth)
	}
	t, err := j.token()
	if err != nil {
		return false, err
	}
	if t == want {
		return true, nil
	}
	return false, j.rest(t)
}

// rest consumes what belongs to the token t that has been read.
func (j *jsonReader) rest(t json.Token) error {
	open := 0
	for {
		switch t {
		case json.Delim('{'), json.Delim('['):
			if open++; open > maxSkipDepth {
				return analyze.Limited("levels", int64(open), maxSkipDepth)
			}
		case json.Delim('}'), json.Delim(']'):
			open--
		}
		if open <= 0 {
			return nil
		}
		var err error
		if t, err = j.token(); err != nil {
			return err
		}
	}
}

func (j *jsonReader) skip() error {
	t, err := j.token()
	if err != nil {
		return err
	}
	return j.rest(t)
}

// text consumes the next value, and returns it if it is a string.
func (j *jsonReader) text() (string, error) {
	t, err := j.token()
	if err != nil {
		return "", err
	}
	s, _ := t.(string)
	return s, j.rest(t)
}

// each calls do for every object of the array that is the next value. do
// consumes it but for its opening brace.
func (j *jsonReader) each(depth int, do func(depth int) error) error {
	ok, err := j.enter('[', depth)
	if !ok || err != nil {
		return err
	}
	for {
		t, err := j.token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim(']'):
			return nil
		case json.Delim('{'):
			err = do(depth + 1)
		default:
			err = j.rest(t)
		}
		if err != nil {
			return err
		}
	}
}

// document reads a bill, or the attestation around one.
func (j *jsonReader) document(depth int) error {
	return j.object(func(k string) error {
		switch k {
		case "components": // CycloneDX
			return j.each(depth+1, j.component)
		case "metadata":
			ok, err := j.enter('{', depth+1)
			if !ok || err != nil {
				return err
			}
			return j.object(func(k string) error {
				if k != "component" {
					return j.skip()
				}
				ok, err := j.enter('{', depth+2)
				if !ok || err != nil {
					return err
				}
				return j.component(depth + 2)
			})
		case "packages": // SPDX 2
			return j.each(depth+1, j.spdxPackage)
		case "@graph": // SPDX 3
			return j.each(depth+1, j.element)
		case "predicate": // in-toto
			ok, err := j.enter('{', depth+1)
			if !ok || err != nil {
				return err
			}
			return j.document(depth + 1)
		default:
			return j.skip()
		}
	})
}

// component reads one component of CycloneDX with those inside it.
func (j *jsonReader) component(depth int) error {
	var purl string
	err := j.object(func(k string) (err error) {
		switch k {
		case "purl":
			purl, err = j.text()
			return err
		case "components":
			return j.each(depth+1, j.component)
		default:
			return j.skip()
		}
	})
	if err != nil {
		return err
	}
	return j.c.add(purl)
}

// spdxPackage reads one package of SPDX 2: its URL is an external reference.
func (j *jsonReader) spdxPackage(depth int) error {
	return j.object(func(k string) error {
		if k != "externalRefs" {
			return j.skip()
		}
		return j.each(depth+1, func(int) error {
			return j.reference("referenceType", "purl", "referenceLocator")
		})
	})
}

// element reads one element of SPDX 3: the URL is a field of its own or an
// external identifier. Elements of other kinds have neither.
func (j *jsonReader) element(depth int) error {
	return j.object(func(k string) error {
		switch k {
		case "software_packageUrl":
			purl, err := j.text()
			if err != nil {
				return err
			}
			return j.c.add(purl)
		case "externalIdentifier":
			return j.each(depth+1, func(int) error {
				return j.reference("externalIdentifierType", "packageUrl", "identifier")
			})
		default:
			return j.skip()
		}
	})
}

// reference adds the text of the field value of an object whose field kind has
// the text want.
func (j *jsonReader) reference(kind, want, value string) error {
	var is, says string
	err := j.object(func(k string) (err error) {
		switch k {
		case kind:
			is, err = j.text()
		case value:
			says, err = j.text()
		default:
			err = j.skip()
		}
		return err
	})
	if err != nil || is != want {
		return err
	}
	return j.c.add(says)
}
