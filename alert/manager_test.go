package alert

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/detect"
	"gatehouse/rules"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// table is a journal in memory. refuse may make an append fail, before or after
// the row is stored.
type table[T any] struct {
	mu     sync.Mutex
	rows   []T
	refuse func() (before, after error)
}

func (j *table[T]) Append(_ context.Context, rows ...T) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, r := range rows {
		var before, after error
		if j.refuse != nil {
			before, after = j.refuse()
		}
		if before != nil {
			return before
		}
		j.rows = append(j.rows, r)
		if after != nil {
			return after
		}
	}
	return nil
}

func (j *table[T]) all() []T {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.rows)
}

// desk is a Manager with journals in memory.
type desk struct {
	t          *testing.T
	incidents  table[IncidentEvent]
	deliveries table[Delivery]
	cfg        Config
}

func (d *desk) start() (*Manager, func()) {
	d.t.Helper()
	d.cfg.Incidents, d.cfg.Deliveries = &d.incidents, &d.deliveries
	d.cfg.Jitter = func() float64 { return 0 }
	if d.cfg.Channel == "" {
		d.cfg.Channel = "terminal"
	}
	m, err := New(d.cfg)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := m.Restore(d.incidents.all(), d.deliveries.all()); err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(d.t.Context())
	done := make(chan struct{})
	go func() { m.Run(ctx); close(done) }()
	return m, func() { cancel(); <-done }
}

func (d *desk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// statuses are the delivery rows as "kind status".
func (d *desk) statuses() []string {
	var out []string
	for _, r := range d.deliveries.all() {
		out = append(out, r.Kind+" "+r.Status)
	}
	return out
}

// samples is a Sampler with one table.
type samples struct{ err error }

func (s samples) Samples(context.Context, *detect.Finding, int) (*Table, error) {
	return &Table{Caption: "2 of 10 events", Columns: []string{"time", "call", "status", "from"}, Rows: [][]string{
		{"00:00:01.000", "GET /orders/1001", "200", "203.0.113.7"}, {"00:00:02.500", "GET /orders/1002", "200", "198.51.100.9"},
	}}, s.err
}

// Without Slack, incidents are printed as a responder would see them. The golden
// file is what the terminal shows.
func TestIncidentsArePrintedWithoutSlack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		d := &desk{t: t, cfg: Config{Notifier: NewPrinter(&out, false), Samples: samples{}, Runbooks: map[string]*rules.Runbook{"token-reuse": {
			Owner: "security on call", FirstSteps: []string{"Look at the callers of {{credential}}.", "Ask its owner about a deploy.", "Revoke it if it writes."},
			Queries: []rules.RunbookQuery{{Label: "Who used it", SQL: "SELECT client_net, count()\nFROM audit.events\nWHERE credential = {{credential}}\nGROUP BY client_net"}},
		}}}}
		m, stop := d.start()
		defer stop()
		d.must(m.Append(t.Context(), found("key-7", 0)))
		d.must(m.Drain(t.Context()))
		d.must(m.Advance(t.Context(), minute(61)))
		d.must(m.Drain(t.Context()))
		d.must(m.Append(t.Context(), found("key-7", 90)))
		d.must(m.Drain(t.Context()))
		golden(t, "testdata/printed.txt", out.String())
		want := []string{
			"root intent", "root printed", "evidence intent", "evidence printed", "runbook intent", "runbook printed",
			"update updated", "reopened intent", "reopened printed", "update updated",
		}
		if diff := cmp.Diff(want, d.statuses()); diff != "" {
			t.Errorf("delivery rows (-want +got):\n%s", diff)
		}
	})
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", path, d)
	}
}

