package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/hex"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/sm2"
)

// signCurve is the client's half of the two algorithms with curves.
func signCurve(t *testing.T, r *http.Request, algorithm string, b *bench) {
	t.Helper()
	if err := sign(r, algorithm, "AKEXAMPLE", "SKEXAMPLE", "", b.clock()); err != nil {
		t.Fatal(err)
	}
	body, err := bodyOf(r)
	if err != nil {
		t.Fatal(err)
	}
	c, no := parseAuthorization(r.Header.Get("Authorization"))
	if no != nil {
		t.Fatal(no.message)
	}
	s := schemes[algorithm]
	h := s.hash()
	h.Write(body)
	toSign := s.stringToSign(algorithm, r.Header.Get(headerDate), "", canonicalRequest(r, r.URL.Query(), c.signed, hexSum(h)))
	private, err := s.private(algorithm, "AKEXAMPLE", "SKEXAMPLE")
	if err != nil {
		t.Fatal(err)
	}
	var sig []byte
	if algorithm == AlgorithmSM2 {
		key, kerr := sm2.NewPrivateKey(private)
		if kerr != nil {
			t.Fatal(kerr)
		}
		sig, err = key.SignWithSM2(rand.Reader, nil, []byte(toSign))
	} else {
		key, kerr := ecdsa.ParseRawPrivateKey(elliptic.P256(), private)
		if kerr != nil {
			t.Fatal(kerr)
		}
		sum := sha256.Sum256([]byte(toSign))
		sig, err = ecdsa.SignASN1(rand.Reader, key, sum[:])
	}
	if err != nil {
		t.Fatal(err)
	}
	setSignature(r, hex.EncodeToString(sig))
}

func setSignature(r *http.Request, sig string) {
	h := r.Header.Get("Authorization")
	before, _, _ := strings.Cut(h, "Signature=")
	r.Header.Set("Authorization", before+"Signature="+sig)
}

func signatureOf(t *testing.T, r *http.Request) []byte {
	t.Helper()
	_, text, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
	sig, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func TestCurves(t *testing.T) {
	for _, algorithm := range []string{AlgorithmECDSA, AlgorithmSM2} {
		t.Run(algorithm, func(t *testing.T) {
			b := newBench()
			h := b.Users(http.HandlerFunc(echo))
			r := request("POST", "/x", "{}")
			signCurve(t, r, algorithm, b)
			if rec, e := serve(h, r); rec.Code != 200 {
				t.Fatalf("signed: %d %+v", rec.Code, e)
			}
			for name, change := range map[string]func([]byte) []byte{
				"a bit":           func(s []byte) []byte { s[len(s)-1] ^= 1; return s },
				"nothing":         func([]byte) []byte { return []byte{0} },
				"two zeros":       func([]byte) []byte { return []byte{0x30, 6, 2, 1, 0, 2, 1, 0} },
				"a byte too many": func(s []byte) []byte { return append(s, 0) },
			} {
				r := request("POST", "/x", `{"a":1}`)
				signCurve(t, r, algorithm, b)
				setSignature(r, hex.EncodeToString(change(signatureOf(t, r))))
				if rec, e := serve(h, r); rec.Code != 401 {
					t.Errorf("%s: %d %+v", name, rec.Code, e)
				}
			}
			unknown := request("POST", "/x", "{}")
			signCurve(t, unknown, algorithm, b)
			unknown.Header.Set("Authorization", strings.Replace(unknown.Header.Get("Authorization"), "AKEXAMPLE", "NOBODY", 1))
			if rec, e := serve(h, unknown); rec.Code != 401 || !strings.Contains(e.Message, "verify aksk signature fail") {
				t.Errorf("unknown key: %d %+v", rec.Code, e)
			}
		})
	}
}

// TestMirroredSignature replays a write with (r, n-s) in the place of (r, s):
// another signature of the same request.
func TestMirroredSignature(t *testing.T) {
	b := newBench()
	h := b.Users(http.HandlerFunc(echo))
	r := request("POST", "/x", "{}")
	signCurve(t, r, AlgorithmECDSA, b)
	if rec, e := serve(h, r); rec.Code != 200 {
		t.Fatalf("signed: %d %+v", rec.Code, e)
	}
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(signatureOf(t, r), &sig); err != nil {
		t.Fatal(err)
	}
	sig.S.Sub(elliptic.P256().Params().N, sig.S)
	mirrored, err := asn1.Marshal(sig)
	if err != nil {
		t.Fatal(err)
	}
	setSignature(r, hex.EncodeToString(mirrored))
	r.Body = io.NopCloser(bytes.NewReader([]byte("{}")))
	b.advance(2 * repeatGrace)
	if rec, e := serve(h, r); rec.Code != 401 || !strings.Contains(e.Message, "made before") {
		t.Errorf("mirrored: %d %+v", rec.Code, e)
	}
}
