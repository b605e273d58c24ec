package vex

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/report"
)

var web = Image{
	Names:       []string{"registry.example/team/web:1", "web:latest"},
	RepoDigests: []string{"registry.example/team/web@sha256:aa"},
	Digests:     []string{"sha256:cc", "sha256:dd"},
	PURLs:       []string{"pkg:golang/example.com/app@v1.2.3", "pkg:deb/debian/libssl3@3.0-1?arch=amd64&distro=debian-12&upstream=openssl"},
}

// openssl is a finding of one CVE, bundle one of two.
func openssl() report.Finding {
	return report.Finding{ID: "CVE-2024-1", CVEs: []string{"CVE-2024-1"}, Aliases: []string{"DEBIAN-CVE-2024-1"}, FixState: report.FixNone,
		PURL:    "pkg:deb/debian/libssl3@3.0-1?arch=amd64&distro=debian-12&upstream=openssl",
		Package: report.Package{Type: "deb", Name: "libssl3", Version: "3.0-1", Source: "openssl", Path: "/var/lib/dpkg/status"}}
}

func bundle() report.Finding {
	f := openssl()
	f.ID, f.CVEs, f.Aliases = "DSA-1-1", []string{"CVE-2024-1", "CVE-2024-2"}, []string{"DEBIAN-CVE-2024-1"}
	return f
}

// say is an OpenVEX document of one statement for each of the parts given.
func say(statements ...string) string {
	return `{"@context":"https://openvex.dev/ns/v0.2.0","timestamp":"2026-01-01T00:00:00Z","statements":[` + strings.Join(statements, ",") + `]}`
}

func one(id, product, more string) string {
	return fmt.Sprintf(`{"vulnerability":{"name":%q},"products":[%s],"status":"not_affected","justification":"component_not_present"%s}`, id, product, more)
}

func judged(t *testing.T, f report.Finding, docs ...string) string {
	t.Helper()
	j := Judge{Now: time.Now()}
	for i, d := range docs {
		doc, err := Parse(fmt.Sprint("doc", i), []byte(d))
		if err != nil {
			t.Fatal(err)
		}
		j.Documents = append(j.Documents, doc)
	}
	j.Image(web)(&f)
	if f.Judgement == nil {
		return ""
	}
	return strings.TrimRight(f.Judgement.Status+" "+f.Judgement.Justification+" "+f.Judgement.Statement+" "+f.Judgement.Document, " ")
}

