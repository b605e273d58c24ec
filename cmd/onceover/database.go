package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/onceover/onceover/internal/advisory"
)

// databaseFile is where the advisory database lies if nobody says otherwise:
// one place for the whole machine as root, one for each user else.
func databaseFile() string {
	const name = "advisories.db"
	if os.Geteuid() == 0 {
		return filepath.Join("/var/lib/onceover", name)
	}
	dir := os.Getenv("XDG_DATA_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return name
		}
		dir = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(dir, "onceover", name)
}

// openDatabase opens the database at path. Without a path it is the default
// file or, if there is none, the starter that is built in. A default file that
// is there and cannot be read is an error: falling back would hide findings.
func openDatabase(path string) (*advisory.DB, error) {
	if path != "" {
		return advisory.Open(path)
	}
	path = databaseFile()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return advisory.Open(path) // whose error says how to get one
	}
	return advisory.Open(path)
}
