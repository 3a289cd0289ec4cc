package detect

import (
	"cmp"
	"math"
	"slices"

	"gatehouse/detect/baseline"
	"gatehouse/rules"
)

// volumeState runs a baseline rule: it counts per entity and fixed window, and
// judges each count by the entity's past when the watermark closes the window,
// or as soon as there is no doubt left.
type volumeState struct {
	rule     *rules.Rule
	engine   *Engine
	length   int64 // µs per window
	pool     baseline.Pool
	sum      baseline.Sum // of all series
	series   *table[series]
	open     []*openWindow // by start
	last     int64         // number of the last closed window
	closed   bool          // whether last is set
	counters RuleStats
}

// series is one entity's past.
type series struct {
	baseline.Series
	key        uint64
	hot        int   // windows in a row in which it was unusual
	quietUntil int64 // µs
}

// openWindow is a window that events can still fall into.
type openWindow struct {
	number int64 // start = number × length
	counts map[uint64]*tally
}

// tally is one entity's count in one window.
type tally struct {
	n           float64
	first, last int64 // µs
	check       float64
	fired       bool
	tenant      string
	entity      []Field // set once the count could matter
	evidence    evidence
	busiest     busiest
}

const (
	// maxOpen is how many windows may be open at once; partitions that are far
	// apart in time close the oldest ones early.
	maxOpen = 64
	// freeze is for how many windows in a row an unusual entity is not learned
	// from. After that the new level becomes usual.
	freeze = 10
	// noDoubt is how much more certain than at the window's end a finding has to
	// be before it.
	noDoubt = 10
	// patience is by how much a count has to grow before it is judged again.
	patience = 1.1
)

func newBaselineState(r *rules.Rule, e *Engine) state {
	s := &volumeState{
		rule: r, engine: e, length: r.Window.Microseconds(),
		counters: RuleStats{Rule: r.ID},
	}
	s.series = newTable(e.cfg.MaxEntities, func(old *series) { s.sum.Remove(&old.Series) })
	return s
}

func (s *volumeState) stats() RuleStats {
	c := s.counters
	c.Entities, c.Evicted = int64(s.series.len()), s.series.evicted
	return c
}

func (s *volumeState) observe(in *input) *Finding {
	ok, err := in.m.Test(&s.rule.When)
	if err != nil {
		s.counters.Errors++
	}
	if !ok {
		return nil
	}
	s.counters.Matched++
	number := floor(in.ev.TS, s.length) / s.length
	if s.closed && number <= s.last {
		s.counters.Old++
		return nil
	}
	key := groupKey(in, s.rule.GroupBy, s.engine.cfg.Seed)
	t := s.window(number).tally(key, s.engine.cfg.MaxEntities)
	if t == nil {
		s.counters.Saturated++
		return nil
	}
	t.add(in, s)
	return s.early(t, key, number)
}

// window finds the open window, opening it when it is not.
func (s *volumeState) window(number int64) *openWindow {
	if n := len(s.open); n > 0 && s.open[n-1].number == number {
		return s.open[n-1]
	}
	i, found := slices.BinarySearchFunc(s.open, number, func(w *openWindow, n int64) int { return cmp.Compare(w.number, n) })
	if !found {
		s.open = slices.Insert(s.open, i, &openWindow{number: number, counts: map[uint64]*tally{}})
	}
	return s.open[i]
}

func (w *openWindow) tally(key uint64, limit int) *tally {
	t := w.counts[key]
	if t == nil && len(w.counts) < limit {
		t = &tally{first: math.MaxInt64, last: math.MinInt64}
		w.counts[key] = t
	}
	return t
}

func (t *tally) add(in *input, s *volumeState) {
	ts := in.ev.TS
	t.n++
	t.first, t.last = min(t.first, ts), max(t.last, ts)
	if f := s.rule.Baseline.Spread; f != nil {
		t.busiest.add(rules.Hash(s.engine.cfg.Seed, f.Text(in.ev)))
	}
	if t.n < s.rule.Baseline.MinCount/2 { // cannot fire within this half
		return
	}
	if t.entity == nil {
		t.tenant, t.entity = in.ev.Tenant, entityOf(in, s.rule)
		t.check = s.rule.Baseline.MinCount
	}
	t.evidence.add(in, math.MinInt64)
}

// count is what is compared: without the busiest part, if the rule says so.
func (t *tally) count(r *rules.Rule) float64 {
	if r.Baseline.Spread == nil {
		return t.n
	}
	return t.n - t.busiest.top()
}

// early judges a count that has grown before its window is over. Since counts
// only grow, what is unusual for a whole window is so for a part of it.
func (s *volumeState) early(t *tally, key uint64, number int64) *Finding {
	if t.entity == nil || t.fired || t.count(s.rule) < t.check {
		return nil
	}
	x := t.count(s.rule)
	t.check = x * patience
	b := &s.rule.Baseline
	sr := s.past(key)
	e, ok := s.pool.Judge(&sr.Series, x, b.MinCount, b.MinRatio)
	if !ok || e.LogP > math.Log(b.Q/(noDoubt*math.Max(1, s.pool.Entities))) {
		return nil
	}
	t.fired = true
	return s.fire(t, sr, number, e)
}

