package audit

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/onceover/onceover/internal/wire"
)

// Limits of one row. What is longer is cut.
const (
	maxObjects     = 50
	maxObjectBytes = 128
)

// An Entry is one row of the ledger.
type Entry struct {
	ID int64
	// At is when the request came, in Unix milliseconds.
	At        int64
	RequestID string
	// User and AK are empty for a request that nobody known has made.
	User, AK string
	// Client is the address it came from.
	Client    string
	Operation string
	Project   string
	// EnterpriseProject as the request names it.
	EnterpriseProject string
	// Objects are ids that the request names.
	Objects []string
	// Status of the answer, as HTTP has it; 0 while there is none.
	Status int
	// Refused says that nothing was done, since the caller may not.
	Refused bool
	// Count is how many refused requests the row stands for, else 1.
	Count int64
}

// A Ledger keeps entries. Safe for concurrent use.
type Ledger interface {
	// BeginAudit writes an entry down before its request is acted on.
	BeginAudit(ctx context.Context, e Entry) (id int64, err error)
	// EndAudit puts the status of the answer to an entry.
	EndAudit(ctx context.Context, id int64, status int) error
	// PutAudit writes entries down that are complete.
	PutAudit(ctx context.Context, entries []Entry) error
}

// A Log watches requests. It is safe for concurrent use.
type Log struct {
	ledger   Ledger
	now      func() time.Time
	log      *slog.Logger
	refusals refusals
}

// New makes a Log. Run must run beside it.
func New(ledger Ledger, log *slog.Logger) *Log {
	if log == nil {
		log = slog.Default()
	}
	return &Log{ledger: ledger, now: time.Now, log: log}
}

// A Note is what is known of one request. It belongs to the request's goroutine.
type Note struct {
	log   *Log // nil where nothing is kept
	entry Entry
	begun bool
	keep  bool
}

type noteKey struct{}

// From is the Note of a request. Without Watch it is one that nobody reads.
func From(ctx context.Context) *Note {
	if n, ok := ctx.Value(noteKey{}).(*Note); ok {
		return n
	}
	return &Note{}
}

// Who says who asks. It must not be called with names that were not found.
func (n *Note) Who(user, ak string) { n.entry.User, n.entry.AK = user, ak }

// What says what is asked.
func (n *Note) What(operation, project, enterprise string, objects ...string) {
	n.entry.Operation, n.entry.Project, n.entry.EnterpriseProject = operation, cut(project), cut(enterprise)
	n.entry.Objects = nil
	for _, o := range objects {
		if len(n.entry.Objects) < maxObjects {
			n.entry.Objects = append(n.entry.Objects, cut(o))
		}
	}
}

// Begin writes the entry down. What cannot be written down must not be done.
func (n *Note) Begin(ctx context.Context) error {
	if n.log == nil || n.begun {
		return nil
	}
	var err error
	n.entry.ID, err = n.log.ledger.BeginAudit(ctx, n.entry)
	n.begun = err == nil
	return err
}

// Keep has the entry written down when the request is answered, if that is a
// success: for what is known only when it is done.
func (n *Note) Keep() { n.keep = true }

// Watch gives each request a Note, and sees to it that what must be is kept.
func (l *Log) Watch(next http.Handler) http.Handler {
	return wire.WithRequestID(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := &Note{log: l, entry: Entry{
			At: l.now().UnixMilli(), RequestID: wire.RequestID(r.Context()), Client: cut(wire.ClientIP(r)), Count: 1,
		}}
		rec := &wire.Recorder{ResponseWriter: w}
		defer func() { l.finish(context.WithoutCancel(r.Context()), n, rec.Status) }()
		next.ServeHTTP(rec, r.WithContext(context.WithValue(r.Context(), noteKey{}, n)))
	}))
}

func (l *Log) finish(ctx context.Context, n *Note, status int) {
	if status == 0 {
		status = http.StatusOK // as net/http answers; a panic has been answered before
	}
	n.entry.Status = status
	var err error
	switch {
	case n.begun:
		err = l.ledger.EndAudit(ctx, n.entry.ID, status)
	case refused(status):
		n.entry.Refused = true
		l.refusals.add(n.entry)
	case n.keep && status < http.StatusBadRequest:
		err = l.ledger.PutAudit(ctx, []Entry{n.entry})
	}
	if err != nil {
		l.log.ErrorContext(ctx, "write audit log", "request_id", n.entry.RequestID, "error", err)
	}
}

func refused(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusTooManyRequests
}

func cut(s string) string {
	if len(s) > maxObjectBytes {
		return s[:maxObjectBytes]
	}
	return s
}
