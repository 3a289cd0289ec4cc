package alert

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse/detect"
	"gatehouse/ingest/event"
	"gatehouse/rules"
)

// minute is event time: the nth minute of the stories, in µs.
func minute(n int) int64 { return 1_767_225_600_000_000 + int64(n)*60_000_000 }

// found is a finding about an entity at a minute.
func found(entity string, n int) detect.Finding {
	return detect.Finding{
		ID: fmt.Sprintf("%s@%d", entity, n), Rule: "token-reuse", RuleTitle: "Token reuse", Severity: rules.High, Tenant: "acme",
		Entity: []detect.Field{{Name: "credential", Value: entity}}, First: minute(n) - 1, Last: minute(n), At: minute(n), Events: 10,
		Evidence: []event.Origin{{Topic: "t", Offset: int64(n)}}, Measures: []detect.Measure{{Name: "networks", Value: float64(n)}},
		Reason: "why", SQL: "SELECT 1",
	}
}

// book is a Tracker with its log.
type book struct {
	t    *testing.T
	tr   *Tracker
	rows []IncidentEvent
	// needed is the id of an incident that must not be forgotten.
	needed string
}

func newBook(t *testing.T, cfg TrackerConfig) *book {
	t.Helper()
	tr, err := NewTracker(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &book{t: t, tr: tr}
}

func (b *book) do(decide func(*Change) error) {
	b.t.Helper()
	c := b.tr.Begin()
	if err := decide(c); err != nil {
		b.t.Fatal(err)
	}
	b.rows = append(b.rows, c.Rows...)
	b.tr.Commit(c)
	b.tr.Forget(func(id string) bool { return id == b.needed })
}

func (b *book) find(fs ...detect.Finding) {
	b.t.Helper()
	b.do(func(c *Change) error {
		for n := range fs {
			if err := c.Observe(&fs[n]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *book) advance(n int) {
	b.t.Helper()
	b.do(func(c *Change) error { return c.Advance(minute(n)) })
}

// log is the transitions as text, ids left out.
func (b *book) log() string {
	var lines []string
	for _, r := range b.rows {
		lines = append(lines, fmt.Sprintf("%d %s %s→%s %s %s", r.Seq, r.Kind, r.From, r.To, r.Actor, strings.TrimSpace(r.Reason+" "+r.Note)))
	}
	return strings.Join(lines, "\n")
}

func (b *book) expect(want string) {
	b.t.Helper()
	trim := func(s string) string {
		var out []string
		for line := range strings.Lines(s) {
			if line = strings.TrimSpace(line); line != "" {
				out = append(out, line)
			}
		}
		return strings.Join(out, "\n")
	}
	if d := cmp.Diff(trim(want), trim(b.log())); d != "" {
		b.t.Errorf("log (-want +got):\n%s", d)
	}
}

func TestAnEpisode(t *testing.T) {
	b := newBook(t, TrackerConfig{})
	b.find(found("a", 0), found("a", 1), found("a", 1))
	b.find(found("a", 0)) // again
	b.advance(61)
	b.advance(62)
	b.find(found("a", 100))
	b.do(func(c *Change) error {
		return c.Act(b.tr.Incidents()[0].ID, Action{Kind: KindAcked, Actor: "ana", Source: SourceSlack, At: time.UnixMicro(minute(101))})
	})
	b.advance(161)
	b.find(found("a", 160+24*60+1))
	b.expect(`
		1 opened →open detector
		2 finding open→open detector
		3 resolved open→resolved timer quiet
		4 reopened resolved→open detector
		5 acked open→acked ana
		6 resolved acked→resolved timer quiet
		1 opened →open detector`)
	all := b.tr.Incidents()
	if len(all) != 2 || all[1].Episode != 2 || all[1].Previous != all[0].ID || all[0].ID == all[1].ID {
		t.Errorf("incidents %+v: want two episodes, the second linked to the first", all)
	}
	if i := all[0]; i.Findings != 3 || i.Events != 30 || i.First != minute(0)-1 || i.Last != minute(100) || i.Measures[0].Value != 100 || i.Latest.At != minute(100) {
		t.Errorf("counters %+v", i)
	}
}

// Quiet is a matter of the findings' times, not of when time was told.
func TestTheOutcomeDoesNotDependOnWhenTimeIsTold(t *testing.T) {
	told, untold := newBook(t, TrackerConfig{}), newBook(t, TrackerConfig{})
	last := 0
	for _, n := range []int{0, 30, 200, 210, 2000, 4000} {
		for ; last < n; last += 7 {
			told.advance(last)
		}
		told.find(found("a", n))
		untold.find(found("a", n))
	}
	told.advance(9000)
	untold.advance(9000)
	if d := cmp.Diff(told.rows, untold.rows); d != "" {
		t.Errorf("the logs differ (-told +untold):\n%s", d)
	}
}

// The rows alone give the incidents again, in any order and with repeats.
func TestReplayGivesTheSameIncidents(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 7))
		b := newBook(t, TrackerConfig{})
		now := 0
		for range 60 {
			now += rng.IntN(50)
			switch rng.IntN(4) {
			case 0:
				b.advance(now)
			case 1:
				if all := b.tr.Incidents(); len(all) > 0 {
					kinds := []string{KindAcked, KindResolved, KindReopened, KindNote}
					a := Action{Kind: kinds[rng.IntN(4)], Actor: "ana", Source: SourceConsole, Disposition: Dispositions()[rng.IntN(6)], Note: "n", At: time.UnixMicro(minute(now))}
					b.do(func(c *Change) error { return c.Act(all[rng.IntN(len(all))].ID, a) })
				}
			default:
				b.find(found(fmt.Sprint(rng.IntN(4)), now), found(fmt.Sprint(rng.IntN(4)), now+rng.IntN(2000)))
			}
		}
		rows := append(slices.Clone(b.rows), b.rows[:len(b.rows)/2]...)
		rng.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		got, err := Replay(rows)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		again := newBook(t, TrackerConfig{})
		again.tr.Restore(got)
		if d := cmp.Diff(b.tr.byID, again.tr.byID); d != "" {
			t.Fatalf("seed %d: incidents (-want +got):\n%s", seed, d)
		}
		if d := cmp.Diff([]any{b.tr.byKey, b.tr.findings, b.tr.unsettled}, []any{again.tr.byKey, again.tr.findings, again.tr.unsettled}); d != "" {
			t.Fatalf("seed %d: indexes (-want +got):\n%s", seed, d)
		}
	}
}

func TestReplayRefusesAGap(t *testing.T) {
	b := newBook(t, TrackerConfig{})
	b.find(found("a", 0), found("a", 1), found("a", 2))
	_, err := Replay([]IncidentEvent{b.rows[0], b.rows[2]})
	if err == nil || !strings.Contains(err.Error(), "row 3 of incident INC-") {
		t.Errorf("got %v, want an error that names the row", err)
	}
	broken := b.rows[1]
	broken.Payload = "{"
	if _, err := Replay([]IncidentEvent{b.rows[0], broken}); err == nil || !strings.Contains(err.Error(), "payload of row 2") {
		t.Errorf("got %v, want an error that names the payload", err)
	}
}

// What is not committed has no effect.
func TestAChangeThatIsDroppedLeavesNothing(t *testing.T) {
	b := newBook(t, TrackerConfig{})
	b.find(found("a", 0))
	before, _ := json.Marshal(b.tr.Incidents())
	c := b.tr.Begin()
	for n := range 5 {
		f := found("a", n)
		if err := c.Observe(&f); err != nil {
			t.Fatal(err)
		}
	}
	after, _ := json.Marshal(b.tr.Incidents())
	if string(before) != string(after) || len(c.Rows) != 4 {
		t.Errorf("%d rows; state before %s, after %s", len(c.Rows), before, after)
	}
}

func TestKeysTellEntitiesApart(t *testing.T) {
	seen := map[string]string{}
	for name, f := range map[string]detect.Finding{
		"plain":            {Rule: "r", Tenant: "t", Entity: []detect.Field{{Name: "a", Value: "x"}, {Name: "b", Value: "y"}}},
		"separator inside": {Rule: "r", Tenant: "t", Entity: []detect.Field{{Name: "a", Value: "x|b=y"}}},
		"escape inside":    {Rule: "r", Tenant: "t", Entity: []detect.Field{{Name: "a", Value: `x\`}, {Name: "b", Value: "y"}}},
		"absent value":     {Rule: "r", Tenant: "t", Entity: []detect.Field{{Name: "a"}, {Name: "b", Value: "y"}}},
		"other tenant":     {Rule: "r", Entity: []detect.Field{{Name: "a", Value: "x"}, {Name: "b", Value: "y"}}},
	} {
		key := Key(&f)
		if other, dup := seen[key]; dup {
			t.Errorf("%s and %s have the key %s", name, other, key)
		}
		seen[key] = name
	}
	if got := Key(&detect.Finding{Rule: "r", Entity: []detect.Field{{Name: "a"}}}); got != "<none>|r|a=<none>" {
		t.Errorf("key of absent values %q", got)
	}
}

func TestIDsAreTheSameEverywhere(t *testing.T) {
	if got := incidentID("acme|token-reuse|credential=a", "a@0"); got != "INC-0PV7D8HG39" {
		t.Errorf("id %s: ids must never change", got)
	}
	if got := deliveryID("INC-0PV7D8HG39", MessageRoot, 1, "C1"); got != "5bb89a94094de0ffa9fab538ce9fa41f" {
		t.Errorf("delivery id %s: ids must never change", got)
	}
}

// Measures that JSON has no form for cost the measure, not the alert.
func TestAMeasureThatIsNoNumberIsLeftOut(t *testing.T) {
	b := newBook(t, TrackerConfig{})
	f := found("a", 0)
	f.Measures = []detect.Measure{{Name: "x", Value: math.NaN()}, {Name: "y", Value: math.Inf(1)}, {Name: "z", Value: 3}}
	b.find(f)
	if got := b.tr.Incidents()[0].Measures; len(got) != 1 || got[0].Name != "z" {
		t.Errorf("measures %v, want z", got)
	}
}

// Memory is bounded: what was resolved longest ago is forgotten first, and what
// is not resolved never.
func TestOldIncidentsAreForgotten(t *testing.T) {
	b := newBook(t, TrackerConfig{Keep: 20})
	b.find(found("open", 0))
	b.do(func(c *Change) error { return nil })
	for n := range 100 {
		b.find(found(fmt.Sprint(n), n))
		b.do(func(c *Change) error {
			id := c.base.byKey[Key(ptr(found(fmt.Sprint(n), n)))]
			if n == 0 {
				b.needed = id // a channel still owes its message
			}
			return c.Act(id, Action{Kind: KindResolved, Disposition: Duplicate, At: time.UnixMicro(minute(n))})
		})
	}
	if n := len(b.tr.byID); n > 20 || len(b.tr.findings) != n || len(b.tr.byKey) != n {
		t.Errorf("%d incidents, %d findings, %d keys: want at most 20 of each, and as many", n, len(b.tr.findings), len(b.tr.byKey))
	}
	if _, ok := b.tr.byKey[Key(ptr(found("open", 0)))]; !ok {
		t.Error("an open incident was forgotten")
	}
	if _, ok := b.tr.Get(b.needed); !ok {
		t.Error("an incident that is still needed was forgotten")
	}
}

func ptr[T any](v T) *T { return &v }

func TestActionsOnNothingAreRefused(t *testing.T) {
	b := newBook(t, TrackerConfig{})
	if err := b.tr.Begin().Act("INC-0", Action{Kind: KindAcked}); err == nil || !strings.Contains(err.Error(), "INC-0: not known") {
		t.Errorf("got %v", err)
	}
	if _, err := NewTracker(TrackerConfig{Quiet: -1}); err == nil {
		t.Error("a negative quiet time was taken")
	}
}