// A journal that fails, having stored the row or not, costs no finding and gives
// no number to two rows.
func TestAFailingJournalLosesNothing(t *testing.T) {
	errFull := errors.New("disk full")
	for name, refuse := range map[string]func(n int) (error, error){
		"nothing stored":  func(n int) (error, error) { return pick(n%3 == 0, errFull), nil },
		"stored, no word": func(n int) (error, error) { return nil, pick(n%3 == 0, errFull) },
		"now this, now that": func(n int) (error, error) {
			return pick(n%5 == 0, errFull), pick(n%3 == 0, errFull)
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := &desk{t: t, cfg: Config{Notifier: NewPrinter(new(bytes.Buffer), false)}}
			n := 0
			d.incidents.refuse = func() (error, error) { n++; return refuse(n) }
			m, stop := d.start()
			defer stop()
			for minute := range 20 {
				for m.Append(t.Context(), found("a", minute), found("b", minute)) != nil {
				}
			}
			d.incidents.refuse = nil
			seen := map[string]string{}
			for _, r := range d.incidents.all() {
				name := fmt.Sprint(r.IncidentID, r.Seq)
				if old, dup := seen[name]; dup && old != r.Payload {
					t.Fatalf("row %s was given to two findings", name)
				}
				seen[name] = r.Payload
			}
			got, err := Replay(d.incidents.all())
			d.must(err)
			if len(got) != 2 || got[0].Findings != 20 || got[1].Findings != 20 {
				t.Errorf("after all: %d incidents, %+v", len(got), got)
			}
			if diff := cmp.Diff(m.Incidents(), got, cmp.Transformer("sort", func(is []Incident) map[string]Incident {
				out := map[string]Incident{}
				for _, i := range is {
					out[i.ID] = i
				}
				return out
			})); diff != "" {
				t.Errorf("memory and journal differ:\n%s", diff)
			}
		})
	}
}

func pick(cond bool, err error) error {
	if cond {
		return err
	}
	return nil
}

// An intent that cannot be made durable is not followed by a post.
func TestNothingIsSentBeforeItsIntentIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		d := &desk{t: t, cfg: Config{Notifier: NewPrinter(&out, false)}}
		d.deliveries.refuse = func() (error, error) { return errors.New("disk full"), nil }
		m, stop := d.start()
		d.must(m.Append(t.Context(), found("a", 0)))
		<-time.After(time.Minute)
		if out.Len() > 0 {
			t.Errorf("printed without an intent:\n%s", out.String())
		}
		d.deliveries.mu.Lock()
		d.deliveries.refuse = nil
		d.deliveries.mu.Unlock()
		d.must(m.Drain(t.Context()))
		stop()
		if !strings.Contains(out.String(), "OPEN") {
			t.Errorf("not printed afterwards:\n%s", out.String())
		}
	})
}

// errNotifier always fails in one way.
type errNotifier struct{ outcome Outcome }

func (n errNotifier) Post(context.Context, Post) (string, error) {
	return "", &SendError{Outcome: n.outcome, Err: errors.New("no")}
}

func (n errNotifier) Update(context.Context, string, Post) error { return nil }

// What cannot be delivered for a day is recorded as dead, and is not tried on.
func TestUndeliverableMessagesBecomeDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{t: t, cfg: Config{Notifier: errNotifier{Unsent}, Channel: "C1"}}
		m, stop := d.start()
		defer stop()
		began := time.Now()
		d.must(m.Append(t.Context(), found("a", 0)))
		d.must(m.Drain(t.Context()))
		if took := time.Since(began); took < 24*time.Hour || took > 25*time.Hour {
			t.Errorf("given up after %s, want a day", took)
		}
		rows := d.deliveries.all()
		last := rows[len(rows)-1]
		if last.Status != StatusDead || last.Error == "" || last.Attempt < 24*60 {
			t.Errorf("last row %+v: want dead after many attempts", last)
		}
	})
}

// After Slack is configured, incidents that were printed and are over stay
// printed; those that are not are posted.
func TestAChangeOfChannelPostsWhatIsStillOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{t: t, cfg: Config{Notifier: NewPrinter(new(bytes.Buffer), false)}}
		m, stop := d.start()
		d.must(m.Append(t.Context(), found("old", 0)))
		d.must(m.Advance(t.Context(), minute(100)))
		d.must(m.Append(t.Context(), found("new", 100)))
		d.must(m.Drain(t.Context()))
		stop()

		var out bytes.Buffer
		d.cfg.Channel, d.cfg.Notifier = "C1", NewPrinter(&out, false)
		m, stop = d.start()
		defer stop()
		d.must(m.Drain(t.Context()))
		if s := out.String(); strings.Contains(s, "credential old") || !strings.Contains(s, "credential new") {
			t.Errorf("posted to the new channel:\n%s", s)
		}
		d.must(m.Append(t.Context(), found("old", 120))) // it comes back
		d.must(m.Drain(t.Context()))
		if s := out.String(); !strings.Contains(s, "credential old") {
			t.Errorf("a reopened incident is not in the new channel:\n%s", s)
		}
	})
}

