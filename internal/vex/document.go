package vex

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/report"
)

// Limits of one document.
const (
	maxDocumentBytes = 64 << 20
	maxStatements    = 100_000
	maxProducts      = 1_000_000 // of all statements together
	maxTextBytes     = 4096      // of a statement's words
)

// A Document is what one file says.
type Document struct {
	// Name for people: the name of the file.
	Name string
	// By is report.JudgedByVEX or report.JudgedByAttached.
	By string
	// Format is FormatOpenVEX or FormatCSAF.
	Format     string
	statements []statement
}

// Formats of a document.
const (
	FormatOpenVEX = "openvex"
	FormatCSAF    = "csaf"
)

// Statements is how many statements the document makes.
func (d *Document) Statements() int { return len(d.statements) }

// A statement is about some vulnerabilities of some products.
type statement struct {
	ids           []string // of the vulnerability, all of the same
	products      []product
	status        string
	justification string
	words         string
	at            time.Time
}

// A product is an image, or a package, or some packages in an image. The zero
// value is everything: the subject of an attestation.
type product struct {
	purl *purl
	subs []purl
}

// Load reads the document in a file: OpenVEX, or CSAF of the profile VEX.
// Errors name the file, and the line where that can be known.
func Load(path string) (*Document, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read VEX document: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxDocumentBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read VEX document %s: %w", path, err)
	}
	d, err := Parse(filepath.Base(path), b)
	if err != nil {
		return nil, fault.New(fault.CodeOf(err), "%s%w", path, place{err})
	}
	return d, nil
}

// Parse reads a document. name is what to call it.
func Parse(name string, b []byte) (*Document, error) {
	return parse(name, b, report.JudgedByVEX)
}

func parse(name string, b []byte, by string) (*Document, error) {
	if len(b) > maxDocumentBytes {
		return nil, fault.New(fault.TooLarge, "a VEX document has at most %d bytes", maxDocumentBytes)
	}
	var kind struct {
		Context  json.RawMessage `json:"@context"`
		Document *struct{}       `json:"document"`
	}
	if err := unmarshal(b, &kind); err != nil {
		return nil, err
	}
	d := &Document{Name: name, By: by}
	var err error
	switch {
	case kind.Context != nil:
		d.Format = FormatOpenVEX
		d.statements, err = openVEX(b, by == report.JudgedByAttached)
	case kind.Document != nil:
		d.Format = FormatCSAF
		d.statements, err = fromCSAF(b)
	default:
		return nil, fault.New(fault.Invalid, "neither OpenVEX (no @context) nor CSAF (no document)")
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// lineError is an error at a line of a file.
type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }

func (e *lineError) Unwrap() error { return e.err }

// place writes an error behind the name of its file: "FILE:3: …".
type place struct{ error }

func (p place) Error() string {
	var le *lineError
	if errors.As(p.error, &le) {
		return fmt.Sprintf(":%d: %v", le.line, le.err)
	}
	return ": " + p.error.Error()
}

func (p place) Unwrap() error { return p.error }

// unmarshal reads JSON. An error has the line.
func unmarshal(b []byte, to any) error {
	err := json.Unmarshal(b, to)
	if err == nil {
		return nil
	}
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return &lineError{lineAt(b, syntax.Offset), fault.Wrap(fault.Invalid, err, "not JSON")}
	case errors.As(err, &typ):
		return &lineError{lineAt(b, typ.Offset), fault.Wrap(fault.Invalid, err, "not of the form")}
	default:
		return fault.Wrap(fault.Invalid, err, "not of the form")
	}
}

func lineAt(b []byte, offset int64) int {
	return 1 + bytes.Count(b[:min(max(offset, 0), int64(len(b)))], []byte("\n"))
}

// bad is an error about statement i, counted from 0.
func bad(i int, format string, args ...any) error {
	return fault.New(fault.Invalid, "statement %d: %w", i+1, fmt.Errorf(format, args...))
}

// cut bounds words for people.
func cut(s string) string {
	if len(s) <= maxTextBytes {
		return s
	}
	return string(bytes.ToValidUTF8([]byte(s[:maxTextBytes]), nil)) + "…"
}

func parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no time", s)
	}
	return t.UTC(), nil
}
