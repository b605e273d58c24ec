// Package oval reads definitions of the Open Vulnerability and Assessment
// Language, version 5 (https://oval-community-guidelines.readthedocs.io), as
// far as distributions use it to tell which versions of rpm packages are
// affected.
//
// Files have up to hundreds of megabytes. They hold definitions first, and
// then the tests, objects and states that the definitions refer to. Read goes
// through the definitions one by one, for publishers whose criteria say in
// their comments what they test ("bash is earlier than 0:5.1-2"). Resolve keeps
// the definitions until it knows what they refer to.
package oval

import (
	"context"
	"encoding/xml"
	"regexp"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/advisory/feed"
)

const (
	// maxKept bounds the definitions, tests, objects and states that Resolve
	// keeps, each. Microsoft's largest file has 10,000 definitions.
	maxKept = 1_000_000
	// maxCriterions bounds the criterions of one definition; kernels and
	// modules have thousands.
	maxCriterions = 200_000
)

// A Definition is one advisory or vulnerability.
type Definition struct {
	ID string `xml:"id,attr"`
	// Class is "patch", "vulnerability" or "inventory".
	Class       string      `xml:"class,attr"`
	Title       string      `xml:"metadata>title"`
	Description string      `xml:"metadata>description"`
	Platforms   []string    `xml:"metadata>affected>platform"`
	References  []Reference `xml:"metadata>reference"`
	Advisory    Advisory    `xml:"metadata>advisory"`
	// Microsoft has these in the metadata itself.
	Severity     string   `xml:"metadata>severity"`
	Patchable    string   `xml:"metadata>patchable"`
	AdvisoryDate string   `xml:"metadata>advisory_date"`
	Criteria     Criteria `xml:"criteria"`
	// Line where it starts.
	Line int `xml:"-"`
}

// A Reference names the definition elsewhere.
type Reference struct {
	Source string `xml:"source,attr"`
	ID     string `xml:"ref_id,attr"`
	URL    string `xml:"ref_url,attr"`
}

// An Advisory is what Red Hat added to OVAL and others took over.
type Advisory struct {
	Severity string `xml:"severity"`
	Issued   Date   `xml:"issued"`
	Updated  Date   `xml:"updated"`
	CVEs     []CVE  `xml:"cve"`
}

// A Date stands in an attribute, "2024-01-04".
type Date struct {
	Date string `xml:"date,attr"`
}

// Millis is the date in Unix milliseconds, 0 if it is none: dates only inform.
func (d Date) Millis() int64 { return Millis(d.Date) }

// Millis reads a day, or a time of RFC 3339.
func Millis(s string) int64 {
	for _, l := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(l, strings.TrimSpace(s)); err == nil {
			return max(0, t.UnixMilli())
		}
	}
	return 0
}

// A CVE that an advisory is about.
type CVE struct {
	ID string `xml:",chardata"`
	// CVSS3 is a score and a vector, "7.5/CVSS:3.1/AV:N/…".
	CVSS3 string `xml:"cvss3,attr"`
}

// Criteria join criterions with an operator.
type Criteria struct {
	Operator   string      `xml:"operator,attr"`
	Negate     bool        `xml:"negate,attr"`
	Criteria   []Criteria  `xml:"criteria"`
	Criterions []Criterion `xml:"criterion"`
}

// A Criterion is one test.
type Criterion struct {
	Comment string `xml:"comment,attr"`
	TestRef string `xml:"test_ref,attr"`
	Negate  bool   `xml:"negate,attr"`
}

var earlierPattern = regexp.MustCompile(`^(\S+) is earlier than (\S+)$`)

// Earlier reads a comment "bash is earlier than 0:5.1-2"; an epoch of 0 is left
// out. ok is false for every other.
func (c Criterion) Earlier() (name, evr string, ok bool) {
	m := earlierPattern.FindStringSubmatch(strings.TrimSpace(c.Comment))
	if m == nil {
		return "", "", false
	}
	return m[1], strings.TrimPrefix(m[2], "0:"), true
}

// Between is the text of a comment between two others, "" if it has another
// form: "9" of "Oracle Linux 9 is installed".
func (c Criterion) Between(before, after string) string {
	s, ok := strings.CutPrefix(strings.TrimSpace(c.Comment), before)
	if !ok {
		return ""
	}
	if s, ok = strings.CutSuffix(s, after); !ok {
		return ""
	}
	return s
}

// A Test says which versions of which package pass it.
type Test struct {
	Name string
	// Operation is "less than", "less than or equal" and the like, EVR what
	// a version is compared with; both are empty for tests of something
	// else.
	Operation, EVR string
}

