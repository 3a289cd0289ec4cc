package alert

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"gatehouse/detect"
)

// TrackerConfig configures a [Tracker]. The zero value is the default.
type TrackerConfig struct {
	// Quiet is how long, in event time, an incident has no finding before it is
	// resolved by itself. 0 = 60 minutes.
	Quiet time.Duration
	// ReopenWithin is how long after it was resolved a new finding reopens an
	// incident instead of opening the next episode. 0 = 24 hours.
	ReopenWithin time.Duration
	// Keep is how many incidents are remembered. When there are more, those
	// resolved longest ago are forgotten (see [Tracker.Forget]): a later finding
	// of theirs opens an episode without a link to them. 0 = 50,000.
	Keep int
}

func (c TrackerConfig) withDefaults() (TrackerConfig, error) {
	if c.Quiet < 0 || c.ReopenWithin < 0 || c.Keep < 0 {
		return c, fmt.Errorf("configure incidents: quiet, reopen_within and keep must not be negative")
	}
	c.Quiet = cmp.Or(c.Quiet, time.Hour)
	c.ReopenWithin = cmp.Or(c.ReopenWithin, 24*time.Hour)
	c.Keep = cmp.Or(c.Keep, 50_000)
	return c, nil
}

// Tracker is the state machine from findings to incidents. It has no clock and
// does no input or output: a [Change] says what would happen, and [Tracker.Commit]
// makes it so once the change is durable. It is not safe for concurrent use.
type Tracker struct {
	cfg       TrackerConfig
	byID      map[string]Incident
	byKey     map[string]string   // key → id of its newest episode
	findings  map[string]struct{} // ids of all findings of the incidents in byID
	unsettled map[string]struct{} // ids of incidents that are not resolved
}

// NewTracker is a Tracker without incidents.
func NewTracker(cfg TrackerConfig) (*Tracker, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Tracker{
		cfg: cfg, byID: map[string]Incident{}, byKey: map[string]string{},
		findings: map[string]struct{}{}, unsettled: map[string]struct{}{},
	}, nil
}

// Restore puts incidents, as [Replay] returned them, into an empty Tracker.
func (t *Tracker) Restore(incidents []Incident) {
	for _, i := range incidents {
		t.put(i)
	}
}

// Get is the incident with this id.
func (t *Tracker) Get(id string) (Incident, bool) {
	i, ok := t.byID[id]
	return i, ok
}

// Incidents lists all that are remembered, in the order of their first event.
func (t *Tracker) Incidents() []Incident {
	return slices.SortedFunc(maps.Values(t.byID), func(a, b Incident) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.ID, b.ID))
	})
}

// Change is a set of transitions that has been decided on and not yet committed.
type Change struct {
	Rows []IncidentEvent
	base *Tracker
	// next and keys overlay the Tracker's maps.
	next map[string]Incident
	keys map[string]string
	seen map[string]struct{}
}

// Begin starts a Change on the Tracker's present state.
func (t *Tracker) Begin() *Change {
	return &Change{base: t, next: map[string]Incident{}, keys: map[string]string{}, seen: map[string]struct{}{}}
}

// Commit makes the change the Tracker's state. It must have been begun on the
// present state: one change at a time.
func (t *Tracker) Commit(c *Change) {
	for _, id := range slices.Sorted(maps.Keys(c.next)) {
		t.put(c.next[id])
	}
}

func (t *Tracker) put(i Incident) {
	t.byID[i.ID] = i
	if old, ok := t.byID[t.byKey[i.Key]]; !ok || old.Episode <= i.Episode {
		t.byKey[i.Key] = i.ID
	}
	for _, f := range i.FindingIDs {
		t.findings[f] = struct{}{}
	}
	if i.State == StateResolved {
		delete(t.unsettled, i.ID)
		return
	}
	t.unsettled[i.ID] = struct{}{}
}

// Forget drops incidents when there are more than TrackerConfig.Keep, and returns their
// ids: those resolved longest ago, a tenth of the limit at a time, so that the
// sort is paid for rarely. Incidents that are not resolved, or that needed says
// are still needed, stay.
func (t *Tracker) Forget(needed func(id string) bool) []string {
	if len(t.byID) <= t.cfg.Keep {
		return nil
	}
	var settled []Incident
	for _, i := range t.byID {
		if i.State == StateResolved && !needed(i.ID) {
			settled = append(settled, i)
		}
	}
	slices.SortFunc(settled, func(a, b Incident) int {
		return cmp.Or(cmp.Compare(a.StateAt, b.StateAt), cmp.Compare(a.ID, b.ID))
	})
	excess := len(t.byID) - t.cfg.Keep + t.cfg.Keep/10
	var dropped []string
	for _, i := range settled[:min(excess, len(settled))] {
		t.drop(i)
		dropped = append(dropped, i.ID)
	}
	return dropped
}

func (t *Tracker) drop(i Incident) {
	delete(t.byID, i.ID)
	if t.byKey[i.Key] == i.ID {
		delete(t.byKey, i.Key)
	}
	for _, f := range i.FindingIDs {
		delete(t.findings, f)
	}
}

func (c *Change) get(id string) (Incident, bool) {
	if i, ok := c.next[id]; ok {
		return i, true
	}
	return c.base.Get(id)
}

func (c *Change) current(key string) (Incident, bool) {
	if id, ok := c.keys[key]; ok {
		return c.get(id)
	}
	return c.get(c.base.byKey[key])
}

