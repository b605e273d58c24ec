package advisory

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/all"
	"github.com/onceover/onceover/internal/fault"
)

// CheckOptions say what to check.
type CheckOptions struct {
	// Feed is the name of the feed that the files are part of.
	Feed string
	// Files may be compressed, or archives, as a build takes them.
	Files []string
	// Problem is called for every document that a build would leave out.
	// May be nil.
	Problem func(Problem)
	// Now is the clock, time.Now if nil.
	Now func() time.Time
}

// Check reads files of a feed as Build does and throws the generation away. It
// returns what the files would bring. The first file that would end a build
// ends the check, with an error that names its line.
func Check(ctx context.Context, o CheckOptions) (Meta, error) {
	f := all.Find(o.Feed)
	if f == nil {
		return Meta{}, fault.New(fault.Invalid, "check feed: there is no feed %q; there are: %s", o.Feed, strings.Join(FeedNames(), ", "))
	}
	dir, err := os.MkdirTemp("", "onceover-check-")
	if err != nil {
		return Meta{}, fmt.Errorf("check feed: %w", err)
	}
	defer os.RemoveAll(dir)
	b, err := newBuilder(BuildOptions{To: filepath.Join(dir, "check.db"), Problem: o.Problem, Now: o.Now})
	if err != nil {
		return Meta{}, err
	}
	defer b.close()
	r := &feedRun{b: b, feed: f, info: f.Info(), latest: b.opts.Now().Add(24 * time.Hour).UnixMilli()}
	for _, p := range o.Files {
		before := r.documents
		err := r.file(ctx, p, filepath.ToSlash(p))
		if err == nil && r.documents == before {
			err = fault.New(fault.Invalid, "%s is no file of the feed %s", p, o.Feed)
		}
		if err != nil {
			return Meta{}, checkError(err)
		}
		b.meta.Files[len(b.meta.Files)-1].Name = p
	}
	return b.write(ctx)
}

// checkError blames the file for an error about a place in it.
func checkError(err error) error {
	var place *feed.Error
	if errors.As(err, &place) {
		return fault.Wrap(fault.Invalid, err, "check feed")
	}
	return fmt.Errorf("check feed: %w", err)
}
