package lockfile

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

// maxXMLDepth bounds the elements of a pom.xml around each other; the schema has
// twelve.
const maxXMLDepth = 64

// pomXML reads the dependencies of a pom.xml that state their version, in words
// or by a property of the same file. A version that a parent or an import
// gives is not known here.
func pomXML(ctx context.Context, f analyze.File, l *list) error {
	if f.Size > maxWholeBytes {
		return analyze.Limited("bytes", f.Size, maxWholeBytes)
	}
	d := xml.NewDecoder(f.Reader())
	d.Strict = false
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil } // names are ASCII
	type dependency struct{ group, artifact, version string }
	var (
		deps  []dependency
		cur   dependency
		stack []string
		props = map[string]string{}
	)
	for n := 0; ; n++ {
		if n%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case xml.StartElement:
			if len(stack) == maxXMLDepth {
				return analyze.Limited("levels", maxXMLDepth+1, maxXMLDepth)
			}
			stack = append(stack, t.Name.Local)
			if t.Name.Local == "dependency" {
				cur = dependency{}
			}
		case xml.EndElement:
			if t.Name.Local == "dependency" && len(deps) <= maxPackages {
				deps = append(deps, cur)
			}
			stack = stack[:max(0, len(stack)-1)]
		case xml.CharData:
			text := strings.TrimSpace(string(t))
			if text == "" || len(text) > maxTextBytes || len(stack) < 2 {
				continue
			}
			field, parent := stack[len(stack)-1], stack[len(stack)-2]
			switch {
			case parent == "dependency" && field == "groupId":
				cur.group = text
			case parent == "dependency" && field == "artifactId":
				cur.artifact = text
			case parent == "dependency" && field == "version":
				cur.version = text
			case parent == "properties" && len(stack) == 3 && len(props) < maxPackages:
				props[field] = text
			case len(stack) == 2 && (field == "version" || field == "groupId"):
				props["project."+field] = text
			case len(stack) == 3 && parent == "parent" && (field == "version" || field == "groupId"):
				props["project.parent."+field] = text
				if props["project."+field] == "" {
					props["project."+field] = text
				}
			}
		}
	}
	for _, p := range deps {
		group, artifact, version := resolve(p.group, props), resolve(p.artifact, props), resolve(p.version, props)
		if group != "" && artifact != "" && !strings.ContainsAny(version, "[(,") { // not a range
			l.add(report.TypeJava, group+":"+artifact, version)
		}
	}
	return nil
}

// resolve puts the value of a property in place of "${name}", "" if it is not
// known. Properties of properties are followed a few times.
func resolve(s string, props map[string]string) string {
	for range 4 {
		before, rest, ok := strings.Cut(s, "${")
		if !ok {
			return s
		}
		name, after, ok := strings.Cut(rest, "}")
		v := props[name]
		if !ok || v == "" || len(before)+len(v)+len(after) > maxTextBytes {
			return ""
		}
		s = before + v + after
	}
	return ""
}
