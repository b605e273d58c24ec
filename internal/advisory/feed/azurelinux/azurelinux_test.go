package azurelinux

import (
	"archive/zip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/feedtest"
	"github.com/onceover/onceover/test/shareddata"
)

const name = "azurelinux-3.0-oval.xml"

// A document writes OVAL as Microsoft does. The shared data has no file of it,
// only the records that were made from one.
type document struct {
	definitions, tests, objects, states strings.Builder
	n                                   int
}

type check struct{ pkg, operation, evr string }

func (d *document) add(cve, severity, date, patchable string, checks ...check) {
	d.n++
	fmt.Fprintf(&d.definitions, `<definition class="vulnerability" id="oval:com.microsoft.azurelinux:def:%d" version="1"><metadata>
 <title>%s affecting package %s</title><affected family="unix"><platform>Azure Linux</platform></affected>
 <reference ref_id="%s" ref_url="https://nvd.nist.gov/vuln/detail/%s" source="CVE"/>
 <patchable>%s</patchable><advisory_date>%s</advisory_date><advisory_id>%d-1</advisory_id><severity>%s</severity>
</metadata><criteria operator="AND">`, d.n, cve, checks[0].pkg, cve, cve, patchable, date, d.n, severity)
	for i, c := range checks {
		id := fmt.Sprintf("%d%03d", d.n, i)
		fmt.Fprintf(&d.definitions, `<criterion comment="Package %s, affected by %s" test_ref="oval:com.microsoft.azurelinux:tst:%s"/>`, c.pkg, cve, id)
		fmt.Fprintf(&d.tests, `<linux-def:rpminfo_test check="at least one" id="oval:com.microsoft.azurelinux:tst:%s" version="1"><linux-def:object object_ref="obj:%s"/><linux-def:state state_ref="ste:%s"/></linux-def:rpminfo_test>`+"\n", id, id, id)
		fmt.Fprintf(&d.objects, `<linux-def:rpminfo_object id="obj:%s" version="1"><linux-def:name>%s</linux-def:name></linux-def:rpminfo_object>`+"\n", id, c.pkg)
		fmt.Fprintf(&d.states, `<linux-def:rpminfo_state id="ste:%s" version="1"><linux-def:evr datatype="evr_string" operation="%s">%s</linux-def:evr></linux-def:rpminfo_state>`+"\n", id, c.operation, c.evr)
	}
	d.definitions.WriteString("</criteria></definition>\n")
}

func (d *document) String() string {
	return `<oval_definitions xmlns="http://oval.mitre.org/XMLSchema/oval-definitions-5" xmlns:oval="http://oval.mitre.org/XMLSchema/oval-common-5" xmlns:linux-def="http://oval.mitre.org/XMLSchema/oval-definitions-5#linux">
<generator><oval:product_name>Azure Linux OVAL Definition Generator</oval:product_name></generator>
<definitions>
` + d.definitions.String() + "</definitions>\n<tests>\n" + d.tests.String() + "</tests>\n<objects>\n" + d.objects.String() + "</objects>\n<states>\n" + d.states.String() + "</states>\n</oval_definitions>\n"
}

func (d *document) bytes() []byte { return []byte(d.String()) }

func TestRead(t *testing.T) {
	var d document
	d.add("CVE-2026-21441", "High", "2026-01-20T21:31:32Z", "true", check{"tensorflow", "less than", "0:2.16.1-10.azl3"})
	d.add("CVE-2023-4039", "Medium", "2023-09-20T00:00:00Z", "false", check{"gcc", "less than or equal", "0:13.2.0-7.azl3"})
	d.add("CVE-2024-38428", "Low", "2024-07-01T00:00:00Z", "true", check{"wget", "less than", "1:2.1.0-7.azl3"}, check{"wget", "greater than or equal", "1:2.0.0-1.azl3"})
	d.add("CVE-2020-0001", "Critical", "bad", "Not Applicable", check{"kernel", "less than", "0:6.6.1-1.azl3"})
	rec := func(cve, severity string, modified int64, a feed.Affected) feed.Record {
		a.Ecosystem = "Azure Linux:3"
		return feed.Record{ID: "AZL-" + cve, CVEs: []string{cve}, Severity: severity, Modified: modified,
			URL: "https://nvd.nist.gov/vuln/detail/" + cve, Affected: []feed.Affected{a}}
	}
	want := []feed.Record{
		rec("CVE-2026-21441", "High", 1768944692000, feed.Affected{Name: "tensorflow", Ranges: []feed.Range{{Introduced: "0", Fixed: "2.16.1-10.azl3"}}}),
		rec("CVE-2023-4039", "Medium", 1695168000000, feed.Affected{Name: "gcc", Ranges: []feed.Range{{Introduced: "0", LastAffected: "13.2.0-7.azl3"}}}),
		rec("CVE-2024-38428", "Low", 1719792000000, feed.Affected{Name: "wget", Ranges: []feed.Range{{Introduced: "1:2.0.0-1.azl3", Fixed: "1:2.1.0-7.azl3"}}}),
		rec("CVE-2020-0001", "Critical", 0, feed.Affected{Name: "kernel", State: feed.StateNotAffected, Note: "not applicable"}),
	}
	for _, file := range []string{name, "oval.xml"} { // the release by the name, by the version
		rs, err := feedtest.Read(New(), file, d.bytes())
		if file == name {
			if diff := cmp.Diff(want, rs); diff != "" || err != nil {
				t.Error(diff, err)
			}
			continue
		}
		if diff := cmp.Diff(want[:3], rs[:min(3, len(rs))]); diff != "" {
			t.Error(file, diff)
		}
	}
}

