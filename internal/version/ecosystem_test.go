package version

import (
	"testing"

	"github.com/onceover/onceover/internal/report"
)

// Every type that has an order names an ecosystem that Compare knows.
func TestOrder(t *testing.T) {
	for _, typ := range []string{report.TypeDeb, report.TypeOpkg, report.TypeRPM, report.TypeAPK, report.TypeGo, report.TypeNPM, report.TypePython,
		report.TypeJava, report.TypeGem, report.TypeCargo, report.TypeNuGet, report.TypeComposer, report.TypeBitnami, report.TypeCRAN,
		"hackage", "pub", report.TypeHex, report.TypeSwift, report.TypeConan} {
		if c, err := Compare(Order(typ), "1.0.0", "1.0.1"); c != -1 || err != nil {
			t.Errorf("%s by %q: %d, %v", typ, Order(typ), c, err)
		}
		if os := report.OSType(typ) || typ == report.TypeOpkg; os != (Ecosystem(typ) == "") {
			t.Errorf("%s is published in %q", typ, Ecosystem(typ))
		}
	}
	if o := Order("unheard-of"); o != "" {
		t.Errorf("a type without an order has that of %q", o)
	}
}

func TestHolds(t *testing.T) {
	for operator, want := range map[string][3]bool{ // for older, the same, newer
		"<": {true, false, false}, "<=": {true, true, false}, ">": {false, false, true}, ">=": {false, true, true},
		"=": {false, true, false}, "!=": {true, false, true}, "~": {},
	} {
		for i, c := range []int{-1, 0, 1} {
			if got := Holds(c, operator); got != want[i] {
				t.Errorf("%d %s: %v", c, operator, got)
			}
		}
	}
}
