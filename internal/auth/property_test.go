package auth

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// drawRequest makes any request a client may send.
func drawRequest(t *rapid.T) *http.Request {
	method := rapid.SampledFrom([]string{"GET", "POST", "PUT", "DELETE"}).Draw(t, "method")
	segment := rapid.StringMatching(`[ -.0-~äé漢+]{0,12}`)
	path := "/"
	for range rapid.IntRange(0, 4).Draw(t, "segments") {
		path += segment.Draw(t, "segment") + "/"
	}
	if rapid.Bool().Draw(t, "no slash at the end") && len(path) > 1 {
		path = strings.TrimRight(path, "/") + "x"
	}
	u := &url.URL{Scheme: "http", Host: "h", Path: path}
	query := url.Values{}
	for range rapid.IntRange(0, 5).Draw(t, "parameters") {
		query.Add(rapid.StringMatching(`[a-z_ &=+é]{1,6}`).Draw(t, "key"), rapid.String().Draw(t, "value"))
	}
	u.RawQuery = query.Encode()
	body := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "body")
	r := httptest.NewRequest(method, u.String(), bytes.NewReader(body))
	for range rapid.IntRange(0, 3).Draw(t, "headers") {
		r.Header.Add(rapid.SampledFrom([]string{"region", "X-Language", "Accept"}).Draw(t, "name"),
			rapid.StringMatching(`[ -~]{0,10}`).Draw(t, "header"))
	}
	if rapid.Bool().Draw(t, "with project") {
		r.Header.Set("X-Project-Id", "p1")
	}
	return r
}

func TestWhatIsSignedIsAccepted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench()
		r := drawRequest(t)
		algorithm := rapid.SampledFrom([]string{AlgorithmHMAC, AlgorithmDerived, AlgorithmSM3}).Draw(t, "algorithm")
		if err := sign(r, algorithm, "AKEXAMPLE", "SKEXAMPLE", "cn-north-4/hss", b.clock()); err != nil {
			t.Fatal(err)
		}
		if rec, e := serve(b.Users(http.HandlerFunc(echo)), r); rec.Code != 200 {
			t.Fatalf("%s %s: %d %+v", r.Method, r.URL, rec.Code, e)
		}
	})
}

func TestWhatIsChangedIsRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench()
		r := drawRequest(t)
		if err := Sign(r, "AKEXAMPLE", "SKEXAMPLE", b.clock()); err != nil {
			t.Fatal(err)
		}
		body, err := bodyOf(r)
		if err != nil {
			t.Fatal(err)
		}
		what := rapid.SampledFrom([]string{"method", "path", "query", "body", "header", "date", "nonce", "signature", "key"}).Draw(t, "what")
		switch what {
		case "method":
			r.Method = "PATCH"
		case "path":
			r.URL.Path = strings.TrimSuffix(r.URL.Path, "/") + "/y"
			r.URL.RawPath = ""
		case "query":
			r.URL.RawQuery += "&zz=1"
		case "body":
			if len(body) == 0 {
				body = []byte{0}
			} else {
				body[rapid.IntRange(0, len(body)-1).Draw(t, "at")] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
			}
			r.Body, r.ContentLength = readCloser(body), int64(len(body))
		case "header":
			r.Header.Set("X-Onceover-Nonce", r.Header.Get("X-Onceover-Nonce")+"x")
		case "date":
			r.Header.Set("X-Sdk-Date", b.clock().Add(1e9).Format(dateFormat))
		case "nonce":
			r.Header.Del("X-Onceover-Nonce")
		case "signature":
			h := []byte(r.Header.Get("Authorization"))
			i := len(h) - 1 - rapid.IntRange(0, 63).Draw(t, "digit")
			if h[i] == '0' {
				h[i] = '1'
			} else {
				h[i] = '0'
			}
			r.Header.Set("Authorization", string(h))
		case "key":
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "AKEXAMPLE", "EXPIRED", 1))
		}
		if rec, _ := serve(b.Users(http.HandlerFunc(echo)), r); rec.Code != 401 {
			t.Fatalf("%s changed: %d", what, rec.Code)
		}
	})
}

type nopCloser struct{ *bytes.Reader }

func (nopCloser) Close() error { return nil }

func readCloser(b []byte) nopCloser { return nopCloser{bytes.NewReader(b)} }

