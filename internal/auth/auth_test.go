package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/wire"
)

// The clock of the vectors in the wire contract.
var vectorTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// keyring keeps keys in memory. The database's own is tested with package
// store, which stands above this one.
type keyring struct {
	mu     sync.Mutex
	keys   map[string]Key
	tokens map[string]Token
}

func (k *keyring) Key(_ context.Context, ak string) (Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, ok := k.keys[ak]
	if !ok {
		return Key{}, fault.New(fault.NotFound, "access key %s", ak)
	}
	return key, nil
}

func (k *keyring) PutToken(_ context.Context, t Token) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tokens[t.Hash] = t
	return nil
}

func (k *keyring) Token(_ context.Context, hash string, now int64) (Token, Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t, ok := k.tokens[hash]
	key, there := k.keys[t.AK]
	if t.AK == "" { // issued for a password
		key, there = Key{UserID: t.UserID, User: "eve", ProjectID: t.ProjectID, Role: Viewer}, true
	}
	if !ok || !there || now >= t.ExpiresAt {
		return Token{}, Key{}, fault.New(fault.NotFound, "token")
	}
	return t, key, nil
}

func (k *keyring) Project(_ context.Context, id string) (Project, error) {
	return Project{ID: id, Name: "default"}, nil
}

// bench is an authenticator with a clock that tests move.
type bench struct {
	*Authenticator
	keys *keyring
	mu   sync.Mutex
	time time.Time
}

func (b *bench) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.time
}

func (b *bench) advance(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.time = b.time.Add(d)
}

