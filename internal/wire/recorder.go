package wire

import "net/http"

// A Recorder remembers the status of an answer on its way out.
type Recorder struct {
	http.ResponseWriter
	// Status is 0 until one is written. An answer that ends so was 200.
	Status int
}

// WriteHeader implements http.ResponseWriter.
func (r *Recorder) WriteHeader(status int) {
	if r.Status == 0 && status >= http.StatusOK { // not a word in between
		r.Status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Flush lets answers go out piece by piece.
func (r *Recorder) Flush() { _ = http.NewResponseController(r.ResponseWriter).Flush() }

// Unwrap lets http.ResponseController through.
func (r *Recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