// Read calls fn for every definition.
func Read(ctx context.Context, f feed.File, fn func(*Definition) error) error {
	return read(ctx, f, fn, nil)
}

// read walks the document; other reads the elements that are neither
// definitions nor what holds them, if it is not nil.
func read(ctx context.Context, f feed.File, fn func(*Definition) error, other func(s *feed.XMLStream, e xml.StartElement) error) error {
	s := feed.NewXMLStream(f)
	root := true
	return s.Elements(func(e xml.StartElement) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if root {
			root = false
			if e.Name.Local != "oval_definitions" {
				return feed.Errorf(f.Name, s.Line(), "the document is %q, want oval_definitions", e.Name.Local)
			}
			return nil
		}
		switch e.Name.Local {
		case "definitions", "tests", "objects", "states", "variables":
			return nil // what is inside comes next
		case "definition":
			d := &Definition{Line: s.Line()}
			if err := s.Decode(d, e); err != nil {
				return err
			}
			if n := d.Criteria.count(); n > maxCriterions {
				return feed.Errorf(f.Name, d.Line, "%s: %d criterions: %w", d.ID, n, feed.ErrTooLarge)
			}
			d.Title, d.Description = strings.TrimSpace(d.Title), strings.TrimSpace(d.Description)
			return fn(d)
		}
		if other != nil {
			return other(s, e)
		}
		return s.Pass()
	})
}

func (c *Criteria) count() int {
	n := len(c.Criterions)
	for i := range c.Criteria {
		n += c.Criteria[i].count()
	}
	return n
}

// Resolve calls fn for every definition, when the whole file is read. test
// gives what a reference to a test stands for; ok is false if there is no test
// of a package with that id.
func Resolve(ctx context.Context, f feed.File, fn func(d *Definition, test func(ref string) (t Test, ok bool)) error) error {
	type links struct{ object, state string }
	type state struct{ operation, evr string }
	var definitions []*Definition
	tests, objects, states := map[string]links{}, map[string]string{}, map[string]state{}
	err := read(ctx, f, func(d *Definition) error {
		if len(definitions) == maxKept {
			return feed.Errorf(f.Name, d.Line, "more than %d definitions: %w", maxKept, feed.ErrTooLarge)
		}
		definitions = append(definitions, d)
		return nil
	}, func(s *feed.XMLStream, e xml.StartElement) error {
		if len(tests) >= maxKept || len(objects) >= maxKept || len(states) >= maxKept {
			return feed.Errorf(f.Name, s.Line(), "more than %d tests, objects or states: %w", maxKept, feed.ErrTooLarge)
		}
		switch e.Name.Local {
		case "rpminfo_test":
			var t struct {
				ID     string `xml:"id,attr"`
				Object struct {
					Ref string `xml:"object_ref,attr"`
				} `xml:"object"`
				State struct {
					Ref string `xml:"state_ref,attr"`
				} `xml:"state"`
			}
			if err := s.Decode(&t, e); err != nil {
				return err
			}
			tests[t.ID] = links{t.Object.Ref, t.State.Ref}
		case "rpminfo_object":
			var o struct {
				ID   string `xml:"id,attr"`
				Name string `xml:"name"`
			}
			if err := s.Decode(&o, e); err != nil {
				return err
			}
			objects[o.ID] = strings.TrimSpace(o.Name)
		case "rpminfo_state":
			var st struct {
				ID  string `xml:"id,attr"`
				EVR struct {
					Operation string `xml:"operation,attr"`
					Value     string `xml:",chardata"`
				} `xml:"evr"`
			}
			if err := s.Decode(&st, e); err != nil {
				return err
			}
			// Microsoft has a blank after an epoch here and there.
			states[st.ID] = state{st.EVR.Operation, strings.Join(strings.Fields(st.EVR.Value), "")}
		default:
			return s.Pass()
		}
		return nil
	})
	if err != nil {
		return err
	}
	test := func(ref string) (Test, bool) {
		t, ok := tests[ref]
		name, named := objects[t.object]
		st := states[t.state]
		return Test{Name: name, Operation: st.operation, EVR: strings.TrimPrefix(st.evr, "0:")}, ok && named && name != ""
	}
	for i, d := range definitions {
		if err := ctx.Err(); err != nil {
			return err
		}
		definitions[i] = nil
		if err := fn(d, test); err != nil {
			return feed.At(f.Name, d.Line, err)
		}
	}
	return nil
}
