package contentset

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

const key = "contentset/1"

// Limits. Real manifests have up to 300 KB, most of it the sources of Go
// modules, and a few dozen content sets.
const (
	maxBytes = 16 << 20
	maxSets  = 10_000
)

// Directories that manifests stand in: of images built until 2024, and since.
const (
	oldDir = "/root/buildinfo/content_manifests/"
	newDir = "/usr/share/buildinfo/"
)

// streams are the words for extended support in the names of repositories, the
// longest support last: extended update, update services for SAP, advanced
// mission critical, telecommunications, and extended life cycle.
var streams = []string{"eus", "e4s", "aus", "tus", "els"}

// An Analyzer reads content manifests.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes JSON files of the two directories.
func (Analyzer) Wants(p string, _ fs.FileInfo) bool {
	if !strings.HasPrefix(p, oldDir) && !strings.HasPrefix(p, newDir) {
		return false
	}
	return strings.HasSuffix(p, ".json")
}

// Analyze implements analyze.Analyzer.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	if f.Size > maxBytes {
		return nil, fmt.Errorf("read content manifest: %w", analyze.Limited("bytes", f.Size, maxBytes))
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read content manifest: %w", err)
	}
	b, err := io.ReadAll(f.Reader())
	if err != nil {
		return nil, fmt.Errorf("read content manifest: %w", err)
	}
	var doc struct {
		ContentSets []string `json:"content_sets"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, fmt.Errorf("read content manifest: %w", err)
	}
	if len(doc.ContentSets) > maxSets {
		return nil, fmt.Errorf("read content manifest: %w", analyze.Limited("content sets", int64(len(doc.ContentSets)), maxSets))
	}
	stream := Stream(doc.ContentSets)
	if stream == "" {
		return nil, nil
	}
	return &report.Facts{OSRelease: map[string]string{report.KeyStream: stream}}, nil
}

// Stream is the stream with extended support that repositories belong to, by
// their names ("rhel-9-for-x86_64-baseos-eus-rpms"), "" if none does. Of
// several the one with the longest support counts.
func Stream(repositories []string) string {
	best := -1
	for _, r := range repositories {
		if !strings.HasPrefix(r, "rhel-") {
			continue
		}
		for _, word := range strings.Split(r, "-") {
			best = max(best, slices.Index(streams, word))
		}
	}
	if best < 0 {
		return ""
	}
	return streams[best]
}
