package detect

import (
	"math"
)

// entity is one group_by value of a window rule: a ring of sub-buckets and the
// measures over it.
type entity struct {
	started  bool
	since    int64 // µs: first event ever
	newest   int64 // newest sub-bucket
	newestTS int64 // µs: newest event
	n        [subBuckets]uint32
	first    [subBuckets]int64 // µs: earliest event of each
	sums     []float64         // subBuckets of them per sum
	sets     []valueSet
	turns    []turns
	numbers  []numbers
	evidence evidence

	quietUntil int64 // µs

	// Learning, per window-long epoch.
	epoch   int64     // number of the current epoch
	alerted bool      // the rule held in this epoch
	high    []float64 // highest value of this epoch, by measure of plan.usual
	pending []float64 // that of the epoch before; NaN = none yet
	usual   []float64 // what was learned from the epochs before that
	windows int       // how many epochs that was
	crowd   uint64    // key of the crowd
	born    int64     // which of the crowds of that key
	joined  bool
	bins    []int8 // contribution to the crowd, by measure of plan.peers
}

func (t *entity) init(p *plan, r *room) {
	t.quietUntil = math.MinInt64
	t.newestTS = math.MinInt64
	t.sums = make([]float64, p.sums*subBuckets)
	t.sets = make([]valueSet, p.sets)
	if n := p.sets * firstSlots; r.slots+n <= r.max { // one piece, so that they lie together
		r.slots += n
		slots := make([]slot, n)
		for i := range t.sets {
			t.sets[i].slots = slots[i*firstSlots : (i+1)*firstSlots : (i+1)*firstSlots]
		}
	}
	t.turns = make([]turns, p.turns)
	t.numbers = make([]numbers, p.numbers)
	if n := len(p.usual); n > 0 {
		all := make([]float64, 3*n)
		t.high, t.pending, t.usual = all[:n], all[n:2*n], all[2*n:]
		for i := range t.pending {
			t.pending[i] = math.NaN()
		}
	}
	if n := len(p.peers); n > 0 {
		t.bins = make([]int8, n)
		for i := range t.bins {
			t.bins[i] = -1
		}
	}
}

// start is the begin of the window in µs.
func (t *entity) start(step int64) int64 { return (t.newest - subBuckets + 1) * step }

// reach moves the window on to sub-bucket b, and reports false when b lies
// before the window already.
func (t *entity) reach(b int64, s *windowState) bool {
	if !t.started {
		t.started, t.newest, t.epoch = true, b, floor(b*s.step, s.length)/s.length
		return true
	}
	if b <= t.newest-subBuckets {
		return false
	}
	if b > t.newest {
		t.slide(b)
		if e := floor(b*s.step, s.length) / s.length; e > t.epoch {
			s.leave(t)
			t.learn()
			t.epoch = e
		}
	}
	return true
}

func (t *entity) slide(next int64) {
	from := max(t.newest+1, next-subBuckets+1)
	for b := from; b <= next; b++ {
		i := index(b)
		t.n[i] = 0
		for k := i; k < len(t.sums); k += subBuckets {
			t.sums[k] = 0
		}
	}
	for i := range t.sets {
		t.sets[i].slide(t.newest, next)
	}
	for i := range t.numbers {
		t.numbers[i].slide(next)
	}
	t.newest = next
}

const (
	// forgetting is the part of the usual value that is kept when an epoch
	// stays below it: a peak is half forgotten after 14 epochs with traffic.
	forgetting = 0.95
	// guard is how many times the usual value is learned at most from an epoch
	// in which the rule held, so that an attack does not become usual at once,
	// and a lasting change does in time.
	guard = 2
)

// learn ends an epoch. What it saw is learned one epoch later, so that the
// first half of an attack does not excuse the second.
func (t *entity) learn() {
	learned := false
	for i := range t.usual {
		if x := t.pending[i]; !math.IsNaN(x) {
			t.usual[i] = max(x, t.usual[i]*forgetting)
			learned = true
		}
		x := t.high[i]
		if t.alerted {
			x = min(x, guard*t.usual[i])
		}
		t.pending[i], t.high[i] = x, 0
	}
	if learned {
		t.windows++
	}
	t.alerted = false
}

// count notes the event itself; contributed is true when the rule has nothing
// finer to choose evidence by.
func (t *entity) count(in *input, b int64) (contributed bool) {
	i, ts := index(b), in.ev.TS
	if t.n[i] == 0 {
		t.first[i] = ts
	}
	t.n[i]++
	t.first[i] = min(t.first[i], ts)
	t.newestTS = max(t.newestTS, ts)
	return len(t.sets)+len(t.turns)+len(t.numbers) == 0
}

func (t *entity) sum(at int, b int64, v float64) { t.sums[at*subBuckets+index(b)] += v }

func (t *entity) total(at int) float64 {
	v := 0.0
	for _, x := range t.sums[at*subBuckets : (at+1)*subBuckets] {
		v += x
	}
	return v
}

func (t *entity) events() float64 {
	n := uint64(0)
	for _, k := range t.n {
		n += uint64(k)
	}
	return float64(n)
}

// oldest is the time of the first event of the window in µs; newestTS is that of
// the last.
func (t *entity) oldest() int64 {
	first := int64(math.MaxInt64)
	for i, n := range t.n {
		if n > 0 {
			first = min(first, t.first[i])
		}
	}
	return first
}
