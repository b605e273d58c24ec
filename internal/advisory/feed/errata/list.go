package errata

import (
	"context"

	"github.com/onceover/onceover/internal/advisory/feed"
)

// readList reads a document whose advisories are the elements of one list, and
// emits the records of those that name a CVE.
func readList[T any](ctx context.Context, f feed.File, list string, emit func(feed.Record) error, record func(*T) (feed.Record, error)) error {
	s := feed.NewJSONStream(f)
	listed := false
	err := s.Object(func(key string) error {
		if key != list {
			var other any
			return s.Decode(&other)
		}
		listed = true
		return s.Array(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			var a T
			if err := s.Decode(&a); err != nil {
				return err
			}
			r, err := record(&a)
			if err != nil || len(r.CVEs) == 0 {
				return err
			}
			return emit(r)
		})
	})
	if err == nil {
		err = s.End()
	}
	if err == nil && !listed {
		err = feed.Errorf(f.Name, s.Line(), "no %s", list)
	}
	return err
}
