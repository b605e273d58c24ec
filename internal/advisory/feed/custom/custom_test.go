package custom

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/feedtest"
	"github.com/onceover/onceover/test/shareddata"
)

// full has every field.
const full = `{
  "id": "EulerOS-SA-2024-1001",
  "cves": ["CVE-2024-0001", "CVE-2024-0002"],
  "aliases": ["HWPSIRT-2024-1"],
  "summary": "EulerOS 2.0 SP12: security update of openssl",
  "details": "Two flaws.\nBoth are mended.",
  "severity": "Important",
  "cvss": ["CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", "AV:N/AC:L/Au:N/C:N/I:N/A:C"],
  "published": "2024-01-02T03:04:05Z",
  "modified": "2024-01-03T00:00:00+08:00",
  "url": "https://example.org/EulerOS-SA-2024-1001",
  "licence": "LicenseRef-internal",
  "source": "huawei",
  "affected": [
    {
      "ecosystem": "EulerOS:2.0-SP12",
      "name": "openssl-libs",
      "ranges": [{"introduced": "0", "fixed": "1:1.1.1m-15.h30.eulerosv2r12"}],
      "versions": ["1:3.0-1.eulerosv2r12"],
      "state": "deferred",
      "stream": "openssl:3",
      "advisory": "EulerOS-SA-2024-1002",
      "note": "put off",
      "severity": "low",
      "cvss": ["CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:N/VA:N/SC:N/SI:N/SA:N"]
    },
    {"ecosystem": "npm", "name": "@in-house/left", "ranges": [{"introduced": "1.0.0", "last_affected": "1.4.2"}]},
    {"ecosystem": "Kylin:V10-SP3", "name": "openssl-libs", "state": "not-affected", "note": "built without it"}
  ]
}`

var fullRecord = feed.Record{
	ID:        "EulerOS-SA-2024-1001",
	CVEs:      []string{"CVE-2024-0001", "CVE-2024-0002"},
	Aliases:   []string{"HWPSIRT-2024-1"},
	Summary:   "EulerOS 2.0 SP12: security update of openssl",
	Details:   "Two flaws.\nBoth are mended.",
	Severity:  "Important",
	CVSS:      []string{"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", "AV:N/AC:L/Au:N/C:N/I:N/A:C"},
	Published: 1704164645000,
	Modified:  1704211200000,
	URL:       "https://example.org/EulerOS-SA-2024-1001",
	Licence:   "LicenseRef-internal",
	Source:    "huawei",
	Affected: []feed.Affected{
		{
			Ecosystem: "EulerOS:2.0-SP12", Name: "openssl-libs",
			Ranges:   []feed.Range{{Introduced: "0", Fixed: "1:1.1.1m-15.h30.eulerosv2r12"}},
			Versions: []string{"1:3.0-1.eulerosv2r12"}, State: feed.StateDeferred, Stream: "openssl:3",
			Advisory: "EulerOS-SA-2024-1002", Note: "put off", Severity: "low",
			CVSS: []string{"CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:N/VA:N/SC:N/SI:N/SA:N"},
		},
		{Ecosystem: "npm", Name: "@in-house/left", Ranges: []feed.Range{{Introduced: "1.0.0", LastAffected: "1.4.2"}}},
		{Ecosystem: "Kylin:V10-SP3", Name: "openssl-libs", State: feed.StateNotAffected, Note: "built without it"},
	},
}

// minimal is an advisory of one line with the least that is asked for, and
// some fields more.
func minimal(more string) string {
	return `{"id":"A-1","cves":["CVE-2024-0001"],` + more + `"affected":[{"ecosystem":"EulerOS:2.0-SP12","name":"a","ranges":[{"introduced":"0"}]}]}`
}

var minimalRecord = feed.Record{ID: "A-1", CVEs: []string{"CVE-2024-0001"}, Affected: []feed.Affected{
	{Ecosystem: "EulerOS:2.0-SP12", Name: "a", Ranges: []feed.Range{{Introduced: "0"}}}}}

