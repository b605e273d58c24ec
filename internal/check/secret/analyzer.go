package secret

import (
	"context"
	"errors"
	"io/fs"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

// analyzer shows files to an engine.
type analyzer struct{ engine *Engine }

// NewAnalyzer is an analyze.Analyzer that shows files to an engine and tells
// secrets as report.Facts.
func NewAnalyzer(e *Engine) analyze.Analyzer { return analyzer{e} }

// Key implements analyze.Analyzer.
func (a analyzer) Key() string { return "secret/" + a.engine.Version() }

// Wants implements analyze.Analyzer.
func (a analyzer) Wants(path string, info fs.FileInfo) bool {
	return a.engine.Wants(path, info.Size())
}

// Analyze implements analyze.Analyzer.
func (a analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	found, err := a.engine.Scan(ctx, f.Path, f.Content, f.Size)
	if errors.Is(err, ErrLimit) {
		err = errors.Join(analyze.ErrLimit, err)
	}
	if len(found) == 0 {
		return nil, err
	}
	return &report.Facts{Secrets: Reported(found)}, err
}

// Reported are secrets in the words of package report.
func Reported(found []Secret) []report.Secret {
	out := make([]report.Secret, len(found))
	for i, s := range found {
		out[i] = report.Secret{
			Rule: s.Rule, Title: s.Title, Kind: string(s.Kind), Severity: report.SeverityOf(string(s.Severity)), Path: s.Path, Line: s.Line, Column: s.Column,
			Masked: s.Masked, Length: s.Length, Context: s.Context, Encrypted: s.Encrypted, Test: s.Test,
		}
	}
	return out
}
