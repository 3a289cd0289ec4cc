package alert

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// lookAgain is how long after a look that did not find a message the second
// look is taken: Slack's history may lag behind its posts.
const lookAgain = 2 * time.Second

// lookBack is how far before our first attempt a message is looked for: clocks
// differ.
const lookBack = time.Minute

// maxMisses is how many looks in a row must miss before a message is posted
// again.
const maxMisses = 2

// recordTimeout bounds how long a stopping Manager tries to record an outcome.
const recordTimeout = 5 * time.Second

// Run delivers until ctx ends, one sender per channel, and returns when all have
// stopped. What is not delivered by then is delivered after the next Restore.
func (m *Manager) Run(ctx context.Context) {
	var senders sync.WaitGroup
	for _, o := range m.outboxes {
		senders.Go(func() { m.serve(ctx, o) })
	}
	senders.Wait()
}

// Drain returns when every channel has been told everything, or with ctx's error.
// Run must be running. Edits that only refresh counters go out at once from then
// on.
func (m *Manager) Drain(ctx context.Context) error {
	for {
		m.mu.Lock()
		m.draining = true
		owed := 0
		for _, o := range m.outboxes {
			owed += len(o.owing)
			if len(o.owing) > 0 {
				o.poke()
			}
		}
		emptied := m.emptied
		m.mu.Unlock()
		if owed == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-emptied:
		}
	}
}

func (m *Manager) serve(ctx context.Context, o *outbox) {
	for ctx.Err() == nil {
		m.mu.Lock()
		s, again, ok := m.pick(o, time.Now())
		if len(o.owing) == 0 {
			close(m.emptied)
			m.emptied = make(chan struct{})
		}
		m.report()
		m.mu.Unlock()
		if ok {
			if m.take(ctx, o, s) {
				// When it arrived is not known, only that it was before now: counted
				// from here, no burst looks longer to the channel than to us.
				o.pace.take(time.Now())
			}
			continue
		}
		o.wait(ctx, again)
	}
}

// wait returns when something changed, at the time again if there is one, or
// when ctx ends.
func (o *outbox) wait(ctx context.Context, again time.Time) {
	var timer <-chan time.Time
	if !again.IsZero() {
		t := time.NewTimer(time.Until(again))
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-ctx.Done():
	case <-o.wake:
	case <-timer:
	}
}

// take does one step, and says whether it may have called the channel.
func (m *Manager) take(ctx context.Context, o *outbox, s step) bool {
	switch {
	case s.letter == nil:
		return m.edit(ctx, o, s.thread)
	case m.expired(s.letter):
		m.record(ctx, o, m.row(s, StatusDead, errors.New("not delivered in time")))
	case s.letter.open:
		m.look(ctx, o, s)
	default:
		m.post(ctx, o, s)
	}
	return true
}

func (m *Manager) expired(l *letter) bool {
	return !l.first.IsZero() && time.Since(l.first) > m.cfg.GiveUp
}

// post sends a letter: the intent becomes durable, then the message is tried,
// then its outcome becomes durable.
func (m *Manager) post(ctx context.Context, o *outbox, s step) {
	p := m.compose(ctx, s)
	intent := m.row(s, StatusIntent, nil)
	intent.Attempt, intent.ContentHash = s.letter.attempts+1, p.Message.Hash()
	if !m.record(ctx, o, intent) {
		return
	}
	ref, err := m.cfg.Notifier.Post(ctx, p)
	m.metrics.attempt(err, m.accepted())
	outcome := m.row(s, m.accepted(), err)
	outcome.Attempt, outcome.ContentHash, outcome.TS = intent.Attempt, intent.ContentHash, ref
	if err != nil {
		m.refused(o, s, &outcome, err)
	} else {
		m.arrived(o, s)
	}
	m.record(ctx, o, outcome)
}

// accepted is the status of a message that the notifier took.
func (m *Manager) accepted() string {
	if m.printing {
		return StatusPrinted
	}
	return StatusAccepted
}

// arrived notes that a letter is in the channel.
func (m *Manager) arrived(o *outbox, s step) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o.retry.reset()
	s.letter.retry.reset()
	if i, ok := m.tracker.Get(s.thread.incident); ok && s.letter.kind == MessageRoot {
		m.metrics.endToEnd(i.Opening.Severity, time.Since(micro(i.Opening.At)))
	}
}