// A restart without open questions sends nothing.
func TestARestartSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		d := &desk{t: t, cfg: Config{Notifier: NewPrinter(&out, false), Samples: samples{errors.New("no database")}}}
		m, stop := d.start()
		d.must(m.Append(t.Context(), found("a", 0), found("b", 1)))
		d.must(m.Drain(t.Context()))
		stop()
		rows := len(d.deliveries.all())
		out.Reset()
		m, stop = d.start()
		defer stop()
		d.must(m.Drain(t.Context()))
		if out.Len() > 0 || len(d.deliveries.all()) != rows {
			t.Errorf("%d more rows, printed:\n%s", len(d.deliveries.all())-rows, out.String())
		}
	})
}

// One damaged incident does not keep the others from being restored.
func TestADamagedIncidentDoesNotStopTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		d := &desk{t: t, cfg: Config{Notifier: NewPrinter(&out, false)}}
		m, stop := d.start()
		d.must(m.Append(t.Context(), found("a", 0), found("b", 1)))
		d.must(m.Drain(t.Context()))
		stop()
		rows := d.incidents.all()
		rows[0].Payload = "{"
		var log bytes.Buffer
		d.cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
		m, err := New(d.cfg)
		d.must(err)
		d.must(m.Restore(rows, d.deliveries.all()))
		if !strings.Contains(log.String(), rows[0].IncidentID) {
			t.Errorf("the log does not name %s:\n%s", rows[0].IncidentID, log.String())
		}
		if err := m.Restore(rows, nil); err == nil {
			t.Error("restored twice")
		}
		if all := m.Incidents(); len(all) != 1 || all[0].ID != rows[1].IncidentID {
			t.Errorf("restored %+v, want the other one", all)
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	_, err := New(Config{Routes: []Route{{}}, ConsoleURL: "console/"})
	if err == nil {
		t.Fatal("an empty configuration was taken")
	}
	for _, want := range []string{"journal of incidents", "journal of deliveries", "notifier", "a channel", "routes[0].channel", "routes[0].min_severity", "console_url"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %q", err, want)
		}
	}
}

// The metrics say what happened.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		d := &desk{t: t, cfg: Config{Notifier: NewPrinter(new(bytes.Buffer), false), Registerer: reg}}
		m, stop := d.start()
		defer stop()
		d.must(m.Append(t.Context(), found("a", 0)))
		d.must(m.Drain(t.Context()))
		synctest.Wait()
		families, err := reg.Gather()
		d.must(err)
		got := map[string]float64{}
		for _, f := range families {
			for _, metric := range f.GetMetric() {
				name := strings.TrimPrefix(f.GetName(), "gatehouse_alert_")
				for _, l := range metric.GetLabel() {
					name += " " + l.GetValue()
				}
				got[name] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
			}
		}
		for name, want := range map[string]float64{
			"notify_attempts_total printed": 2, "notify_attempts_total unknown": 0, "notify_queue_depth": 0,
			"incidents_open high": 1, "incidents_open critical": 0, "e2e_seconds high": 1, "notify_degraded_total text": 0, "notify_readback_total found": 0,
		} {
			if v, ok := got[name]; !ok || v != want {
				t.Errorf("%s = %v, want %v", name, v, want)
			}
		}
	})
}

// Memory is bounded by the incidents that are remembered.
func TestThreadsOfForgottenIncidentsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{t: t, cfg: Config{Notifier: NewPrinter(new(bytes.Buffer), false), Tracker: TrackerConfig{Keep: 20}}}
		m, stop := d.start()
		for n := range 100 {
			d.must(m.Append(t.Context(), found(fmt.Sprint(n), n)))
			d.must(m.Advance(t.Context(), minute(n+61)))
			d.must(m.Drain(t.Context()))
		}
		stop()
		if incidents, threads := len(m.Incidents()), len(m.outboxes["terminal"].threads); incidents > 20 || threads > 20 {
			t.Errorf("%d incidents and %d threads are remembered, want at most 20", incidents, threads)
		}
	})
}
