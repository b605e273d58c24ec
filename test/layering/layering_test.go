// Package layering holds the rule that imports point down only.
package layering

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/onceover/onceover/"

// floors are the rooms of the house from the ground up. A package may import
// what stands on a lower line, or to the left of it on its own. A name with
// "/..." stands for the packages below it, which do not import each other
// unless they are listed to the left.
var floors = []string{
	"api internal/fault internal/image internal/minisign internal/report internal/version",
	"internal/runtime/oci internal/runtime/tarsplit internal/runtime/cri internal/runtime/inotify internal/runtime/containerd internal/runtime/... internal/runtime internal/layer internal/advisory/feed internal/advisory/feed/csaf internal/advisory/feed/oval internal/advisory/feed/updateinfo internal/advisory/feed/... internal/advisory/feed/all internal/advisory/starter internal/advisory internal/sandbox internal/pace",
	"internal/analyze internal/analyze/lines internal/analyze/... internal/analyze/all internal/match internal/vex internal/check/text internal/check/... internal/cache",
	"internal/scan internal/wire internal/audit internal/auth internal/fleet internal/store internal/tenant",
	"internal/export internal/sheet internal/metrics internal/agent internal/hss internal/query",
	"cmd/...",
}

// free are packages outside the flow: tests and generators. Nothing of the
// product may import them.
var free = []string{
	"test/", "api/", "internal/advisory/starter/gen",
	"internal/runtime/runtimetest", "internal/analyze/analyzetest", "internal/advisory/feed/feedtest", "internal/check/malware/clamdtest",
}

// rank is the place of a package in the order, and the pattern that gave it.
func rank(pkg string) (int, string) {
	n, best, pattern := 0, -1, ""
	for _, floor := range floors {
		for _, p := range strings.Fields(floor) {
			n++
			if p == pkg {
				return n, p
			}
			if prefix, ok := strings.CutSuffix(p, "..."); ok && strings.HasPrefix(pkg, prefix) && best < 0 {
				best, pattern = n, p
			}
		}
	}
	return best, pattern
}

func isFree(pkg string) bool {
	for _, f := range free {
		if strings.HasPrefix(pkg, f) {
			return true
		}
	}
	return false
}

func TestImportsPointDown(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := 0
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages++
		from := strings.TrimPrefix(p.ImportPath, module)
		if isFree(from) {
			continue
		}
		at, fromPattern := rank(from)
		if at < 0 {
			t.Errorf("%s stands on no floor: give it a place in this test and in docs/architecture.md", from)
			continue
		}
		for _, imp := range p.Imports {
			to, ok := strings.CutPrefix(imp, module)
			if !ok {
				continue
			}
			if isFree(to) {
				t.Errorf("%s imports %s, which is for tests", from, to)
				continue
			}
			below, toPattern := rank(to)
			switch {
			case below > at:
				t.Errorf("%s imports %s, which stands above it", from, to)
			case below == at && fromPattern == toPattern:
				t.Errorf("%s imports %s beside it", from, to)
			}
		}
	}
	if packages < 10 {
		t.Fatalf("go list showed %d packages only", packages)
	}
}
