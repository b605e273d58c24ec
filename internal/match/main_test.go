package match

import (
	"fmt"
	"os"
	"testing"
)

// sharedDir holds the generation of the shared records, which several tests
// read.
var sharedDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "onceover-match-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	sharedDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}
