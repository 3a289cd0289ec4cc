package detect

import (
	"fmt"
	"math"
	"time"

	"gatehouse/ingest/event"
	"gatehouse/rules"
)

// EngineConfig says what an engine runs and how much it may keep. Zero values
// mean the defaults that are given.
type EngineConfig struct {
	Rules rules.Set
	// Lateness is how far an event may be behind the newest of its partition
	// and still count. Default 2 minutes.
	Lateness time.Duration
	// Idle is after how much of the caller's time without events a partition
	// no longer holds windows open. Default 1 minute.
	Idle time.Duration
	// MaxEntities is how many entities each rule remembers. When there are
	// more, one that was not seen lately is forgotten and counted. Default 65,536.
	MaxEntities int
	// MaxValues is how many distinct values each rule remembers over all its
	// entities. Beyond it distinct counts stop growing, which is counted.
	// Default 4 Mi, of 16 bytes each.
	MaxValues int
	// Seed keys the hashes of in-memory state. A secret one keeps an attacker
	// from choosing values that collide. It is no part of finding ids.
	Seed uint64
}

// Defaults of an engine.
const (
	DefaultLateness    = 2 * time.Minute
	DefaultIdle        = time.Minute
	DefaultMaxEntities = 1 << 16
	DefaultMaxValues   = 1 << 22
)

// Stats are the counters of an engine since it was made.
type Stats struct {
	Observed  int64 // events given to Observe
	Late      int64 // behind their partition by more than the lateness
	BadClock  int64 // held and then dropped: their clock was wrong
	Held      int64 // on hold at this moment
	Watermark int64 // µs: no open window ends before it; math.MinInt64 before the first event
	Rules     []RuleStats
}

// RuleStats are the counters of one rule, in the order of the set.
type RuleStats struct {
	Rule      string
	Matched   int64 // events for which when held
	Errors    int64 // expressions that could not be evaluated
	Findings  int64
	Entities  int64 // remembered at this moment
	Evicted   int64 // entities forgotten for want of room
	Saturated int64 // values not told apart for want of room
	Old       int64 // events older than the window their entity had reached
}

// state is a rule at work.
type state interface {
	observe(in *input) *Finding
	// close is called when the watermark has moved; it only moves forward.
	close(watermark int64) []Finding
	stats() RuleStats
}

// input is one event on its way through the rules.
type input struct {
	ev  *event.Event
	m   *rules.Machine
	src int32 // index of its partition
}

// Engine runs a set of rules over events. It is not safe for concurrent use.
type Engine struct {
	cfg        EngineConfig
	machine    *rules.Machine
	states     []state
	partitions []*partition
	byKey      map[partitionKey]*partition
	last       *partition // of the last event: mostly the next one's too
	now        int64      // the caller's time
	watermark  int64
	stats      Stats
	in         input
}

// NewEngine makes an engine without state.
func NewEngine(cfg EngineConfig) *Engine {
	if cfg.Lateness <= 0 {
		cfg.Lateness = DefaultLateness
	}
	if cfg.Idle <= 0 {
		cfg.Idle = DefaultIdle
	}
	if cfg.MaxEntities <= 0 {
		cfg.MaxEntities = DefaultMaxEntities
	}
	if cfg.MaxValues <= 0 {
		cfg.MaxValues = DefaultMaxValues
	}
	e := &Engine{
		cfg: cfg, machine: rules.NewMachine(cfg.Rules, cfg.Seed),
		byKey: map[partitionKey]*partition{}, watermark: math.MinInt64, now: math.MinInt64,
	}
	e.in.m = e.machine
	for _, r := range cfg.Rules.Rules() {
		e.states = append(e.states, e.newState(r))
	}
	return e
}

func (e *Engine) newState(r *rules.Rule) state {
	switch r.Kind {
	case rules.KindBaseline:
		return newBaselineState(r, e)
	case rules.KindWindow, rules.KindMatch:
		return newWindowState(r, e)
	}
	panic(fmt.Sprintf("BUG: rule %s: kind %q", r.ID, r.Kind))
}

