package query

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/tenant"
	"github.com/onceover/onceover/internal/wire"
)

const (
	// pollEvery is how often the database is asked while someone listens. It
	// may be another server that works on the task.
	pollEvery = time.Second
	// beatEvery keeps proxies from taking a quiet stream for a dead one.
	beatEvery = 15 * time.Second
	// writeTime is how long a listener may take to read what is sent.
	writeTime = 15 * time.Second
	// followTime ends a stream; the listener comes again with the id of the
	// last event, and shows its key once more.
	followTime = 15 * time.Minute
	// retryTime is how long a listener waits before it comes again.
	retryTime = 2 * time.Second
	// endedPage is how many contents one look at the database brings.
	endedPage = 500
	// maxListeners bounds the streams of the server, maxOfKey those of one
	// access key.
	maxListeners = 64
	maxOfKey     = 8
)

// endMark ends the id of the last event: who has seen it has seen all.
const endMark = ".end"

// listeners counts who listens. The zero value is ready.
type listeners struct {
	mu  sync.Mutex
	all int
	of  map[string]int
}

// enter returns what to call at the end, nil if there is no room.
func (l *listeners) enter(key string) (leave func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= maxListeners || l.of[key] >= maxOfKey {
		return nil
	}
	if l.of == nil {
		l.of = map[string]int{}
	}
	l.all++
	l.of[key]++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all--
		if l.of[key]--; l.of[key] == 0 {
			delete(l.of, key)
		}
	}
}

// followTask sends what becomes of a scan task as server-sent events
// (https://html.spec.whatwg.org/multipage/server-sent-events.html): how it stands,
// each image that ends, and the end. The id of an event is how many images had
// ended, so that it means the same to every server of the database.
func (a *api) followTask(w http.ResponseWriter, r *http.Request) {
	var id, project, done string
	c, err := a.begin(r, auth.Viewer)
	if err == nil {
		id, err = wire.PathParam(r, "id")
	}
	if err == nil {
		err = known(r)
	}
	f := &follower{w: w, rc: http.NewResponseController(w)}
	if err == nil {
		done, err = f.resume(r.Header.Get("Last-Event-ID"))
	}
	var t store.Task
	if err == nil {
		t, err = tenant.Found(c, func(in string) (store.Task, error) {
			project = in
			t, _, err := a.store.Progress(r.Context(), in, id, f.done, 1)
			return t, err
		})
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if done != "" && t.EndTime > 0 {
		w.WriteHeader(http.StatusNoContent) // which tells a browser not to come again
		return
	}
	leave := a.listeners.enter(c.Key.By())
	if leave == nil {
		w.Header().Set("Retry-After", "30")
		wire.WriteError(w, r, http.StatusTooManyRequests, "Onceover.0429",
			fmt.Sprintf("too many listen: at most %d at once, %d with one access key", maxListeners, maxOfKey))
		return
	}
	defer leave()
	if f.done < 0 {
		f.done = t.SuccessNum + t.FailedNum
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Accel-Buffering", "no") // nginx would keep events back
	ctx, cancel := context.WithTimeout(r.Context(), followTime)
	defer cancel()
	fmt.Fprintf(&f.out, "retry: %d\n\n", retryTime.Milliseconds())
	err = f.follow(ctx, a.ending, a.poll, func() (store.Task, []store.TaskImage, error) {
		return a.store.Progress(ctx, project, id, f.done, endedPage)
	})
	if err != nil && ctx.Err() == nil && fault.CodeOf(err) != fault.NotFound {
		a.log.ErrorContext(ctx, "progress of a task cannot be told on", "task", id, "request_id", wire.RequestID(ctx), "error", err)
	}
}

// follower is one stream of events.
type follower struct {
	w  http.ResponseWriter
	rc *http.ResponseController
	// done is how many images have been told of, -1 for a new listener, who
	// is told of those to come.
	done int64
	told []byte // the task as it was told last
	out  bytes.Buffer
}

// resume takes the id of the last event that the listener has. end is not empty
// if that was the end of the task.
func (f *follower) resume(last string) (end string, err error) {
	f.done = -1
	if last == "" {
		return "", nil
	}
	number, ended := strings.CutSuffix(last, endMark)
	if f.done, err = strconv.ParseInt(number, 10, 64); err != nil || f.done < 0 {
		return "", fault.New(fault.Invalid, "Last-Event-ID %.64q: want the id of an event", last)
	}
	if ended {
		end = last
	}
	return end, nil
}

// follow sends until the task, ctx or the server ends, or the listener is gone.
func (f *follower) follow(ctx context.Context, ending <-chan struct{}, every time.Duration, look func() (store.Task, []store.TaskImage, error)) error {
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	beat := time.Now()
	for {
		t, ended, err := look()
		if err != nil {
			return err
		}
		more, err := f.tell(t, ended)
		if err != nil {
			return err
		}
		if f.out.Len() == 0 && time.Since(beat) >= beatEvery {
			f.out.WriteString(":\n\n")
		}
		if f.out.Len() > 0 {
			if !f.flush() {
				return nil
			}
			beat = time.Now()
		}
		if more {
			continue
		}
		if t.EndTime > 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ending:
			return nil
		case <-ticks.C:
		}
	}
}

// tell writes what is new; more says that there is more to read at once.
func (f *follower) tell(t store.Task, ended []store.TaskImage) (more bool, err error) {
	for i, img := range ended {
		// Images of one content end together: the id comes with the last, so
		// that none is lost if the stream breaks between them.
		id := ""
		if i == len(ended)-1 || ended[i+1].Done != img.Done {
			f.done = img.Done
			id = strconv.FormatInt(f.done, 10)
		}
		if err := f.event("image", id, newTaskImage(img)); err != nil {
			return false, err
		}
	}
	if f.done < t.SuccessNum+t.FailedNum && len(ended) > 0 {
		return true, nil
	}
	task := newScanTask(t)
	js, err := json.Marshal(task)
	if err != nil {
		return false, fmt.Errorf("write event: %w", err)
	}
	id := strconv.FormatInt(f.done, 10)
	if t.EndTime > 0 {
		return false, f.event("end", id+endMark, task)
	}
	if bytes.Equal(js, f.told) {
		return false, nil
	}
	f.told = js
	return false, f.event("task", id, task)
}

func (f *follower) event(name, id string, data any) error {
	js, err := json.Marshal(data) // one line
	if err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	fmt.Fprintf(&f.out, "event: %s\n", name)
	if id != "" {
		fmt.Fprintf(&f.out, "id: %s\n", id)
	}
	fmt.Fprintf(&f.out, "data: %s\n\n", js)
	return nil
}

// flush sends what was written; false if the listener is gone. The server's own
// time for a request would end the stream: each piece has its own.
func (f *follower) flush() bool {
	if err := f.rc.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return false
	}
	_, err := f.w.Write(f.out.Bytes())
	f.out.Reset()
	return err == nil && f.rc.Flush() == nil
}
