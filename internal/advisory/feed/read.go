package feed

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
)

// Limits on what adapters read.
const (
	// MaxDocumentBytes bounds a file that is read as a whole.
	MaxDocumentBytes = 64 << 20
	// MaxNoteBytes is where notes are cut.
	MaxNoteBytes = 300
)

// ErrTooLarge is wrapped by errors about a document that crosses a limit.
var ErrTooLarge = errors.New("limit crossed")

// An Error is about one place of a file.
type Error struct {
	// File as in File.Name, Line from 1, 0 if unknown.
	File string
	Line int
	Err  error
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error.
func Errorf(file string, line int, format string, args ...any) error {
	return &Error{file, line, fmt.Errorf(format, args...)}
}

// At gives an error its place, unless it has one.
func At(file string, line int, err error) error {
	var e *Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	return &Error{file, line, err}
}

// ReadAll reads a whole document, at most MaxDocumentBytes.
func ReadAll(f File) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(f, MaxDocumentBytes+1))
	if err != nil {
		return nil, &Error{File: f.Name, Err: err}
	}
	if len(b) > MaxDocumentBytes {
		return nil, Errorf(f.Name, 0, "more than %d bytes: %w", MaxDocumentBytes, ErrTooLarge)
	}
	return b, nil
}

// DecodeJSON reads a whole JSON document into v. Anything after it is an
// error.
func DecodeJSON(f File, v any) error {
	b, err := ReadAll(f)
	if err != nil {
		return err
	}
	return UnmarshalJSON(f.Name, b, v)
}

// UnmarshalJSON decodes b, which begins at line 1 of the file.
func UnmarshalJSON(file string, b []byte, v any) error {
	err := json.Unmarshal(b, v)
	if err == nil {
		return nil
	}
	offset := int64(0)
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &typ):
		offset = typ.Offset
	}
	return &Error{file, LineAt(b, offset), err}
}

// LineAt is the line, from 1, of a byte offset.
func LineAt(b []byte, offset int64) int {
	offset = min(max(offset, 0), int64(len(b)))
	return 1 + bytes.Count(b[:offset], []byte("\n"))
}

// A Lines counts the lines of what is read through it, for streams that are
// too large to keep.
type Lines struct {
	r    io.Reader
	seen int64
	// marks are the offsets of line breaks; those before next are counted
	// in line.
	marks []int64
	next  int
	line  int
	// left is how many bytes may be read before Allow is called again.
	left int64
}

// NewLines returns a Lines over r.
func NewLines(r io.Reader) *Lines { return &Lines{r: r, line: 1, left: MaxDocumentBytes} }

// Allow lets MaxDocumentBytes more be read. Decoders gather a whole value in
// memory: whoever takes one value after the other calls it before each.
func (l *Lines) Allow() { l.left = MaxDocumentBytes }

// Read implements io.Reader.
func (l *Lines) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, fmt.Errorf("a value of more than %d bytes: %w", MaxDocumentBytes, ErrTooLarge)
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	for i, c := range p[:n] {
		if c == '\n' {
			l.marks = append(l.marks, l.seen+int64(i))
		}
	}
	l.seen += int64(n)
	l.left -= int64(n)
	return n, err
}

// At is the line of a byte offset. Offsets must not go back.
func (l *Lines) At(offset int64) int {
	for l.next < len(l.marks) && l.marks[l.next] < offset {
		l.next++
		l.line++
	}
	if l.next > len(l.marks)/2 {
		l.marks = append(l.marks[:0], l.marks[l.next:]...)
		l.next = 0
	}
	return l.line
}

// A JSONStream walks a large JSON document token by token.
type JSONStream struct {
	file  string
	lines *Lines
	*json.Decoder
}

// NewJSONStream starts at the beginning of f.
func NewJSONStream(f File) *JSONStream {
	l := NewLines(f)
	return &JSONStream{f.Name, l, json.NewDecoder(l)}
}

// Line is where the stream stands.
func (s *JSONStream) Line() int { return s.lines.At(s.InputOffset()) }

// Token is json.Decoder's, for tokens of at most MaxDocumentBytes.
func (s *JSONStream) Token() (json.Token, error) {
	s.allow()
	return s.Decoder.Token()
}

