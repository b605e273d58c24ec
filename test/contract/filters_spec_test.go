package contract

import (
	testflag "flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// answersOne are operations that the contract calls lists and that answer one
// thing, and the tests that ask for it.
var answersOne = map[string]string{
	"ListImageScanPolicy":      "TestScanPolicy",
	"ListQueryExportTask":      "TestExportErrors",
	"ListDownloadExportedFile": "TestDownloadInParts",
}

// everyFilter holds that each list was asked for each parameter that the contract
// documents, alone and beside each other one. asked has the operation and the
// parameters of each question.
func everyFilter(t *testing.T, sp *spec, ops []specOperation, asked map[string]bool) {
	t.Helper()
	if strings.Contains(testflag.Lookup("test.run").Value.String(), "/") {
		t.Skip("only a part of the test runs")
	}
	lists := 0
	for _, op := range ops {
		switch {
		case slices.Contains(op.Tags, "registry-images"):
			continue
		case slices.Contains(exports, op.ID):
			asksEach(t, op.ID, asked, slices.DeleteFunc(sp.bodyOf(op.ID), func(p string) bool { return slices.Contains(givenOfExports, p) }))
			continue
		case !sp.lists(op):
			if test := answersOne[op.ID]; strings.HasPrefix(op.ID, "List") && !isTest(t, test) {
				t.Errorf("%s answers no list, and there is no test %q", op.ID, test)
			}
			continue
		}
		lists++
		var filters []string
		for _, p := range op.Params {
			if p.In == "query" && p.Name != "limit" && p.Name != "offset" {
				filters = append(filters, p.Name)
			}
		}
		asksEach(t, op.ID, asked, filters)
	}
	if lists != 39 {
		t.Errorf("%d lists in the contract", lists)
	}
}

// asksEach holds that there was a question with each parameter alone, and with
// each pair.
func asksEach(t *testing.T, op string, asked map[string]bool, params []string) {
	t.Helper()
	slices.Sort(params)
	for i, f := range params {
		if !asked[op+" "+f] {
			t.Errorf("%s: nothing asks for %s", op, f)
		}
		for _, g := range params[i+1:] {
			if !asked[op+" "+f+" "+g] {
				t.Errorf("%s: nothing asks for %s and %s together", op, f, g)
			}
		}
	}
}

// exports are operations that select records as lists do. What each question gives
// them is no filter.
var (
	exports        = []string{"BatchExportLocalVulTask", "BatchExportBaselineTask", "ExportImageSecurityReportTask"}
	givenOfExports = []string{"body.operate_all", "body.image_type", "body.export_size", "body.security_report_type"}
)

// bodyOf are the members of the body of an operation as questions name them.
func (s *spec) bodyOf(id string) (out []string) {
	for _, path := range s.Paths {
		for _, op := range path {
			if op.ID == id {
				for name := range s.body(op).Properties {
					out = append(out, "body."+name)
				}
			}
		}
	}
	return out
}

// lists says whether an operation answers rows.
func (s *spec) lists(op specOperation) bool {
	for _, c := range op.Responses["200"].Content {
		if c.Schema == nil {
			continue
		}
		list := s.of(c.Schema).Properties["data_list"]
		return list != nil && s.of(list).Type == "array"
	}
	return false
}

// isTest says whether there is a test of a name.
func isTest(t *testing.T, name string) bool {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if name != "" && strings.Contains(string(b), "\nfunc "+name+"(t *testing.T)") {
			return true
		}
	}
	return false
}
