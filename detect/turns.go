package detect

import "slices"

// maxRuns is how many runs are remembered; returns are counted up to about it.
const maxRuns = 32

// turns is who acted when: the runs of equal values along event time. A-A-B-A
// is three runs of two values, so one return. A run remembers only its first and
// last event; so an event that arrives late, into the middle of another run, can
// hide turns, but never invents one.
type turns struct{ runs []run }

type run struct {
	key         uint64
	first, last int64 // µs
}

// add notes value key at time ts and reports whether it made a new run.
func (t *turns) add(key uint64, ts int64) bool {
	i := len(t.runs) // the run that ts is in or behind
	for i > 0 && t.runs[i-1].first > ts {
		i--
	}
	if i > 0 && t.runs[i-1].key == key {
		t.runs[i-1].last = max(t.runs[i-1].last, ts)
		return false
	}
	if i > 0 && t.runs[i-1].last > ts { // in the middle of another value's run
		before, after := t.runs[i-1], t.runs[i-1]
		before.last, after.first = before.first, after.last
		t.runs[i-1] = before
		t.insert(i, run{key, ts, ts})
		t.insert(i+1, after)
		t.trim()
		return true
	}
	if i < len(t.runs) && t.runs[i].key == key {
		t.runs[i].first = ts
		return false
	}
	t.insert(i, run{key, ts, ts})
	t.trim()
	return true
}

func (t *turns) insert(i int, r run) { t.runs = slices.Insert(t.runs, i, r) }

func (t *turns) trim() {
	if n := len(t.runs) - maxRuns; n > 0 {
		t.runs = slices.Delete(t.runs, 0, n)
	}
}

// returns is the number of returns among the runs that reach beyond start.
func (t *turns) returns(start int64) float64 {
	i := 0
	for i < len(t.runs) && t.runs[i].last < start {
		i++
	}
	if i > 0 {
		t.runs = slices.Delete(t.runs, 0, i)
	}
	again := 0
	for i := range t.runs {
		for j := range i {
			if t.runs[j].key == t.runs[i].key {
				again++
				break
			}
		}
	}
	return float64(again)
}