// Decode is json.Decoder's, for values of at most MaxDocumentBytes.
func (s *JSONStream) Decode(v any) error {
	s.allow()
	start := s.InputOffset()
	err := s.Decoder.Decode(v)
	var typ *json.UnmarshalTypeError
	if errors.As(err, &typ) {
		// The value has been passed; its own offset tells where in it.
		return &Error{s.file, s.lines.At(min(start+typ.Offset, s.InputOffset())), err}
	}
	return err
}

func (s *JSONStream) allow() {
	s.lines.Allow()
	s.Line() // forgets the line breaks that are behind
}

// Wrap gives an error of the decoder its place.
func (s *JSONStream) Wrap(err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return &Error{s.file, s.Line(), err}
}

// Expect takes the next token, which must be the delimiter d.
func (s *JSONStream) Expect(d json.Delim) error {
	t, err := s.Token()
	if err != nil {
		return s.Wrap(err)
	}
	if t != d {
		return Errorf(s.file, s.Line(), "got %v, want %v", t, d)
	}
	return nil
}

// Object walks an object: fn is called for each key and must read its value.
func (s *JSONStream) Object(fn func(key string) error) error {
	if err := s.Expect('{'); err != nil {
		return err
	}
	for s.More() {
		t, err := s.Token()
		if err != nil {
			return s.Wrap(err)
		}
		if err := fn(t.(string)); err != nil {
			return s.Wrap(err)
		}
	}
	return s.Expect('}')
}

// Array walks an array: fn is called for each element and must read it.
func (s *JSONStream) Array(fn func() error) error {
	if err := s.Expect('['); err != nil {
		return err
	}
	for s.More() {
		if err := fn(); err != nil {
			return s.Wrap(err)
		}
	}
	return s.Expect(']')
}

// End fails if anything but white space follows.
func (s *JSONStream) End() error {
	if t, err := s.Token(); !errors.Is(err, io.EOF) {
		if err != nil {
			return s.Wrap(err)
		}
		return Errorf(s.file, s.Line(), "%v after the end of the document", t)
	}
	return nil
}

// An XMLStream walks an XML document element by element. Entities that a
// document defines for itself are not expanded, and nothing is ever fetched.
type XMLStream struct {
	file  string
	limit *limit
	*xml.Decoder
	took bool // the element at hand has been read to its end
}

// NewXMLStream starts at the beginning of f.
func NewXMLStream(f File) *XMLStream {
	l := &limit{f, MaxDocumentBytes}
	return &XMLStream{file: f.Name, limit: l, Decoder: xml.NewDecoder(l)}
}

// A limit bounds what is read for one element that is kept in memory.
type limit struct {
	r    io.Reader
	left int64
}

func (l *limit) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, fmt.Errorf("an element of more than %d bytes: %w", MaxDocumentBytes, ErrTooLarge)
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}

// Line is where the stream stands.
func (s *XMLStream) Line() int { line, _ := s.InputPos(); return line }

// Wrap gives an error of the decoder its place.
func (s *XMLStream) Wrap(err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return &Error{s.file, s.Line(), err}
}

// Elements calls fn for every start of an element, however deep, until the
// document ends. fn may read the element with Decode or leave it out with Pass; if
// it does neither, its children are walked next. A document without an element, or that ends within
// one, is an error.
func (s *XMLStream) Elements(fn func(e xml.StartElement) error) error {
	depth, any := 0, false
	for {
		s.limit.left = MaxDocumentBytes
		t, err := s.Token()
		if errors.Is(err, io.EOF) && depth == 0 && any {
			return nil
		}
		if err != nil {
			return s.Wrap(err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			any = true
			s.took = false
			if err := fn(t); err != nil {
				return s.Wrap(err)
			}
			if !s.took {
				depth++ // its end is still to come
			}
		case xml.EndElement:
			depth--
		}
	}
}

// Decode reads the element that e starts into v.
func (s *XMLStream) Decode(v any, e xml.StartElement) error {
	s.took = true
	return s.Wrap(s.DecodeElement(v, &e))
}

// Pass leaves out the element that was started last.
func (s *XMLStream) Pass() error {
	s.took = true
	return s.Wrap(s.Skip())
}
