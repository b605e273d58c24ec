package main

import (
	"context"
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
		return openStarter()
	}
	return advisory.Open(path)
}

// openStarter opens the database that is part of the program. It is unpacked
// once into the user's cache directory, or for this run if that cannot be
// written to. It takes some tenths of a second: not worth being cut short.
func openStarter() (*advisory.DB, error) {
	ctx := context.Background()
	if cache, err := os.UserCacheDir(); err == nil {
		dir := filepath.Join(cache, "onceover")
		if err := os.MkdirAll(dir, 0o700); err == nil {
			if db, err := advisory.OpenStarter(ctx, dir); err == nil {
				return db, nil
			}
		}
	}
	return advisory.OpenStarter(ctx, "")
}