func (s *volumeState) past(key uint64) *series {
	sr, fresh := s.series.get(key)
	if fresh {
		sr.key, sr.quietUntil = key, math.MinInt64
	}
	return sr
}

// fire makes a finding of a tally unless its entity is in its quiet time.
func (s *volumeState) fire(t *tally, sr *series, number int64, e baseline.Expectation) *Finding {
	if t.last < sr.quietUntil {
		return nil
	}
	sr.quietUntil = t.last + s.rule.Quiet.Microseconds()
	s.counters.Findings++
	f := newFinding(s.rule, t.entity, number*s.length)
	f.Tenant, f.First, f.Last, f.At = t.tenant, t.first, t.last, t.last
	f.Events = int64(t.n)
	f.Evidence = t.evidence.origins(math.MinInt64, s.engine.partitions)
	x := t.count(s.rule)
	f.Measures = []Measure{{"count", x}, {"expected", e.Mean}, {"surprise", -e.LogP / math.Ln10}}
	f.Reason = s.reason(&f, x, e)
	f.SQL = selectEvents(s.rule, t.entity, t.first, t.last)
	return &f
}

func (s *volumeState) reason(f *Finding, x float64, e baseline.Expectation) string {
	text := s.rule.Reason.Render(func(name string) string {
		switch name {
		case "count", "events":
			return show(x)
		case "expected":
			return show(e.Mean)
		case "window":
			return span(s.rule.Window)
		}
		return valueOf(f.Entity, name)
	})
	return text + "; by chance once in 10^" + show(math.Floor(-e.LogP/math.Ln10)) + " windows; fires at no less than " +
		show(e.Least) + " (saw " + show(x) + ")"
}

// close implements state: it judges and learns every window that ends before
// the watermark, in their order.
func (s *volumeState) close(watermark int64) []Finding {
	var out []Finding
	for len(s.open) > 0 && (len(s.open) > maxOpen || (s.open[0].number+1) <= floor(watermark, s.length)/s.length) {
		w := s.open[0]
		s.open = slices.Delete(s.open, 0, 1)
		out = append(out, s.judge(w)...)
		s.learn(w)
		s.last, s.closed = w.number, true
	}
	return out
}

// candidate is an entity whose count came into question.
type candidate struct {
	key    uint64
	expect baseline.Expectation
}

func (s *volumeState) judge(w *openWindow) []Finding {
	b := &s.rule.Baseline
	var candidates []candidate
	var logP []float64
	for _, key := range w.keys() {
		t := w.counts[key]
		if t.entity == nil {
			continue
		}
		if e, ok := s.pool.Judge(&s.past(key).Series, t.count(s.rule), b.MinCount, b.MinRatio); ok {
			candidates, logP = append(candidates, candidate{key, e}), append(logP, e.LogP)
		}
	}
	cut, ok := baseline.Discoveries(logP, max(s.series.len(), len(w.counts)), b.Q)
	if !ok {
		return nil
	}
	var out []Finding
	for _, c := range candidates {
		if c.expect.LogP > cut {
			continue
		}
		t, sr := w.counts[c.key], s.past(c.key)
		if !t.fired {
			t.fired = true
			if f := s.fire(t, sr, w.number, c.expect); f != nil {
				out = append(out, *f)
			}
		}
	}
	return out
}

// keys lists the entities of the window in an order that does not depend on
// the map's.
func (w *openWindow) keys() []uint64 {
	keys := make([]uint64, 0, len(w.counts))
	for key := range w.counts {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// learn adds the window to the past of every entity that was active in it.
func (s *volumeState) learn(w *openWindow) {
	peak := 0.0
	for _, key := range w.keys() {
		t, sr := w.counts[key], s.past(key)
		x := t.count(s.rule)
		if t.fired {
			sr.hot++
		} else {
			sr.hot = 0
			peak = math.Max(peak, x)
		}
		if x <= 0 || (sr.hot > 0 && sr.hot <= freeze) {
			continue
		}
		s.sum.Remove(&sr.Series)
		sr.Learn(s.pool.Clip(&sr.Series, x))
		s.sum.Add(&sr.Series)
	}
	s.pool.Update(s.sum, peak)
}

// busiest estimates how often the most frequent of many values occurred, with
// the space-saving algorithm: never too low for the leader, and too high by at
// most the count of the rarest kept value.
type busiest struct {
	keys   [busiestKept]uint64
	counts [busiestKept]float64
}

const busiestKept = 4

func (b *busiest) add(key uint64) {
	least := 0
	for i, k := range b.keys {
		if k == key && b.counts[i] > 0 {
			b.counts[i]++
			return
		}
		if b.counts[i] < b.counts[least] {
			least = i
		}
	}
	b.keys[least] = key
	b.counts[least]++
}

func (b *busiest) top() float64 { return slices.Max(b.counts[:]) }
