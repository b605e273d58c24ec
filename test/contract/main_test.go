package contract

import (
	"os"
	"testing"

	"github.com/onceover/onceover/test/postgres"
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		defer postgres.Stop()
		defer func() { _ = os.RemoveAll(programDir) }() // "" is nothing
		return m.Run()
	}())
}
