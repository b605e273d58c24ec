package secret

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

// analyzer shows files to an engine, which is made when the first file or the
// key is asked for.
type analyzer struct{ engine func() (*Engine, error) }

// NewAnalyzer is an analyze.Analyzer with the rules of this package. It tells
// secrets as report.Facts.
func NewAnalyzer() analyze.Analyzer {
	return &analyzer{sync.OnceValues(func() (*Engine, error) { return New() })}
}

// Key implements analyze.Analyzer.
func (a *analyzer) Key() string {
	e, err := a.engine()
	if err != nil {
		return "secret/0" // Analyze tells
	}
	return "secret/" + e.Version()
}

// Wants implements analyze.Analyzer.
func (a *analyzer) Wants(path string, info fs.FileInfo) bool {
	e, err := a.engine()
	return err != nil || e.Wants(path, info.Size())
}

// Analyze implements analyze.Analyzer.
func (a *analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	e, err := a.engine()
	if err != nil {
		return nil, err
	}
	found, err := e.Scan(ctx, f.Path, f.Content, f.Size)
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
			Rule: s.Rule, Title: s.Title, Kind: string(s.Kind), Severity: severityName(s.Severity), Path: s.Path, Line: s.Line, Column: s.Column,
			Masked: s.Masked, Length: s.Length, Context: s.Context, Encrypted: s.Encrypted, Test: s.Test,
		}
	}
	return out
}

// severityName is the word for findings, which HSS writes in another way.
func severityName(s Severity) string {
	if s == "" {
		return report.SeverityUnknown
	}
	return strings.ToUpper(string(s[:1])) + string(s[1:])
}
