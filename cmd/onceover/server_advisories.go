package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/match"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/store"
)

// advisoryFile is the database inside a data directory.
const advisoryFile = "advisories.db"

// watchEvery is how often the server looks whether the database was replaced.
const watchEvery = 10 * time.Second

// advisories is the database of a server that runs on while the file is
// replaced.
type advisories struct {
	holder advisory.Holder
	places []string // the first that exists is used
	std    streams

	loaded loadedFile
}

// loadedFile names a file as it was when it was opened.
type loadedFile struct {
	path    string // "" for the starter
	size    int64
	modTime time.Time
}

// openAdvisories opens the database: the file that was asked for, or else the
// first of the one in the data directory and the machine's, or else the
// starter that is built in.
func openAdvisories(flag, dataDir string, std streams) (*advisories, error) {
	a := &advisories{places: []string{filepath.Join(dataDir, advisoryFile), databaseFile()}, std: std}
	if flag != "" {
		a.places = []string{flag}
		if _, err := os.Stat(flag); err != nil {
			_, err = advisory.Open(flag) // says what to do
			return nil, err
		}
	}
	return a, a.load(a.find())
}

// find is the file to use now.
func (a *advisories) find() loadedFile {
	for _, path := range a.places {
		if fi, err := os.Stat(path); err == nil {
			return loadedFile{path, fi.Size(), fi.ModTime()}
		}
	}
	return loadedFile{}
}

func (a *advisories) load(f loadedFile) (err error) {
	var db *advisory.DB
	if f.path == "" {
		db, err = openDatabase("") // there is no default file: the starter
	} else {
		db, err = advisory.Open(f.path)
	}
	if err != nil {
		return fmt.Errorf("open advisory database: %w", err)
	}
	a.holder.Swap(db)
	a.loaded = f
	if db.Starter() {
		a.std.notice("matching against the small database that is built in: 'onceover db update' gets the full one")
	} else {
		slog.Info("advisory database opened", "path", f.path, "generation", db.Meta().ID, "records", db.Meta().Records)
	}
	return nil
}

// watch opens the database anew when the file is replaced, until ctx is done.
// A file that cannot be opened leaves the old one in use.
func (a *advisories) watch(ctx context.Context) {
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	failed := loadedFile{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		f := a.find()
		if f == a.loaded || f == failed || f.path == "" {
			continue
		}
		if err := a.load(f); err != nil {
			failed = f // said once for each file
			slog.ErrorContext(ctx, "advisory database not replaced", "path", f.path, "error", err)
		}
	}
}

func (a *advisories) close() { a.holder.Swap(nil) }

// match is what the store calls for each finished scan.
func (a *advisories) match(_ context.Context, inv report.Inventory, buildCommands map[string]string) ([]report.Finding, []string, error) {
	db, release := a.holder.Acquire()
	defer release()
	if db == nil {
		return nil, nil, fault.New(fault.Unavailable, "the advisory database is closed")
	}
	return match.New(db).Inventory(inv, buildCommands)
}

// cve looks up one CVE for the store.
func (a *advisories) cve(_ context.Context, id string) (store.CVE, bool) {
	db, release := a.holder.Acquire()
	defer release()
	if db == nil {
		return store.CVE{}, false
	}
	c, err := db.CVE(id)
	if err != nil || c == nil {
		return store.CVE{}, false
	}
	return store.CVE{Score: c.Score, Published: c.Published, Description: c.Description}, true
}

// generation names the advisories in use.
func (a *advisories) generation() string {
	db, release := a.holder.Acquire()
	defer release()
	if db == nil {
		return ""
	}
	return db.Meta().ID
}
