package portage

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/report"
)

const (
	dir  = databaseDir + "app-containers/skopeo-1.5.1-r2/"
	good = "dir /usr\ndir /usr/bin\nobj /usr/bin/skopeo 376c02bd3b22804df8fdfdc895e7dbfb 1649284374\n" +
		"obj /usr/share/doc/a file 376c02bd3b22804df8fdfdc895e7dbfb 1649284374\n" +
		"sym /usr/bin/sk -> skopeo 1649284374\nfif /run/x\nobj\nobj relative a b\n"
)

func file(p, content string, siblings map[string]string) analyze.File {
	f := analyzetest.File(p, []byte(content))
	f.Sibling = func(name string, max int64) ([]byte, error) {
		s, ok := siblings[name]
		if !ok {
			return nil, fs.ErrNotExist
		}
		if int64(len(s)) > max {
			return nil, analyze.ErrLimit
		}
		return []byte(s), nil
	}
	return f
}

func TestSuite(t *testing.T) { analyzetest.Suite(t, New(), dir+"CONTENTS", []byte(good)) }

func TestWants(t *testing.T) {
	for p, want := range map[string]bool{
		dir + "CONTENTS": true, dir + "PF": false, dir + "a/CONTENTS": false, databaseDir + "a/CONTENTS": false, "/srv" + dir + "CONTENTS": false,
	} {
		if got := New().Wants(p, nil); got != want {
			t.Errorf("%s: got %v", p, got)
		}
	}
}

func TestPackage(t *testing.T) {
	facts := analyzetest.Facts(t, New(), file(dir+"CONTENTS", good, map[string]string{"LICENSE": "Apache-2.0 BSD\n", "repository": "gentoo\n"}))
	var owned report.Hashes
	for _, p := range []string{"/usr/bin/skopeo", "/usr/share/doc/a file", "/usr/bin/sk"} {
		owned = append(owned, report.PathHash(p))
	}
	slices.Sort(owned)
	want := &report.Facts{
		Packages: []report.Package{{Type: report.TypeEbuild, Name: "app-containers/skopeo", Version: "1.5.1-r2",
			Vendor: "gentoo", Licenses: []string{"Apache-2.0 BSD"}, Path: dir + "CONTENTS"}},
		Ownership: []report.Ownership{{Path: dir + "CONTENTS", Owner: "ebuild:app-containers/skopeo", Files: owned}},
	}
	if diff := cmp.Diff(want, facts); diff != "" {
		t.Error(diff)
	}
	// A package of no files is installed all the same.
	facts = analyzetest.Facts(t, New(), file(databaseDir+"virtual/libc-1/CONTENTS", "", nil))
	if len(facts.Packages) != 1 || facts.Packages[0].Name != "virtual/libc" || facts.Ownership != nil {
		t.Errorf("got %+v", facts)
	}
	if facts, err := New().Analyze(t.Context(), file(databaseDir+"a/-MERGING-b-1/CONTENTS", good, nil)); facts != nil || err != nil {
		t.Errorf("merging: got %v, %v", facts, err)
	}
}

func TestSplitName(t *testing.T) {
	for pf, want := range map[string]string{
		"skopeo-1.5.1": "skopeo 1.5.1", "skopeo-1.5.1-r2": "skopeo 1.5.1-r2", "gtk+-2.24.33-r3": "gtk+ 2.24.33-r3",
		"openssl-1.0.2u-r1": "openssl 1.0.2u-r1", "python-exec-conf-2.4.6": "python-exec-conf 2.4.6", "linux-6.1_rc3_p2": "linux 6.1_rc3_p2",
		"font-adobe-100dpi-1.0.3": "font-adobe-100dpi 1.0.3", "x-9999": "x 9999", "tzdata-2024a": "tzdata 2024a",
		"noversion": " ", "x-r1": " ", "-1": " ", "x-1.": " ", "x-1_foo": " ", "x-": " ",
	} {
		n, v := splitName(pf)
		if n+" "+v != want {
			t.Errorf("%s: got %q %q", pf, n, v)
		}
	}
}

func TestDamage(t *testing.T) {
	if facts, err := New().Analyze(t.Context(), file(databaseDir+"a/noversion/CONTENTS", good, nil)); facts != nil || err == nil {
		t.Errorf("got %v, %v", facts, err)
	}
	facts := analyzetest.Facts(t, New(), file(dir+"CONTENTS", good, map[string]string{"LICENSE": strings.Repeat("a", maxFieldBytes+1)}))
	if len(facts.Packages) != 1 || len(facts.Problems) != 1 {
		t.Errorf("long licence: got %+v", facts)
	}
}

func TestLimits(t *testing.T) {
	want := func(what string, f analyze.File) {
		t.Helper()
		facts, err := New().Analyze(t.Context(), f)
		if !errors.Is(err, analyze.ErrLimit) || len(facts.Packages) != 1 {
			t.Errorf("%s: got %+v, %v", what, facts, err)
		}
	}
	f := file(dir+"CONTENTS", "", nil)
	f.Size = maxListBytes + 1
	want("bytes", f)
	want("owned files", analyzetest.File(dir+"CONTENTS", bytes.Repeat([]byte("obj /a b c\n"), maxOwned+1)))
	if _, err := New().Analyze(t.Context(), file(databaseDir+"a/"+strings.Repeat("b", maxFieldBytes)+"-1/CONTENTS", "", nil)); err == nil {
		t.Error("a long name is taken")
	}
}

func FuzzContents(f *testing.F) {
	f.Add("skopeo-1.5.1-r2", []byte(good))
	f.Fuzz(func(t *testing.T, pf string, b []byte) {
		facts, err := New().Analyze(t.Context(), analyzetest.File(databaseDir+"a/"+pf+"/CONTENTS", b))
		if err != nil || facts == nil {
			return
		}
		for _, p := range facts.Packages {
			if !analyze.Plain(p.Name) || !analyze.Plain(p.Version) {
				t.Errorf("unusable package %+v", p)
			}
		}
	})
}
