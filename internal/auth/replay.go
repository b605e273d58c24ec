package auth

import (
	"crypto/sha256"
	"sync"
	"time"
)

const (
	// maxReplayEntries bounds the memory of the replay cache: about 50 MB.
	// When it is full, writes are refused until old entries lapse; to forget
	// early would let whoever fills it replay the requests of others.
	maxReplayEntries = 1 << 20
	// maxReplayPerKey keeps one key from filling it for all: 36 writes a
	// second over the whole window.
	maxReplayPerKey = 1 << 16
	// repeatGrace is how long the same write may come again. Two equal
	// calls of Huawei's SDK within one second are byte for byte the same
	// request, and must both be answered: a client cannot tell that they
	// are. Writes are idempotent, so a replay this quick changes nothing.
	// Requests with a nonce have no such excuse.
	repeatGrace = 2 * time.Second
)

// replayCache remembers what was signed in writes until their date is no
// longer accepted. Entries lie in buckets by the minute in which they lapse,
// so that forgetting is dropping a bucket.
type replayCache struct {
	mu      sync.Mutex
	buckets map[int64]*replayBucket
	perKey  map[string]int
	total   int
}

type replayBucket struct {
	first  map[[16]byte]time.Time // when the request was first seen
	perKey map[string]int
}

type replayVerdict int

const (
	replayFresh replayVerdict = iota
	replayRepeated
	replayRefused
	replayFull
)

// see records a string that was signed and is accepted until the time given.
func (c *replayCache) see(ak, signed string, until, now time.Time, nonce bool) replayVerdict {
	sum := sha256.Sum256([]byte(ak + "\x00" + signed))
	id := [16]byte(sum[:16])
	minute := until.Unix()/60 + 1

	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(now)
	b := c.buckets[minute]
	if b != nil {
		if first, ok := b.first[id]; ok {
			if !nonce && now.Sub(first) <= repeatGrace {
				return replayRepeated
			}
			return replayRefused
		}
	}
	if c.total >= maxReplayEntries || c.perKey[ak] >= maxReplayPerKey {
		return replayFull
	}
	if b == nil {
		b = &replayBucket{first: map[[16]byte]time.Time{}, perKey: map[string]int{}}
		if c.buckets == nil {
			c.buckets, c.perKey = map[int64]*replayBucket{}, map[string]int{}
		}
		c.buckets[minute] = b
	}
	b.first[id] = now
	b.perKey[ak]++
	c.perKey[ak]++
	c.total++
	return replayFresh
}

func (c *replayCache) forget(now time.Time) {
	for minute, b := range c.buckets {
		if minute*60 > now.Unix() {
			continue
		}
		for ak, n := range b.perKey {
			if c.perKey[ak] -= n; c.perKey[ak] == 0 {
				delete(c.perKey, ak)
			}
		}
		c.total -= len(b.first)
		delete(c.buckets, minute)
	}
}
