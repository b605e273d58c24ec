package wire

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestErrorCarriesRequestID(t *testing.T) {
	h := WithRequestID(WithRequestID(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		WriteError(w, r, http.StatusBadRequest, "HSS.0001", "limit: not a number")
	})))
	req := httptest.NewRequest("GET", "/", nil)
	req.Header.Set(HeaderRequestID, "from the client")
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)

	var got Error
	if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if rec.Code != 400 || got.Code != "HSS.0001" || got.Message != "limit: not a number" {
		t.Errorf("answer %d %+v", rec.Code, got)
	}
	if len(got.RequestID) != 32 || got.RequestID != rec.Header().Get(HeaderRequestID) {
		t.Errorf("request id %q in the body, %q in the header", got.RequestID, rec.Header().Get(HeaderRequestID))
	}
}

func TestErrorIsNeverEmpty(t *testing.T) {
	rec := httptest.NewRecorder()
	WriteError(rec, httptest.NewRequest("GET", "/", nil), http.StatusNotFound, "", "")
	var got Error
	if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Code == "" || got.Message == "" || got.RequestID == "" || rec.Header().Get(HeaderRequestID) != got.RequestID {
		t.Errorf("got %+v, header %q", got, rec.Header().Get(HeaderRequestID))
	}
}

func TestWriteJSONThatCannotBeEncoded(t *testing.T) {
	rec := httptest.NewRecorder()
	WriteJSON(rec, http.StatusOK, func() {})
	if rec.Code != http.StatusInternalServerError || !json.Valid(rec.Body.Bytes()) {
		t.Errorf("answer %d %q", rec.Code, rec.Body)
	}
}
