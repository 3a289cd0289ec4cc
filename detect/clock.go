package detect

import "gatehouse/ingest/event"

// Time. Each partition has its progress: the newest time among its events. An
// event is on time while it is at most the lateness behind the progress of its
// own partition. Clocks lie, so progress does not follow one event far:
//
//   - an event more than maxAhead beyond the progress is held. When heldEvents
//     in a row are, and lie close together, the stream has really moved on (a
//     gap in a file, a night without traffic): progress follows and the held
//     events are processed. When an event at the old progress comes first, the
//     held ones had a bad clock: they are dropped and counted.
//   - at the start of a partition the same goes backwards, because then it may
//     be the very first event that had the bad clock.
const (
	maxAhead    = 6 * hour
	heldEvents  = 16
	youngEvents = 64 // a partition that has accepted fewer may still step back

	// maxTime keeps sums of times from overflowing: 36,000 years, in µs.
	maxTime = 1 << 60

	second = 1_000_000
	minute = 60 * second
	hour   = 60 * minute
)

// partitionKey is a source partition.
type partitionKey struct {
	topic string
	n     int32
}

type partition struct {
	key      partitionKey
	index    int32 // position in engine.partitions
	started  bool
	progress int64 // µs, newest event time
	accepted int
	held     []event.Event
	tick     int64 // progress in whole seconds when the watermark was last looked at
	seenAt   int64 // the caller's now at its last event, math.MinInt64 before the first Advance
}

// verdict is what the clock makes of an event.
type verdict int

const (
	onTime verdict = iota
	tooLate
	onHold  // kept until more is known
	release // on hold until now: process p.held, which this event is in
)

// judge decides about ev and moves the progress of p. dropped is how many held
// events turned out to have a bad clock.
func (p *partition) judge(ev *event.Event, lateness int64) (v verdict, dropped int) {
	if !p.started {
		p.started, p.progress = true, ev.TS
	}
	switch {
	case ahead(ev.TS, p.progress, maxAhead):
		return p.hold(ev)
	case ahead(p.progress, ev.TS, maxAhead) && p.accepted < youngEvents:
		return p.hold(ev)
	case ahead(p.progress, ev.TS, lateness):
		return tooLate, 0
	}
	dropped = len(p.held)
	p.held = p.held[:0]
	p.progress = max(p.progress, ev.TS)
	p.accepted++
	return onTime, dropped
}

// hold keeps a copy of ev. Events that do not lie close to those already held
// replace them: they cannot all be right.
func (p *partition) hold(ev *event.Event) (v verdict, dropped int) {
	if n := len(p.held); n > 0 && apart(p.held[n-1].TS, ev.TS) > maxAhead {
		dropped = n
		p.held = p.held[:0]
	}
	p.held = append(p.held, *ev)
	if len(p.held) < heldEvents {
		return onHold, dropped
	}
	p.progress = p.held[0].TS
	return release, dropped
}

// ahead reports whether a is more than by beyond b, without overflow.
func ahead(a, b, by int64) bool { return a > b && uint64(a)-uint64(b) > uint64(by) }

func apart(a, b int64) uint64 {
	if a < b {
		a, b = b, a
	}
	return uint64(a) - uint64(b)
}

// floor is the largest multiple of step that is not above t; both in µs.
func floor(t, step int64) int64 {
	q := t / step
	if t%step < 0 {
		q--
	}
	return q * step
}
