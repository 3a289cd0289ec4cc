package gateway

import (
	"strings"

	"gatehouse/ingest/event"
)

// member is what a decoder does with one member of an object: set takes its
// value, exactly one.
type member[T any] struct {
	names string // by which it goes, separated by spaces
	set   func(d *T, raw *event.Raw)
}

// members are those of an object that a decoder knows. Number 0 stands for all
// others; their name is the scanner's then.
type members[T any] struct {
	set    []func(d *T, raw *event.Raw)
	quoted []string // name, quotes and colon, as they stand in most records
	number map[string]int
}

// maxMembers bounds a table, so that a member's number fits a byte.
const maxMembers = 128

// newMembers makes the table of an object; other is for members that it does not
// name.
func newMembers[T any](other func(*T, *event.Raw), known []member[T]) *members[T] {
	m := &members[T]{set: []func(*T, *event.Raw){other}, quoted: []string{""}, number: map[string]int{}}
	for _, k := range known {
		for _, name := range strings.Fields(k.names) {
			m.number[name] = len(m.set)
			m.set = append(m.set, k.set)
			m.quoted = append(m.quoted, `"`+name+`":`)
		}
	}
	return m
}

// read goes through the object at hand and sets what its members are. d is the
// decoder that s is part of.
func (m *members[T]) read(s *scanner, g *guide, d *T, raw *event.Raw) {
	at := 0
	for ok := s.start('{', '}'); ok; ok = s.another('}') {
		if at = g.find(s, m.quoted, m.number, at); s.err != nil {
			return
		}
		m.set[at](d, raw)
	}
}

// guide guesses the next member by the one before. Gateways write the same
// members in the same order again and again, so a guess spares reading the name
// and looking it up; a wrong one costs a comparison. Two guesses are kept, for
// members that are only sometimes there.
type guide struct {
	next [maxMembers][2]uint8
}

// find takes the name of a member and gives its number; after is the number of
// the one before.
func (g *guide) find(s *scanner, quoted []string, number map[string]int, after int) int {
	s.peek()
	guess, rest := &g.next[after%maxMembers], s.s[s.i:]
	if n := int(guess[0]); n > 0 && strings.HasPrefix(rest, quoted[n]) {
		s.i += len(quoted[n])
		return n
	}
	n := int(guess[1])
	guess[1] = guess[0]
	if n > 0 && strings.HasPrefix(rest, quoted[n]) {
		s.i += len(quoted[n])
		guess[0] = uint8(n)
		return n
	}
	s.name, _ = s.key()
	n = number[s.name]
	guess[0] = uint8(n)
	return n
}
