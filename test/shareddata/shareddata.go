// Package shareddata finds the shared test data: real advisories, root file
// systems and package databases that lie beside the project and are never part
// of it.
package shareddata

import (
	"os"
	"path/filepath"
	"testing"
)

// Dir is the shared data directory: ONCEOVER_TESTDATA, or ../shared/data
// beside the project. Without one the test is skipped, or fails where
// ONCEOVER_REQUIRE_DATA=1 says that it must be there.
func Dir(t testing.TB) string {
	t.Helper()
	if d := Find(); d != "" {
		return d
	}
	const msg = "no shared test data: set ONCEOVER_TESTDATA or put it at ../shared/data"
	if os.Getenv("ONCEOVER_REQUIRE_DATA") == "1" {
		t.Fatal(msg)
	}
	t.Skip(msg)
	return ""
}

// Find is the shared data directory, or "".
func Find() string {
	if d := os.Getenv("ONCEOVER_TESTDATA"); d != "" {
		return d
	}
	root := Root()
	if root == "" {
		return ""
	}
	d := filepath.Join(filepath.Dir(root), "shared", "data")
	if fi, err := os.Stat(d); err == nil && fi.IsDir() {
		return d
	}
	return ""
}

// Root is the project's root directory, found upwards from the working
// directory; "" if there is none.
func Root() string {
	d, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		if b, err := os.ReadFile(filepath.Join(d, "go.mod")); err == nil &&
			len(b) > 0 && isProject(b) {
			return d
		}
		up := filepath.Dir(d)
		if up == d {
			return ""
		}
		d = up
	}
}

func isProject(gomod []byte) bool {
	const module = "module github.com/onceover/onceover\n"
	return len(gomod) >= len(module) && string(gomod[:len(module)]) == module
}
