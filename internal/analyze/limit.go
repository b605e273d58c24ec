package analyze

import (
	"errors"
	"fmt"

	"github.com/onceover/onceover/internal/report"
)

// ErrLimit is wrapped by the error of an analyser that met more than it is
// willing to read. What was read before may come with it.
var ErrLimit = errors.New("limit crossed")

// Limited is an error that wraps ErrLimit and says which limit: "12 stanzas:
// limit crossed: at most 10".
func Limited(what string, got, limit int64) error {
	return fmt.Errorf("%d %s: %w: at most %d", got, what, ErrLimit, limit)
}

// maxProblems is how many problems of one file are told one by one.
const maxProblems = 20

// Problems collects what went wrong in the parts of one file, so that a file
// with a million broken parts still makes a short report. The zero value is
// ready.
type Problems struct {
	list []report.Problem
	more int
}

// Add notes one problem.
func (p *Problems) Add(path, key, format string, args ...any) {
	if len(p.list) >= maxProblems {
		p.more++
		return
	}
	p.list = append(p.list, report.Problem{Path: path, Analyzer: key, Message: fmt.Sprintf(format, args...)})
}

// List is what was added, with one last line that counts the rest.
func (p *Problems) List() []report.Problem {
	if p.more == 0 {
		return p.list
	}
	last := p.list[len(p.list)-1]
	last.Message = fmt.Sprintf("and %d more problems", p.more)
	return append(p.list[:len(p.list):len(p.list)], last)
}
