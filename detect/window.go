package detect

import (
	"gatehouse/rules"
)

// windowState runs a window or match rule.
type windowState struct {
	rule   *rules.Rule
	engine *Engine
	step   int64 // µs per sub-bucket
	length int64 // µs of the window

	entities *table[entity]
	crowds   *table[crowd] // nil when the rule does not look at peers
	born     int64         // crowds made so far
	room     room
	values   rules.Values
	plan     plan
	watched  int64 // µs: since when the rule has watched without a long break
	seen     int64 // µs: the last event that matched
	watching bool
	counters RuleStats
}

// newcomer is the part of learn after which an entity that shows up for the first
// time is known not to have been there all along.
const newcomer = 5

// plan says where each measure of the rule keeps its state.
type plan struct {
	sums, sets, turns, numbers int   // how many of each an entity has
	at                         []int // by measure: position among its kind
	usual, peers               []int // measures whose past, whose peers are looked at
}

func newPlan(r *rules.Rule) plan {
	p := plan{at: make([]int, len(r.Measures))}
	for i, m := range r.Measures {
		switch m.Verb {
		case rules.VerbDistinct:
			p.at[i] = p.sets
			p.sets++
		case rules.VerbAlternations:
			p.at[i] = p.turns
			p.turns++
		case rules.VerbSequential:
			p.at[i] = p.numbers
			p.numbers++
		case rules.VerbRatio: // numerator and denominator
			p.at[i] = p.sums
			p.sums += 2
		default:
			p.at[i] = p.sums
			p.sums++
		}
		if r.Having.UsesUsual(i) {
			p.usual = append(p.usual, i)
		}
		if r.Having.UsesPeers(i) {
			p.peers = append(p.peers, i)
		}
	}
	return p
}

func newWindowState(r *rules.Rule, e *Engine) *windowState {
	n := len(r.Measures)
	s := &windowState{
		rule: r, engine: e, length: r.Window.Microseconds(), step: max(1, r.Window.Microseconds()/subBuckets),
		room:     room{max: e.cfg.MaxValues},
		values:   rules.Values{Now: make([]float64, n), Usual: make([]float64, n), Peers: make([]float64, n)},
		plan:     newPlan(r),
		counters: RuleStats{Rule: r.ID},
	}
	if len(s.plan.peers) > 0 {
		s.crowds = newTable(e.cfg.MaxEntities, func(*crowd) {})
	}
	s.entities = newTable(e.cfg.MaxEntities, s.forget)
	return s
}

// forget gives back what an evicted entity holds.
func (s *windowState) forget(t *entity) {
	for i := range t.sets {
		s.room.slots -= len(t.sets[i].slots)
	}
	s.leave(t)
}

// leave takes an entity out of its crowd.
func (s *windowState) leave(t *entity) {
	if s.crowds == nil || !t.joined {
		return
	}
	c := s.join(t, t.crowd)
	for i, bin := range t.bins {
		c.move(i, bin, -1)
		t.bins[i] = -1
	}
}

// join finds the crowd with this key and makes t a member. A crowd can have been
// forgotten and made anew since t contributed to it; then there is nothing of t
// in it.
func (s *windowState) join(t *entity, key uint64) *crowd {
	c, fresh := s.crowds.get(key)
	if fresh {
		s.born++
		*c = crowd{bins: make([][crowdBins]int32, len(s.plan.peers)), n: make([]int32, len(s.plan.peers)), born: s.born}
	}
	if t.born != c.born {
		for i := range t.bins {
			t.bins[i] = -1
		}
	}
	t.crowd, t.born, t.joined = key, c.born, true
	return c
}

func (s *windowState) stats() RuleStats {
	c := s.counters
	c.Entities, c.Evicted, c.Saturated = int64(s.entities.len()), s.entities.evicted, s.room.saturated
	return c
}

// close implements state: a window rule fires at once, so there is nothing to do.
func (s *windowState) close(int64) []Finding { return nil }

func (s *windowState) observe(in *input) *Finding {
	ok, err := in.m.Test(&s.rule.When)
	if err != nil {
		s.counters.Errors++
	}
	if !ok {
		return nil
	}
	s.counters.Matched++
	s.watch(in.ev.TS)
	key := groupKey(in, s.rule.GroupBy, s.engine.cfg.Seed)
	t, fresh := s.entities.get(key)
	if !fresh && ahead(t.newestTS, in.ev.TS, maxApart+s.length) { // it was taken along by a bad clock
		s.forget(t)
		fresh = true
	}
	if fresh {
		*t = entity{since: in.ev.TS}
		t.init(&s.plan, &s.room)
	}
	b := floor(in.ev.TS, s.step) / s.step
	if !t.reach(b, s) {
		s.counters.Old++
		return nil
	}
	contributed := t.count(in, b)
	for i := range s.rule.Measures {
		contributed = s.measure(t, in, i, b) || contributed
	}
	if contributed {
		t.evidence.add(in, t.start(s.step))
	}
	return s.decide(t, in)
}

