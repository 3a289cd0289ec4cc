package slack_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/alert"
	"gatehouse/alert/slack"
	"gatehouse/alert/slack/slackfake"
	"gatehouse/detect"
	"gatehouse/ingest/event"
	"gatehouse/rules"
)

// journal is a durable table: it outlives the Manager that writes to it. A power
// of -1 is unlimited; each append takes one, and at 0 the process is dead.
type journal[T any] struct {
	mu   sync.Mutex
	rows []T
	fail func(T) error // may store or not, then fail
}

func (j *journal[T]) Append(_ context.Context, rows ...T) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, r := range rows {
		if j.fail != nil {
			if err := j.fail(r); err != nil {
				return err
			}
		}
		j.rows = append(j.rows, r)
	}
	return nil
}

func (j *journal[T]) all() []T {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.rows)
}

// syncBuffer is a buffer for a log that several goroutines write.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// world is what outlives a restart: Slack and the journals.
type world struct {
	t          *testing.T
	fake       *slackfake.Server
	incidents  *journal[alert.IncidentEvent]
	deliveries *journal[alert.Delivery]
	token      string
	jitter     func() float64
	runbooks   map[string]*rules.Runbook
	routes     []alert.Route
	transport  http.RoundTripper
	log        *slog.Logger
}

func newWorld(t *testing.T, cfg slackfake.Config) *world {
	fake := slackfake.New(cfg)
	return &world{
		t: t, fake: fake, transport: fake.Transport(), incidents: &journal[alert.IncidentEvent]{}, deliveries: &journal[alert.Delivery]{},
		token: slackfake.DefaultToken, jitter: func() float64 { return 0.5 },
	}
}

// start runs a Manager, restored from the journals, until stop is called.
func (w *world) start() (m *alert.Manager, stop func()) {
	w.t.Helper()
	token, err := slack.NewToken(w.token)
	if err != nil {
		w.t.Fatal(err)
	}
	client, err := slack.New(slack.Config{Token: token, Transport: w.transport})
	if err != nil {
		w.t.Fatal(err)
	}
	m, err = alert.New(alert.Config{
		Incidents: w.incidents, Deliveries: w.deliveries, Notifier: client, Channel: slackfake.DefaultChannel,
		Jitter: w.jitter, Runbooks: w.runbooks, Routes: w.routes, Log: w.log,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := m.Restore(w.incidents.all(), w.deliveries.all()); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() { m.Run(ctx); close(done) }()
	return m, func() { cancel(); <-done }
}

func (w *world) append(m *alert.Manager, fs ...detect.Finding) {
	w.t.Helper()
	if err := m.Append(w.t.Context(), fs...); err != nil {
		w.t.Fatal(err)
	}
}

// roots are the root messages in the channel.
func (w *world) roots() []slackfake.Message {
	return slices.DeleteFunc(w.fake.Messages(), func(m slackfake.Message) bool { return m.Thread != "" })
}

// epoch is when the stories' events happen: where the fake clock starts.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// finding is the nth finding about an entity, each a minute after the other.
func finding(n int, entity string) detect.Finding {
	at := epoch.Add(time.Duration(n) * time.Minute).UnixMicro()
	return detect.Finding{
		ID: fmt.Sprintf("finding-%s-%d", entity, n), Rule: "token-reuse", RuleTitle: "One credential used from several networks at once",
		Severity: rules.High, OWASP: []string{"API2:2023"}, Attack: []string{"T1528"}, Tenant: "acme",
		Entity: []detect.Field{{Name: "tenant", Value: "acme"}, {Name: "credential", Value: entity}},
		First:  at - 240e6, Last: at, At: at, Events: 40, Evidence: []event.Origin{{Topic: "gateway-logs", Partition: 1, Offset: int64(n)}},
		Measures: []detect.Measure{{Name: "networks", Value: float64(2 + n)}, {Name: "agents", Value: 2}},
		Reason:   entity + " was used from 2 networks by 2 kinds of client", SQL: "SELECT * FROM audit.events WHERE credential = '" + entity + "'",
	}
}

// settle waits until the channel is owed nothing.
func (w *world) settle(m *alert.Manager) {
	w.t.Helper()
	if err := m.Drain(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func text(m slackfake.Message) string { return strings.Join(m.Lines(), "\n") }

// expect says what the root messages show: one list of pieces for each.
func (w *world) expect(roots ...[]string) {
	w.t.Helper()
	got := w.roots()
	if len(got) != len(roots) {
		w.t.Fatalf("%d root messages, want %d; calls %+v", len(got), len(roots), w.fake.Calls())
	}
	for n, pieces := range roots {
		for _, p := range pieces {
			if !strings.Contains(text(got[n]), p) {
				w.t.Errorf("root %d does not show %q:\n%s", n, p, text(got[n]))
			}
		}
	}
}

// replies are the messages in threads.
func (w *world) replies() []slackfake.Message {
	return slices.DeleteFunc(w.fake.Messages(), func(m slackfake.Message) bool { return m.Thread == "" })
}

// story runs in a bubble with a clock of its own, which starts at epoch.
func story(t *testing.T, cfg slackfake.Config, tell func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { tell(newWorld(t, cfg)) })
}
