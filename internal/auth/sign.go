package auth

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Sign signs a request of ours with SDK-HMAC-SHA256. Headers that are set
// before are signed; the body is read and put back, so it must fit into
// memory. A nonce header is added, so that the same request may be sent twice
// within a second and a captured one never again.
func Sign(req *http.Request, ak, sk string, now time.Time) error {
	if req.Header.Get(headerNonce) == "" {
		req.Header.Set(headerNonce, rand.Text())
	}
	return sign(req, AlgorithmHMAC, ak, sk, "", now)
}

// sign is the client's half of the schemes with a keyed hash. scope is
// "region/service" for the derived algorithm.
func sign(req *http.Request, algorithm, ak, sk, scope string, now time.Time) error {
	body, err := bodyOf(req)
	if err != nil {
		return fmt.Errorf("read body to sign: %w", err)
	}
	query, err := url.ParseQuery(req.URL.RawQuery)
	if err != nil {
		return fmt.Errorf("parse query to sign: %w", err)
	}
	date := now.UTC().Format(dateFormat)
	req.Header.Set(headerDate, date)
	req.Header.Del(headerAuthorization)

	signed := make([]string, 0, len(req.Header))
	for name := range req.Header {
		name = strings.ToLower(name)
		if !strings.HasPrefix(name, "content-type") && !strings.Contains(name, "_") {
			signed = append(signed, name)
		}
	}
	slices.Sort(signed)

	s := schemes[algorithm]
	payload := req.Header.Get(s.contentHeader)
	if payload == "" {
		h := s.hash()
		h.Write(body)
		payload = hexSum(h)
	}
	access, info := "Access="+ak, ""
	if algorithm == AlgorithmDerived {
		info = now.UTC().Format(derivedDate) + "/" + scope
		access = "Credential=" + ak + "/" + info
	}
	toSign := s.stringToSign(algorithm, date, info, canonicalRequest(req, query, signed, payload))
	sig, err := s.mac(ak, sk, info, toSign)
	if err != nil {
		return fmt.Errorf("sign request: %w", err)
	}
	req.Header.Set(headerAuthorization,
		algorithm+" "+access+", SignedHeaders="+strings.Join(signed, ";")+", Signature="+sig)
	return nil
}

// bodyOf reads the body and puts it back.
func bodyOf(req *http.Request) ([]byte, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return nil, nil
	}
	b, err := io.ReadAll(req.Body)
	_ = req.Body.Close()
	if err != nil {
		return nil, err
	}
	req.Body = io.NopCloser(bytes.NewReader(b))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
	req.ContentLength = int64(len(b))
	return b, nil
}