// refused turns an error into the outcome row, and sets the waits.
func (m *Manager) refused(o *outbox, s step, d *Delivery, err error) {
	outcome, after := outcomeOf(err)
	d.TS, d.Error = "", Clean(err.Error(), maxError)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch outcome {
	case TooRich:
		d.Status, d.Level = StatusTooRich, uint8(s.letter.level+1)
		if s.letter.level >= LevelText {
			d.Status, d.Level = StatusDead, uint8(LevelText)
		}
		m.metrics.degraded(Level(d.Level))
	case Gone:
		i, _ := m.tracker.Get(s.thread.incident)
		d.Status, d.Seq = StatusGone, max(i.Seq, s.thread.rootSeq+1)
	case Permanent:
		d.Status = StatusDead
	case Unsent, Denied:
		d.Status = StatusUnsent
		m.slow(o, &s.letter.retry, 0)
	default:
		d.Status = StatusUnknown
		m.slow(o, &s.letter.retry, after)
	}
	m.complain(o, outcome, err)
}

// maxError is how many characters of an error are journaled.
const maxError = 300

// slow makes the channel and one of its letters wait. The caller holds the lock.
func (m *Manager) slow(o *outbox, letter *backoff, atLeast time.Duration) {
	now := time.Now()
	o.retry.fail(now, m.cfg.Jitter(), atLeast)
	letter.fail(now, m.cfg.Jitter(), atLeast)
}

func (m *Manager) complain(o *outbox, outcome Outcome, err error) {
	level := slog.LevelWarn
	if outcome == Denied || outcome == Permanent {
		level = slog.LevelError
	}
	m.cfg.Log.Log(context.Background(), level, "message not accepted",
		"channel", o.channel, "outcome", string(outcome), "retry_in", time.Until(o.retry.until).Round(time.Second), "error", err)
}

// look finds out whether a letter of unknown outcome arrived.
func (m *Manager) look(ctx context.Context, o *outbox, s step) {
	finder, able := m.cfg.Notifier.(Finder)
	if !able {
		m.missed(s, maxMisses, true)
		return
	}
	ref, err := finder.Find(ctx, m.address(s), s.letter.first.Add(-lookBack))
	outcome, after := outcomeOf(err)
	switch {
	case err == nil && ref != "":
		m.metrics.lookedBack("found")
		m.arrived(o, s)
		d := m.row(s, StatusAdopted, nil)
		d.TS = ref
		m.record(ctx, o, d)
	case err == nil:
		m.metrics.lookedBack("absent")
		m.mu.Lock()
		o.retry.reset()
		m.mu.Unlock()
		m.missed(s, 1, false)
	case outcome == Permanent:
		m.metrics.lookedBack("not_allowed")
		m.cfg.Log.Error("cannot look for a message whose outcome is unknown, posting it again", "channel", o.channel, "error", err)
		m.missed(s, maxMisses, true)
	case outcome == Gone: // the thread was deleted, and the answer with it
		m.metrics.lookedBack("absent")
		d := m.row(s, StatusGone, err)
		m.refused(o, s, &d, err)
		m.record(ctx, o, d)
	default:
		m.metrics.lookedBack("error")
		m.mu.Lock()
		m.slow(o, &s.letter.retry, after)
		m.complain(o, outcome, err)
		m.mu.Unlock()
	}
}

// missed counts looks that did not find a letter.
func (m *Manager) missed(s step, misses int, blind bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.letter.misses += misses
	s.letter.blind = s.letter.blind || blind
	if s.letter.misses >= maxMisses {
		s.letter.open, s.letter.retry.until = false, time.Time{}
		return
	}
	s.letter.retry.until = time.Now().Add(lookAgain)
}

// edit brings the root message up to date; false when it is already.
func (m *Manager) edit(ctx context.Context, o *outbox, t *thread) bool {
	m.mu.Lock()
	i, _ := m.tracker.Get(t.incident)
	root := t.root()
	m.mu.Unlock()
	s := step{thread: t, letter: root}
	p := m.compose(ctx, s)
	d := m.row(s, StatusUpdated, nil)
	d.DeliveryID, d.Kind, d.Seq, d.TS, d.ContentHash = deliveryID(t.incident, updateKind, i.Seq, t.channel), updateKind, i.Seq, root.ref, p.Message.Hash()
	if d.ContentHash == t.hash {
		m.shown(t, &i)
		return false
	}
	err := m.cfg.Notifier.Update(ctx, root.ref, p)
	m.metrics.attempt(err, StatusUpdated)
	if err == nil {
		m.shown(t, &i)
		m.mu.Lock()
		o.retry.reset()
		m.mu.Unlock()
		m.record(ctx, o, d)
		return true
	}
	m.editRefused(ctx, o, s, d, err)
	return true
}

