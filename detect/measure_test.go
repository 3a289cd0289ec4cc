package detect

import (
	"slices"
	"testing"
)

// The small structures behind the measures against the plain way to compute
// the same, on steps chosen by the fuzzer.

// step is one byte of the fuzzer's choices: a value and how far time moves.
func steps(data []byte, do func(value uint64, forward int64)) {
	for _, c := range data {
		do(uint64(c&7), int64(c>>3)%4-1) // backwards by one sub-bucket now and then
	}
}

func FuzzValueSet(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 40, 80, 120, 200, 255, 7})
	f.Add([]byte("the quick brown fox jumps over the lazy dog and back"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var s valueSet
		r := room{max: 1 << 20}
		type sight struct {
			bucket int64
			flags  int64
		}
		model := map[uint64]sight{}
		newest := int64(100)
		steps(data, func(v uint64, forward int64) {
			b := newest + forward
			if b > newest {
				s.slide(newest, b)
				newest = b
			}
			flags := int64(markHit)
			if v == 6 {
				flags = markNever
			}
			key := v/2 + 1 // 6 and 7 are the same value: counted unless it was ruled out
			s.add(sighting{key, b, newest, flags}, testLimit, &r)
			m, seen := model[key]
			if !seen || m.bucket <= newest-subBuckets {
				m = sight{b, 0}
			}
			model[key] = sight{max(m.bucket, b), m.flags | flags}
			want := 0
			for _, m := range model {
				if m.bucket > newest-subBuckets && m.flags == markHit {
					want++
				}
			}
			if got := s.count(); got != float64(want) {
				t.Fatalf("count %v, want %d at sub-bucket %d: %v", got, want, newest, model)
			}
		})
		if r.slots != len(s.slots) {
			t.Fatalf("room says %d slots, there are %d", r.slots, len(s.slots))
		}
	})
}

// testLimit is more than the fuzzer's values.
const testLimit = 64

// In order of time turns are exact; in any order never more than there were.
func FuzzTurns(f *testing.F) {
	f.Add([]byte{0, 1, 0, 1, 2, 0})
	f.Add([]byte{9, 200, 31, 4, 77, 250, 3, 66, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > maxRuns {
			data = data[:maxRuns]
		}
		type sight struct {
			ts  int64
			key uint64
		}
		var events []sight
		var shuffled, ordered turns
		for i, c := range data { // distinct times, in any order
			e := sight{int64(c>>2)*1000 + int64(i), uint64(c & 3)}
			events = append(events, e)
			shuffled.add(e.key, e.ts)
		}
		slices.SortFunc(events, func(a, b sight) int { return int(a.ts - b.ts) })
		want, before := 0.0, map[uint64]bool{}
		for i, e := range events {
			ordered.add(e.key, e.ts)
			if i > 0 && events[i-1].key == e.key {
				continue
			}
			if before[e.key] {
				want++
			}
			before[e.key] = true
		}
		if got := ordered.returns(0); got != want {
			t.Fatalf("%v returns in order, want %v in %v", got, want, events)
		}
		if got := shuffled.returns(0); got > want {
			t.Fatalf("%v returns out of order, want at most %v in %v", got, want, events)
		}
	})
}

func FuzzNumbers(f *testing.F) {
	f.Add([]byte{10, 11, 12, 14, 20, 200, 9})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > maxNumbers {
			data = data[:maxNumbers]
		}
		var s numbers
		var all []int64
		for _, c := range data {
			s.add(int64(c), 1)
			all = append(all, int64(c))
		}
		slices.Sort(all)
		all = slices.Compact(all)
		want, n := 0, 0
		for i := range all {
			if i > 0 && all[i]-all[i-1] <= maxGap {
				n++
			} else {
				n = 1
			}
			want = max(want, n)
		}
		if got := s.longest(); got != float64(want) {
			t.Fatalf("longest run %v, want %d of %v", got, want, all)
		}
	})
}

func TestValueSetStopsAtItsLimit(t *testing.T) {
	var s valueSet
	r := room{max: 1 << 20}
	for v := range uint64(100) {
		s.add(sighting{v + 1, 1, 1, markHit}, 10, &r)
	}
	if s.count() != 10 || r.saturated != 90 {
		t.Errorf("%v counted, %d not: want 10 and 90", s.count(), r.saturated)
	}
	s.slide(1, 20) // the window moves past all of them
	for v := range uint64(5) {
		s.add(sighting{v + 500, 20, 20, markHit}, 10, &r)
	}
	if s.count() != 5 {
		t.Errorf("%v counted after the window moved on: want 5", s.count())
	}
}

func TestNumbersKeepTheNewest(t *testing.T) {
	var s numbers
	for i := range int64(3 * maxNumbers) {
		s.add(i*10, i/maxNumbers)
	}
	if len(s.points) != maxNumbers || s.points[0].n < 2*maxNumbers*10 {
		t.Errorf("%d kept, from %d on: want the newest %d", len(s.points), s.points[0].n, maxNumbers)
	}
	s.slide(2 + subBuckets)
	if s.longest() != 0 {
		t.Errorf("longest %v in an empty window", s.longest())
	}
}

func TestCrowd(t *testing.T) {
	c := crowd{bins: make([][crowdBins]int32, 1), n: make([]int32, 1)}
	for range 200 {
		c.move(0, -1, binOf(3))
	}
	own := binOf(40)
	c.move(0, -1, own)
	if v, others := c.high(0, own); v != 3 || others != 200 {
		t.Errorf("the others' highest is %v of %v: want 3 of 200", v, others)
	}
	if v, others := c.high(0, -1); v < 40 || others != 201 {
		t.Errorf("seen by somebody else %v of %v: want at least 40 of 201", v, others)
	}
	for v := range 5000 {
		b := binOf(float64(v))
		if top(int(b)) < float64(v) && int(b) < crowdBins-1 || b > 0 && top(int(b)-1) >= float64(v) {
			t.Fatalf("value %d is in bin %d, which ends at %v", v, b, top(int(b)))
		}
	}
}

func TestTableEvictsWhatIsNotUsed(t *testing.T) {
	var dropped []int
	table := newTable[int](3, func(v *int) { dropped = append(dropped, *v) })
	for i := range 3 {
		v, _ := table.get(uint64(i))
		*v = i
	}
	table.get(0) // used again
	v, fresh := table.get(99)
	*v = 99
	if !fresh || !slices.Equal(dropped, []int{1}) {
		t.Errorf("dropped %v: want the first one that was not used again", dropped)
	}
	if _, fresh := table.get(0); fresh {
		t.Error("the used one was dropped")
	}
}

func TestBusiest(t *testing.T) {
	var b busiest
	for i := range 1000 {
		b.add(uint64(i + 100))
		if i%2 == 0 {
			b.add(7)
		}
	}
	if got := b.top(); got < 500 || got > 500+1500/busiestKept {
		t.Errorf("busiest %v: want 500, too high by at most %d", got, 1500/busiestKept)
	}
}
