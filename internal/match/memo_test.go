package match

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/report"
)

// TestMemo crosses both limits of what a matcher remembers.
func TestMemo(t *testing.T) {
	key := func(i int) memoKey { return newMemoKey("", &report.Package{Name: fmt.Sprint(i)}) }
	var m memo
	if _, ok := m.get(key(0)); ok {
		t.Error("an empty memo knows a package")
	}
	for i := range maxMemoPackages + 2 {
		m.put(key(i), "")
		if fs, ok := m.get(key(i)); !ok || fs != "" {
			t.Fatalf("package %d was put and is not there", i)
		}
		if len(m.packages) > maxMemoPackages {
			t.Fatalf("%d packages are kept", len(m.packages))
		}
	}
	if _, ok := m.get(key(0)); ok {
		t.Error("the first package is still there past the limit")
	}
	for i := range 5 {
		m.put(key(-1-i), pack(make([]report.Finding, maxMemoFindings/2)))
		if m.findings > maxMemoFindings {
			t.Fatalf("%d findings are kept", m.findings)
		}
	}
	m.put(key(-5), pack(make([]report.Finding, 1))) // the same once more changes nothing
	if fs, _ := m.get(key(-5)); fs.len() != maxMemoFindings/2 {
		t.Errorf("got %d findings", fs.len())
	}
}

// What is packed comes back, every field of it but those that the image gives.
func TestPack(t *testing.T) {
	full := func(n int) report.Finding {
		var f report.Finding
		number := n
		var fill func(v reflect.Value)
		fill = func(v reflect.Value) {
			number++
			switch v.Kind() {
			case reflect.String:
				v.SetString(fmt.Sprint("text ", number))
			case reflect.Slice:
				v.Set(reflect.ValueOf([]string{fmt.Sprint("a", number), "", "same"}))
			case reflect.Float64:
				v.SetFloat(float64(number) / 7)
			case reflect.Int, reflect.Int64:
				v.SetInt(int64(number) << 20)
			case reflect.Bool:
				v.SetBool(true)
			case reflect.Struct:
				for i := range v.NumField() {
					fill(v.Field(i))
				}
			default:
				t.Fatalf("a field of kind %v: fill it here", v.Kind())
			}
		}
		v := reflect.ValueOf(&f).Elem()
		for i := range v.NumField() {
			switch v.Type().Field(i).Name {
			case "Package", "PURL", "Judgement":
			default:
				fill(v.Field(i))
			}
		}
		f.Evidence.BuildCommand = ""
		return f
	}
	other := full(100)
	other.Severity, other.Evidence.Source = full(0).Severity, full(0).Evidence.Source
	for _, want := range [][]report.Finding{nil, {full(0)}, {full(0), other, {}, full(5)}, {{Published: -1}, {}}} {
		p := pack(want)
		if diff := cmp.Diff(want, p.appendTo(nil)); diff != "" || p.len() != len(want) {
			t.Errorf("%d findings: %s", p.len(), diff)
		}
	}
}

// No two packages that matching tells apart have one key.
func TestMemoKey(t *testing.T) {
	seen := map[memoKey]string{}
	for _, p := range []report.Package{
		{}, {Type: "a"}, {Name: "a"}, {Version: "a"}, {Source: "a"}, {SourceVersion: "a"}, {Module: "a"},
		{Name: "ab"}, {Name: "a", Version: "b"}, {Name: "a\x00b"},
	} {
		for _, e := range []string{"", "a"} {
			k, what := newMemoKey(e, &p), fmt.Sprintf("%q %+v", e, p)
			if before, ok := seen[k]; ok {
				t.Errorf("%s and %s have one key", before, what)
			}
			seen[k] = what
		}
	}
	if newMemoKey("", &report.Package{Name: "a"}) != newMemoKey("", &report.Package{Name: "a", Path: "/x", Layer: "sha256:aa"}) {
		t.Error("the place of a package makes it another one")
	}
}