func FuzzParseAuthorization(f *testing.F) {
	f.Add("SDK-HMAC-SHA256 Access=AK, SignedHeaders=x-sdk-date, Signature=" + strings.Repeat("0", 64))
	f.Add("V11-HMAC-SHA256 Credential=AK/20260102/r/hss, SignedHeaders=host;x-sdk-date, Signature=" + strings.Repeat("a", 64))
	f.Add("SDK-SM2-SM3 Access=,,=")
	f.Fuzz(func(t *testing.T, header string) {
		c, no := parseAuthorization(header)
		if no != nil {
			if no.status != 401 || no.message == "" {
				t.Errorf("refusal %+v", no)
			}
			return
		}
		if !validAccessKey(c.ak) || checkSignature(c.signature, schemes[c.algorithm].verify != nil) != nil || len(c.signed) == 0 || len(c.signed) > maxSignedHeaders {
			t.Errorf("accepted %+v", c)
		}
		if (c.info != "") != (c.algorithm == AlgorithmDerived) {
			t.Errorf("info %q of %s", c.info, c.algorithm)
		}
	})
}

// No request that was not signed with the secret gets through, and none
// brings the server down.
func FuzzVerify(f *testing.F) {
	f.Add("POST", "/v5/p1/x", "a=b&c", "SDK-HMAC-SHA256 Access=AKEXAMPLE, SignedHeaders=x-sdk-date, Signature="+strings.Repeat("0", 64), "20260102T030405Z", "{}")
	f.Add("GET", "//%2f/..", "a=%zz;", "V11-HMAC-SHA256 Credential=AKEXAMPLE/20260102/r/hss, SignedHeaders=host;x-sdk-date, Signature="+strings.Repeat("a", 64), "20260102T030405Z", "")
	f.Fuzz(func(t *testing.T, method, path, query, header, date, body string) {
		b := newBench()
		r := httptest.NewRequest("GET", "/", strings.NewReader(body))
		r.Method = method
		r.URL.Path, r.URL.RawQuery = path, query
		r.Header.Set("Authorization", header)
		r.Header.Set("X-Sdk-Date", date)
		rec, e := serve(b.Users(http.HandlerFunc(echo)), r)
		if rec.Code < 400 || e.Code == "" || e.Message == "" {
			t.Errorf("answer %d %+v", rec.Code, e)
		}
	})
}

func TestAuthorizationLimits(t *testing.T) {
	sig := ", Signature=" + strings.Repeat("0", 64)
	many := make([]string, maxSignedHeaders+1)
	for i := range many {
		many[i] = strings.Repeat("h", i+1)
	}
	tests := []struct{ name, header, says string }{
		{"length", "SDK-HMAC-SHA256 Access=" + strings.Repeat("A", maxAuthorizationBytes), "too long"},
		{"headers", "SDK-HMAC-SHA256 Access=A, SignedHeaders=" + strings.Join(many, ";") + sig, "too many signed headers"},
		{"key", "SDK-HMAC-SHA256 Access=" + strings.Repeat("A", maxAccessKeyBytes+1) + ", SignedHeaders=a" + sig, "access key"},
		{"twice", "SDK-HMAC-SHA256 Access=A, Access=A, SignedHeaders=a" + sig, "malformed"},
		{"header twice", "SDK-HMAC-SHA256 Access=A, SignedHeaders=a;a" + sig, "SignedHeaders is malformed"},
		{"upper case", "SDK-HMAC-SHA256 Access=A, SignedHeaders=A" + sig, "SignedHeaders is malformed"},
		{"short signature", "SDK-HMAC-SHA256 Access=A, SignedHeaders=a, Signature=00", "64"},
		{"long signature", "SDK-SM2-SM3 Access=A, SignedHeaders=a, Signature=" + strings.Repeat("0", 2*maxCurveSignature+2), "144"},
		{"odd signature", "SDK-ECDSA-P256-SHA256 Access=A, SignedHeaders=a, Signature=000", "144"},
		{"scope", "V11-HMAC-SHA256 Credential=A/1/2, SignedHeaders=a" + sig, "<AK>/<date>/<region>/<service>"},
		{"other scheme", "Basic QTpC", "unknown signing algorithm"},
		{"nothing", "x", "no parameters"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, no := parseAuthorization(tt.header)
			if no == nil || !strings.Contains(no.message, tt.says) {
				t.Errorf("refusal %+v, want …%s…", no, tt.says)
			}
		})
	}
}
