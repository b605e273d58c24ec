package secret

import (
	"context"
	"errors"
	"io/fs"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

// analyzer shows files to the engine of Builtin.
type analyzer struct{}

// NewAnalyzer is an analyze.Analyzer with the rules of this package. It tells
// secrets as report.Facts. The engine is made when the key or a file is asked
// for.
func NewAnalyzer() analyze.Analyzer { return analyzer{} }

// Key implements analyze.Analyzer.
func (analyzer) Key() string {
	e, err := Builtin()
	if err != nil {
		return "secret/0" // Analyze tells
	}
	return "secret/" + e.Version()
}

// Wants implements analyze.Analyzer.
func (analyzer) Wants(path string, info fs.FileInfo) bool {
	e, err := Builtin()
	return err != nil || e.Wants(path, info.Size())
}

// Analyze implements analyze.Analyzer.
func (analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	e, err := Builtin()
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
			Rule: s.Rule, Title: s.Title, Kind: string(s.Kind), Severity: report.SeverityOf(string(s.Severity)), Path: s.Path, Line: s.Line, Column: s.Column,
			Masked: s.Masked, Length: s.Length, Context: s.Context, Encrypted: s.Encrypted, Test: s.Test,
		}
	}
	return out
}