func newBench() *bench {
	b := &bench{time: vectorTime}
	b.keys = &keyring{tokens: map[string]Token{}, keys: map[string]Key{
		"AKEXAMPLE": {AK: "AKEXAMPLE", Secret: "SKEXAMPLE", ProjectID: "p1"},
		"DISABLED":  {AK: "DISABLED", Secret: "SK", ProjectID: "p1", Disabled: true},
		"EXPIRED":   {AK: "EXPIRED", Secret: "SK", ProjectID: "p1", ExpiresAt: vectorTime.UnixMilli()},
		"AGENT":     {AK: "AGENT", Secret: "SK", ProjectID: "p1", AgentID: "a1"},
	}}
	b.Authenticator = New(Config{
		Keys: b.keys, Projects: b.keys, Now: b.clock, MaxBody: 1000,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	return b
}

// echo answers with the key's project and the body that was left to it.
func echo(w http.ResponseWriter, r *http.Request) {
	key, ok := FromContext(r.Context())
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%v %s %q %q %v", ok, key.ProjectID, key.Secret, body, BodySigned(r.Context()))
}

func serve(h http.Handler, r *http.Request) (*httptest.ResponseRecorder, wire.Error) {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	var e wire.Error
	_ = json.Unmarshal(rec.Body.Bytes(), &e)
	return rec, e
}

func request(method, target, body string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	return r
}

func signed(t testing.TB, b *bench, ak, sk, method, target, body string, header ...string) *http.Request {
	t.Helper()
	r := request(method, target, body)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	if err := sign(r, AlgorithmHMAC, ak, sk, "", b.clock()); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestVectors(t *testing.T) {
	post := func() *http.Request {
		r := request("POST", "/v5/p1/image/local/batch-scan?enterprise_project_id=all_granted_eps", "{\"operate_all\":true}\n")
		r.Header.Set("region", "cn-north-4")
		return r
	}
	tests := []struct {
		name, algorithm, scope string
		req                    *http.Request
		headers, want          string
	}{
		{"post", AlgorithmHMAC, "", post(), "region;user-agent;x-project-id;x-sdk-date",
			"ad75b01d23611fe375787c83a5fb2e183891fc465c3871e0bee285a09c5eaa49"},
		{"derived", AlgorithmDerived, "cn-north-4/hss", post(), "region;user-agent;x-project-id;x-sdk-date",
			"5247a08354bb5bd76fa327e2ac35a6820bfb14a992b2e71b46bb1c6e4618d8b7"},
		{"SM3", AlgorithmSM3, "", post(), "region;user-agent;x-project-id;x-sdk-date",
			"1ef7e18096f7c134b18acd077d2bbf99d854ccb31c80078614c6c22f2b68e4b0"},
		{"get", AlgorithmHMAC, "",
			request("GET", "/v5/p1/image/baseline/risk-configs/CentOS%207/rules?image_type&standard=cn_standard", ""),
			"user-agent;x-project-id;x-sdk-date",
			"fede6e245ad502c41b6f13522b10fb5985d56d4a16502699b51bbaebc4596cb8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.req.Header.Set("User-Agent", "ua/1")
			tt.req.Header.Set("X-Project-Id", "p1")
			tt.req.Header.Set("Content-Type", "application/json")
			if err := sign(tt.req, tt.algorithm, "AKEXAMPLE", "SKEXAMPLE", tt.scope, vectorTime); err != nil {
				t.Fatal(err)
			}
			header := tt.req.Header.Get("Authorization")
			if want := "SignedHeaders=" + tt.headers + ", Signature=" + tt.want; !strings.HasSuffix(header, want) {
				t.Errorf("signed %s\nwant it to end in %s", header, want)
			}
			rec, e := serve(newBench().Users(http.HandlerFunc(echo)), tt.req)
			if rec.Code != 200 {
				t.Errorf("answer %d %+v", rec.Code, e)
			}
		})
	}
}

func TestBodyStaysReadable(t *testing.T) {
	b := newBench()
	rec, _ := serve(b.Users(http.HandlerFunc(echo)), signed(t, b, "AKEXAMPLE", "SKEXAMPLE", "POST", "/x", `{"a":1}`))
	if got, want := rec.Body.String(), `true p1 "" "{\"a\":1}" true`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRefusals(t *testing.T) {
	const ak, sk = "AKEXAMPLE", "SKEXAMPLE"
	tests := []struct {
		name   string
		make   func(t *testing.T, b *bench) *http.Request
		status int
		code   string
		says   string
	}{
		{"not signed", func(t *testing.T, b *bench) *http.Request { return request("GET", "/x", "") },
			401, "APIGW.0301", "not signed"},
		{"wrong secret", func(t *testing.T, b *bench) *http.Request { return signed(t, b, ak, "WRONG", "GET", "/x", "") },
			401, "APIGW.0301", "verify aksk signature fail"},
		{"unknown key", func(t *testing.T, b *bench) *http.Request { return signed(t, b, "NOBODY", sk, "GET", "/x", "") },
			401, "APIGW.0301", "verify aksk signature fail"},
		{"unknown key with an empty secret", func(t *testing.T, b *bench) *http.Request { return signed(t, b, "NOBODY", "", "GET", "/x", "") },
			401, "APIGW.0301", "verify aksk signature fail"},
		{"disabled key", func(t *testing.T, b *bench) *http.Request { return signed(t, b, "DISABLED", "SK", "GET", "/x", "") },
			401, "APIGW.0301", "disabled"},
		{"expired key", func(t *testing.T, b *bench) *http.Request { return signed(t, b, "EXPIRED", "SK", "GET", "/x", "") },
			401, "APIGW.0301", "expired"},
		{"key of an agent", func(t *testing.T, b *bench) *http.Request { return signed(t, b, "AGENT", "SK", "GET", "/x", "") },
			403, "HSS.0013", "agent"},
		{"changed body", func(t *testing.T, b *bench) *http.Request {
			r := signed(t, b, ak, sk, "POST", "/x", `{"operate_all":false}`)
			r.Body = io.NopCloser(strings.NewReader(`{"operate_all":true }`))
			return r
		}, 401, "APIGW.0301", "verify aksk signature fail"},
		{"changed query", func(t *testing.T, b *bench) *http.Request {
			r := signed(t, b, ak, sk, "GET", "/x?limit=10", "")
			r.URL.RawQuery = "limit=11"
			return r
		}, 401, "APIGW.0301", "verify aksk signature fail"},
		{"changed header", func(t *testing.T, b *bench) *http.Request {
			r := signed(t, b, ak, sk, "GET", "/x", "", "region", "a")
			r.Header.Set("region", "b")
			return r
		}, 401, "APIGW.0301", "verify aksk signature fail"},
		{"a signed header is gone", func(t *testing.T, b *bench) *http.Request {
			r := signed(t, b, ak, sk, "GET", "/x", "", "region", "a")
			r.Header.Del("region")
			return r
		}, 401, "APIGW.0301", "region is missing"},
		{"old date", func(t *testing.T, b *bench) *http.Request {
			r := signed(t, b, ak, sk, "GET", "/x", "")
			b.advance(dateTolerance + time.Second)
			return r
		}, 401, "APIGW.0301", "15 minutes"},
		{"date ahead", func(t *testing.T, b *bench) *http.Request {
			r := signed(t, b, ak, sk, "GET", "/x", "")
			b.advance(-dateTolerance - time.Second)
			return r
		}, 401, "APIGW.0301", "15 minutes"},
		{"date not signed", func(t *testing.T, b *bench) *http.Request {
			r := signed(t, b, ak, sk, "GET", "/x", "", "region", "a")
			h := r.Header.Get("Authorization")
			r.Header.Set("Authorization", strings.Replace(h, "region;x-sdk-date", "region", 1))
			return r
		}, 401, "APIGW.0301", "X-Sdk-Date must be among the signed headers"},
		{"project added afterwards", func(t *testing.T, b *bench) *http.Request {
			r := signed(t, b, ak, sk, "GET", "/x", "")
			r.Header.Set("X-Project-Id", "p1")
			return r
		}, 401, "APIGW.0301", "X-Project-Id must be among the signed headers"},
		{"foreign project", func(t *testing.T, b *bench) *http.Request {
			return signed(t, b, ak, sk, "GET", "/x", "", "X-Project-Id", "p2")
		}, 403, "HSS.0013", "p2"},
		{"security token", func(t *testing.T, b *bench) *http.Request {
			return signed(t, b, ak, sk, "GET", "/x", "", "X-Security-Token", "t")
		}, 401, "APIGW.0301", "verify aksk signature fail"},
		{"security token added afterwards", func(t *testing.T, b *bench) *http.Request {
			r := signed(t, b, ak, sk, "GET", "/x", "")
			r.Header.Set("X-Security-Token", "t")
			return r
		}, 401, "APIGW.0301", "X-Security-Token must be among the signed headers"},
		{"two dates", func(t *testing.T, b *bench) *http.Request {
			r := signed(t, b, ak, sk, "GET", "/x", "")
			r.Header.Add("X-Sdk-Date", "20200101T000000Z")
			return r
		}, 401, "APIGW.0301", "more than one X-Sdk-Date"},
		{"two authorizations", func(t *testing.T, b *bench) *http.Request {
			r := signed(t, b, ak, sk, "GET", "/x", "")
			r.Header.Add("Authorization", "x")
			return r
		}, 401, "APIGW.0301", "more than one Authorization"},
		{"malformed date", func(t *testing.T, b *bench) *http.Request {
			r := signed(t, b, ak, sk, "GET", "/x", "")
			r.Header.Set("X-Sdk-Date", "yesterday")
			return r
		}, 401, "APIGW.0301", "20060102T150405Z"},
		{"hash of another body", func(t *testing.T, b *bench) *http.Request {
			return signed(t, b, ak, sk, "POST", "/x", "{}", "X-Sdk-Content-Sha256", hexSHA256([]byte("[]")))
		}, 401, "APIGW.0301", "does not fit the body"},
		{"unsigned JSON", func(t *testing.T, b *bench) *http.Request {
			return signed(t, b, ak, sk, "POST", "/x", "{}", "X-Sdk-Content-Sha256", "UNSIGNED-PAYLOAD",
				"Content-Type", "application/json;charset=utf-8")
		}, 401, "APIGW.0301", "JSON body must be signed"},
		{"unsigned body of no type", func(t *testing.T, b *bench) *http.Request {
			return signed(t, b, ak, sk, "POST", "/x", "{}", "X-Sdk-Content-Sha256", "UNSIGNED-PAYLOAD")
		}, 401, "APIGW.0301", "JSON body must be signed"},
		{"algorithm of another time", func(t *testing.T, b *bench) *http.Request {
			r := signed(t, b, ak, sk, "GET", "/x", "")
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "SHA256", "MD5", 1))
			return r
		}, 401, "APIGW.0301", "unknown signing algorithm"},
		{"another algorithm", func(t *testing.T, b *bench) *http.Request {
			r := signed(t, b, ak, sk, "GET", "/x", "")
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "SHA256", "SM3", 1))
			return r
		}, 401, "APIGW.0301", "verify aksk signature fail"},
		{"derived key of another day", func(t *testing.T, b *bench) *http.Request {
			r := request("GET", "/x", "")
			if err := sign(r, AlgorithmDerived, ak, sk, "r/hss", b.clock()); err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "/20260102/", "/20260101/", 1))
			return r
		}, 401, "APIGW.0301", "date of the Credential"},
		{"escaped slash", func(t *testing.T, b *bench) *http.Request {
			return signed(t, b, ak, sk, "GET", "/x/a%2Fb", "")
		}, 400, "APIGW.0201", "%2F"},
		{"malformed query", func(t *testing.T, b *bench) *http.Request {
			r := signed(t, b, ak, sk, "GET", "/x", "")
			r.URL.RawQuery = "a=%zz"
			return r
		}, 400, "APIGW.0201", "query"},
		{"body over the limit", func(t *testing.T, b *bench) *http.Request {
			return signed(t, b, ak, sk, "POST", "/x", strings.Repeat("x", 1001))
		}, 413, "APIGW.0201", "larger than 1000 bytes"},
		{"body of unknown length over the limit", func(t *testing.T, b *bench) *http.Request {
			r := signed(t, b, ak, sk, "POST", "/x", strings.Repeat("x", 1001))
			r.ContentLength = -1
			return r
		}, 413, "APIGW.0201", "larger than 1000 bytes"},
		{"unknown token", func(t *testing.T, b *bench) *http.Request {
			r := request("GET", "/x", "")
			r.Header.Set("X-Auth-Token", "made up")
			return r
		}, 401, "APIGW.0301", "token is unknown"},
		{"token too long", func(t *testing.T, b *bench) *http.Request {
			r := request("GET", "/x", "")
			r.Header.Set("X-Auth-Token", strings.Repeat("x", maxAuthorizationBytes+1))
			return r
		}, 401, "APIGW.0301", "token is too long"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench()
			rec, e := serve(b.Users(http.HandlerFunc(echo)), tt.make(t, b))
			if rec.Code != tt.status || e.Code != tt.code || !strings.Contains(e.Message, tt.says) {
				t.Errorf("answer %d %s %q, want %d %s …%s…", rec.Code, e.Code, e.Message, tt.status, tt.code, tt.says)
			}
			if rec.Code == 401 && !strings.HasPrefix(e.Message, "Incorrect IAM authentication information: ") {
				t.Errorf("message %q", e.Message)
			}
			if e.RequestID == "" || rec.Header().Get("X-Request-Id") != e.RequestID {
				t.Errorf("request id %q, header %q", e.RequestID, rec.Header().Get("X-Request-Id"))
			}
		})
	}
}

