package advisory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/all"
	"github.com/onceover/onceover/internal/fault"
)

// maxRemotes bounds the files that a feed's index may name.
const maxRemotes = 1_000_000

// fetchedFeeds are the feeds to fetch: those asked for, without repetition, or
// else none.
func fetchedFeeds(names []string) ([]feed.Fetched, error) {
	var out []feed.Fetched
	for _, name := range sortedSet(slices.Clone(names)) {
		f, ok := all.Find(name).(feed.Fetched)
		if !ok {
			return nil, fault.New(fault.Invalid, "there is no feed %q to fetch; there are: %s", name, strings.Join(FetchedNames(), ", "))
		}
		out = append(out, f)
	}
	return out, nil
}

// FetchedNames are the names of the feeds that Update can fetch, sorted.
func FetchedNames() []string {
	var out []string
	for _, f := range all.Feeds() {
		if _, ok := f.(feed.Fetched); ok {
			out = append(out, f.Info().Name)
		}
	}
	return out
}

// UsualFeeds are the feeds that are fetched if nobody chooses: all that need no
// consent to their licence and are not large.
func UsualFeeds() []string {
	return slices.DeleteFunc(FetchedNames(), func(n string) bool {
		i := all.Find(n).Info()
		return i.OptIn || i.Large
	})
}

// feeds fetches the primary feeds that were asked for, and drops those that
// were not. A feed that cannot be fetched keeps the files it has, or is missing
// if it has none: the rest of the update is worth having.
func (d *download) feeds(ctx context.Context) error {
	feeds, err := fetchedFeeds(d.o.Feeds)
	if err != nil {
		return err
	}
	if err := d.dropFeeds(); err != nil {
		return err
	}
	for _, f := range feeds {
		name := f.Info().Name
		err := d.feed(ctx, f)
		switch {
		case err == nil:
			continue
		case ctx.Err() != nil:
			return err
		}
		d.result.FailedFeeds = append(d.result.FailedFeeds, FailedFeed{Name: name, Stale: d.whole(name), Err: err})
		if !d.whole(name) {
			// Half a feed would replace the records it should mend.
			if err := d.dropFeed(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// A FailedFeed could not be fetched.
type FailedFeed struct {
	Name string
	// Stale says that the files of an earlier update are used.
	Stale bool
	Err   error
}

// wholeMark is the file that says that all files of a feed have been fetched
// once. Those that change are replaced one by one.
const wholeMark = ".whole"

func (d *download) feedPath(name string) string { return filepath.Join(d.o.Cache, FeedsDir, name) }

func (d *download) whole(name string) bool {
	_, err := os.Stat(filepath.Join(d.feedPath(name), wholeMark))
	return err == nil
}

func (d *download) feed(ctx context.Context, f feed.Fetched) error {
	name := f.Info().Name
	remotes, err := f.Remotes(ctx, d.o.FeedBases[name], d.fetch.list)
	if err != nil {
		return fmt.Errorf("list the files of feed %s: %w", name, err)
	}
	if len(remotes) == 0 || len(remotes) > maxRemotes {
		return fault.New(fault.Unavailable, "feed %s: its index names %d files", name, len(remotes))
	}
	keep := map[string]bool{}
	for _, r := range remotes {
		local := path.Join(FeedsDir, name, r.Name)
		if !filepath.IsLocal(r.Name) || keep[local] {
			return fault.New(fault.Invalid, "feed %s: its index names %q, which is no name for a file of its own", name, r.Name)
		}
		keep[local] = true
		if err := os.MkdirAll(filepath.Dir(filepath.Join(d.o.Cache, local)), 0o755); err != nil {
			return err
		}
		if _, err := d.file(ctx, r.URL, local); err != nil {
			if errors.Is(err, errNotServed) {
				err = fault.New(fault.NotFound, "%s: %w", r.URL, err)
			}
			return err
		}
	}
	// What the index does not name any more is withdrawn.
	prefix := FeedsDir + "/" + name + "/"
	for have := range d.states {
		if strings.HasPrefix(have, prefix) && !keep[have] {
			if err := os.Remove(filepath.Join(d.o.Cache, have)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			delete(d.states, have)
		}
	}
	if err := os.WriteFile(filepath.Join(d.feedPath(name), wholeMark), nil, 0o644); err != nil {
		return err
	}
	return d.save()
}

// byHand names the files of feeds that nobody fetched: an operator put them
// there, and a build is due when they change.
func (d *download) byHand(w io.Writer) {
	root := filepath.Join(d.o.Cache, FeedsDir)
	_ = filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".") {
			return nil // the build will say what is wrong with it
		}
		rel, err := filepath.Rel(d.o.Cache, p)
		if err != nil {
			return nil
		}
		if _, fetched := d.states[filepath.ToSlash(rel)]; fetched {
			return nil
		}
		if fi, err := e.Info(); err == nil {
			fmt.Fprintf(w, "%d %d %s\n", fi.Size(), fi.ModTime().UnixNano(), rel)
		}
		return nil
	})
}

// dropFeeds removes what is left of feeds that are not asked for any more.
func (d *download) dropFeeds() error {
	entries, err := os.ReadDir(filepath.Join(d.o.Cache, FeedsDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if slices.Contains(d.o.Feeds, e.Name()) {
			continue
		}
		// Feeds that cannot be fetched were put there by hand.
		if _, ok := all.Find(e.Name()).(feed.Fetched); ok {
			if err := d.dropFeed(e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *download) dropFeed(name string) error {
	if err := os.RemoveAll(d.feedPath(name)); err != nil {
		return err
	}
	prefix := FeedsDir + "/" + name + "/"
	for have := range d.states {
		if strings.HasPrefix(have, prefix) {
			delete(d.states, have)
		}
	}
	return d.save()
}
