package main

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/match"
	"github.com/onceover/onceover/internal/wire"
)

// firstRetry is the pause after the first update that failed. It doubles, up
// to the time between updates.
const firstRetry = 5 * time.Minute

// updateState is what is known about updates in the background.
type updateState struct {
	attempted, succeeded time.Time // zero if never
	failures             int64     // since the server started
	inRow                int       // failures since the last success
}

// refresh updates the database from time to time, until ctx is done. What
// fails is logged and tried again; the database in use stays.
func (a *advisories) refresh(ctx context.Context) {
	every := a.flags.UpdateEvery
	if every == 0 {
		return
	}
	// Not all servers that were started together shall ask together.
	wait := rand.N(min(every/10, time.Minute) + 1)
	for {
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
		a.refreshOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		a.mu.Lock()
		wait = nextUpdate(every, a.update.inRow)
		a.mu.Unlock()
	}
}

// nextUpdate is the pause after so many failures in a row, a tenth more or
// less.
func nextUpdate(every time.Duration, failures int) time.Duration {
	d := every
	if failures > 0 {
		d = min(firstRetry<<min(failures-1, 10), every)
	}
	return d - d/10 + rand.N(d/5+1)
}

func (a *advisories) refreshOnce(ctx context.Context) {
	feeds, bases, _ := chosenFeeds(a.flags.Feed, a.flags.URL) // Validate has checked them
	res, err := advisory.Update(ctx, advisory.UpdateOptions{
		URL: a.flags.URL, To: a.places[0], Feeds: feeds, FeedBases: bases, Keys: a.keys, Keep: a.flags.count(), Fetch: a.fetch,
		Problem: func(p advisory.Problem) {
			slog.DebugContext(ctx, "advisory left out", "file", p.File, "record", p.Record, "error", p.Err)
		},
	})
	if ctx.Err() != nil {
		return
	}
	a.mu.Lock()
	a.update.attempted = time.Now()
	if err != nil {
		a.update.failures++
		a.update.inRow++
	} else {
		a.update.succeeded, a.update.inRow = a.update.attempted, 0
	}
	a.mu.Unlock()
	if err != nil {
		slog.ErrorContext(ctx, "advisories not updated", "error", err)
		return
	}
	for _, f := range res.FailedFeeds {
		slog.WarnContext(ctx, "feed not fetched", "feed", f.Name, "older_files_used", f.Stale, "error", f.Err)
	}
	slog.InfoContext(ctx, "advisories updated", "generation", res.Meta.ID, "new", res.Rebuilt, "delta", res.Delta, "missing", strings.Join(res.Missing, ", "))
	select {
	case a.look <- struct{}{}:
	default: // it is about to look
	}
}

// ServeHTTP serves the state of the advisories to everyone, and bundles of them
// if that is wanted.
func (a *advisories) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case path.Base(r.URL.Path) == "status" && r.Method == http.MethodGet:
		wire.WriteJSON(w, http.StatusOK, a.state(time.Now()))
	case a.publisher == nil:
		wire.WriteError(w, r, http.StatusNotFound, "APIGW.0101", "this server does not offer its advisories: start it with --serve-advisories")
	default:
		a.publisher.ServeHTTP(w, r)
	}
}

// advisoryState is the answer of /advisories/v1/status; see docs/bundles.md.
type advisoryState struct {
	SchemaVersion int    `json:"schema_version"`
	Generation    string `json:"generation"`
	Source        string `json:"source"`
	Starter       bool   `json:"starter"`
	Records       int64  `json:"records"`
	// NewestRecord is RFC 3339, AgeDays the whole days since. Old is set
	// from the age on from which scans are warned about.
	NewestRecord string      `json:"newest_record,omitempty"`
	AgeDays      int         `json:"age_days"`
	Old          bool        `json:"old"`
	Feeds        []feedState `json:"feeds"`
	// Kept are ids of former generations, the newest first.
	Kept   []string `json:"kept"`
	Served bool     `json:"served"`
	Update struct {
		EverySeconds int64  `json:"every_seconds"`
		Attempted    string `json:"attempted,omitempty"`
		Succeeded    string `json:"succeeded,omitempty"`
		Failing      bool   `json:"failing"`
		Failures     int64  `json:"failures"`
	} `json:"update"`
}

// feedState is one feed that went into a generation: an archive or a file of
// facts, or a primary feed with all of its files.
type feedState struct {
	Feed       string   `json:"feed"`
	Title      string   `json:"title,omitempty"`
	Records    int64    `json:"records"`
	Unreadable int64    `json:"unreadable"`
	Date       string   `json:"date,omitempty"`
	AgeDays    int      `json:"age_days"`
	Old        bool     `json:"old"`
	Licences   []string `json:"licences,omitempty"`
	millis     int64
}

// ageOf is the age of something in whole days, and whether it is so old that
// one has to say so. Without a date nothing is known.
func ageOf(millis int64, now time.Time) (days int, old bool) {
	if millis <= 0 {
		return 0, false
	}
	age := now.Sub(time.UnixMilli(millis))
	return max(0, int(age.Hours()/24)), age > match.OldAfter
}

func feedsOf(m advisory.Meta, now time.Time) []feedState {
	out := []feedState{}
	at := map[string]int{} // by name of a primary feed
	for _, f := range m.Files {
		s := feedState{Feed: f.Name, Records: f.Records, Unreadable: f.Bad, Licences: f.Licences, millis: f.Newest}
		// Their files may be tens of thousands.
		if feed, ok := m.Feeds[f.Feed]; ok && strings.HasPrefix(f.Name, advisory.FeedsDir+"/") {
			if i, ok := at[f.Feed]; ok {
				out[i].Unreadable += f.Bad
				continue
			}
			at[f.Feed] = len(out)
			s.Feed, s.Title, s.Records, s.millis, s.Licences = f.Feed, feed.Title, feed.Records, feed.Date, nil
			if feed.Licence != "" {
				s.Licences = []string{feed.Licence}
			}
		}
		s.Date = formatMillis(s.millis)
		s.AgeDays, s.Old = ageOf(s.millis, now)
		out = append(out, s)
	}
	return out
}

func (a *advisories) state(now time.Time) advisoryState {
	s := advisoryState{SchemaVersion: 1, Kept: []string{}, Feeds: []feedState{}, Served: a.publisher != nil}
	db, release := a.holder.Acquire()
	defer release()
	if db != nil {
		m := db.Meta()
		s.Generation, s.Source, s.Starter, s.Records = m.ID, m.Source, m.Starter, m.Records
		s.NewestRecord = formatMillis(m.DataDate)
		s.AgeDays, s.Old = ageOf(m.DataDate, now)
		s.Feeds = feedsOf(m, now)
	}
	a.mu.Lock()
	path, u := a.path, a.update
	a.mu.Unlock()
	if path != "" {
		// A directory that cannot be read says nothing about the rest.
		all, _ := advisory.Generations(path)
		for _, g := range all {
			if !g.Present && g.Err == nil {
				s.Kept = append(s.Kept, g.Meta.ID)
			}
		}
	}
	s.Update.EverySeconds = int64(a.flags.UpdateEvery / time.Second)
	s.Update.Failing, s.Update.Failures = u.inRow > 0, u.failures
	if !u.attempted.IsZero() {
		s.Update.Attempted = u.attempted.UTC().Format(time.RFC3339)
	}
	if !u.succeeded.IsZero() {
		s.Update.Succeeded = u.succeeded.UTC().Format(time.RFC3339)
	}
	return s
}
