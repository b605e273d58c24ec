package fault

import (
	"errors"
	"fmt"
)

// Code classifies an error by what the caller can do about it. The edges
// (command line, HTTP, HSS API, agent protocol) each map codes to their own
// vocabulary in one table.
type Code int

const (
	// Internal is everything the caller cannot mend. It is the code of an
	// error that carries none.
	Internal Code = iota
	// Invalid means that the request or argument is wrong as given.
	Invalid
	// Unparsable means that the request body is not what its type says.
	Unparsable
	// NotFound means that the thing named does not exist.
	NotFound
	// Unauthenticated means that the caller is not known or not proved.
	Unauthenticated
	// Forbidden means that the caller is known and may not do this.
	Forbidden
	// Conflict means that the state of the thing does not allow this now.
	Conflict
	// TooLarge means that a limit on size was crossed.
	TooLarge
	// Unavailable means that a part this needs cannot be reached now.
	Unavailable
	// Unsupported means that the operation is known and not built.
	Unsupported
)

// String names the code for logs.
func (c Code) String() string {
	switch c {
	case Invalid:
		return "invalid"
	case Unparsable:
		return "unparsable"
	case NotFound:
		return "not found"
	case Unauthenticated:
		return "unauthenticated"
	case Forbidden:
		return "forbidden"
	case Conflict:
		return "conflict"
	case TooLarge:
		return "too large"
	case Unavailable:
		return "unavailable"
	case Unsupported:
		return "unsupported"
	default:
		return "internal"
	}
}

// Error is an error with a code. Its text is meant for the person who made
// the request; causes that are wrapped with %w stay reachable and are logged,
// not shown, by the HTTP edges.
type Error struct {
	Code Code
	msg  string
	err  error
}

// New makes a coded error. The format is that of fmt.Errorf, %w included.
func New(code Code, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, msg: err.Error(), err: errors.Unwrap(err)}
}

// Wrap gives err a code and says what was being done. A nil err stays nil.
func Wrap(code Code, err error, doing string) error {
	if err == nil {
		return nil
	}
	return &Error{Code: code, msg: doing + ": " + err.Error(), err: err}
}

// Error is the whole text.
func (e *Error) Error() string { return e.msg }

// Unwrap is the wrapped cause, or nil.
func (e *Error) Unwrap() error { return e.err }

// CodeOf is the code nearest to the surface of err; Internal where there is
// none.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}
