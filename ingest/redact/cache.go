package redact

import (
	"hash/maphash"
	"strings"

	"gatehouse/ingest/event"
)

// Agents, tokens and the names of hosts and services repeat from event to event,
// so what was found out about the
// last ones is kept. The caches change nothing but the time it takes: what they
// hold is a function of the key.

// cacheSize is the number of entries of each cache, a power of two.
const cacheSize = 256

// stringSet remembers strings that stay as they are.
type stringSet struct {
	seed    maphash.Seed
	entries [cacheSize]string
}

func (c *stringSet) has(v string) bool {
	return v == "" || c.entries[maphash.String(c.seed, v)%cacheSize] == v
}

func (c *stringSet) add(v string) {
	c.entries[maphash.String(c.seed, v)%cacheSize] = strings.Clone(v) // or the whole record stays
}

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

// tokenCache remembers what JWTs say of themselves, by their fingerprint.
type tokenCache struct {
	entries [cacheSize]struct {
		fp    string
		facts tokenFacts
	}
}

// facts gives what the token with this fingerprint says.
func (s *scratch) facts(fp, token string) *tokenFacts {
	c := &s.tokens.entries[int(unhex(fp[0])<<4|unhex(fp[1]))%cacheSize]
	if c.fp != fp {
		c.fp, c.facts = fp, readJWT(token)
	}
	return &c.facts
}
