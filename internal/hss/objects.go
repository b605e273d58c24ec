package hss

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"
)

// maxNoted is how many ids of a request are noted for the audit log.
const maxNoted = 50

// namedIn are the ids that a write names: in its path, and in members of its body
// whose name ends in "id", "ids" or "id_list". Nothing else of a body is noted: it
// may hold passwords. The body is put back.
func namedIn(r *http.Request) []string {
	var out []string
	if rc := chi.RouteContext(r.Context()); rc != nil {
		for i, name := range rc.URLParams.Keys {
			if name != "project_id" && name != "*" && i < len(rc.URLParams.Values) {
				out = append(out, rc.URLParams.Values[i])
			}
		}
	}
	if r.Body == nil {
		return out
	}
	b, err := io.ReadAll(r.Body) // the authenticator has bounded it, and holds it in memory
	r.Body = io.NopCloser(bytes.NewReader(b))
	if err != nil {
		return out
	}
	w := idWalker{dec: json.NewDecoder(bytes.NewReader(b)), out: out}
	w.value("")
	return w.out
}

// idWalker goes through JSON without making anything of it. What it cannot read
// ends it.
type idWalker struct {
	dec *json.Decoder
	out []string
}

// value reads one value, that of a member called name, and reports whether to go
// on. The depth of the recursion is bounded by the decoder (10,000).
func (w *idWalker) value(name string) bool {
	t, err := w.dec.Token()
	if err != nil || len(w.out) >= maxNoted {
		return false
	}
	switch t := t.(type) {
	case string:
		if isID(name) {
			w.out = append(w.out, t)
		}
	case json.Delim:
		for w.dec.More() {
			member := name
			if t == '{' {
				k, err := w.dec.Token()
				if err != nil {
					return false
				}
				member, _ = k.(string)
			}
			if !w.value(member) {
				return false
			}
		}
		_, err := w.dec.Token()
		return err == nil
	}
	return true
}

func isID(name string) bool {
	for _, suffix := range []string{"id", "ids", "id_list"} {
		if before, ok := strings.CutSuffix(name, suffix); ok && (before == "" || strings.HasSuffix(before, "_")) {
			return true
		}
	}
	return false
}