func TestRead(t *testing.T) {
	line := strings.ReplaceAll(full, "\n", " ")
	for _, tc := range []struct {
		name, file, text string
		want             []feed.Record
	}{
		{"one a line", "a.jsonl", minimal("") + "\n" + line + "\n", []feed.Record{minimalRecord, fullRecord}},
		{"without a line break at the end", "a.jsonl", line, []feed.Record{fullRecord}},
		{"empty lines between", "euler/a.jsonl", "\n" + minimal("") + "\n\n" + minimal("") + "\n\n", []feed.Record{minimalRecord, minimalRecord}},
		{"an object", "a.json", full, []feed.Record{fullRecord}},
		{"an array", "a.json", "[\n" + full + ",\n" + minimal("") + "\n]\n", []feed.Record{fullRecord, minimalRecord}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, feedtest.Records(t, New(), tc.file, []byte(tc.text))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func affected(more string) string {
	return `{"id":"A-1","cves":["CVE-2024-0001"],"affected":[{"ecosystem":"EulerOS:2.0-SP12","name":"a"` + more + `}]}`
}

// bad are advisories with one thing wrong. schema is false where the JSON
// Schema cannot say it.
var bad = []struct {
	name, text, want string
	schema           bool
}{
	{"a number", `5`, "5, want an advisory", true},
	{"a word", `"x"`, `the string "x", want an advisory`, true},
	{"empty", `{}`, "no id", true},
	{"no id", `{"cves":["CVE-2024-0001"],"affected":[{"ecosystem":"npm","name":"a","versions":["1"]}]}`, "no id", true},
	{"an empty id", `{"id":"","cves":["CVE-2024-0001"],"affected":[{"ecosystem":"npm","name":"a","versions":["1"]}]}`, "empty", true},
	{"nothing affected", `{"id":"A-1","cves":["CVE-2024-0001"],"affected":[]}`, "affected is missing or empty", true},
	{"about nothing", `{"id":"A-1","affected":[{"ecosystem":"npm","name":"a","versions":["1"]}]}`, "what is it about", true},
	{"unknown field", minimal(`"titel":"x",`), `no field "titel"`, true},
	{"a field in capitals", minimal(`"Summary":"x",`), `no field "Summary"`, true},
	{"a field twice", minimal(`"summary":"x","summary":"y",`), "has summary twice", false},
	{"a number for a string", minimal(`"summary":5,`), "summary is 5, want a string", true},
	{"null", minimal(`"summary":null,`), "summary is null, want a string", true},
	{"a string for a list", minimal(`"aliases":"x",`), "got x, want [", true},
	{"an object for a list", minimal(`"aliases":{},`), "got {, want [", true},
	{"a CVE that is none", `{"id":"A-1","cves":["CVE-24-1"],"affected":[{"ecosystem":"npm","name":"a","versions":["1"]}]}`, `"CVE-24-1", which is not a CVE`, true},
	{"a severity that is none", minimal(`"severity":"grave",`), `severity is "grave", want`, true},
	{"a vector that is none", minimal(`"cvss":["9.8"],`), `"9.8", which is not a CVSS vector`, true},
	{"a vector with a gap", minimal(`"cvss":["CVSS:3.1/AV:N/AC:L"],`), "which is not a CVSS vector", false},
	{"a day", minimal(`"published":"2024-01-02",`), `published is "2024-01-02", want a time`, true},
	{"a day that does not exist", minimal(`"modified":"2024-13-02T00:00:00Z",`), "want a time", false},
	{"an address that is none", minimal(`"url":"javascript:alert(1)",`), "want an address", true},
	{"control characters", minimal(`"source":"a\u001bb",`), "cannot be shown", true},
	{"blanks at an end", minimal(`"source":" a",`), "blanks at its ends", true},
	{"unknown field of an entry", affected(`,"ranges":[{"introduced":"0"}],"arch":"x86_64"`), `affected has no field "arch"`, true},
	{"unknown field of a range", affected(`,"ranges":[{"introduced":"0","limit":"2"}]`), `a range has no field "limit"`, true},
	{"no range", affected(``), "no range and no version", true},
	{"no range of one that is not going to be fixed", affected(`,"state":"wont-fix"`), "no range and no version", true},
	{"a state that is none", affected(`,"state":"fixed"`), `state is "fixed", want`, true},
	{"a range without a beginning", affected(`,"ranges":[{"fixed":"2"}]`), "no introduced", true},
	{"a range with two ends", affected(`,"ranges":[{"introduced":"0","fixed":"2","last_affected":"1"}]`), "both fixed and last_affected", true},
	{"a range that ends before it begins", affected(`,"ranges":[{"introduced":"3-1","fixed":"2-1"}]`), "ends before it begins", false},
	{"a stream that is none", affected(`,"ranges":[{"introduced":"0"}],"stream":"nodejs"`), "want name:stream", true},
	{"no name", `{"id":"A-1","cves":["CVE-2024-0001"],"affected":[{"ecosystem":"npm","versions":["1"]}]}`, "an ecosystem and a name", true},
	{"no ecosystem", `{"id":"A-1","cves":["CVE-2024-0001"],"affected":[{"name":"a","versions":["1"]}]}`, "an ecosystem and a name", true},
	{"an ecosystem that nobody knows", `{"id":"A-1","cves":["CVE-2024-0001"],"affected":[{"ecosystem":"Haiku:1","name":"a","versions":["1"]}]}`, `"Haiku:1" is not known`, false},
	{"a distribution without a release", `{"id":"A-1","cves":["CVE-2024-0001"],"affected":[{"ecosystem":"EulerOS","name":"a","versions":["1"]}]}`, "does not say the release", false},
	{"an id without a release", `{"id":"A-1","cves":["CVE-2024-0001"],"affected":[{"ecosystem":"rpm:ctyunos","name":"a","versions":["1"]}]}`, "is not rpm:id:release", false},
	{"an id in capitals", `{"id":"A-1","cves":["CVE-2024-0001"],"affected":[{"ecosystem":"deb:Some:1","name":"a","versions":["1"]}]}`, "is not deb:id:release", false},
	{"a version that is none", `{"id":"A-1","cves":["CVE-2024-0001"],"affected":[{"ecosystem":"Kylin Desktop:V10","name":"a","ranges":[{"introduced":"0","fixed":"x:1"}]}]}`, `version "x:1"`, false},
	{"a record of OSV", `{"schema_version":"1.6.0","id":"A-1"}`, `no field "schema_version"`, true},
	{"a text that is too long", minimal(`"details":"` + strings.Repeat("x", maxTextBytes+1) + `",`), "limit crossed", true},
	{"an id that is too long", `{"id":"` + strings.Repeat("x", maxWordBytes+1) + `"}`, "limit crossed", true},
	{"a list that is too long", affected(`,"versions":["1"` + strings.Repeat(`,"1"`, maxItems) + `]`), "limit crossed", true},
}

func TestReadRejects(t *testing.T) {
	for _, tc := range bad {
		t.Run(tc.name, func(t *testing.T) {
			text := minimal("") + "\n" + minimal("") + "\n" + tc.text + "\n" + minimal("") + "\n"
			feedtest.Rejects(t, New(), "a.jsonl", text, 3)
			if _, err := feedtest.Read(New(), "a.jsonl", []byte(text)); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %.300v, want …%s…", err, tc.want)
			}
		})
	}
	feedtest.Rejects(t, New(), "a.jsonl", "[\n"+minimal("")+"]", 1)
	feedtest.Rejects(t, New(), "a.jsonl", "", 1)
	feedtest.Rejects(t, New(), "a.json", "\n[\n]\n", 3)
	feedtest.Rejects(t, New(), "a.json", minimal("")+"\n"+minimal(""), 2)
	feedtest.Rejects(t, New(), "a.json", "["+minimal("")+"]\n5", 2)
	feedtest.Rejects(t, New(), "a.json", "[\n["+minimal("")+"]]", 2)
	// The line within an advisory of many lines.
	feedtest.Rejects(t, New(), "a.json", strings.Replace(full, `"deferred"`, `"late"`, 1), 20)
	feedtest.RejectsCut(t, New(), "a.json", []byte(full))
	feedtest.RejectsCut(t, New(), "a.json", []byte("["+full+"]"))
}

// An advisory is bounded as a whole.
func TestReadBounds(t *testing.T) {
	var b bytes.Buffer
	b.WriteString(`{"id":"A-1","cves":["CVE-2024-0001"],"affected":[`)
	for i := 0; b.Len() < maxRecordBytes+maxTextBytes; i++ {
		fmt.Fprintf(&b, `{"ecosystem":"EulerOS:2.0-SP12","name":"a","state":"undetermined","note":%q},`, strings.Repeat("x", maxTextBytes-100))
	}
	feedtest.Rejects(t, New(), "a.jsonl", b.String(), 1)
}

// The schema says the same as the reader, as far as a schema can.
func TestSchema(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(shareddata.Root(), "docs", "schema", "advisory-v1.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("advisory.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("advisory.json")
	if err != nil {
		t.Fatal(err)
	}
	valid := func(s string) error {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(s))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(v)
	}
	for _, s := range []string{full, minimal(""), affected(`,"state":"undetermined"`), affected(`,"versions":["1-1"],"state":"wont-fix"`)} {
		if err := valid(s); err != nil {
			t.Error(err)
		}
		feedtest.Records(t, New(), "a.json", []byte(s))
	}
	for _, tc := range bad {
		if err := valid(tc.text); (err != nil) != tc.schema {
			t.Errorf("%s: the schema says %.300v", tc.name, err)
		}
	}
}

// The examples of docs/feeds.md are what the reader takes.
func TestDocumentation(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(shareddata.Root(), "docs", "feeds.md"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, block := range strings.Split(string(b), "```json\n")[1:] {
		text, _, _ := strings.Cut(block, "```")
		n += len(feedtest.Records(t, New(), "docs.json", []byte(text)))
	}
	if n < 2 {
		t.Errorf("%d examples, want some", n)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(full)
	f.Add(minimal(""))
	for _, tc := range bad {
		if len(tc.text) < 1000 {
			f.Add(tc.text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, name := range []string{"a.json", "a.jsonl"} {
			rs, err := feedtest.Read(New(), name, []byte(text))
			feedtest.Sound(t, name, rs, err)
		}
	})
}
