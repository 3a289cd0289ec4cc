package redact

import (
	"crypto/sha256"
	"net/netip"

	"gatehouse/ingest/event"
)

// scratch is what the redaction of one event works with. It is reused, so that
// an event costs no memory but its own strings.
type scratch struct {
	policy *Policy
	fp     printer
	keyID  string

	e       *event.Event // being built; the caller's
	notes   notes
	buf     []byte // the value being written
	route   []byte // the template being learned
	objects [event.MaxObjects]object
	found   int // of objects

	agents agentCache
	hosts  stringSet       // well-formed host names
	words  memo[wordFacts] // path segments that are words
	accept stringSet       // values of Accept headers
	clean  stringSet       // names and routes in which there is no secret
	pages  stringSet       // referers that are kept as they are
	heads  memo[Check]     // names of headers that the policy has
	jars   memo[bool]      // names of cookies, and whether they hold a session
	params memo[param]
	tokens tokenCache
	lists  listCache

	// What events are made of. It is theirs, and never written again.
	made   event.Arena
	things slab[event.Object]
	pairs  slab[event.Label]
	hops   slab[netip.Addr]

	// A token found outside the headers, used when the record has no other
	// credential. It is secret and gone after the event.
	stray      string
	strayClass Class
}

// object is an event.Object before the route it takes its name from is written.
type object struct {
	name       string // or
	start, end int    // of the name in route
	ref        string
}

func (s *scratch) reset() {
	s.notes, s.found = 0, 0
	s.buf, s.route = s.buf[:0], s.route[:0]
}

// forget drops what was secret, before scratch goes back to the pool.
func (s *scratch) forget() {
	const keep = 64 << 10 // bytes of buffer
	s.e, s.stray = nil, ""
	clear(s.objects[:s.found])
	if cap(s.buf) > keep {
		s.buf = nil
	}
	if cap(s.route) > keep {
		s.route = nil
	}
}

// fingerprint is the full fingerprint of a value, 32 hex digits, under the
// tenant of the event.
func (s *scratch) fingerprint(class Class, value string) string {
	s.e.FPKeyID = s.keyID
	return s.made.String(s.fp.sum(class, value))
}

// fingerprintHashed is fingerprint for a value of which only the hash is known.
func (s *scratch) fingerprintHashed(class Class, inner [sha256.Size]byte) string {
	s.e.FPKeyID = s.keyID
	return s.made.String(s.fp.sumHashed(class, inner))
}

// reference is a prefix and the first 16 digits of a value's fingerprint. It
// stands where an id or a name would.
func (s *scratch) reference(prefix string, class Class, value string) string {
	s.e.FPKeyID = s.keyID
	var b [len("email:") + shortHex]byte
	n := copy(b[:], prefix)
	n += copy(b[n:], s.fp.sum(class, value)[:shortHex])
	return s.made.String(b[:n])
}

// written is buf as a string: same itself where nothing was changed.
func (s *scratch) written(same string) string {
	if string(s.buf) == same {
		return same
	}
	return s.made.String(s.buf)
}

// keepStray remembers a token found in a URL.
func (s *scratch) keepStray(class Class, token string) {
	s.notes |= noteSecretInURL
	if s.stray == "" {
		s.stray, s.strayClass = token, class
	}
}

func (s *scratch) addObject(o object) {
	if s.found == len(s.objects) {
		s.notes |= noteListCut
		return
	}
	s.objects[s.found] = o
	s.found++
}
