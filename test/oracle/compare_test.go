package oracle

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDifferences(t *testing.T) {
	same := Item{"deb", "bash", "5.2"}
	newer, older := Item{"maven", "g:a", "2"}, Item{"maven", "a", "2"}
	ours := List{same: {"/status"}, older: {"/app.war!WEB-INF/lib/a.jar"}}
	theirs := List{same: {"/status"}, newer: {"/app.war"}}
	want := []Difference{
		{Side: OnlyOurs, Package: older, Paths: []string{"/app.war!WEB-INF/lib/a.jar"}, Here: []Item{newer}},
		{Side: OnlyOracle, Package: newer, Paths: []string{"/app.war"}, Here: []Item{older}},
	}
	got := Differences(ours, theirs)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	table, unexplained, used := Explain(got, packageRules)
	if unexplained != 0 || used["jar without coordinates"] != 2 {
		t.Errorf("%d unexplained, rules used: %v\n%s", unexplained, used, table)
	}
}

// A rule must not explain what a lost package would look like.
func TestRulesDoNotHideLosses(t *testing.T) {
	for _, i := range []Item{
		{"deb", "bash", "5.2"}, {"rpm", "bash", "5.2"}, {"maven", "org.x:a", "1"}, {"maven", "org.x:a", ""}, {"golang", "golang.org/x/net", "0.7.0"}, {"npm", "lodash", "4"},
		{"pypi", "pip", "23"}, {"gem", "rake", "13"}, {"binary", "node", "20"},
	} {
		d := Difference{Side: OnlyOracle, Package: i, Paths: []string{"/x"}}
		table, unexplained, _ := Explain([]Difference{d}, packageRules)
		if unexplained != 1 || !strings.Contains(table, "UNEXPLAINED") {
			t.Errorf("a lost package is explained:\n%s", table)
		}
	}
}

func TestFindingDifferences(t *testing.T) {
	p := Item{"rpm", "expat", "2.2"}
	ours := []Finding{{Package: p, ID: "A-1", Aliases: []string{"A-2", "CVE-1"}}, {Package: p, ID: "A-4", Aliases: []string{"CVE-4"}}, {Package: p, ID: "CVE-5", Aliases: []string{"A-5"}}}
	theirs := []Finding{{Package: p, ID: "A-1"}, {Package: p, ID: "A-2"}, {Package: p, ID: "A-3"}, {Package: p, ID: "A-5"}}
	want := []Difference{
		{Side: OnlyOurs, Package: p, ID: "A-4", Aliases: []string{"CVE-4"}},
		{Side: OnlyOracle, Package: p, ID: "A-3"},
	}
	if diff := cmp.Diff(want, FindingDifferences(ours, theirs)); diff != "" {
		t.Error(diff)
	}
}

func TestNormalize(t *testing.T) {
	for _, tc := range []struct{ is, want Item }{
		{Item{"pypi", "Charset_Normalizer", "3"}, Item{"pypi", "charset-normalizer", "3"}},
		{Item{"golang", "stdlib", "go1.22"}, Item{"golang", "stdlib", "1.22"}},
		{Item{"golang", "x", "v1.0.0"}, Item{"golang", "x", "1.0.0"}},
		{Item{"golang", "x", "(devel)"}, Item{"golang", "x", ""}},
		{Item{"rpm", "x", "0:1-2"}, Item{"rpm", "x", "1-2"}},
		{Item{"rpm", "x", "1:1-2"}, Item{"rpm", "x", "1:1-2"}},
		{Item{"maven", "x", "UNKNOWN"}, Item{"maven", "x", ""}},
	} {
		tc.is.normalize()
		if tc.is != tc.want {
			t.Errorf("got %v, want %v", tc.is, tc.want)
		}
	}
}
