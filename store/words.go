package store

import (
	"strings"
	"unsafe"

	"github.com/ClickHouse/ch-go/proto"

	"gatehouse/ingest/event"
)

// words is LowCardinality(String): a dictionary of the block's values and, for
// each row, which of them it has. Number 0 of the dictionary is "".
type words struct {
	field place[string]
	keys  []uint32
	known map[string]uint32
	names []string // by number
	dict  proto.ColStr
	// recent finds a value that came lately without a look into known: a block has
	// a few dozen methods, routes and services, and a map costs 20 ns.
	recent [recentWords]recentWord
	raw    proto.ColLowCardinalityRaw
}

const recentWords = 128

type recentWord struct {
	text string
	key  uint32
}

func newWords(field place[string]) *words {
	c := &words{field: field, known: map[string]uint32{}}
	c.raw.Index = &c.dict
	c.reset()
	return c
}

func (c *words) add(e *event.Event, row int) {
	v := c.field.of(e)
	if v == "" {
		return
	}
	c.keys = pad(c.keys, row, 0)
	r := &c.recent[slotOf(v)]
	if r.text != v {
		r.key = c.key(v)
		r.text = c.names[r.key]
	}
	c.keys = append(c.keys, r.key)
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
	k := uint32(c.dict.Rows())
	v = strings.Clone(v) // it may be part of a record's memory
	c.known[v] = k
	c.names = append(c.names, v)
	c.dict.Append(v)
	return k
}

func (c *words) input(rows int) proto.ColInput {
	if len(c.keys) == 0 {
		return nil
	}
	c.keys = pad(c.keys, rows, 0)
	c.raw.Keys8, c.raw.Keys16, c.raw.Keys32 = c.raw.Keys8[:0], c.raw.Keys16[:0], c.raw.Keys32[:0]
	switch n := c.dict.Rows(); {
	case n <= 1<<8:
		c.raw.Key = proto.KeyUInt8
	case n <= 1<<16:
		c.raw.Key = proto.KeyUInt16
	default:
		c.raw.Key = proto.KeyUInt32
	}
	for _, k := range c.keys {
		c.raw.AppendKey(int(k))
	}
	return &c.raw
}

func (c *words) size() int {
	return int(unsafe.Sizeof(uint32(0)))*len(c.keys) + 2*stringBytes(&c.dict)
}

func (c *words) reset() {
	c.keys = c.keys[:0]
	c.dict.Reset()
	c.dict.Append("")
	clear(c.known)
	clear(c.names)
	c.names = append(c.names[:0], "")
	c.recent = [recentWords]recentWord{}
}
