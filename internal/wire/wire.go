package wire

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"net/http"
)

// HeaderRequestID carries the id of a request in every answer.
const HeaderRequestID = "X-Request-Id"

// An Error is the body of every answer with a status of 400 or more.
type Error struct {
	Code      string `json:"error_code"`
	Message   string `json:"error_msg"`
	RequestID string `json:"request_id"`
}

type requestIDKey struct{}

// WithRequestID gives each request an id: in its context and in the header of
// its answer. A request that has one keeps it, so the handler may stand at
// more than one place. Ids that clients send are not taken over: they would
// let one client write into the log lines of another.
func WithRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := RequestID(r.Context())
		if id == "" {
			id = newRequestID()
			r = r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id))
		}
		w.Header().Set(HeaderRequestID, id)
		next.ServeHTTP(w, r)
	})
}

// RequestID is the id that WithRequestID gave, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// WriteError answers with an error. An empty code or message would make the
// SDK show the raw body, so they are filled in from the status.
func WriteError(w http.ResponseWriter, r *http.Request, status int, code, message string) {
	if code == "" {
		code = "HSS.0000"
	}
	if message == "" {
		message = http.StatusText(status)
	}
	id := RequestID(r.Context())
	if id == "" {
		id = newRequestID()
		w.Header().Set(HeaderRequestID, id)
	}
	WriteJSON(w, status, Error{Code: code, Message: message, RequestID: id})
}

// WriteJSON answers with v as JSON. A failure to write is the client's loss
// and is not reported: the connection is gone.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status = http.StatusInternalServerError
		b = []byte(`{"error_code":"HSS.0000","error_msg":"the answer could not be encoded"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(b)
}

// newRequestID is 16 random bytes as hexadecimal digits, the form that Huawei
// Cloud's gateway uses. crypto/rand.Read never returns an error.
func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
