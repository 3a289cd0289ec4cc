package alert

import (
	"fmt"
	"testing"
	"time"
)

// One finding into an incident that is open.
func BenchmarkObserve(b *testing.B) {
	tr, err := NewTracker(TrackerConfig{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		f := found(fmt.Sprint(n%1000), n%60)
		f.ID = fmt.Sprint(n)
		n++
		c := tr.Begin()
		if err := c.Observe(&f); err != nil {
			b.Fatal(err)
		}
		tr.Commit(c)
	}
}

// The choice of the next message while 1,000 incidents wait.
func BenchmarkPick(b *testing.B) {
	m, err := New(Config{Incidents: &table[IncidentEvent]{}, Deliveries: &table[Delivery]{}, Notifier: errNotifier{Unsent}, Channel: "C1"})
	if err != nil {
		b.Fatal(err)
	}
	for n := range 1000 {
		if err := m.Append(b.Context(), found(fmt.Sprint(n), n)); err != nil {
			b.Fatal(err)
		}
	}
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, ok := m.pick(m.outboxes["C1"], now); !ok {
			b.Fatal("nothing to send")
		}
		now = now.Add(time.Minute)
	}
}

// A root message, from incident to text and hash.
func BenchmarkRender(b *testing.B) {
	tr, err := NewTracker(TrackerConfig{})
	if err != nil {
		b.Fatal(err)
	}
	c := tr.Begin()
	f := found("a", 0)
	if err := c.Observe(&f); err != nil {
		b.Fatal(err)
	}
	tr.Commit(c)
	v := View{Incident: tr.Incidents()[0]}
	b.ReportAllocs()
	for b.Loop() {
		root := v.Root()
		_ = root.Hash()
	}
}