// Written as OVAL, the records that were made from Microsoft's OVAL say the
// same again.
func TestSharedRecords(t *testing.T) {
	z, err := zip.OpenReader(filepath.Join(shareddata.Dir(t), "osv", "AzureLinux.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	var d document
	var want []feed.Record
	for _, e := range z.File {
		r, err := e.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		var o struct {
			ID       string
			Summary  string
			Upstream []string
			Modified time.Time
			Affected []struct {
				Package struct{ Ecosystem, Name string }
				Ranges  []struct {
					Events []struct{ Fixed string }
				}
			}
			Specific struct{ Severity string } `json:"database_specific"`
		}
		if err := json.Unmarshal(b, &o); err != nil {
			t.Fatal(err)
		}
		for _, a := range o.Affected {
			for _, g := range a.Ranges {
				fixed, written := g.Events[len(g.Events)-1].Fixed, g.Events[len(g.Events)-1].Fixed
				if _, rest, ok := strings.Cut(o.Summary, "less than  "); ok && fixed == "" {
					// A blank in the version, which went astray on
					// the way to the record.
					fixed, _, _ = strings.Cut(rest, ". ")
					written = "0: " + fixed
				}
				d.add(o.Upstream[0], o.Specific.Severity, o.Modified.Format(time.RFC3339), "true", check{a.Package.Name, "less than", written})
				want = append(want, feed.Record{ID: o.ID, CVEs: o.Upstream, Severity: o.Specific.Severity, Modified: o.Modified.UnixMilli(),
					URL: "https://nvd.nist.gov/vuln/detail/" + o.Upstream[0], Affected: []feed.Affected{{Ecosystem: a.Package.Ecosystem, Name: a.Package.Name,
						Ranges: []feed.Range{{Introduced: "0", Fixed: strings.TrimPrefix(fixed, "0:")}}}}})
			}
		}
	}
	if len(want) < 1000 {
		t.Fatalf("%d entries", len(want))
	}
	if diff := cmp.Diff(want, feedtest.Records(t, New(), name, d.bytes())); diff != "" {
		t.Error(diff)
	}
}

func TestReadRejects(t *testing.T) {
	one := func(c check) string {
		var d document
		d.add("CVE-2024-0001", "High", "2024-01-02T00:00:00Z", "true", c)
		return d.String()
	}
	good := one(check{"a", "less than", "0:1-1.azl3"})
	feedtest.Records(t, New(), name, []byte(good))
	for _, text := range []string{
		one(check{"a", "pattern match", "0:1-1.azl3"}),
		one(check{"a", "less than", ""}),
		one(check{"", "less than", "0:1-1.azl3"}),
		strings.ReplaceAll(good, "CVE-2024-0001", "CVE-24"),
		strings.Replace(good, `test_ref="oval`, `test_ref="none`, 1),
		strings.Replace(good, `operator="AND"`, `operator="XOR"`, 1),
		strings.Replace(good, `<criteria operator="AND">`, `<criteria operator="AND" negate="true">`, 1),
		strings.Replace(good, `<criterion `, `<other `, 1),
	} {
		if text == good {
			t.Fatal("nothing is broken")
		}
		feedtest.Rejects(t, New(), name, text, 4)
	}
	feedtest.Rejects(t, New(), "oval.xml", one(check{"a", "less than", "0:1-1"}), 4)
	feedtest.Rejects(t, New(), name, "<updates/>", 1)
	feedtest.RejectsCut(t, New(), name, []byte(good))
}

func TestRemotes(t *testing.T) {
	got, err := New().Remotes(context.Background(), "http://mirror/azure/", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []feed.Remote{
		{URL: "http://mirror/azure/azurelinux-3.0-oval.xml", Name: "azurelinux-3.0-oval.xml"},
		{URL: "http://mirror/azure/cbl-mariner-1.0-oval.xml", Name: "cbl-mariner-1.0-oval.xml"},
		{URL: "http://mirror/azure/cbl-mariner-2.0-oval.xml", Name: "cbl-mariner-2.0-oval.xml"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzRead(f *testing.F) {
	var d document
	d.add("CVE-2024-0001", "High", "2024-01-02T00:00:00Z", "true", check{"a", "less than", "0:1-1.azl3"})
	f.Add(d.String())
	f.Fuzz(func(t *testing.T, text string) {
		rs, err := feedtest.Read(New(), name, []byte(text))
		feedtest.Sound(t, name, rs, err)
	})
}
