package scan

import (
	"context"
	"errors"
	"io/fs"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/layer"
)

// errFacts means that a file says more than a report can hold.
var errFacts = fault.New(fault.TooLarge, "more facts than a report holds")

// failure is an error on its way between processes.
type failure struct {
	Kind string `json:"kind,omitempty"`
	Text string `json:"text"`
}

// failureKinds are the errors that somebody looks for.
var failureKinds = []struct {
	kind string
	err  error
}{
	{"limit", layer.ErrLimit},
	{"digest", layer.ErrDigest},
	{"unsupported", layer.ErrUnsupported},
	{"host", layer.ErrHost},
	{"gone", fs.ErrNotExist},
	{"permission", fs.ErrPermission},
	{"deadline", context.DeadlineExceeded},
	{"canceled", context.Canceled},
}

// maxFailure is how much of an error's text is kept.
const maxFailure = 2 << 10

func newFailure(err error) *failure {
	if err == nil {
		return nil
	}
	f := &failure{Text: cut(err.Error(), maxFailure)}
	for _, k := range failureKinds {
		if errors.Is(err, k.err) {
			f.Kind = k.kind
			return f
		}
	}
	if fault.CodeOf(err) == fault.NotFound {
		f.Kind = "gone"
	}
	return f
}

// err is the error again, or nil.
func (f *failure) err() error {
	if f == nil {
		return nil
	}
	e := &remoteError{text: cut(f.Text, maxFailure)}
	for _, k := range failureKinds {
		if k.kind == f.Kind {
			e.is = k.err
		}
	}
	return e
}

// remoteError is an error of another process.
type remoteError struct {
	text string
	is   error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.is }

// cut shortens s to n bytes at a rune.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}