// longBreak is after how long without events a rule begins to watch anew; it
// also keeps a first event with a clock years behind from making it look old.
const longBreak = 7 * 24 * hour

func (s *windowState) watch(ts int64) {
	if !s.watching || ts < s.watched || ahead(ts, s.seen, longBreak) {
		s.watching, s.watched = true, ts
	}
	s.seen = ts
}

// groupKey hashes the values of the fields together.
func groupKey(in *input, fields []*rules.Field, seed uint64) uint64 {
	h := seed
	for _, f := range fields {
		h = rules.Combine(h, rules.Hash(seed, f.Text(in.ev)))
	}
	return h
}

// measure updates the i-th measure and reports whether the event contributed
// to it in a way worth keeping as evidence.
func (s *windowState) measure(t *entity, in *input, i int, b int64) bool {
	m := &s.rule.Measures[i]
	where := m.Where == nil || s.test(in, m.Where)
	if !where && m.Never == nil {
		return false
	}
	at := s.plan.at[i]
	switch m.Verb {
	case rules.VerbCount:
		hit := s.test(in, m.Of)
		t.sum(at, b, truth(hit))
		return false
	case rules.VerbRatio:
		hit := s.test(in, m.Of)
		t.sum(at, b, truth(hit))
		t.sum(at+1, b, 1)
		return hit
	case rules.VerbSum:
		if v, ok, err := in.m.Value(m.Sum); err != nil {
			s.counters.Errors++
		} else if ok {
			t.sum(at, b, v)
		}
		return false
	case rules.VerbSequential:
		n, ok, err := in.m.Integer(m.Key)
		s.count(err)
		return ok && t.numbers[at].add(n, b)
	}
	h, ok, err := in.m.Hash(m.Key)
	s.count(err)
	switch {
	case !ok:
		return false
	case m.Verb == rules.VerbAlternations:
		return t.turns[at].add(h, in.ev.TS)
	}
	flags := int64(0)
	if where {
		flags = markHit
	}
	if m.Never != nil && s.test(in, m.Never) {
		flags |= markNever
	}
	return flags != 0 && t.sets[at].add(sighting{h, b, t.newest, flags}, m.Limit, &s.room)
}

func (s *windowState) test(in *input, p *rules.Predicate) bool {
	ok, err := in.m.Test(p)
	s.count(err)
	return ok
}

func (s *windowState) count(err error) {
	if err != nil {
		s.counters.Errors++
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// decide fills the values in and asks the rule's having.
func (s *windowState) decide(t *entity, in *input) *Finding {
	v := &s.values
	for i := range s.rule.Measures {
		v.Now[i] = s.value(t, i)
	}
	v.Events = t.events()
	s.learned(t, in)
	if s.rule.Having != nil && !s.rule.Having.Holds(v) {
		return nil
	}
	t.alerted = true
	s.leave(t)
	now := t.newestTS
	if now < t.quietUntil {
		return nil
	}
	t.quietUntil = now + s.rule.Quiet.Microseconds()
	s.counters.Findings++
	f := s.finding(t, in)
	return &f
}

func (s *windowState) value(t *entity, i int) float64 {
	at := s.plan.at[i]
	switch s.rule.Measures[i].Verb {
	case rules.VerbDistinct:
		return t.sets[at].count()
	case rules.VerbAlternations:
		return t.turns[at].returns(t.start(s.step))
	case rules.VerbSequential:
		return t.numbers[at].longest()
	case rules.VerbRatio:
		if n := t.total(at + 1); n > 0 {
			return t.total(at) / n
		}
		return 0
	}
	return t.total(at)
}

// learned fills in the entity's past and its peers, after noting the highest
// values of the current epoch for both.
func (s *windowState) learned(t *entity, in *input) {
	v := &s.values
	learn := s.rule.Learn.Microseconds()
	v.Warm = in.ev.TS-s.watched >= learn || t.since-s.watched >= learn/newcomer
	v.Windows = float64(t.windows)
	for k, i := range s.plan.usual {
		t.high[k] = max(t.high[k], v.Now[i])
		v.Usual[i] = t.usual[k]
	}
	if s.crowds == nil {
		return
	}
	key := groupKey(in, s.rule.Peers, s.engine.cfg.Seed)
	if t.joined && t.crowd != key {
		s.leave(t)
	}
	c := s.join(t, key)
	for k, i := range s.plan.peers {
		if bin := binOf(v.Now[i]); bin > t.bins[k] && !t.alerted {
			c.move(k, t.bins[k], bin)
			t.bins[k] = bin
		}
		v.Peers[i], v.Others = c.high(k, t.bins[k])
	}
}
