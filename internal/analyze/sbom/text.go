package sbom

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/lines"
)

// readXML reads CycloneDX as XML. A package URL is the text of an element
// "purl" straight inside of "component".
func readXML(ctx context.Context, r io.Reader, c *collector) error {
	d := xml.NewDecoder(r)
	d.Strict = true
	d.Entity = map[string]string{}
	d.CharsetReader = func(string, io.Reader) (io.Reader, error) {
		return nil, errors.New("only UTF-8 is read")
	}
	var open []string // names of the open elements
	var purl strings.Builder
	for n := 0; ; n++ {
		if n%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		t, err := d.RawToken()
		if errors.Is(err, io.EOF) && len(open) == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("parse XML: %w", err)
		}
		inPURL := len(open) > 1 && open[len(open)-1] == "purl" && open[len(open)-2] == "component"
		switch t := t.(type) {
		case xml.StartElement:
			if n := len(open) + 1; n > maxDepth {
				return analyze.Limited("levels", int64(n), maxDepth)
			}
			if len(open) == 0 && t.Name.Local != "bom" {
				return nil // some other document
			}
			open = append(open, strings.Clone(t.Name.Local))
			purl.Reset()
		case xml.CharData:
			if inPURL && purl.Len() <= maxPURLBytes {
				purl.Write(t)
			}
		case xml.EndElement:
			if len(open) == 0 || open[len(open)-1] != t.Name.Local {
				return fmt.Errorf("parse XML: %q ends what it did not begin", analyze.Clip(t.Name.Local))
			}
			open = open[:len(open)-1]
			if inPURL {
				if err := c.add(strings.TrimSpace(purl.String())); err != nil {
					return err
				}
			}
		}
	}
}

// readTags reads SPDX as tags and values. A package URL is an external
// reference: "ExternalRef: PACKAGE-MANAGER purl pkg:…".
func readTags(ctx context.Context, r io.Reader, c *collector) error {
	isSPDX := false
	lr := lines.New(ctx, r)
	for lr.Next() {
		tag, value, ok := strings.Cut(string(lr.Line()), ":")
		if !ok {
			continue
		}
		switch strings.TrimSpace(tag) {
		case "SPDXVersion":
			isSPDX = true
		case "ExternalRef":
			w := strings.Fields(value)
			if !isSPDX || len(w) != 3 || w[1] != "purl" {
				continue
			}
			if err := c.add(w[2]); err != nil {
				return err
			}
		}
	}
	return lr.Err()
}
