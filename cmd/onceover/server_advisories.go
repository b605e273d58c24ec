package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/match"
	"github.com/onceover/onceover/internal/minisign"
)

// advisoryFile is the database inside a data directory.
const advisoryFile = "advisories.db"

// watchEvery is how often the server looks whether the database was replaced.
const watchEvery = 10 * time.Second

// servedDir is where in the data directory the bundles lie that are offered.
const servedDir = "advisories.served"

// advisoryFlags are what a server does with advisories beside matching.
type advisoryFlags struct {
	Serve       bool          `name:"serve-advisories" help:"Offer the advisories in use to other servers and machines, under ${served_path}. Anyone who reaches the server may have them: they are public." env:"ONCEOVER_SERVE_ADVISORIES"`
	Sign        string        `name:"advisory-sign" help:"Sign what --serve-advisories offers with this secret key, which has no password." placeholder:"KEYFILE" type:"path" env:"ONCEOVER_DB_SIGN"`
	UpdateEvery time.Duration `name:"advisory-update-every" help:"Update the advisories in the background each time DURATION has passed; 0 for never." default:"0" placeholder:"DURATION" env:"ONCEOVER_ADVISORY_UPDATE_EVERY"`
	URL         string        `name:"advisory-url" help:"Where to update from, as for 'onceover db update'. Default: ${advisory_url}." placeholder:"URL" env:"ONCEOVER_ADVISORY_URL"`
	Feed        []string      `name:"advisory-feed" help:"Fetch these primary feeds of distributions too, as --feed for 'onceover db update'." placeholder:"NAME" env:"ONCEOVER_FEEDS"`

	Trust    trustFlags `embed:"" prefix:"advisory-"`
	keepFlag `embed:"" prefix:"advisory-"`
}

// minUpdateEvery keeps a slip of the pen from becoming an attack on the feeds.
const minUpdateEvery = time.Minute

// Validate checks what the flags mean together.
func (f *advisoryFlags) Validate() error {
	if f.Sign != "" && !f.Serve {
		return errors.New("--advisory-sign goes with --serve-advisories")
	}
	if f.UpdateEvery != 0 && f.UpdateEvery < minUpdateEvery {
		return fmt.Errorf("--advisory-update-every: want %v or more, or 0", minUpdateEvery)
	}
	if _, _, err := chosenFeeds(f.Feed, f.URL); err != nil {
		return err
	}
	return f.keepFlag.Validate()
}

// advisories is the database of a server that runs on while the file is
// replaced.
type advisories struct {
	holder advisory.Holder
	places []string // the first that exists is used
	std    streams
	flags  advisoryFlags
	keys   []minisign.PublicKey
	// publisher is nil if nothing is offered to others.
	publisher *advisory.Publisher
	// look makes watch look at once.
	look chan struct{}
	// fetch are the settings of updates.
	fetch advisory.FetchOptions

	loaded loadedFile // by watch alone, once that runs

	matchers matchers

	mu     sync.Mutex
	path   string // of the file in use, "" for the starter
	update updateState
}

// loadedFile names a file as it was when it was opened.
type loadedFile struct {
	path string // "" for the starter
	info os.FileInfo
}

func (f loadedFile) same(o loadedFile) bool {
	if f.path != o.path || f.info == nil || o.info == nil {
		return f.path == o.path
	}
	return os.SameFile(f.info, o.info) && f.info.Size() == o.info.Size() && f.info.ModTime().Equal(o.info.ModTime())
}

// openAdvisories opens the database: the file that was asked for, or else the
// first of the one in the data directory and the machine's, or else the
// starter that is built in.
func openAdvisories(flag, dataDir string, flags advisoryFlags, std streams) (*advisories, error) {
	a := &advisories{
		places: []string{filepath.Join(dataDir, advisoryFile), databaseFile()},
		std:    std, flags: flags, look: make(chan struct{}, 1),
	}
	var err error
	if a.keys, err = flags.Trust.load(); err != nil {
		return nil, err
	}
	if flags.Serve {
		a.publisher = &advisory.Publisher{Dir: filepath.Join(dataDir, servedDir)}
		if flags.Sign != "" {
			key, err := readSecretKey(flags.Sign, "", std)
			if err != nil {
				return nil, err
			}
			a.publisher.Sign = &key
		}
	}
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
			return loadedFile{path, fi}
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
	a.mu.Lock()
	a.path = f.path
	a.mu.Unlock()
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
	a.publish(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-a.look:
		}
		f := a.find()
		if f.path == "" || f.same(a.loaded) || failed.info != nil && f.same(failed) {
			continue
		}
		if err := a.load(f); err != nil {
			failed = f // said once for each file
			slog.ErrorContext(ctx, "advisory database not replaced", "path", f.path, "error", err)
			continue
		}
		a.publish(ctx)
	}
}

// publish makes the bundles of the generation in use for others, if that is
// wanted.
func (a *advisories) publish(ctx context.Context) {
	if a.publisher == nil || a.loaded.path == "" {
		return
	}
	idx, err := a.publisher.Publish(ctx, a.loaded.path)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		slog.ErrorContext(ctx, "advisories not offered to others", "error", err)
	default:
		slog.InfoContext(ctx, "advisories offered to others", "generation", idx.Generation, "bytes", idx.Whole.Size, "deltas", len(idx.Deltas), "signed_by", idx.SignedBy)
	}
}

func (a *advisories) close() { a.holder.Swap(nil) }

// inUse is the generation in use, and whether it is the starter.
func (a *advisories) inUse() (generation string, starter bool, err error) {
	db, release := a.holder.Acquire()
	defer release()
	if db == nil {
		return "", false, fault.New(fault.Unavailable, "the advisory database is closed")
	}
	return db.Meta().ID, db.Starter(), nil
}

// matcher gives the matcher of the generation in use, until release is called.
func (a *advisories) matcher() (m *match.Matcher, release func(), err error) {
	db, release := a.holder.Acquire()
	if db == nil {
		release()
		return nil, nil, fault.New(fault.Unavailable, "the advisory database is closed")
	}
	return a.matchers.of(db), release, nil
}
