package auth

import (
	"bytes"
	"encoding/hex"
	"hash"
	"io"
	"net/http"
	"strings"
	"time"
)

// readBody reads at most limit bytes, hashes them with h and keeps them if asked.
func readBody(w http.ResponseWriter, r *http.Request, limit int64, h hash.Hash, keep bool) ([]byte, string, *refusal) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, hexSum(h), nil
	}
	var kept bytes.Buffer
	var to io.Writer = h
	if keep {
		to = io.MultiWriter(h, &kept)
	}
	n, err := io.Copy(to, io.LimitReader(r.Body, limit+1))
	if err != nil {
		return nil, "", badRequest("the request body could not be read")
	}
	if n > limit {
		drain(w, r)
		return nil, "", tooLarge(limit)
	}
	return kept.Bytes(), hexSum(h), nil
}

func hexSum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// drain reads the rest of a body that is refused for its size, within bounds.
// A client that waits for "100 Continue" has sent nothing yet.
func drain(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Connection", "close")
	if r.Body == nil || strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		return
	}
	// Not every connection has deadlines; the byte limit holds for all.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(drainTime))
	_, _ = io.CopyN(io.Discard, r.Body, drainBytes)
}
