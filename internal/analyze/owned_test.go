package analyze

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/report"
)

func TestAppendOwned(t *testing.T) {
	for path, want := range map[string][]string{
		"/":                           nil,
		"/usr/bin/x":                  {"/usr/bin/x"},
		"/bin/x":                      {"/bin/x", "/usr/bin/x"},
		"/lib64/x/METADATA":           {"/lib64/x/METADATA", "/usr/lib64/x/METADATA"},
		"/usr/share/doc/x/README":     nil,
		"/usr/share/java/x.jar":       {"/usr/share/java/x.jar"},
		"/library/x.jar":              {"/library/x.jar"},
		"/usr/lib/x86_64/libx.so.1.2": nil,
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
