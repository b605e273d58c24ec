package advisory

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/onceover/onceover/internal/advisory/starter"
)

const (
	// sourceStarter is the Meta.Source of the starter generation.
	sourceStarter = "debian-changelogs"
	// maxStarterBytes bounds the list, uncompressed.
	maxStarterBytes = 16 << 20
)

// OpenStarter opens the generation that is part of the program. The first time
// it is compiled into dir, which takes some tenths of a second; from then on
// the file there is opened. With dir "" it is compiled into a temporary file
// that is gone when the DB is closed.
func OpenStarter(ctx context.Context, dir string) (*DB, error) {
	if dir == "" {
		tmp, err := os.MkdirTemp("", "onceover-starter-")
		if err != nil {
			return nil, fmt.Errorf("open starter database: %w", err)
		}
		// The open file outlives its name.
		defer os.RemoveAll(tmp)
		return OpenStarter(ctx, tmp)
	}
	sum := sha256.Sum256(starter.Data)
	path := filepath.Join(dir, fmt.Sprintf("starter-%d-%s.db", Schema, hex.EncodeToString(sum[:6])))
	if db, err := Open(path); err == nil {
		return db, nil
	}
	if err := buildStarter(ctx, path); err != nil {
		return nil, fmt.Errorf("open starter database: %w", err)
	}
	return Open(path)
}

func buildStarter(ctx context.Context, path string) error {
	records, covers, newest, err := parseStarter(starter.Data)
	if err != nil {
		return err
	}
	b, err := newBuilder(BuildOptions{To: path, Source: sourceStarter, Keep: -1})
	if err != nil {
		return err
	}
	defer b.close()
	b.meta.Starter = true
	b.meta.Note = "fixed vulnerabilities named in the changelogs of common packages of " + strings.Join(covers, "; ")
	b.meta.DataDate = newest
	for _, id := range slices.Sorted(maps.Keys(records)) {
		if _, err := b.add(records[id]); err != nil {
			return err
		}
	}
	_, err = b.write(ctx)
	return err
}

// parseStarter turns the list into records, one for each CVE, by id. The
// format is described at starter.Data.
func parseStarter(packed []byte) (records map[string]*record, covers []string, newest int64, err error) {
	z, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxStarterBytes))
	if err != nil {
		return nil, nil, 0, err
	}
	defer z.Close()
	records = map[string]*record{}
	var eco, source string
	for sc := bufio.NewScanner(&boundedReader{r: z, left: maxStarterBytes}); ; {
		if !sc.Scan() {
			return records, covers, newest, sc.Err()
		}
		part := strings.Fields(sc.Text())
		switch {
		case len(part) == 0:
		case part[0] == "#":
			covers = append(covers, strings.Join(part[1:], " "))
		case part[0] == "@" && len(part) == 4:
			eco, source = "Debian:"+part[1], part[2]
		case len(part) == 3 && eco != "":
			addStarterFact(records, eco, source, part[0], part[1], part[2], &newest)
		default:
			return nil, nil, 0, fmt.Errorf("starter list: line %q", sc.Text())
		}
	}
}

func addStarterFact(records map[string]*record, eco, source, number, fixed, date string, newest *int64) {
	cve := "CVE-" + number
	id := "DEBIAN-" + cve
	r := records[id]
	if r == nil {
		r = &record{
			ID: id, Upstream: []string{cve},
			Summary:    cve + ", fixed in " + source + " according to its changelog",
			References: []reference{{Type: "ADVISORY", URL: "https://security-tracker.debian.org/tracker/" + cve}},
		}
		records[id] = r
	}
	if t, err := time.Parse("20060102", date); err == nil {
		if s := t.Format(time.RFC3339); s > r.Modified {
			r.Modified = s
		}
		*newest = max(*newest, t.UnixMilli())
	}
	var a affectedPackage
	a.Package.Ecosystem, a.Package.Name = eco, source
	a.Ranges = []eventRange{{Type: "ECOSYSTEM", Events: []event{{Introduced: "0"}, {Fixed: fixed}}}}
	r.Affected = append(r.Affected, a)
}
