package baseline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

// analyzer tells the facts of files and directories. Rules are asked later
// (ImageOf, Evaluate), so a change of rules reads no layer again.
type analyzer struct{}

// NewAnalyzer is an analyze.Analyzer, analyze.DirAnalyzer and
// analyze.StatAnalyzer that tells facts as report.Setting of kind
// report.SettingBaseline and report.SettingLoose.
func NewAnalyzer() analyze.Analyzer { return analyzer{} }

var (
	_ analyze.DirAnalyzer  = analyzer{}
	_ analyze.StatAnalyzer = analyzer{}
)

// Key implements analyze.Analyzer.
func (analyzer) Key() string { return FactsVersion }

// Wants implements analyze.Analyzer: the files whose content matters.
func (analyzer) Wants(path string, _ fs.FileInfo) bool { return Reads(path) }

// Analyze implements analyze.Analyzer.
func (analyzer) Analyze(_ context.Context, f analyze.File) (*report.Facts, error) {
	var content []byte
	if f.Size <= MaxFileBytes {
		var err error
		if content, err = io.ReadAll(f.Reader()); err != nil {
			return nil, fmt.Errorf("read: %w", err)
		}
	}
	file, err := Facts(f.Path, statOf(f.Info, f.Size), content)
	if errors.Is(err, ErrLimit) {
		err = errors.Join(analyze.ErrLimit, err)
	}
	if file == nil {
		return nil, err
	}
	facts, large := told(file)
	if large != nil {
		err = large
	}
	return facts, err
}

// Dir implements analyze.DirAnalyzer.
func (analyzer) Dir(path string, info fs.FileInfo) *report.Facts {
	if kindOf(path) != kindStat {
		return nil // without asking for the mode
	}
	return stated(path, info)
}

// Stat implements analyze.StatAnalyzer: files of which mode and owner matter.
func (analyzer) Stat(path string, info fs.FileInfo) *report.Facts {
	k := kindOf(path)
	if k > kindStat || k == kindNone && info.Mode()&(modeSetID|modeWorldWrite) == 0 {
		return nil // Analyze tells, or it does not matter; most end here
	}
	return stated(path, info)
}

func stated(path string, info fs.FileInfo) *report.Facts {
	if !Wants(path, info.Mode()) {
		return nil
	}
	size := info.Size()
	if info.IsDir() {
		size = 0 // it depends on the file system of this host
	}
	file, err := Facts(path, statOf(info, size), nil)
	if file == nil || err != nil {
		return nil
	}
	facts, _ := told(file)
	return facts
}

func statOf(info fs.FileInfo, size int64) Stat {
	uid, gid := analyze.Owner(info)
	return Stat{Mode: info.Mode(), UID: uid, GID: gid, Size: size}
}

// told are facts in the words of package report. If they are larger than it
// takes, mode and owner are left, and the error wraps analyze.ErrLimit.
func told(f *File) (*report.Facts, error) {
	body, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	if n := len(body); n > report.MaxSettingBytes {
		err = analyze.Limited("bytes of facts", int64(n), report.MaxSettingBytes)
		less := &File{Path: f.Path, Mode: f.Mode, Dir: f.Dir, UID: f.UID, GID: f.GID, Size: f.Size, Parsed: f.Parsed, Partial: true}
		if body, _ = json.Marshal(less); len(body) > report.MaxSettingBytes {
			return nil, err
		}
	}
	kind := report.SettingBaseline
	if f.Mode&0o6000 == 0 && kindOf(f.Path) == kindNone {
		kind = report.SettingLoose
	}
	return &report.Facts{Settings: []report.Setting{{Kind: kind, Path: f.Path, Body: body}}}, err
}
