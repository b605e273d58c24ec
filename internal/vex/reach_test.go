package vex

import (
	"testing"

	"github.com/onceover/onceover/internal/report"
)

func judgeOf(t *testing.T, docs ...string) *Judge {
	t.Helper()
	j := &Judge{}
	for _, d := range docs {
		doc, err := Parse("doc", []byte(d))
		if err != nil {
			t.Fatal(err)
		}
		j.Documents = append(j.Documents, doc)
	}
	return j
}

func TestReach(t *testing.T) {
	for _, tc := range []struct {
		name string
		docs []string
		f    report.Finding
		want Reach
	}{
		{"no documents", nil, openssl(), ReachNone},
		{"another vulnerability", []string{say(one("CVE-2024-9", `{"@id":"pkg:oci/web"}`, ""))}, openssl(), ReachNone},
		{"an image", []string{say(one("CVE-2024-1", `{"@id":"pkg:oci/web"}`, ""))}, openssl(), ReachNamed},
		{"by an alias", []string{say(one("debian-cve-2024-1", `{"@id":"pkg:oci/web"}`, ""))}, openssl(), ReachNamed},
		{"a package", []string{say(one("CVE-2024-1", `{"@id":"pkg:deb/debian/openssl"}`, ""))}, openssl(), ReachNamed},
		{"parts of an image", []string{say(one("CVE-2024-1", `{"@id":"pkg:oci/web","subcomponents":[{"@id":"pkg:deb/debian/openssl"}]}`, ""))}, openssl(), ReachNamed},
		{"a part of a package", []string{say(one("CVE-2024-2", `{"@id":"pkg:golang/example.com/app","subcomponents":[{"@id":"pkg:deb/debian/openssl"}]}`, ""))}, bundle(), ReachContent},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := judgeOf(t, tc.docs...).Reach(&tc.f); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

// What Names and Reach leave out, Image has no word about.
func TestNames(t *testing.T) {
	nameless := Image{Digests: []string{"sha256:cc"}}
	for _, tc := range []struct {
		name, product string
		img           Image
		want          bool
	}{
		{"by name", `{"@id":"pkg:oci/web"}`, web, true},
		{"by tag", `{"@id":"pkg:oci/web?tag=latest"}`, web, true},
		{"by another tag", `{"@id":"pkg:oci/web?tag=2"}`, web, false},
		{"by digest", `{"@id":"pkg:oci/web@sha256:cc"}`, web, true},
		{"without a name", `{"@id":"pkg:oci/web@sha256:cc"}`, nameless, true},
		{"without a name, by name", `{"@id":"pkg:oci/web"}`, nameless, false},
		{"one with a colon in its host", `{"@id":"pkg:oci/web"}`, Image{Names: []string{"localhost:5000/web"}}, true},
		{"another image", `{"@id":"pkg:oci/db"}`, web, false},
		{"a package", `{"@id":"pkg:deb/debian/openssl"}`, web, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			j := judgeOf(t, say(one("CVE-2024-1", tc.product, "")))
			if got := j.Names(tc.img); got != tc.want {
				t.Errorf("got %v", got)
			}
			in, out := openssl(), openssl()
			j.Image(tc.img)(&in)
			j.Image(Image{})(&out)
			if !tc.want && (in.Judgement == nil) != (out.Judgement == nil) {
				t.Errorf("an image that is not named is judged %+v, the package alone %+v", in.Judgement, out.Judgement)
			}
		})
	}
}
