package auth

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestReplay(t *testing.T) {
	b := newBench()
	h := b.Users(http.HandlerFunc(echo))
	again := func(r *http.Request, body string) *http.Request {
		c := r.Clone(r.Context())
		c.Body = io.NopCloser(strings.NewReader(body))
		return c
	}

	// Two equal calls of an SDK within a second are one and the same request.
	sdk := signed(t, b, "AKEXAMPLE", "SKEXAMPLE", "POST", "/x", "{}")
	for i := range 2 {
		if rec, e := serve(h, again(sdk, "{}")); rec.Code != 200 {
			t.Fatalf("call %d: %d %+v", i, rec.Code, e)
		}
	}
	b.advance(repeatGrace + time.Second)
	if rec, e := serve(h, again(sdk, "{}")); rec.Code != 401 || !strings.Contains(e.Message, "made before") {
		t.Errorf("replay: %d %+v", rec.Code, e)
	}
	b.advance(dateTolerance - repeatGrace - 2*time.Second)
	if rec, _ := serve(h, again(sdk, "{}")); rec.Code != 401 {
		t.Errorf("late replay: %d", rec.Code)
	}

	ours := request("POST", "/x", "{}")
	if err := Sign(ours, "AKEXAMPLE", "SKEXAMPLE", b.clock()); err != nil {
		t.Fatal(err)
	}
	if rec, e := serve(h, again(ours, "{}")); rec.Code != 200 {
		t.Fatalf("ours: %d %+v", rec.Code, e)
	}
	if rec, _ := serve(h, again(ours, "{}")); rec.Code != 401 {
		t.Errorf("ours at once again: %d", rec.Code)
	}

	// Reading twice is no replay.
	get := signed(t, b, "AKEXAMPLE", "SKEXAMPLE", "GET", "/x", "")
	b.advance(repeatGrace + time.Second)
	for range 2 {
		if rec, e := serve(h, again(get, "")); rec.Code != 200 {
			t.Errorf("get: %d %+v", rec.Code, e)
		}
	}
}

func TestReplayCacheIsBounded(t *testing.T) {
	var c replayCache
	now := vectorTime
	until := now.Add(dateTolerance)
	for i := range maxReplayPerKey {
		if v := c.see("A", fmt.Sprint(i), until, now, true); v != replayFresh {
			t.Fatalf("entry %d: %v", i, v)
		}
	}
	if v := c.see("A", "one more", until, now, true); v != replayFull {
		t.Errorf("over the limit of a key: %v", v)
	}
	if v := c.see("B", "first", until, now, true); v != replayFresh {
		t.Errorf("another key: %v", v)
	}
	if v := c.see("A", "7", until, now, true); v != replayRefused {
		t.Errorf("known entry of a full cache: %v", v)
	}
	c.total = maxReplayEntries
	if v := c.see("C", "first", until, now, true); v != replayFull {
		t.Errorf("over the limit of all: %v", v)
	}
	c.total = maxReplayPerKey + 1

	later := until.Add(2 * time.Minute)
	if v := c.see("A", "7", later.Add(dateTolerance), later, true); v != replayFresh {
		t.Errorf("lapsed entry: %v", v)
	}
	if c.total != 1 || len(c.buckets) != 1 || c.perKey["A"] != 1 || len(c.perKey) != 1 {
		t.Errorf("left behind: total %d, %d buckets, keys %v", c.total, len(c.buckets), c.perKey)
	}
}

// An entry must outlive the last moment at which its date is accepted.
func TestReplayCacheKeepsLongEnough(t *testing.T) {
	for s := range 120 {
		var c replayCache
		now := vectorTime.Add(time.Duration(s) * time.Second)
		until := now.Add(dateTolerance)
		c.see("A", "x", until, now, true)
		if v := c.see("A", "x", until, until, true); v != replayRefused {
			t.Fatalf("at second %d the entry was forgotten early", s)
		}
	}
}

func TestThrottle(t *testing.T) {
	b := newBench()
	h := b.Users(http.HandlerFunc(echo))
	for i := range failureBurst {
		if rec, _ := serve(h, signed(t, b, "AKEXAMPLE", "WRONG", "GET", "/x", "")); rec.Code != 401 {
			t.Fatalf("attempt %d: %d", i, rec.Code)
		}
	}
	rec, e := serve(h, signed(t, b, "AKEXAMPLE", "WRONG", "GET", "/x", ""))
	if rec.Code != 429 || e.Code != "APIGW.0308" || rec.Header().Get("Retry-After") != "1" {
		t.Errorf("answer %d %+v, Retry-After %q", rec.Code, e, rec.Header().Get("Retry-After"))
	}
	other := signed(t, b, "AKEXAMPLE", "SKEXAMPLE", "GET", "/x", "")
	other.RemoteAddr = "198.51.100.7:1"
	if rec, _ := serve(h, other); rec.Code != 200 {
		t.Errorf("another address: %d", rec.Code)
	}
	b.advance(failureInterval)
	if rec, _ := serve(h, signed(t, b, "AKEXAMPLE", "SKEXAMPLE", "GET", "/x", "")); rec.Code != 200 {
		t.Errorf("a moment later: %d", rec.Code)
	}
}

func TestThrottleCountsInventedKeysTogether(t *testing.T) {
	b := newBench()
	h := b.Users(http.HandlerFunc(echo))
	var last int
	for i := range failureBurst + 1 {
		rec, _ := serve(h, signed(t, b, fmt.Sprintf("INVENTED%d", i), "X", "GET", "/x", ""))
		last = rec.Code
	}
	if last != 429 {
		t.Errorf("answer %d", last)
	}
	if rec, _ := serve(h, signed(t, b, "AKEXAMPLE", "SKEXAMPLE", "GET", "/x", "")); rec.Code != 200 {
		t.Errorf("a real key of the same address: %d", rec.Code)
	}
}

func TestThrottleIsBounded(t *testing.T) {
	th := throttle{burst: 1, interval: time.Hour}
	for i := range maxThrottled + 10 {
		th.spend(fmt.Sprint(i), vectorTime)
	}
	if len(th.entries) != maxThrottled || th.order.Len() != maxThrottled {
		t.Errorf("%d entries, %d in order", len(th.entries), th.order.Len())
	}
	if th.wait("0", vectorTime) != 0 {
		t.Error("the oldest is still there")
	}
	if th.wait(fmt.Sprint(maxThrottled), vectorTime) == 0 {
		t.Error("the newest is gone")
	}
}

func TestLimitFailures(t *testing.T) {
	b := newBench()
	asked := 0
	h := b.LimitFailures(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		unauthenticated("wrong enrolment key").write(w, r)
	}))
	last := 0
	for range failureBurst + 5 {
		rec, _ := serve(h, request("POST", "/x", ""))
		last = rec.Code
	}
	if last != 429 || asked != failureBurst {
		t.Errorf("answer %d after asking %d times", last, asked)
	}
}
