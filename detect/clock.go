package detect

import "gatehouse/ingest/event"

// Time. Each partition has its progress: the newest time among its events. An
// event is on time while it is at most the lateness behind the progress of its
// own partition, and not far beyond it. But clocks lie, and the very first event
// may be the one whose clock does; so a partition's time is a matter of majority:
//
//   - an event that is more than maxApart off the progress is held, unless it is
//     close to the caller's time, which is right. Events that lie close to the
//     held ones or go on from them speak for them, events on time against them,
//     with at most maxTrust votes.
//   - when the held ones win, the stream really is somewhere else (a gap in a
//     file, a night without traffic, a wrong first event): progress goes there,
//     forwards or back, and they are processed. When the others win, the held
//     ones had a bad clock: they are dropped and counted.
//   - the watermark follows a partition only while it is trusted by at least
//     minTrust votes, because it cannot go back.
const (
	maxApart = 6 * hour
	maxTrust = 16
	minTrust = 8

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
	trust    int   // votes for progress
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
	release // held until now: p.held is to be processed, this event included
)

// judge decides about ev and moves the progress of p. dropped is how many held
// events turned out to have a bad clock.
func (p *partition) judge(ev *event.Event, now, lateness int64) (v verdict, dropped int) {
	if !p.started {
		p.started, p.progress = true, ev.TS
	}
	switch {
	case apart(ev.TS, p.progress) > maxApart:
		if apart(ev.TS, now) > maxApart {
			return p.hold(ev)
		}
		p.progress = ev.TS
	case ahead(p.progress, ev.TS, lateness):
		return tooLate, 0
	}
	if p.trust = min(p.trust+1, maxTrust); p.trust == maxTrust {
		dropped = len(p.held)
		p.held = p.held[:0]
	}
	p.progress = max(p.progress, ev.TS)
	return onTime, dropped
}

// hold keeps a copy of ev and takes a vote. An event far before those already
// held replaces them: they cannot all be right.
func (p *partition) hold(ev *event.Event) (v verdict, dropped int) {
	if n := len(p.held); n > 0 && ahead(p.held[n-1].TS, ev.TS, maxApart) {
		dropped = n
		p.held = p.held[:0]
	}
	if len(p.held) > 2*maxTrust { // an even quarrel between two clocks
		dropped++
		p.held = p.held[:copy(p.held, p.held[1:])]
	}
	p.held = append(p.held, *ev)
	if p.trust--; p.trust >= 0 {
		return onHold, dropped
	}
	p.follow()
	return release, dropped
}

// follow moves progress to where the held events are.
func (p *partition) follow() {
	p.trust, p.progress = 0, p.held[0].TS
	for i := range p.held {
		p.progress = min(p.progress, p.held[i].TS)
	}
}

// resume takes back a held event after follow, and reports whether it is on time.
func (p *partition) resume(ev *event.Event, lateness int64) bool {
	if ahead(p.progress, ev.TS, lateness) {
		return false
	}
	p.progress = max(p.progress, ev.TS)
	p.trust = min(p.trust+1, maxTrust)
	return true
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
