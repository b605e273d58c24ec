package wire

import (
	"net"
	"net/http"
)

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

// ClientIP is the other end of the connection, as it is named where that is no
// network. A proxy in between hides the client: headers that name one can be made
// up by anyone.
func ClientIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
