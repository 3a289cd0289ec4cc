package detect

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse/ingest/event"
	"gatehouse/rules"
)

func catalogue(t testing.TB) rules.Set {
	t.Helper()
	s, err := rules.Catalog()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func parse(t testing.TB, text string) rules.Set {
	t.Helper()
	r, err := rules.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return rules.Only(r)
}

// probing is five different refused paths in a minute.
const probing = `
id: probing
title: Probing
severity: medium
when: status == 404
group_by: [actor]
window: 1m
measure:
  paths: {distinct: path}
having: paths >= 5
quiet: 10m
reason: "{actor} hit {paths} paths"
`

const t0 = 1_767_571_200 * second // 2026-01-05 00:00:00 UTC

// hit is a refused call of one actor.
func hit(actor string, ts int64, path int, partition int32, offset int64) event.Event {
	ev := event.Event{
		Kind: event.KindAccess, TS: ts, Method: "GET", Path: fmt.Sprintf("/p/%d", path), Status: 404, Principal: actor,
		ReqBytes: event.Absent, RespBytes: event.Absent, LatencyUS: event.Absent, UpstreamLatencyUS: event.Absent,
		Origin: event.Origin{Topic: "t", Partition: partition, Offset: offset},
	}
	ev.Complete()
	return ev
}

func observe(e *Engine, events ...event.Event) []Finding {
	var out []Finding
	for i := range events {
		out = append(out, e.Observe(&events[i])...)
	}
	return out
}

func ids(fs []Finding) []string {
	out := []string{}
	for _, f := range fs {
		out = append(out, f.ID)
	}
	slices.Sort(out)
	return out
}

func TestFinding(t *testing.T) {
	e := NewEngine(EngineConfig{Rules: parse(t, probing)})
	var got []Finding
	for i := range int64(6) {
		got = append(got, observe(e, hit("o'neil\\", t0+i*second, int(i), 0, i))...)
	}
	if len(got) != 1 {
		t.Fatalf("%d findings: want 1", len(got))
	}
	text, err := json.MarshalIndent(got[0], "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
  "id": "ID",
  "rule": "probing",
  "title": "Probing",
  "severity": "medium",
  "owasp": [],
  "entity": [
    {
      "name": "actor",
      "value": "o'neil\\"
    }
  ],
  "first": 1767571200000000,
  "last": 1767571204000000,
  "at": 1767571204000000,
  "events": 5,
  "evidence": [
    "t/0/0",
    "t/0/1",
    "t/0/2",
    "t/0/3",
    "t/0/4"
  ],
  "measures": [
    {
      "name": "paths",
      "value": 5
    }
  ],
  "reason": "o'neil\\ hit 5 paths; fires at paths \u003e= 5 (saw 5)",
  "sql": "SELECT * FROM audit.events WHERE ts BETWEEN toDateTime64('2026-01-05 00:00:00.000000', 6, 'UTC') AND toDateTime64('2026-01-05 00:00:04.000000', 6, 'UTC') AND actor = 'o\\'neil\\\\' ORDER BY ts, kafka_topic, kafka_partition, kafka_offset, kafka_index"
}`
	if diff := cmp.Diff(want, strings.Replace(string(text), got[0].ID, "ID", 1)); diff != "" {
		t.Errorf("finding (-want +got):\n%s", diff)
	}
	if len(got[0].ID) != 32 {
		t.Errorf("id %q: want 32 hex digits", got[0].ID)
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"plain":           `'plain'`,
		"' OR 1=1 --":     `'\' OR 1=1 --'`,
		`\`:               `'\\'`,
		`\'`:              `'\\\''`,
		"a\nb\x00c":       `'a\x0ab\x00c'`,
		"é\xff":           `'\xc3\xa9\xff'`,
		"{{x}} ; DROP $1": `'{{x}} ; DROP $1'`,
	} {
		if got := Quote(in); got != want {
			t.Errorf("Quote(%q) = %s, want %s", in, got, want)
		}
	}
}

// Events out of order by less than the lateness count as if they had come in
// order; later ones are counted as late and nothing else.
func TestOutOfOrder(t *testing.T) {
	e := NewEngine(EngineConfig{Rules: parse(t, probing), Lateness: 30 * time.Second})
	got := observe(e,
		hit("a", t0+40*second, 0, 0, 0), hit("a", t0+10*second, 1, 0, 1), hit("a", t0+39*second, 2, 0, 2),
		hit("a", t0+9*second, 3, 0, 3), // 31 s behind: late
		hit("a", t0+12*second, 4, 0, 4), hit("a", t0+41*second, 5, 0, 5),
	)
	if len(got) != 1 || got[0].Events != 5 || got[0].First != t0+10*second {
		t.Errorf("got %+v: want one finding of 5 events from t0+10s", got)
	}
	if s := e.Stats(); s.Late != 1 {
		t.Errorf("late %d: want 1", s.Late)
	}
}

// Clocks that are ten years off neither move the windows of their entity nor
// poison the events that follow, wherever in the stream they are.
func TestBadClocks(t *testing.T) {
	const decade = 10 * 365 * 24 * hour
	var good []event.Event
	for i := range int64(200) {
		good = append(good, hit(fmt.Sprintf("a%d", i%5), t0+i*second, int(i), 0, i))
	}
	want := ids(observe(NewEngine(EngineConfig{Rules: parse(t, probing)}), good...))
	if len(want) != 5 {
		t.Fatalf("%d findings without bad clocks: want 5", len(want))
	}
	for _, wrong := range []int64{decade, -decade, 7 * 24 * hour, -7 * 24 * hour, 1 << 62, -1 << 62} {
		for _, every := range []int{1 << 30, 7, 2} { // only the first event; one in seven; every second one
			e := NewEngine(EngineConfig{Rules: parse(t, probing)})
			var got []Finding
			for i := range good {
				if i%every == 0 {
					bad := good[i]
					bad.TS += wrong
					if wrong > maxTime || wrong < -maxTime {
						bad.TS = wrong
					}
					got = append(got, observe(e, bad)...)
				}
				got = append(got, observe(e, good[i])...)
			}
			if diff := cmp.Diff(want, ids(got)); diff != "" {
				t.Errorf("clock off by %v, one in %d events (-without +with):\n%s", time.Duration(wrong)*time.Microsecond, every, diff)
			}
			if s := e.Stats(); s.Watermark > t0+200*second {
				t.Errorf("clock off by %v: watermark %d follows it", time.Duration(wrong)*time.Microsecond, s.Watermark)
			}
		}
	}
}

// After a gap of days the stream goes on where it is, and no event of the new
// time is lost.
func TestGap(t *testing.T) {
	e := NewEngine(EngineConfig{Rules: parse(t, probing)})
	var got []Finding
	for i := range int64(100) {
		got = append(got, observe(e, hit("before", t0+i*second, 1, 0, i))...)
	}
	later := int64(t0 + 3*24*hour)
	for i := range int64(20) {
		got = append(got, observe(e, hit("after", later+i*second, int(i), 0, 100+i))...)
	}
	if len(got) != 1 || got[0].First != later {
		t.Errorf("got %+v: want one finding that begins with the first event after the gap", got)
	}
	if s := e.Stats(); s.BadClock != 0 || s.Late != 0 || s.Held != 0 {
		t.Errorf("stats %+v: want nothing dropped", s)
	}
}

// A source that speaks a few times a day is slow, not wrong.
func TestSparseStream(t *testing.T) {
	e := NewEngine(EngineConfig{Rules: parse(t, probing)})
	for i := range int64(60) {
		observe(e, hit("a", t0+i*9*hour, 1, 0, i))
	}
	e.Flush()
	if s := e.Stats(); s.BadClock != 0 || s.Late != 0 || s.Rules[0].Matched != 60 {
		t.Errorf("stats %+v: want all 60 events counted", s)
	}
}

// In a live run the caller's time settles it: after a night without traffic the
// first event counts at once.
func TestCallersTimeIsRight(t *testing.T) {
	e := NewEngine(EngineConfig{Rules: parse(t, probing)})
	for i := range int64(100) {
		e.Advance(t0 + i*second)
		observe(e, hit("a", t0+i*second, 1, 0, i))
	}
	morning := int64(t0 + 10*hour)
	var got []Finding
	for i := range int64(5) {
		e.Advance(morning + i*second)
		got = append(got, observe(e, hit("b", morning+i*second, int(i), 0, 100+i))...)
	}
	if len(got) != 1 {
		t.Errorf("%d findings: want 1, with the fifth event of the morning", len(got))
	}
}

// At the end of a file what is held counts: nothing came to prove it wrong.
func TestFlushReleasesHeldEvents(t *testing.T) {
	e := NewEngine(EngineConfig{Rules: parse(t, probing)})
	var got []Finding
	for i := range int64(50) {
		got = append(got, observe(e, hit("before", t0+i*second, 1, 0, i))...)
	}
	for i := range int64(6) {
		got = append(got, observe(e, hit("after", t0+24*hour+i*second, int(i), 0, 50+i))...)
	}
	if len(got) != 0 {
		t.Fatalf("found before the events were released: %+v", got)
	}
	if got = e.Flush(); len(got) != 1 {
		t.Errorf("%d findings after Flush: want 1", len(got))
	}
}

// Neither batches nor Advance nor the seed of the hashes change what is found.
func TestSameStreamSameFindings(t *testing.T) {
	events := mixed(3000)
	want := marshal(t, observeAndFlush(NewEngine(EngineConfig{Rules: catalogue(t)}), events, 0))
	if !strings.Contains(want, "endpoint-probing") || !strings.Contains(want, "volume-spike") {
		t.Fatalf("too little is found to compare: %s", want)
	}
	for _, batch := range []int{1, 7, 1000} {
		e := NewEngine(EngineConfig{Rules: catalogue(t), Seed: uint64(batch) * 977})
		if diff := cmp.Diff(want, marshal(t, observeAndFlush(e, events, batch))); diff != "" {
			t.Errorf("Advance after every %d events (-without +with):\n%s", batch, diff)
		}
	}
}

func observeAndFlush(e *Engine, events []event.Event, batch int) []Finding {
	var out []Finding
	for i := range events {
		out = append(out, e.Observe(&events[i])...)
		if batch > 0 && i%batch == 0 {
			out = append(out, e.Advance(events[i].TS)...)
		}
	}
	return append(out, e.Flush()...)
}

// mixed is an hour of calls with a scanner and a flood in it.
func mixed(n int64) []event.Event {
	var events []event.Event
	for i := range n {
		ev := hit(fmt.Sprintf("user%d", i%40), t0+i*1200*1000, int(i%13), int32(i%40%3), i)
		ev.Status = 200
		if i > n*2/3 && i%3 == 0 {
			ev = hit("scanner", t0+i*1200*1000, int(i), 0, i)
		}
		if i > n*3/4 && i%2 == 0 {
			for k := range int64(10) {
				flood := hit("user7", t0+i*1200*1000+k, 5, 7%3, i)
				flood.Status, flood.Origin.Index = 200, int32(k+1)
				events = append(events, flood)
			}
		}
		ev.Complete()
		events = append(events, ev)
	}
	return events
}

func marshal(t *testing.T, fs []Finding) string {
	t.Helper()
	text, err := json.MarshalIndent(fs, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Partitions that are read in another order give the same window findings for
// entities that live in one partition, and the same volume findings as long as
// no partition falls idle.
func TestInterleaving(t *testing.T) {
	events := mixed(3000)
	want := ids(observeAndFlush(NewEngine(EngineConfig{Rules: catalogue(t)}), events, 0))
	for seed := range uint64(5) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		queues := make([][]event.Event, 3)
		for _, ev := range events {
			queues[ev.Origin.Partition] = append(queues[ev.Origin.Partition], ev)
		}
		var shuffled []event.Event
		for len(shuffled) < len(events) {
			q := rnd.IntN(3)
			n := min(rnd.IntN(200), len(queues[q]))
			shuffled = append(shuffled, queues[q][:n]...)
			queues[q] = queues[q][n:]
		}
		got := ids(observeAndFlush(NewEngine(EngineConfig{Rules: catalogue(t)}), shuffled, 0))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("interleaving %d (-in time order +interleaved):\n%s", seed, diff)
		}
	}
}

// A flood of callers stays within the bounds, is counted, and does not push out
// the one that keeps calling.
func TestBounds(t *testing.T) {
	e := NewEngine(EngineConfig{Rules: parse(t, probing), MaxEntities: 100, MaxValues: 2000})
	var got []Finding
	for i := range int64(20_000) {
		got = append(got, observe(e, hit(fmt.Sprintf("bot%d", i), t0+i*10_000, 1, 0, 2*i))...)
		if i%1000 == 0 {
			got = append(got, observe(e, hit("steady", t0+i*10_000, int(i), 0, 2*i+1))...)
		} else if i%50 == 0 {
			observe(e, hit("steady", t0+i*10_000, 0, 0, 2*i+1))
		}
	}
	s := e.Stats().Rules[0]
	if s.Entities > 100 || s.Evicted < 19_000 {
		t.Errorf("%d entities, %d evicted: want at most 100, and the rest counted", s.Entities, s.Evicted)
	}
	if len(got) != 1 || got[0].Entity[0].Value != "steady" {
		t.Errorf("got %v: want the steady one found in the flood", got)
	}
	if s.Saturated != 0 {
		t.Errorf("%d saturated: evicted entities do not give their room back", s.Saturated)
	}
}

func TestValuesAreBounded(t *testing.T) {
	e := NewEngine(EngineConfig{Rules: parse(t, strings.Replace(probing, "paths >= 5", "paths >= 100000", 1)), MaxValues: 512})
	for i := range int64(50_000) {
		observe(e, hit(fmt.Sprintf("a%d", i%10), t0+i*1000, int(i), 0, i))
	}
	s := e.Stats().Rules[0]
	if s.Saturated == 0 {
		t.Error("nothing saturated: want it counted")
	}
	if w := e.states[0].(*windowState); w.room.slots > 512 {
		t.Errorf("%d slots: want at most 512", w.room.slots)
	}
}

// A crowd that was forgotten and comes back does not count anybody less than
// zero times.
func TestForgottenCrowds(t *testing.T) {
	e := NewEngine(EngineConfig{Rules: catalogue(t), MaxEntities: 8})
	for i := range int64(20_000) {
		ev := hit(fmt.Sprintf("u%d", i%11), t0+i*100_000, int(i), 0, i)
		ev.Status, ev.Route, ev.Objects = 200, fmt.Sprintf("/r%d", i*7%13), []event.Object{{Name: "id", Ref: fmt.Sprint(i)}}
		observe(e, ev)
	}
	for _, s := range e.states {
		w, ok := s.(*windowState)
		if !ok || w.crowds == nil {
			continue
		}
		if w.crowds.evicted == 0 {
			t.Fatal("no crowd was forgotten: the test tests nothing")
		}
		for _, c := range w.crowds.cells {
			for i := range c.value.bins {
				sum := int32(0)
				for b, n := range c.value.bins[i] {
					if sum += n; n < 0 {
						t.Fatalf("bin %d holds %d entities", b, n)
					}
				}
				if sum != c.value.n[i] {
					t.Fatalf("%d entities in bins, %d counted", sum, c.value.n[i])
				}
			}
		}
	}
}

// Idle partitions stop holding windows open when the caller's time moves on.
func TestIdlePartition(t *testing.T) {
	e := NewEngine(EngineConfig{Rules: catalogue(t), Lateness: time.Minute, Idle: time.Minute})
	now := int64(t0)
	e.Advance(now)
	observe(e, hit("a", t0, 1, 0, 0), hit("b", t0, 1, 1, 0))
	for i := range int64(300) {
		observe(e, hit("a", t0+i*second, 1, 0, i))
		now += second
		e.Advance(now)
	}
	if w := e.Stats().Watermark; w < t0+3*minute {
		t.Errorf("watermark at %v: the idle partition still holds it", time.Duration(w-t0)*time.Microsecond)
	}
	e.Advance(now + hour)
	if w := e.Stats().Watermark; w < now+hour-3*minute {
		t.Errorf("all idle: watermark at %v, want it to follow the caller's time", time.Duration(w-t0)*time.Microsecond)
	}
}

// A match rule fires on its event, once per quiet time and entity.
func TestMatchRule(t *testing.T) {
	e := NewEngine(EngineConfig{Rules: parse(t, `
id: alg-none
title: Unsigned token accepted
severity: critical
kind: match
when: token_alg == "none" and status < 400
group_by: [principal]
window: 1m
quiet: 10m
reason: "{principal} used an unsigned token"
`)})
	ev := hit("mallory", t0, 1, 0, 0)
	ev.Status, ev.TokenAlg = 200, "none"
	again, later := ev, ev
	again.TS, later.TS = t0+5*minute, t0+11*minute
	got := observe(e, ev, again, later)
	if len(got) != 2 || got[0].At != t0 || got[1].At != t0+11*minute || got[0].ID == got[1].ID {
		t.Errorf("got %+v: want two findings, at 0 and 11 minutes", got)
	}
	if got[0].Reason != "mallory used an unsigned token" || got[0].Severity != rules.Critical {
		t.Errorf("got %+v", got[0])
	}
}

// Old client addresses, IPv6 and huge times are no reason to fail.
func TestOddEvents(t *testing.T) {
	e := NewEngine(EngineConfig{Rules: catalogue(t)})
	for i, ev := range []event.Event{
		{}, {TS: -1}, {TS: 1<<63 - 1}, {TS: -1 << 63}, {Kind: event.KindAccess, Status: 404, ClientIP: netip.MustParseAddr("::1")},
		{Kind: "odd", Status: -1, Objects: []event.Object{{}}}, {Kind: event.KindAccess, Path: strings.Repeat("/\xff", 4000)},
	} {
		ev.Origin.Offset = int64(i)
		e.Observe(&ev)
	}
	e.Advance(1<<63 - 1)
	e.Flush()
}
