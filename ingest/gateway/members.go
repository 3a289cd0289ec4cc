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
		if at < len(m.set) {
			m.set[at](d, raw)
		} else {
			m.set[0](d, raw)
		}
	}
}

// guide guesses the next member by the one before. Gateways write the same
// members in the same order again and again, so a guess spares reading the name
// and looking it up; a wrong one costs a comparison. Two guesses are kept, for
// members that are only sometimes there.
//
// Members that the table does not name are learned, as long as numbers last, and
// get the numbers behind the table's.
type guide struct {
	next    [maxMembers][2]uint8
	learned []string // their names in quotes, with the colon
}

// find takes the name of a member and gives its number; after is the number of
// the one before.
func (g *guide) find(s *scanner, quoted []string, number map[string]int, after int) int {
	s.peek()
	guess := &g.next[after%maxMembers]
	n := int(guess[0])
	if g.take(s, quoted, n) {
		return n
	}
	n = int(guess[1])
	guess[1] = guess[0]
	if !g.take(s, quoted, n) {
		s.name, _ = s.key()
		if n = number[s.name]; n == 0 {
			n = g.learn(s.name, len(quoted))
		}
	}
	guess[0] = uint8(n)
	return n
}

// take passes over the name of member n, if that is what comes.
func (g *guide) take(s *scanner, quoted []string, n int) bool {
	if n == 0 {
		return false
	}
	want := ""
	if n < len(quoted) {
		want = quoted[n]
	} else {
		want = g.learned[n-len(quoted)]
		s.name = want[1 : len(want)-len(`":`)]
	}
	if !strings.HasPrefix(s.s[s.i:], want) {
		return false
	}
	s.i += len(want)
	return true
}

// learn gives a number to a name that the table, with known names, does not have;
// 0 if there is none left. Only names that are written as they are can be taken
// by comparing.
func (g *guide) learn(name string, known int) int {
	for i, have := range g.learned {
		if have[1:len(have)-len(`":`)] == name {
			return known + i
		}
	}
	n := known + len(g.learned)
	if n >= maxMembers || len(name) > maxName || !isVisible(name) || strings.ContainsAny(name, `"\`) {
		return 0
	}
	g.learned = append(g.learned, `"`+name+`":`)
	return n
}