func TestBodyAtTheLimit(t *testing.T) {
	b := newBench()
	rec, e := serve(b.Users(http.HandlerFunc(echo)), signed(t, b, "AKEXAMPLE", "SKEXAMPLE", "POST", "/x", strings.Repeat("x", 1000)))
	if rec.Code != 200 {
		t.Errorf("answer %d %+v", rec.Code, e)
	}
}

// A client that is still writing 50 MB must see the answer, not a broken
// connection.
func TestHugeBodyOverTheNetwork(t *testing.T) {
	b := newBench()
	srv := httptest.NewServer(b.Users(http.HandlerFunc(echo)))
	defer srv.Close()
	for _, length := range []int64{50 << 20, -1} {
		r, err := http.NewRequest("POST", srv.URL+"/x", io.LimitReader(zeros{}, 50<<20))
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = length
		r.Header.Set("X-Sdk-Date", vectorTime.Format(dateFormat))
		r.Header.Set("Authorization", "SDK-HMAC-SHA256 Access=AKEXAMPLE, SignedHeaders=x-sdk-date, Signature="+strings.Repeat("0", 64))
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatalf("length %d: %v", length, err)
		}
		var e wire.Error
		err = json.NewDecoder(resp.Body).Decode(&e)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 413 || e.Code == "" {
			t.Errorf("length %d: answer %d %+v %v", length, resp.StatusCode, e, err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestSignedHost(t *testing.T) {
	b := newBench()
	r := request("GET", "http://scan.example:8443/x", "")
	date := vectorTime.Format(dateFormat)
	r.Header.Set("X-Sdk-Date", date)
	names := []string{"host", "x-sdk-date"}
	s := schemes[AlgorithmHMAC]
	sig, err := s.mac("AKEXAMPLE", "SKEXAMPLE", "", s.stringToSign(AlgorithmHMAC, date, "", canonicalRequest(r, r.URL.Query(), names, hexSHA256(nil))))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "SDK-HMAC-SHA256 Access=AKEXAMPLE, SignedHeaders=host;x-sdk-date, Signature="+sig)
	if rec, e := serve(b.Users(http.HandlerFunc(echo)), r); rec.Code != 200 {
		t.Errorf("answer %d %+v", rec.Code, e)
	}
	r.Host = "other.example"
	if rec, _ := serve(b.Users(http.HandlerFunc(echo)), r); rec.Code != 401 {
		t.Errorf("answer %d for another host", rec.Code)
	}
}

func TestUnsignedPayload(t *testing.T) {
	b := newBench()
	header := []string{"X-Sdk-Content-Sha256", "UNSIGNED-PAYLOAD", "Content-Type", "application/octet-stream"}
	rec, _ := serve(b.Users(http.HandlerFunc(echo)), signed(t, b, "AKEXAMPLE", "SKEXAMPLE", "PUT", "/x", "data", header...))
	if got, want := rec.Body.String(), `true p1 "" "data" false`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	rec, _ = serve(b.Agents(http.HandlerFunc(echo), 1000), signed(t, b, "AGENT", "SK", "PUT", "/x", "data", header...))
	if rec.Code != 403 {
		t.Errorf("the agent protocol took an unsigned body: %d", rec.Code)
	}
}

func TestAgents(t *testing.T) {
	b := newBench()
	h := b.Agents(http.HandlerFunc(echo), 10)
	if rec, e := serve(h, signed(t, b, "AGENT", "SK", "POST", "/x", "{}")); rec.Code != 200 {
		t.Errorf("agent: %d %+v", rec.Code, e)
	}
	if rec, e := serve(h, signed(t, b, "AKEXAMPLE", "SKEXAMPLE", "POST", "/x", "{}")); rec.Code != 403 || e.Code != "HSS.0013" {
		t.Errorf("user: %d %+v", rec.Code, e)
	}
	if rec, _ := serve(h, signed(t, b, "AGENT", "SK", "POST", "/x", "12345678901")); rec.Code != 413 {
		t.Errorf("large body: %d", rec.Code)
	}
}
