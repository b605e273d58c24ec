package wire

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestRouter(t *testing.T) {
	through := func(next http.Handler) http.Handler { return next }
	r := NewRouter(through, func(w http.ResponseWriter, r *http.Request, err error) {
		if !strings.HasPrefix(err.Error(), "panic: oh\n") {
			t.Errorf("failed with %q", err)
		}
		WriteError(w, r, http.StatusInternalServerError, "X.1", "internal")
	})
	r.Get("/oh", func(http.ResponseWriter, *http.Request) { panic("oh") })
	r.Get("/gone", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	r.Get("/text/{text}", func(w http.ResponseWriter, r *http.Request) {
		if v, err := PathParam(r, "text"); err != nil {
			WriteError(w, r, http.StatusBadRequest, "X.2", err.Error())
		} else {
			WriteJSON(w, http.StatusOK, v)
		}
	})
	for _, tc := range []struct {
		name, method, path string
		status             int
		body               string
	}{
		{"a panic", "GET", "/oh", 500, `"X.1"`},
		{"no route", "GET", "/none", 404, "APIGW.0101"},
		{"no method", "PUT", "/oh", 405, "APIGW.0101"},
		{"a parameter", "GET", "/text/a%2Fb%20c", 200, `"a/b c"`},
		{"a NUL", "GET", "/text/a%00", 400, "not a valid path segment"},
		{"no UTF-8", "GET", "/text/a%ff", 400, "not a valid path segment"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rec := httptest.NewRecorder()
			r.ServeHTTP(rec, httptest.NewRequest(tc.method, tc.path, nil))
			if rec.Code != tc.status || !strings.Contains(rec.Body.String(), tc.body) || rec.Header().Get(HeaderRequestID) == "" {
				t.Errorf("%d %s", rec.Code, rec.Body)
			}
		})
	}
	defer func() {
		if v := recover(); v != http.ErrAbortHandler {
			t.Errorf("an answer that is broken off: %v", v)
		}
	}()
	r.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/gone", nil))
}
