package oval_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/feedtest"
	"github.com/onceover/onceover/internal/advisory/feed/oval"
)

const photon = "pkg/fetch/photon/oval/testdata/fixtures/happy/com.vmware.phsa-photon"

// criterions are all of a tree.
func criterions(c oval.Criteria) []oval.Criterion {
	out := c.Criterions
	for _, inner := range c.Criteria {
		out = append(out, criterions(inner)...)
	}
	return out
}

// The comments of a real file say what its tests do.
func TestResolve(t *testing.T) {
	for _, release := range []string{"1", "5"} {
		text := feedtest.Gunzip(t, feedtest.Sample(t, feedtest.Sources, photon+release+".xml.gz"))
		var want, got []string
		err := oval.Resolve(context.Background(), feed.File{Name: "a.xml", Reader: bytes.NewReader(text)},
			func(d *oval.Definition, test func(string) (oval.Test, bool)) error {
				for _, c := range criterions(d.Criteria) {
					name, evr, ok := c.Earlier()
					if !ok {
						continue
					}
					want = append(want, name+" less than "+evr)
					r, ok := test(c.TestRef)
					if !ok {
						return fmt.Errorf("no test %s", c.TestRef)
					}
					got = append(got, r.Name+" "+r.Operation+" "+r.EVR)
				}
				return nil
			})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" || len(want) != 2 {
			t.Errorf("%d criterions: %s", len(want), diff)
		}
	}
}

func TestComments(t *testing.T) {
	for _, tc := range []struct {
		comment, name, evr string
		ok                 bool
	}{
		{"bash is earlier than 0:5.1-2", "bash", "5.1-2", true},
		{"bash is earlier than 1:5.1-2", "bash", "1:5.1-2", true},
		{"bash is earlier than 10:5.1-2", "bash", "10:5.1-2", true},
		{"Oracle Linux 9 is earlier than 1", "", "", false},
		{"bash is installed", "", "", false},
	} {
		name, evr, ok := oval.Criterion{Comment: tc.comment}.Earlier()
		if name != tc.name || evr != tc.evr || ok != tc.ok {
			t.Errorf("%s: got %q, %q, %v", tc.comment, name, evr, ok)
		}
	}
	if got := (oval.Criterion{Comment: "Oracle Linux 9 is installed"}).Between("Oracle Linux ", " is installed"); got != "9" {
		t.Errorf("got %q", got)
	}
}

// An error about a definition has its line, however late it comes.
func TestResolvePlaces(t *testing.T) {
	text := "<oval_definitions>\n<definitions>\n<definition id=\"a\"/>\n\n<definition id=\"b\"/></definitions><tests/></oval_definitions>"
	err := oval.Resolve(context.Background(), feed.File{Name: "a.xml", Reader: strings.NewReader(text)},
		func(d *oval.Definition, _ func(string) (oval.Test, bool)) error {
			if d.ID == "b" {
				return errors.New("bad")
			}
			return nil
		})
	if err == nil || err.Error() != "a.xml:5: bad" {
		t.Errorf("got %v", err)
	}
}
