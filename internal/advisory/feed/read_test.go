package feed_test

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory/feed"
)

// endless is text that does not end, after a beginning.
func endless(begin, rest string) io.Reader {
	return io.MultiReader(strings.NewReader(begin), &repeat{rest})
}

type repeat struct{ s string }

func (r *repeat) Read(p []byte) (int, error) {
	n := 0
	for n+len(r.s) <= len(p) {
		n += copy(p[n:], r.s)
	}
	return n, nil
}

// wholeDocument skips what reads up to the limit with -short; TestLimits has
// the limit itself.
func wholeDocument(t *testing.T) {
	if testing.Short() {
		t.Skipf("reads %d bytes one by one", feed.MaxDocumentBytes)
	}
}

func TestJSONStream(t *testing.T) {
	read := func(r io.Reader) ([]string, error) {
		s := feed.NewJSONStream(feed.File{Name: "a.json", Reader: r})
		var out []string
		err := s.Object(func(key string) error {
			var v string
			if err := s.Decode(&v); err != nil {
				return err
			}
			out = append(out, key+"="+v)
			return nil
		})
		if err == nil {
			err = s.End()
		}
		return out, err
	}
	for _, tc := range []struct {
		name, text string
		want       []string
		err        string
	}{
		{"whole", "{\"a\": \"1\",\n\"b\": \"2\"}\n", []string{"a=1", "b=2"}, ""},
		{"cut", "{\"a\": \"1\",\n\"b\": \"2", []string{"a=1"}, "a.json:2: unexpected EOF"},
		{"type", "{\"a\": \"1\",\n\n\"b\": 2}", []string{"a=1"}, "a.json:3: json: cannot unmarshal number into Go value of type string"},
		{"type in a value", "{\"a\":\n[\n1\n]\n}", nil, "a.json:2: json: cannot unmarshal array into Go value of type string"},
		{"more", "{\"a\": \"1\"}\n\n{", []string{"a=1"}, "a.json:3: { after the end of the document"},
		{"nothing", "", nil, "a.json:1: unexpected EOF"},
		{"array", "[]", nil, "a.json:1: got [, want {"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := read(strings.NewReader(tc.text))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			if s := errorText(err); s != tc.err {
				t.Errorf("error %q, want %q", s, tc.err)
			}
		})
	}
	t.Run("without an end", func(t *testing.T) {
		wholeDocument(t)
		for _, begin := range []string{`{"a": "`, `{"`} {
			if _, err := read(endless(begin, "x")); !errors.Is(err, feed.ErrTooLarge) {
				t.Errorf("%s without an end: %v", begin, err)
			}
		}
	})
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestJSONStreamOfManyValues(t *testing.T) {
	wholeDocument(t)
	// More than the limit of one value, in values that are small.
	const element = "\"0123456789012345678901234567890123456789012345678901234567890123456789\",\n"
	whole := feed.MaxDocumentBytes/len(element) + 1000
	s := feed.NewJSONStream(feed.File{Name: "a.json", Reader: io.MultiReader(
		strings.NewReader("[\n"),
		io.LimitReader(&repeat{element}, int64(whole*len(element))),
		strings.NewReader("5]"))})
	n := 0
	err := s.Array(func() error {
		var v string
		err := s.Decode(&v)
		n++
		return err
	})
	var e *feed.Error
	if !errors.As(err, &e) || e.Line != whole+2 || n != whole+1 {
		t.Errorf("%d elements, error %v; want %d and one of line %d", n, err, whole+1, whole+2)
	}
}

func TestXMLStream(t *testing.T) {
	read := func(r io.Reader) ([]string, error) {
		s := feed.NewXMLStream(feed.File{Name: "a.xml", Reader: r})
		var out []string
		err := s.Elements(func(e xml.StartElement) error {
			if e.Name.Local != "v" {
				return nil
			}
			var v string
			if err := s.Decode(&v, e); err != nil {
				return err
			}
			out = append(out, v)
			return nil
		})
		return out, err
	}
	got, err := read(strings.NewReader("<a><b><v>1</v></b>\n<v>2</v></a>"))
	if diff := cmp.Diff([]string{"1", "2"}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if _, err := read(strings.NewReader("<a><b>\n<v>1</b></a>")); errorText(err) == "" || !strings.HasPrefix(err.Error(), "a.xml:2: ") {
		t.Errorf("error %v names no line", err)
	}
	t.Run("without an end", func(t *testing.T) {
		wholeDocument(t)
		if _, err := read(endless("<a><v>", "x")); !errors.Is(err, feed.ErrTooLarge) {
			t.Errorf("an element without an end: %v", err)
		}
	})
}
