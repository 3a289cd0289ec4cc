package detect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/ingest/event"
)

// tape plays batches and writes down what happens.
type tape struct {
	batches [][]event.Event
	end     error
	fail    error // of Append
	log     []string
}

func (p *tape) Next(context.Context) ([]event.Event, error) {
	if len(p.batches) == 0 {
		return nil, p.end
	}
	b := p.batches[0]
	p.batches = p.batches[1:]
	p.log = append(p.log, fmt.Sprintf("next %d", len(b)))
	return b, nil
}

func (p *tape) Ack(context.Context) error {
	p.log = append(p.log, "ack")
	return nil
}

func (p *tape) Append(_ context.Context, fs ...Finding) error {
	p.log = append(p.log, fmt.Sprintf("append %d", len(fs)))
	return p.fail
}

func scan(n int) []event.Event {
	var events []event.Event
	for i := range int64(n) {
		events = append(events, hit("a", t0+i*second, int(i), 0, i))
	}
	return events
}

func newDetector(t *testing.T, p *tape, reg prometheus.Registerer) *Detector {
	t.Helper()
	d, err := New(Config{
		Engine: EngineConfig{Rules: parse(t, probing)}, Source: p, Sink: p, Metrics: reg,
		Now: func() time.Time { return time.UnixMicro(t0) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Findings are durable before their events are acknowledged.
func TestDetectorAcknowledgesAfterFindings(t *testing.T) {
	events := scan(6)
	p := &tape{batches: [][]event.Event{events[:3], nil, events[3:]}, end: io.EOF}
	reg := prometheus.NewRegistry()
	if err := newDetector(t, p, reg).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{"next 3", "ack", "next 0", "ack", "next 3", "append 1", "ack", "ack"}
	if diff := cmp.Diff(want, p.log); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if got := sample(t, reg, "gatehouse_detect_events_total"); got != 6 {
		t.Errorf("events metric %v: want 6", got)
	}
	if got := sample(t, reg, "gatehouse_detect_findings_total"); got != 1 {
		t.Errorf("findings metric %v: want 1", got)
	}
}

func TestDetectorDoesNotAcknowledgeWhatItCouldNotTell(t *testing.T) {
	p := &tape{batches: [][]event.Event{scan(6)}, end: io.EOF, fail: errors.New("disk full")}
	err := newDetector(t, p, nil).Run(t.Context())
	if err == nil || err.Error() != "append findings: disk full" {
		t.Errorf("error %v", err)
	}
	if got := strings.Join(p.log, ", "); got != "next 6, append 1" {
		t.Errorf("happened: %s: want no ack", got)
	}
}

func TestDetectorStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := newDetector(t, &tape{end: context.Canceled}, nil).Run(ctx); err != nil {
		t.Errorf("ended by its context with %v: want no error", err)
	}
	if err := newDetector(t, &tape{end: errors.New("gone")}, nil).Run(t.Context()); err == nil || err.Error() != "read events: gone" {
		t.Errorf("failing source: %v", err)
	}
}

func TestNewChecks(t *testing.T) {
	p := &tape{}
	for want, cfg := range map[string]Config{
		"no Source": {Sink: p, Engine: EngineConfig{Rules: parse(t, probing)}},
		"no Sink":   {Source: p, Engine: EngineConfig{Rules: parse(t, probing)}},
		"no rules":  {Source: p, Sink: p},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v: want %q in it", err, want)
		}
	}
}

// sample is the sum of a metric over its labels.
func sample(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}
