package redact

import (
	"encoding/binary"
	"hash/maphash"
	"strings"
	"unsafe"

	"gatehouse/ingest/event"
)

// Agents, tokens and the names of hosts and services repeat from event to event,
// so what was found out about the last ones is kept. The caches change nothing
// but the time it takes: what they hold is a function of the key and the policy.

// cacheSize is the number of entries of each cache, a power of two.
const cacheSize = 256

// memoText is the longest text that a memo remembers, in bytes. With it an entry
// of a set fills one line of the processor's cache.
const memoText = 63

// memo remembers what was found out about short texts. Each is kept in the memo's
// own memory, so that remembering allocates nothing and keeps no record alive.
type memo[V any] struct {
	entries [cacheSize]memoEntry[V]
}

type memoEntry[V any] struct {
	size  uint8
	text  [memoText]byte
	value V
}

// get gives what is known of a text, until the next put; nil if nothing is.
func (m *memo[V]) get(text string) *V {
	e := &m.entries[slotOf(text)]
	if len(text) != int(e.size) || text != unsafe.String(&e.text[0], len(text)) {
		return nil
	}
	return &e.value
}

// put remembers what is known of a text, in place of another one.
func (m *memo[V]) put(text string, value V) {
	if len(text) > memoText || text == "" {
		return
	}
	e := &m.entries[slotOf(text)]
	e.size, e.value = uint8(len(text)), value
	copy(e.text[:], text)
}

// slotOf spreads texts over the entries of a cache. All bytes of up to 32 count;
// of longer ones the ends. Who sends texts that meet in one entry gains nothing
// but that they are looked at anew.
func slotOf(text string) int {
	const spread = 0x9e3779b97f4a7c15 // 2^64 over the golden ratio
	b := unsafe.Slice(unsafe.StringData(text), len(text))
	n := len(b)
	h := uint64(n)
	switch {
	case n >= 16:
		h ^= binary.LittleEndian.Uint64(b) * spread
		h = (h ^ binary.LittleEndian.Uint64(b[8:]) ^ h>>29) * spread
		h = (h ^ binary.LittleEndian.Uint64(b[n-16:]) ^ h>>29) * spread
		h ^= binary.LittleEndian.Uint64(b[n-8:])
	case n >= 8:
		h ^= binary.LittleEndian.Uint64(b) * spread
		h ^= binary.LittleEndian.Uint64(b[n-8:]) ^ h>>29
	case n >= 4:
		h ^= uint64(binary.LittleEndian.Uint32(b))<<32 | uint64(binary.LittleEndian.Uint32(b[n-4:]))
	default:
		for _, c := range b {
			h = h<<8 | uint64(c)
		}
	}
	h = (h ^ h>>31) * spread
	return int(h >> 56 % cacheSize)
}

// stringSet remembers strings that stay as they are.
type stringSet struct{ memo[struct{}] }

func (c *stringSet) has(v string) bool {
	return v == "" || c.get(v) != nil
}

func (c *stringSet) add(v string) { c.put(v, struct{}{}) }

// agentCache remembers User-Agents in which there was nothing to hide, by a hash
// of them; others are looked at anew, so that no secret stays in memory.
type agentCache struct {
	seed    maphash.Seed
	entries [cacheSize]struct{ agent, family string }
}

// agent writes UserAgent and UAFamily.
func (s *scratch) agent(raw string) {
	if raw == "" {
		return
	}
	c := &s.agents.entries[maphash.String(s.agents.seed, raw)%cacheSize]
	if c.agent != raw {
		s.e.UserAgent = s.text(raw, event.MaxUserAgent)
		s.e.UAFamily = agentFamily(s.e.UserAgent)
		if s.e.UserAgent == raw {
			c.agent, c.family = strings.Clone(raw), strings.Clone(s.e.UAFamily) // or the whole record stays
		}
		return
	}
	s.e.UserAgent, s.e.UAFamily = c.agent, c.family
}

// tokenCacheSize is larger, because reading a JWT is the dearest thing of all.
const tokenCacheSize = 1024

// tokenCache remembers what JWTs say of themselves, by their fingerprint.
type tokenCache struct {
	entries [tokenCacheSize]struct {
		fp    string
		facts tokenFacts
	}
}

// facts gives what the token with this fingerprint says.
func (s *scratch) facts(fp, token string) *tokenFacts {
	c := &s.tokens.entries[(int(unhex(fp[0]))<<8|int(unhex(fp[1]))<<4|int(unhex(fp[2])))%tokenCacheSize]
	if c.fp != fp {
		c.fp, c.facts = strings.Clone(fp), readJWT(token)
	}
	return &c.facts
}
