package store

import (
	"cmp"
	"fmt"
	"slices"
)

// Offsets is a span of Kafka offsets, both ends included.
type Offsets struct {
	First int64 `json:"first"`
	Last  int64 `json:"last"`
}

// Count is how many offsets the span has.
func (o Offsets) Count() int64 { return o.Last - o.First + 1 }

// String is the written form "first-last", or the one offset.
func (o Offsets) String() string {
	if o.First == o.Last {
		return fmt.Sprint(o.First)
	}
	return fmt.Sprintf("%d-%d", o.First, o.Last)
}

// CountOffsets adds the spans up.
func CountOffsets(spans []Offsets) int64 {
	var n int64
	for _, s := range spans {
		n += s.Count()
	}
	return n
}

// JoinOffsets sorts spans and makes one of those that touch or overlap.
func JoinOffsets(spans []Offsets) []Offsets {
	var out []Offsets
	for _, s := range slices.SortedFunc(slices.Values(spans), func(a, b Offsets) int { return cmp.Compare(a.First, b.First) }) {
		if n := len(out); n > 0 && s.First <= out[n-1].Last+1 {
			out[n-1].Last = max(out[n-1].Last, s.Last)
			continue
		}
		out = append(out, s)
	}
	return out
}

// WithoutOffsets is what is left of spans when the others are taken away. Both
// are as JoinOffsets makes them.
func WithoutOffsets(spans, others []Offsets) []Offsets {
	var out []Offsets
	for _, s := range spans {
		for len(others) > 0 && others[0].Last < s.First {
			others = others[1:]
		}
		for _, o := range others {
			if o.First > s.Last {
				break
			}
			if o.First > s.First {
				out = append(out, Offsets{s.First, o.First - 1})
			}
			s.First = o.Last + 1
		}
		if s.First <= s.Last {
			out = append(out, s)
		}
	}
	return out
}