func TestOpenVEX(t *testing.T) {
	const libssl = `{"@id":"pkg:deb/debian/libssl3"}`
	const yes = "not_affected component_not_present  doc0"
	sub := func(product, sub string) string {
		return fmt.Sprintf(`{"@id":%q,"subcomponents":[{"@id":%q}]}`, product, sub)
	}
	at := func(when string) string { return `,"timestamp":"` + when + `"` }
	for _, tc := range []struct {
		name string
		f    report.Finding
		docs []string
		want string
	}{
		{"the package", openssl(), []string{say(one("CVE-2024-1", libssl, ""))}, yes},
		{"in small letters", openssl(), []string{say(one("cve-2024-1", libssl, ""))}, yes},
		{"by the id of the record", openssl(), []string{say(one("DEBIAN-CVE-2024-1", libssl, ""))}, yes},
		{"another vulnerability", openssl(), []string{say(one("CVE-2024-11", libssl, ""))}, ""},
		{"its version", openssl(), []string{say(one("CVE-2024-1", `{"@id":"pkg:deb/debian/libssl3@3.0-1"}`, ""))}, yes},
		{"another version", openssl(), []string{say(one("CVE-2024-1", `{"@id":"pkg:deb/debian/libssl3@3.0-2"}`, ""))}, ""},
		{"its architecture", openssl(), []string{say(one("CVE-2024-1", `{"@id":"pkg:deb/debian/libssl3?arch=amd64"}`, ""))}, yes},
		{"another architecture", openssl(), []string{say(one("CVE-2024-1", `{"@id":"pkg:deb/debian/libssl3?arch=arm64"}`, ""))}, ""},
		{"another distribution", openssl(), []string{say(one("CVE-2024-1", `{"@id":"pkg:deb/ubuntu/libssl3"}`, ""))}, ""},
		{"its source", openssl(), []string{say(one("CVE-2024-1", `{"@id":"pkg:deb/debian/openssl@3.0-1?arch=source"}`, ""))}, yes},
		{"an identifier", openssl(), []string{say(one("CVE-2024-1", `{"@id":"https://x.example","identifiers":{"purl":"pkg:deb/debian/libssl3"}}`, ""))}, yes},
		{"a product that cannot be told", openssl(), []string{say(one("CVE-2024-1", `{"@id":"https://x.example"}`, ""))}, ""},
		{"the image", openssl(), []string{say(one("CVE-2024-1", `{"@id":"pkg:oci/web"}`, ""))}, yes},
		{"by its digest", openssl(), []string{say(one("CVE-2024-1", `{"@id":"pkg:oci/web@sha256%3Add"}`, ""))}, yes},
		{"by its repository and digest", openssl(), []string{say(one("CVE-2024-1", `{"@id":"pkg:oci/web@sha256%3Aaa?repository_url=registry.example/team/web&tag=1"}`, ""))}, yes},
		{"another repository", openssl(), []string{say(one("CVE-2024-1", `{"@id":"pkg:oci/web?repository_url=registry.example/other/web"}`, ""))}, ""},
		{"another digest", openssl(), []string{say(one("CVE-2024-1", `{"@id":"pkg:oci/web@sha256%3Aee"}`, ""))}, ""},
		{"another tag", openssl(), []string{say(one("CVE-2024-1", `{"@id":"pkg:oci/web?tag=2"}`, ""))}, ""},
		{"as docker names it", openssl(), []string{say(one("CVE-2024-1", `{"@id":"pkg:docker/library/web@latest"}`, ""))}, yes},
		{"a part of the image", openssl(), []string{say(one("CVE-2024-1", sub("pkg:oci/web", "pkg:deb/debian/libssl3"), ""))}, yes},
		{"another part of it", openssl(), []string{say(one("CVE-2024-1", sub("pkg:oci/web", "pkg:deb/debian/zlib1g"), ""))}, ""},
		{"a part that cannot be told", openssl(), []string{say(one("CVE-2024-1", sub("pkg:oci/web", "libssl"), ""))}, ""},
		{"a part of a package that is there", openssl(), []string{say(one("CVE-2024-1", sub("pkg:golang/example.com/app@1.2.3", "pkg:deb/debian/libssl3"), ""))}, yes},
		{"a part of one that is not", openssl(), []string{say(one("CVE-2024-1", sub("pkg:golang/example.com/other", "pkg:deb/debian/libssl3"), ""))}, ""},
		{"the newest counts", openssl(), []string{say(one("CVE-2024-1", libssl, at("2026-03-01T00:00:00Z")),
			`{"vulnerability":{"name":"CVE-2024-1"},"products":[`+libssl+`],"status":"affected","action_statement":"update","timestamp":"2026-03-02T00:00:00Z"}`)}, "affected  update doc0"},
		{"over documents too", openssl(), []string{say(one("CVE-2024-1", libssl, at("2026-03-01T00:00:00Z"))),
			say(`{"vulnerability":{"name":"CVE-2024-1"},"products":[` + libssl + `],"status":"under_investigation"}`)}, "not_affected component_not_present  doc0"},
		{"the later of two of the same time", openssl(), []string{say(one("CVE-2024-1", libssl, "")),
			say(`{"vulnerability":{"name":"CVE-2024-1"},"products":[` + libssl + `],"status":"fixed","status_notes":"in our build"}`)}, "fixed  in our build doc1"},
		{"one of two CVEs is not enough", bundle(), []string{say(one("CVE-2024-1", libssl, ""))}, ""},
		{"both are", bundle(), []string{say(one("CVE-2024-1", libssl, ""), one("CVE-2024-2", libssl, ""))}, yes},
		{"one of them stands", bundle(), []string{say(one("CVE-2024-1", libssl, ""),
			`{"vulnerability":{"name":"CVE-2024-2"},"products":[`+libssl+`],"status":"affected","action_statement":"update"}`)}, "affected  update doc0"},
		{"the advisory as a whole", bundle(), []string{say(one("DSA-1-1", libssl, ""))}, yes},
		{"the record of a part is not the whole", bundle(), []string{say(one("DEBIAN-CVE-2024-1", libssl, ""))}, ""},
		{"version 0.0.1", openssl(), []string{`{"@context":"https://openvex.dev/ns","timestamp":"2023-01-01T00:00:00Z","statements":[
			{"vulnerability":"CVE-2024-1","products":["pkg:oci/web"],"subcomponents":["pkg:deb/debian/libssl3"],"status":"not_affected","impact_statement":"no"}]}`}, "not_affected  no doc0"},
		{"a vulnerability by its page", openssl(), []string{say(`{"vulnerability":{"@id":"https://nvd.nist.gov/vuln/detail/CVE-2024-1"},"products":[` + libssl + `],"status":"fixed"}`)}, "fixed   doc0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, judged(t, tc.f, tc.docs...)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

const csafDocument = `{
 "document": {"category": "csaf_vex", "csaf_version": "2.0", "title": "t", "tracking": {"id": "T-1", "current_release_date": "2026-01-01T00:00:00Z"}},
 "product_tree": {
  "branches": [{"category": "vendor", "name": "v", "branches": [
    {"category": "product_name", "name": "web", "product": {"product_id": "WEB", "name": "web", "product_identification_helper": {"purl": "pkg:oci/web"}}},
    {"category": "product_name", "name": "ssl", "product": {"product_id": "SSL", "name": "ssl", "product_identification_helper": {"purl": "pkg:deb/debian/libssl3"}}},
    {"category": "product_name", "name": "x", "product": {"product_id": "X", "name": "x"}}]}],
  "relationships": [{"category": "default_component_of", "product_reference": "SSL", "relates_to_product_reference": "WEB", "full_product_name": {"product_id": "SSL-IN-WEB", "name": "n"}}]
 },
 "vulnerabilities": [
  {"cve": "CVE-2024-1", "product_status": {"known_not_affected": ["SSL-IN-WEB", "X"]},
   "flags": [{"label": "vulnerable_code_not_present", "product_ids": ["SSL-IN-WEB"]}],
   "threats": [{"category": "impact", "details": "built without it", "product_ids": ["SSL-IN-WEB"]}]},
  {"cve": "CVE-2024-2", "product_status": {"known_affected": ["SSL"]}, "remediations": [{"category": "vendor_fix", "details": "update it"}]}
 ]}`

func TestCSAF(t *testing.T) {
	if got, want := judged(t, openssl(), csafDocument), "not_affected vulnerable_code_not_present built without it doc0"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	f := openssl()
	f.ID, f.CVEs = "CVE-2024-2", []string{"CVE-2024-2"}
	if got, want := judged(t, f, csafDocument), "affected  update it doc0"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := judged(t, bundle(), csafDocument); !strings.HasPrefix(got, "affected") {
		t.Errorf("a bundle of which one part is affected: %q", got)
	}
}

func TestDocumentsThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	for _, tc := range []struct{ name, doc, want string }{
		{"no JSON", "{\n\n  \"@context\": oops}", ":3: not JSON: "},
		{"another form", "{\"@context\":\"https://openvex.dev/ns\",\n\"statements\": 7}", ":2: not of the form: "},
		{"neither", `{"a":1}`, ": neither OpenVEX"},
		{"another context", `{"@context":"https://example.org"}`, "is not OpenVEX's"},
		{"no vulnerability", say(`{"products":["pkg:oci/a"],"status":"fixed"}`), "statement 1: it names no vulnerability"},
		{"no product", say(`{"vulnerability":"CVE-1","status":"fixed"}`), "statement 1: it names no products"},
		{"no status", say(`{"vulnerability":"CVE-1","products":["pkg:oci/a"],"status":"fine"}`), `there is no status "fine"`},
		{"no reason", say(one("CVE-1", `"pkg:oci/a"`, ""), `{"vulnerability":"CVE-1","products":["pkg:oci/a"],"status":"not_affected"}`), "statement 2: not_affected needs"},
		{"a reason of one's own", say(`{"vulnerability":"CVE-1","products":["pkg:oci/a"],"status":"not_affected","justification":"trust_me"}`), "there is no justification trust_me"},
		{"no package URL", say(one("CVE-1", `"pkg:"`, "")), `package URL "pkg:"`},
		{"no time", say(one("CVE-1", `"pkg:oci/a"`, `,"timestamp":"yesterday"`)), `"yesterday" is no time`},
		{"CSAF about nothing", `{"document":{"category":"csaf_base","csaf_version":"2.0","tracking":{"id":"T"}}}`, `category "csaf_base"`},
		{"CSAF without an id", `{"document":{"category":"csaf_vex","csaf_version":"2.0","tracking":{"id":"T"}},"vulnerabilities":[{}]}`, "vulnerability 1 has neither"},
		{"CSAF of a product that there is not", "{\"document\":{\"category\":\"csaf_vex\",\"csaf_version\":\"2.0\",\"tracking\":{\"id\":\"T\"}},\n\"vulnerabilities\":[{\"cve\":\"CVE-1\",\"product_status\":{\"fixed\":[\"NONE\"]}}]}", ":2: CSAF: "},
		{"many statements", `{"@context":"https://openvex.dev/ns","statements":[` + strings.TrimSuffix(strings.Repeat("{},", maxStatements+1), ",") + `]}`, "the limit is"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := filepath.Join(dir, "x.json")
			if err := os.WriteFile(file, []byte(tc.doc), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Load(file)
			if err == nil || !strings.HasPrefix(err.Error(), file+":") || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if _, err := Load(filepath.Join(dir, "none")); err == nil {
		t.Error("no file, no error")
	}
	if _, err := Parse("x", make([]byte, maxDocumentBytes+1)); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("too large: %v", err)
	}
}

func TestRules(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	lib := openssl()
	jar := report.Finding{ID: "GHSA-1", CVEs: []string{"CVE-2024-7", "CVE-2024-8"}, FixState: report.FixWont, PURL: "pkg:maven/g/a@1",
		Package: report.Package{Type: "maven", Name: "g:a", Version: "1", Path: "/opt/tools/x/y/a.jar"}}
	for _, tc := range []struct {
		name, rule string
		f          report.Finding
		want       bool
	}{
		{"id", "id: cve-2024-1", lib, true},
		{"alias", "id: DEBIAN-CVE-2024-1", lib, true},
		{"list", "id: [CVE-1, CVE-2024-1]", lib, true},
		{"another id", "id: CVE-2024-2", lib, false},
		{"one of two CVEs", "id: CVE-2024-7", jar, false},
		{"both", "id: [CVE-2024-7, CVE-2024-8]", jar, true},
		{"name", "package: libssl3", lib, true},
		{"source", "package: openssl", lib, true},
		{"another name", "package: libss", lib, false},
		{"purl", "package: pkg:deb/debian/openssl", lib, true},
		{"another purl", "package: pkg:deb/debian/openssl@9", lib, false},
		{"path", "path: opt/tools/**/*.jar", jar, true},
		{"path with a slash", "path: /opt/*/x/**", jar, true},
		{"not so deep", "path: opt/tools/*/*.jar", jar, false},
		{"fix state", "fix_state: wont-fix", jar, true},
		{"another fix state", "fix_state: fixed", jar, false},
		{"all conditions", "id: GHSA-1\n    path: etc/**", jar, false},
		{"last day", "id: GHSA-1\n    until: 2026-06-01", jar, true},
		{"over", "id: GHSA-1\n    until: 2026-05-31", jar, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rs, err := ParseRules("rules", []byte("ignore:\n  - reason: because\n    "+tc.rule+"\n"))
			if err != nil {
				t.Fatal(err)
			}
			j := Judge{Rules: rs, Now: now}
			f := tc.f
			j.Image(web)(&f)
			if f.Judgement.Suppresses() != tc.want {
				t.Errorf("got %+v", f.Judgement)
			}
			if tc.want && (f.Judgement.Document != "rules:2" || f.Judgement.Statement != "because" || f.Judgement.By != report.JudgedByRule) {
				t.Errorf("got %+v", f.Judgement)
			}
		})
	}
	rs, err := ParseRules("rules", []byte("ignore:\n- {id: A, reason: r, until: 2026-05-31}\n- {id: B, reason: r}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"the ignore rule at rules:2 ended on 2026-05-31"}, rs.Expired(now)); diff != "" {
		t.Error(diff)
	}
}

func TestRulesThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	for _, tc := range []struct{ name, rules, want string }{
		{"no YAML", "ignore:\n  - id: [", ":"},
		{"a member that there is not", "ignored: []\n", ":1: "},
		{"no list", "ignore: 7\n", ":1: "},
		{"no mapping", "ignore:\n- x\n", ":2: a rule is a mapping"},
		{"no reason", "ignore:\n- id: A\n- id: B\n  reason: r\n", ":2: a rule needs a reason"},
		{"no condition", "ignore:\n- reason: all\n", ":2: a rule needs a condition"},
		{"a key that there is not", "ignore:\n- id: A\n  reason: r\n  untill: 2026-01-01\n", `:4: there is no "untill"`},
		{"twice", "ignore:\n- id: A\n  reason: r\n  reason: s\n", ":4: "},
		{"no date", "ignore:\n- {id: A, reason: r, until: soon}\n", ":2: until: want a date"},
		{"no state", "ignore:\n- {fix_state: maybe, reason: r}\n", `:2: fix_state: there is no "maybe"`},
		{"no pattern", "ignore:\n- {path: 'a[', reason: r}\n", ":2: path: "},
		{"no purl", "ignore:\n- {package: 'pkg:', reason: r}\n", ":2: package: "},
		{"an empty id", "ignore:\n- {id: [''], reason: r}\n", ":2: id: want an id"},
		{"too many", "ignore:\n" + strings.Repeat("- {id: A, reason: r}\n", maxRules+1), "the limit is"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := filepath.Join(dir, "rules.yaml")
			if err := os.WriteFile(file, []byte(tc.rules), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := LoadRules(file)
			if err == nil || !strings.HasPrefix(err.Error(), file+":") || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if _, err := ParseRules("x", make([]byte, maxRulesBytes+1)); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("too large: %v", err)
	}
	if rs, err := ParseRules("x", nil); err != nil || len(rs.rules) != 0 {
		t.Errorf("an empty file: %v, %v", rs, err)
	}
}

func TestAttached(t *testing.T) {
	doc := say(`{"vulnerability":"CVE-2024-1","status":"not_affected","impact_statement":"no"}`)
	statement := func(predicateType, digest string) string {
		return fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","predicateType":%q,"subject":[{"name":"web","digest":{"sha256":%q}}],"predicate":%s}`, predicateType, digest, doc)
	}
	envelope := func(s string) string {
		return fmt.Sprintf(`{"payloadType":"application/vnd.in-toto+json","payload":%q,"signatures":[]}`, base64.StdEncoding.EncodeToString([]byte(s)))
	}
	digests := []string{"sha256:aa"}
	for _, tc := range []struct {
		name, content, want string
	}{
		{"bare", doc, "1"},
		{"statement", statement("https://openvex.dev/ns/v0.2.0", "aa"), "1"},
		{"envelope", envelope(statement("https://openvex.dev/ns", "aa")), "1"},
		{"another image's", envelope(statement("https://openvex.dev/ns", "bb")), "the attestation is about another image"},
		{"a bill of materials", envelope(statement("https://spdx.dev/Document", "aa")), "nothing"},
		{"another payload", `{"payloadType":"text/plain","payload":"aGk="}`, "nothing"},
		{"a broken payload", `{"payloadType":"application/vnd.in-toto+json","payload":"%"}`, "payload of the envelope"},
		{"no JSON", `x`, "not JSON"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, err := Attached("att", []byte(tc.content), digests)
			got := "nothing"
			switch {
			case err != nil:
				got = err.Error()
			case d != nil:
				got = fmt.Sprint(d.Statements())
			}
			if !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	d, err := Attached("att", []byte(doc), digests)
	if err != nil {
		t.Fatal(err)
	}
	f := openssl()
	j := Judge{Documents: []*Document{d}}
	j.Image(web)(&f)
	if f.Judgement == nil || f.Judgement.By != report.JudgedByAttached {
		t.Errorf("got %+v", f.Judgement)
	}
	// What the user says goes first, however old it is.
	mine, err := Parse("mine", []byte(say(`{"vulnerability":"CVE-2024-1","products":["pkg:oci/web"],"status":"affected","action_statement":"update","timestamp":"2000-01-01T00:00:00Z"}`)))
	if err != nil {
		t.Fatal(err)
	}
	for _, docs := range [][]*Document{{d, mine}, {mine, d}} {
		f, j := openssl(), Judge{Documents: docs}
		j.Image(web)(&f)
		if f.Judgement == nil || f.Judgement.Document != "mine" {
			t.Errorf("got %+v", f.Judgement)
		}
	}
}

// FuzzDocuments: no document, attestation or file of rules brings the program
// down, and what is read can be applied.
func FuzzDocuments(f *testing.F) {
	f.Add([]byte(say(one("CVE-2024-1", `{"@id":"pkg:oci/web"}`, ""))))
	f.Add([]byte(csafDocument))
	f.Add([]byte("ignore:\n- {id: A, reason: r, path: 'a/**'}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		j := Judge{}
		if d, err := Parse("x", b); err == nil {
			j.Documents = append(j.Documents, d)
		}
		if d, err := Attached("x", b, web.Digests); err == nil && d != nil {
			j.Documents = append(j.Documents, d)
		}
		if rs, err := ParseRules("x", b); err == nil {
			j.Rules = rs
		}
		fi, alone := bundle(), bundle()
		j.Image(web)(&fi)
		// Whoever goes by Reach and Names hears the same.
		rulesAside := Judge{Documents: j.Documents}
		if rulesAside.Reach(&alone) < ReachContent && !rulesAside.Names(web) {
			in := bundle()
			rulesAside.Image(web)(&in)
			rulesAside.Image(Image{})(&alone)
			attached := slices.ContainsFunc(j.Documents, func(d *Document) bool { return d.By == report.JudgedByAttached })
			if !attached && !cmp.Equal(in.Judgement, alone.Judgement) {
				t.Errorf("%+v in an image that is not named, %+v without one", in.Judgement, alone.Judgement)
			}
		}
	})
}