// editRefused handles an edit that failed. Only what changes the future is
// journaled: an edit is safe to repeat.
func (m *Manager) editRefused(ctx context.Context, o *outbox, s step, d Delivery, err error) {
	m.refused(o, s, &d, err)
	m.mu.Lock()
	s.thread.retry, s.letter.retry = s.letter.retry, backoff{}
	m.mu.Unlock()
	switch d.Status {
	case StatusTooRich, StatusGone:
		m.record(ctx, o, d)
	case StatusDead:
		i, _ := m.incident(s.thread.incident)
		m.shown(s.thread, &i)
	}
}

func (m *Manager) incident(id string) (Incident, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tracker.Get(id)
}

func (m *Manager) shown(t *thread, i *Incident) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t.shown, t.state = max(t.shown, i.Seq), i.State
	t.retry.reset()
}

// address is a step's Post without its message.
func (m *Manager) address(s step) Post {
	p := Post{Channel: s.thread.channel, DeliveryID: s.letter.id, Level: s.letter.level}
	if s.letter.kind != MessageRoot {
		m.mu.Lock()
		p.Thread = s.thread.root().ref
		m.mu.Unlock()
	}
	return p
}

// compose renders what a step sends.
func (m *Manager) compose(ctx context.Context, s step) Post {
	i, _ := m.incident(s.thread.incident)
	v := View{Incident: i, Runbook: m.cfg.Runbooks[i.Opening.Rule], ConsoleURL: m.cfg.ConsoleURL}
	p := m.address(s)
	switch s.letter.kind {
	case MessageRoot:
		p.Message = v.Root()
	case MessageEvidence:
		v.Samples = m.samples(ctx, &i)
		p.Message = v.Evidence()
	case MessageRunbook:
		p.Message, _ = v.RunbookQueries()
	case MessageReopened:
		p.Message, p.Broadcast = v.Reopened(), true
	}
	if s.letter.blind {
		p.Message.Footer += " · possible repeat"
	}
	if s.letter.kind == MessageRoot && s.letter.seq > 1 {
		p.Message.Footer += " · continues an earlier message"
	}
	return p
}

func (m *Manager) samples(ctx context.Context, i *Incident) *Table {
	if m.cfg.Samples == nil {
		return nil
	}
	t, err := m.cfg.Samples.Samples(ctx, &i.Opening, maxRows)
	if err != nil {
		m.cfg.Log.Warn("no sample events for an alert", "incident", i.ID, "error", err)
		return nil
	}
	return t
}

func (m *Manager) row(s step, status string, err error) Delivery {
	d := Delivery{
		DeliveryID: s.letter.id, IncidentID: s.thread.incident, Seq: s.letter.seq, At: time.Now().UTC(),
		Kind: s.letter.kind, Status: status, Channel: s.thread.channel, Attempt: s.letter.attempts, Level: uint8(s.letter.level),
	}
	if err != nil {
		d.Error = Clean(err.Error(), maxError)
	}
	return d
}

// record makes a row durable and then part of the thread's state. It tries until
// it succeeds or, once ctx has ended, for a short while; false means that it did
// not, and the row has no effect.
func (m *Manager) record(ctx context.Context, o *outbox, d Delivery) bool {
	durable, cancel := withGrace(ctx, recordTimeout)
	defer cancel()
	var retry backoff
	for {
		err := m.cfg.Deliveries.Append(durable, d)
		if err == nil {
			break
		}
		m.cfg.Log.Error("delivery not journaled", "status", d.Status, "error", err)
		retry.fail(time.Now(), m.cfg.Jitter(), 0)
		t := time.NewTimer(time.Until(retry.until))
		select {
		case <-durable.Done():
			t.Stop()
			return false
		case <-t.C:
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	o.thread(d.IncidentID).apply(&d)
	return true
}

// withGrace ends some time after ctx does.
func withGrace(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(grace, cancel)
		context.AfterFunc(out, func() { t.Stop() })
	})
	return out, func() { stop(); cancel() }
}
