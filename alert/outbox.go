package alert

import (
	"cmp"
	"time"
)

// outbox is what one channel is owed. The Manager's lock guards it; one
// goroutine at a time sends from it.
type outbox struct {
	channel string
	threads map[string]*thread  // by incident
	owing   map[string]struct{} // incidents that may be owed something
	pace    bucket
	retry   backoff // of the channel as a whole
	wake    chan struct{}
}

func newOutbox(channel string) *outbox {
	return &outbox{channel: channel, threads: map[string]*thread{}, owing: map[string]struct{}{}, wake: make(chan struct{}, 1)}
}

func (o *outbox) thread(incident string) *thread {
	t, ok := o.threads[incident]
	if !ok {
		t = newThread(incident, o.channel)
		o.threads[incident] = t
	}
	return t
}

// owe notes that an incident changed.
func (o *outbox) owe(incident string) {
	o.thread(incident)
	o.owing[incident] = struct{}{}
	o.poke()
}

// poke makes the sender look again.
func (o *outbox) poke() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// pick is the step to take now, or when to look again; false with a zero time
// means that nothing is owed.
func (m *Manager) pick(o *outbox, now time.Time) (step, time.Time, bool) {
	if o.retry.until.After(now) && len(o.owing) > 0 {
		return step{}, o.retry.until, false
	}
	var best step
	var bestIncident Incident
	var soonest time.Time
	for id := range o.owing {
		i, _ := m.tracker.Get(id) // what is owed is not forgotten
		s, owed := o.thread(id).next(&i, m.hasQueries(&i))
		switch {
		case !owed:
			o.settle(id)
		case s.due.After(now) && !(m.draining && s.letter == nil):
			if soonest.IsZero() || s.due.Before(soonest) {
				soonest = s.due
			}
		case best.thread == nil || before(&s, &i, &best, &bestIncident):
			best, bestIncident = s, i
		}
	}
	if best.thread == nil {
		return step{}, soonest, false
	}
	if at := o.pace.ready(now); at.After(now) && !m.printing {
		return step{}, at, false
	}
	return best, now, true
}

// settle forgets what is only needed while something is owed. A thread that is
// owed nothing stays, so that the next edit finds its root.
func (o *outbox) settle(incident string) { delete(o.owing, incident) }

// before orders steps that are due: worse incidents first, then roots before
// replies before edits, then older incidents.
func before(a *step, ai *Incident, b *step, bi *Incident) bool {
	return cmp.Or(
		cmp.Compare(bi.Opening.Severity.Rank(), ai.Opening.Severity.Rank()),
		cmp.Compare(a.rank(), b.rank()),
		cmp.Compare(ai.First, bi.First),
		cmp.Compare(ai.ID, bi.ID),
	) < 0
}
