package sheet

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/store"
)

var twoColumns = []column{{title: "name"}, {title: "size", number: true}}

// unzip is the files of an archive in their order.
func unzip(t *testing.T, b []byte) (names []string, files map[string][]byte) {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	files = map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		names, files[f.Name] = append(names, f.Name), body
	}
	return names, files
}

func readCSV(t *testing.T, b []byte) [][]string {
	t.Helper()
	text, ok := strings.CutPrefix(string(b), "\xef\xbb\xbf")
	if !ok || !strings.Contains(text, "\r\n") {
		t.Errorf("no byte order mark, or no line that ends with CR LF: %q", b)
	}
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestCSV(t *testing.T) {
	var b bytes.Buffer
	c, err := newCSV(zip.NewWriter(&b), "things", twoColumns)
	if err != nil {
		t.Fatal(err)
	}
	c.max = 2
	for _, r := range [][]string{{"镜像, \"a\"\nb", "1"}, {"=1+1", "2"}, {"-x", ""}} {
		if err := c.row(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	names, files := unzip(t, b.Bytes())
	if d := cmp.Diff([]string{"things.csv", "things-2.csv"}, names); d != "" {
		t.Error(d)
	}
	want := [][]string{{"name", "size"}, {"镜像, \"a\"\nb", "1"}, {"'=1+1", "2"}}
	if d := cmp.Diff(want, readCSV(t, files["things.csv"])); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([][]string{{"name", "size"}, {"'-x", ""}}, readCSV(t, files["things-2.csv"])); d != "" {
		t.Error(d)
	}
}

func TestHarmless(t *testing.T) {
	for cell, want := range map[string]string{
		"": "", "a=1": "a=1", "/usr/bin": "/usr/bin", "=cmd|' /C calc'!A0": "'=cmd|' /C calc'!A0", "+1": "'+1", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)",
		"\tx": "'\tx", "\rx": "'\rx",
	} {
		if got := harmless(cell); got != want {
			t.Errorf("%q: %q, want %q", cell, got, want)
		}
	}
}

// cells are the texts of a worksheet, row by row.
func cells(t *testing.T, sheet []byte) (out [][]string) {
	t.Helper()
	var s struct {
		Rows []struct {
			Cells []struct {
				Type string `xml:"t,attr"`
				V    string `xml:"v"`
				Text string `xml:"is>t"`
			} `xml:"c"`
		} `xml:"sheetData>row"`
	}
	if err := xml.Unmarshal(sheet, &s); err != nil {
		t.Fatal(err)
	}
	for _, r := range s.Rows {
		var row []string
		for _, c := range r.Cells {
			if c.Type == "inlineStr" {
				row = append(row, "text "+c.Text)
			} else {
				row = append(row, c.V)
			}
		}
		out = append(out, row)
	}
	return out
}

func TestXLSX(t *testing.T) {
	var b bytes.Buffer
	x, err := newXLSX(zip.NewWriter(&b), "things", twoColumns)
	if err != nil {
		t.Fatal(err)
	}
	x.max = 2
	long := strings.Repeat("𝒳", maxCell/2+1)
	for _, r := range [][]string{{"=1+1 <镜像> & \x01\r", "12"}, {"", ""}, {long, "3"}, {strings.Repeat("x", maxCell), "4"}, {strings.Repeat("x", maxCell+1), "5"}} {
		if err := x.row(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	names, files := unzip(t, b.Bytes())
	wantNames := []string{"xl/worksheets/sheet1.xml", "xl/worksheets/sheet2.xml", "xl/worksheets/sheet3.xml", "xl/workbook.xml", "xl/_rels/workbook.xml.rels", "_rels/.rels", "[Content_Types].xml"}
	if d := cmp.Diff(wantNames, names); d != "" {
		t.Error(d)
	}
	head := []string{"text name", "text size"}
	if d := cmp.Diff([][]string{head, {"text =1+1 <镜像> & \uFFFD\r", "12"}, {"", ""}}, cells(t, files["xl/worksheets/sheet1.xml"])); d != "" {
		t.Error(d)
	}
	want := [][]string{head, {"text " + strings.Repeat("𝒳", maxCell/2) + "…", "3"}, {"text " + strings.Repeat("x", maxCell), "4"}}
	if d := cmp.Diff(want, cells(t, files["xl/worksheets/sheet2.xml"])); d != "" {
		t.Error(d)
	}
	want = [][]string{head, {"text " + strings.Repeat("x", maxCell-1) + "…", "5"}}
	if d := cmp.Diff(want, cells(t, files["xl/worksheets/sheet3.xml"])); d != "" {
		t.Error(d)
	}
	for _, part := range names[3:] {
		if err := xml.Unmarshal(files[part], new(struct{ XMLName xml.Name })); err != nil {
			t.Errorf("%s: %v", part, err)
		}
	}
	if s := string(files["xl/workbook.xml"]); !strings.Contains(s, `name="things-3" sheetId="3" r:id="rId3"`) {
		t.Error(s)
	}
}

// Every kind of report has a file, and no column twice.
func TestReportFiles(t *testing.T) {
	kinds := []string{store.ReportVulnerability, store.ReportBaseline, store.ReportMalware, store.ReportApps, store.ReportFiles, store.ReportSecrets, store.ReportNonCompliant, store.ReportBuildRisks}
	for _, kind := range kinds {
		seen := map[string]bool{}
		for _, title := range titles(reportFiles[kind].columns) {
			if seen[title] {
				t.Errorf("%s: %s twice", kind, title)
			}
			seen[title] = true
		}
		if name := reportFiles[kind].name; len(seen) < 5 || name == "" || len(name) > 28 { // of a sheet: 31
			t.Errorf("%s: %q has %d columns", kind, name, len(seen))
		}
	}
}
