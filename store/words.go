package store

import (
	"strings"

	"github.com/ClickHouse/ch-go/proto"

	"gatehouse/ingest/event"
)

// words is LowCardinality(String): a dictionary of the block's values and, for
// each row, which of them it has. Number 0 of the dictionary is "".
type words struct {
	field place[string]
	data  wireWords
	known map[string]uint32
	names []string // by number
	// recent finds a value that came lately without a look into known: a block has
	// a few dozen methods, routes and services, and a map costs 20 ns.
	recent [recentWords]recentWord
}

const recentWords = 128

type recentWord struct {
	text string
	key  uint32
}

func newWords(field place[string]) *words {
	c := &words{field: field, known: map[string]uint32{}}
	c.reset()
	return c
}

func (c *words) add(e *event.Event, row int) {
	v := c.field.of(e)
	if v == "" {
		return
	}
	c.data.keys.pad(row)
	r := &c.recent[slotOf(v)]
	if r.text != v {
		r.key = c.key(v)
		r.text = c.names[r.key]
	}
	c.data.keys.append(r.key, len(c.names))
}

// slotOf spreads values that differ in length or in their last letters.
func slotOf(v string) int {
	n := len(v)
	h := uint32(n)*31 + uint32(v[n-1])*7 + uint32(v[n/2])*17 + uint32(v[n*3/4])*3
	return int(h % recentWords)
}

// key is the number of a value in the dictionary.
func (c *words) key(v string) uint32 {
	if k, ok := c.known[v]; ok {
		return k
	}
	k := uint32(len(c.names))
	v = strings.Clone(v) // it may be part of a record's memory
	c.known[v] = k
	c.names = append(c.names, v)
	c.data.dict.append(v)
	return k
}

func (c *words) input(rows int) proto.ColInput {
	if c.data.keys.rows == 0 {
		return nil
	}
	c.data.keys.pad(rows)
	return &c.data
}

// wordBytes is what a value costs in the dictionary beside its text.
const wordBytes = 64

func (c *words) size() int {
	return len(c.data.keys.buf) + 2*len(c.data.dict.buf) + wordBytes*len(c.names)
}

func (c *words) reset() {
	c.data.keys.reset()
	c.data.dict.reset()
	c.data.dict.append("")
	clear(c.known)
	clear(c.names)
	c.names = append(c.names[:0], "")
	c.recent = [recentWords]recentWord{}
}
