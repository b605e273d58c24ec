package wire

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"

	"github.com/onceover/onceover/internal/fault"
)

// PathParam is a parameter of the path, decoded. The router gives it as it
// stands in the path where the client wrote it in an unusual way.
func PathParam(r *http.Request, name string) (string, error) {
	v := chi.URLParam(r, name)
	var err error
	if r.URL.RawPath != "" {
		v, err = url.PathUnescape(v)
	}
	if err != nil || NotText(v) {
		return "", fault.New(fault.Invalid, "%s: not a valid path segment", name)
	}
	return v, nil
}

// NotText finds what no client means, and what the databases would keep in
// different ways.
func NotText(v string) bool { return !utf8.ValidString(v) || strings.ContainsRune(v, 0) }

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