func (c *Change) known(finding string) bool {
	if _, ok := c.seen[finding]; ok {
		return true
	}
	_, ok := c.base.findings[finding]
	return ok
}

// Observe adds a finding: it opens an incident, counts in the one that is open,
// or reopens one. A finding whose id was seen before changes nothing.
//
// An incident that had been quiet for long enough before the finding is
// resolved first, so the outcome does not depend on when Advance was called.
func (c *Change) Observe(f *detect.Finding) error {
	if c.known(f.ID) {
		return nil
	}
	c.seen[f.ID] = struct{}{}
	key := Key(f)
	cur, ok := c.current(key)
	if ok && cur.State != StateResolved && f.First-cur.Last > c.base.cfg.Quiet.Microseconds() {
		if err := c.resolveQuiet(cur); err != nil {
			return err
		}
		cur, _ = c.get(cur.ID)
	}
	clean := finite(f)
	switch {
	case !ok:
		return c.open(clean, eventPayload{Key: key, Episode: 1})
	case cur.State != StateResolved:
		return c.add(cur, row{kind: KindFinding, to: cur.State, finding: clean})
	case f.At-cur.StateAt < c.base.cfg.ReopenWithin.Microseconds():
		return c.add(cur, row{kind: KindReopened, to: StateOpen, finding: clean})
	}
	return c.open(clean, eventPayload{Key: key, Episode: cur.Episode + 1, Previous: cur.ID})
}

// finite is f without measures that are no numbers, which JSON cannot hold.
func finite(f *detect.Finding) *detect.Finding {
	out := *f
	out.Measures = nil
	for _, m := range f.Measures {
		if !math.IsNaN(m.Value) && !math.IsInf(m.Value, 0) {
			out.Measures = append(out.Measures, m)
		}
	}
	return &out
}

// Advance resolves the incidents that were quiet until now (µs, event time).
func (c *Change) Advance(now int64) error {
	for _, id := range slices.Sorted(maps.Keys(c.base.unsettled)) {
		i, _ := c.get(id)
		// Compared before it is subtracted: now may be the least number there is.
		if i.State == StateResolved || now <= i.Last || now-i.Last <= c.base.cfg.Quiet.Microseconds() {
			continue
		}
		if err := c.resolveQuiet(i); err != nil {
			return err
		}
	}
	return nil
}

func (c *Change) resolveQuiet(i Incident) error {
	at := time.UnixMicro(i.Last).Add(c.base.cfg.Quiet).UTC()
	return c.add(i, row{kind: KindResolved, to: StateResolved, at: at, actor: SourceTimer, source: SourceTimer, reason: "quiet"})
}

// Action is what a person does to an incident.
type Action struct {
	Kind        string // KindAcked, KindResolved, KindReopened or KindNote
	Actor       string // who
	Source      string // SourceSlack, SourceConsole or SourceAPI
	Disposition Disposition
	Note        string
	At          time.Time
}

// Act applies a person's action. What is repeated or no longer makes sense (to
// acknowledge what is resolved) changes nothing and is no error.
func (c *Change) Act(id string, a Action) error {
	i, ok := c.get(id)
	if !ok {
		return fmt.Errorf("change incident %s: not known", id)
	}
	to, ok := a.target(i.State)
	if a.Kind == KindResolved && !slices.Contains(Dispositions(), a.Disposition) {
		return fmt.Errorf("resolve incident %s: disposition %q: want one of %v", id, a.Disposition, Dispositions())
	}
	if !ok {
		return nil
	}
	return c.add(i, row{
		kind: a.Kind, to: to, at: a.At.UTC(), actor: a.Actor, source: a.Source, reason: string(a.Disposition), note: a.Note,
	})
}

// target is the state that the action leads to, and false when it has no effect.
func (a Action) target(from State) (State, bool) {
	switch a.Kind {
	case KindAcked:
		return StateAcked, from == StateOpen
	case KindResolved:
		return StateResolved, from != StateResolved
	case KindReopened:
		return StateOpen, from == StateResolved
	case KindNote:
		return from, true
	}
	return from, false
}

// row is what differs between the rows that a Change makes.
type row struct {
	kind, actor, source, reason, note string
	to                                State
	at                                time.Time
	finding                           *detect.Finding
	opened                            eventPayload
}

func (c *Change) open(f *detect.Finding, p eventPayload) error {
	fresh := Incident{ID: incidentID(p.Key, f.ID)}
	return c.add(fresh, row{kind: KindOpened, to: StateOpen, finding: f, opened: p})
}

func (c *Change) add(i Incident, r row) error {
	if r.finding != nil {
		r.at, r.actor, r.source = time.UnixMicro(r.finding.At).UTC(), SourceDetector, SourceDetector
	}
	r.opened.Finding = r.finding
	payload := ""
	if r.finding != nil {
		var err error
		if payload, err = r.opened.encode(); err != nil {
			return err
		}
	}
	c.Rows = append(c.Rows, IncidentEvent{
		IncidentID: i.ID, Seq: i.Seq + 1, At: r.at, Kind: r.kind, Actor: r.actor, Source: r.source,
		From: string(i.State), To: string(r.to), Reason: r.reason, Note: r.note, Payload: payload,
	})
	next, err := i.apply(&c.Rows[len(c.Rows)-1])
	if err != nil {
		return err
	}
	c.next[i.ID] = next
	if newest, ok := c.current(next.Key); !ok || newest.Episode <= next.Episode {
		c.keys[next.Key] = i.ID
	}
	return nil
}