// Observe takes the next event of its partition and returns what it brought to
// light, usually nothing. ev is not kept, but its strings and lists may be: they
// must not change afterwards.
func (e *Engine) Observe(ev *event.Event) []Finding {
	e.stats.Observed++
	if ev.TS > maxTime || ev.TS < -maxTime {
		e.stats.BadClock++
		return nil
	}
	p := e.partition(ev)
	p.seenAt = e.now
	v, dropped := p.judge(ev, e.now, e.cfg.Lateness.Microseconds())
	e.stats.BadClock += int64(dropped)
	switch v {
	case tooLate:
		e.stats.Late++
		return nil
	case onHold:
		return nil
	case release:
		return e.release(p)
	}
	out := e.process(ev, p)
	if tick := p.progress / second; tick != p.tick { // looking at every partition for every event would cost too much
		p.tick = tick
		out = append(out, e.advance()...)
	}
	return out
}

// release processes the events that p held.
func (e *Engine) release(p *partition) []Finding {
	held := p.held
	p.held = nil
	var out []Finding
	for i := range held {
		if !p.resume(&held[i], e.cfg.Lateness.Microseconds()) {
			e.stats.Late++
			continue
		}
		out = append(out, e.process(&held[i], p)...)
	}
	return append(out, e.advance()...)
}

func (e *Engine) process(ev *event.Event, p *partition) []Finding {
	e.in.ev, e.in.src = ev, p.index
	e.machine.Load(ev)
	var out []Finding
	for _, s := range e.states {
		if f := s.observe(&e.in); f != nil {
			out = append(out, *f)
		}
	}
	e.in.ev = nil
	return out
}

func (e *Engine) partition(ev *event.Event) *partition {
	key := partitionKey{ev.Origin.Topic, ev.Origin.Partition}
	if e.last != nil && e.last.key == key {
		return e.last
	}
	p := e.byKey[key]
	if p == nil {
		p = &partition{key: key, index: int32(len(e.partitions))}
		e.byKey[key] = p
		e.partitions = append(e.partitions, p)
	}
	e.last = p
	return p
}

// Advance tells the engine the caller's time (µs since the Unix epoch): the wall
// clock in a live run. Partitions without events for the idle time stop holding
// windows open; when all are idle, windows close by this time. It never drops an
// event and never judges a clock.
func (e *Engine) Advance(nowUS int64) []Finding {
	e.now = max(e.now, min(nowUS, maxTime))
	for _, p := range e.partitions {
		if p.seenAt == math.MinInt64 {
			p.seenAt = e.now
		}
	}
	return e.advance()
}

// Flush closes every window that has an event in it, as at the end of a file.
func (e *Engine) Flush() []Finding {
	var out []Finding
	for _, p := range e.partitions {
		if len(p.held) > 0 { // nothing came to prove them wrong
			p.follow()
			out = append(out, e.release(p)...)
		}
	}
	e.watermark = math.MaxInt64
	return append(out, e.close()...)
}

// advance moves the watermark, in whole seconds, as far as the partitions allow.
func (e *Engine) advance() []Finding {
	w, ok := e.lowest()
	if !ok {
		return nil
	}
	if w = floor(w, second); w <= e.watermark {
		return nil
	}
	e.watermark = w
	return e.close()
}

// lowest is the watermark that the partitions allow: the lowest of the active
// ones, or the caller's time when none is active; ok is false when one of them
// is not trusted yet.
func (e *Engine) lowest() (w int64, ok bool) {
	lateness, idle := e.cfg.Lateness.Microseconds(), e.cfg.Idle.Microseconds()
	w = math.MaxInt64
	for _, p := range e.partitions {
		if p.seenAt != math.MinInt64 && ahead(e.now, p.seenAt, idle) {
			continue
		}
		if p.trust < minTrust {
			return 0, false
		}
		w, ok = min(w, p.progress-lateness), true
	}
	if !ok && len(e.partitions) > 0 { // all idle, so there is a caller's time
		return e.now - idle - lateness, true
	}
	return w, ok
}

func (e *Engine) close() []Finding {
	var out []Finding
	for _, s := range e.states {
		out = append(out, s.close(e.watermark)...)
	}
	return out
}

// Stats is a copy of the counters.
func (e *Engine) Stats() Stats {
	s := e.stats
	s.Watermark = e.watermark
	for _, p := range e.partitions {
		s.Held += int64(len(p.held))
	}
	s.Rules = make([]RuleStats, 0, len(e.states))
	for _, st := range e.states {
		s.Rules = append(s.Rules, st.stats())
	}
	return s
}
