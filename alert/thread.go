package alert

import "time"

// letterKey names a letter within its thread.
type letterKey struct {
	kind string
	seq  uint32
}

// thread is everything that one channel was told about one incident, and with
// the incident what it is still owed. It is a function of the delivery rows,
// except for the waits.
type thread struct {
	incident string
	channel  string
	rootSeq  uint32 // 1, or the number of the root that replaced a lost one
	letters  map[letterKey]*letter
	// hash, shown, state and edited describe what the root last showed.
	hash   string
	shown  uint32 // seq of the incident, as far as known
	state  State  // "" = not known
	edited time.Time
	retry  backoff // of edits
}

func newThread(incident, channel string) *thread {
	return &thread{incident: incident, channel: channel, rootSeq: 1, letters: map[letterKey]*letter{}}
}

// letter is the one of this kind and seq, new if need be.
func (t *thread) letter(kind string, seq uint32) *letter {
	key := letterKey{kind, seq}
	l, ok := t.letters[key]
	if !ok {
		l = &letter{id: deliveryID(t.incident, kind, seq, t.channel), kind: kind, seq: seq}
		t.letters[key] = l
	}
	return l
}

func (t *thread) root() *letter { return t.letter(MessageRoot, t.rootSeq) }

// apply is the state of t after one more row.
func (t *thread) apply(d *Delivery) {
	if d.Status == StatusGone {
		t.rootSeq, t.hash, t.shown = max(t.rootSeq, d.Seq), "", 0
		return
	}
	l := t.root()
	if d.Kind != updateKind {
		l = t.letter(d.Kind, d.Seq)
	}
	switch {
	case d.Kind != updateKind:
		l.apply(d)
		if l == t.root() && l.ref != "" {
			t.hash, t.edited = d.ContentHash, d.At
		}
	case d.Status == StatusUpdated:
		t.hash, t.edited, t.shown = d.ContentHash, d.At, d.Seq
	case d.Status == StatusTooRich:
		l.level = max(l.level, min(Level(d.Level), LevelText))
	}
}

// Freshness of the counters in a root message: soon while the incident is young,
// seldom later, since every edit counts against Slack's limits.
const (
	youngFor   = 2 * time.Minute
	editYoung  = 15 * time.Second
	editMature = time.Minute
)

// step is one call to the channel that is owed.
type step struct {
	thread *thread
	letter *letter // nil: edit the root
	due    time.Time
}

// next is what the channel is owed first, false when it is owed nothing. The
// root goes before its replies, and replies in the order in which they arose.
func (t *thread) next(i *Incident, hasQueries bool) (step, bool) {
	root := t.root()
	if !root.done() {
		return step{t, root, root.retry.until}, true
	}
	if root.dead {
		return step{}, false
	}
	for _, l := range t.replies(i, hasQueries) {
		if !l.done() {
			return step{t, l, l.retry.until}, true
		}
	}
	if t.shown >= i.Seq {
		return step{}, false
	}
	return step{t, nil, later(t.editDue(i), t.retry.until)}, true
}

func (t *thread) replies(i *Incident, hasQueries bool) []*letter {
	owed := []*letter{t.letter(MessageEvidence, 1)}
	if hasQueries {
		owed = append(owed, t.letter(MessageRunbook, 1))
	}
	for _, seq := range i.Reopened {
		owed = append(owed, t.letter(MessageReopened, seq))
	}
	return owed
}

// editDue is when the root may be edited: at once for a change of state.
func (t *thread) editDue(i *Incident) time.Time {
	if t.state != i.State {
		return time.Time{}
	}
	if t.edited.Sub(t.root().first) < youngFor {
		return t.edited.Add(editYoung)
	}
	return t.edited.Add(editMature)
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// rank orders steps that are due: lower goes first.
func (s *step) rank() int {
	switch {
	case s.letter == nil:
		return 3
	case s.letter.kind == MessageRoot:
		return 0
	case s.letter.kind == MessageReopened:
		return 1
	}
	return 2
}
