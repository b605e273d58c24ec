package analyze

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/report"
)

func TestAppendOwned(t *testing.T) {
	for path, want := range map[string][]string{
		"/":                    nil,
		".":                    nil,
		"":                     nil,
		"/usr/bin/x":           {"/usr/bin/x"},
		"usr//lib/../bin/x":    {"/usr/bin/x"},
		"../../x":              {"/x"},
		"/bin/x":               {"/bin/x", "/usr/bin/x"},
		"/sbin/x":              {"/sbin/x", "/usr/sbin/x", "/usr/bin/x"},
		"/usr/sbin/x":          {"/usr/sbin/x", "/usr/bin/x"},
		"/lib64/x/METADATA":    {"/lib64/x/METADATA", "/usr/lib64/x/METADATA"},
		"/usr/share/doc/x/y.1": {"/usr/share/doc/x/y.1"},
		"/library/x.jar":       {"/library/x.jar"},
		"/opt/node/x.so.1.2":   {"/opt/node/x.so.1.2"},
	} {
		var hashes []uint64
		for _, p := range want {
			hashes = append(hashes, report.PathHash(p))
		}
		if diff := cmp.Diff(hashes, AppendOwned(nil, path)); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
}

func TestPlainAndClip(t *testing.T) {
	for s, want := range map[string]bool{"a": true, "1:2-3+é": true, "": false, "a b": false, "a\n": false, "\x7f": false} {
		if Plain(s) != want {
			t.Errorf("Plain(%q) = %v", s, !want)
		}
	}
	long := string(make([]byte, 2*maxClip))
	if len(Clip(long)) != maxClip || len(Clip([]byte(long))) != maxClip || Clip("a") != "a" {
		t.Error("clips wrongly")
	}
}
