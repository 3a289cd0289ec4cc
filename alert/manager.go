package alert

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"time"

	"gatehouse/detect"
	"gatehouse/rules"
)

// Config configures a [Manager].
type Config struct {
	// Incidents and Deliveries are the journals. Both are required.
	Incidents  Journal[IncidentEvent]
	Deliveries Journal[Delivery]
	// Notifier brings messages to channels. Required; see [Printer] for when
	// there is no Slack.
	Notifier Notifier
	// Channel is where incidents go that no route names. Required.
	Channel string
	// Routes sends incidents by severity; the first that fits counts.
	Routes []Route
	// Tracker sets the times of the incident's life.
	Tracker TrackerConfig
	// Runbooks are the runbooks by rule id. A rule without one gets a message
	// that says so.
	Runbooks map[string]*rules.Runbook
	// Samples finds the events behind a finding for the evidence reply. nil
	// shows their coordinates.
	Samples Sampler
	// ConsoleURL is where people open incidents, without a final slash; "" for
	// no links.
	ConsoleURL string
	// GiveUp is how long a message is tried before it is recorded as dead. 0 =
	// 24 hours.
	GiveUp time.Duration
	// Jitter gives numbers from 0 up to 1 that spread retries. nil = random.
	Jitter func() float64
	// Registerer takes the metrics. nil = none.
	Registerer Registerer
	// Log gets what an operator should know. nil = nothing.
	Log *slog.Logger
}

// Route sends incidents that are at least this severe to a channel.
type Route struct {
	MinSeverity rules.Severity
	Channel     string
}

// Sampler finds sample events.
type Sampler interface {
	// Samples is a table of at most limit events of the finding. Values are
	// cleaned by the caller. An error costs the table, never the alert.
	Samples(ctx context.Context, f *detect.Finding, limit int) (*Table, error)
}

func (c Config) withDefaults() (Config, error) {
	var problems []error
	need := func(ok bool, what string) {
		if !ok {
			problems = append(problems, fmt.Errorf("configure alerts: %s is required", what))
		}
	}
	need(c.Incidents != nil, "a journal of incidents")
	need(c.Deliveries != nil, "a journal of deliveries")
	need(c.Notifier != nil, "a notifier")
	need(c.Channel != "", "a channel")
	for n, r := range c.Routes {
		need(r.Channel != "", fmt.Sprintf("routes[%d].channel", n))
		if r.MinSeverity.Rank() < 0 {
			problems = append(problems, fmt.Errorf("configure alerts: routes[%d].min_severity %q: want one of %v", n, r.MinSeverity, rules.Severities()))
		}
	}
	if u, err := url.Parse(c.ConsoleURL); c.ConsoleURL != "" && (err != nil || u.Host == "" || strings.HasSuffix(c.ConsoleURL, "/")) {
		problems = append(problems, errors.New("configure alerts: console_url: want a URL without a slash at its end, such as https://gatehouse.example"))
	}
	c.GiveUp = cmp.Or(c.GiveUp, 24*time.Hour)
	if c.Jitter == nil {
		c.Jitter = rand.Float64
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, errors.Join(problems...)
}

// Manager turns findings into incidents and keeps the channels up to date. Its
// methods are safe for concurrent use.
type Manager struct {
	cfg      Config
	metrics  *metrics
	printing bool

	mu       sync.Mutex
	tracker  *Tracker
	outboxes map[string]*outbox
	pending  *Change       // decided, but its journal append has not succeeded yet
	draining bool          // edits do not wait
	emptied  chan struct{} // closed and replaced when an outbox becomes empty
}

// New checks the configuration. Call Restore, then Run.
func New(cfg Config) (*Manager, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	tracker, err := NewTracker(cfg.Tracker)
	if err != nil {
		return nil, err
	}
	m := &Manager{cfg: cfg, metrics: newMetrics(cfg.Registerer), tracker: tracker, outboxes: map[string]*outbox{}, emptied: make(chan struct{})}
	_, m.printing = cfg.Notifier.(*Printer)
	for _, channel := range cfg.channels() {
		m.outboxes[channel] = newOutbox(channel)
	}
	return m, nil
}

func (c *Config) channels() []string {
	out := []string{c.Channel}
	for _, r := range c.Routes {
		out = append(out, r.Channel)
	}
	return out
}

// route is the outbox of an incident.
func (m *Manager) route(i *Incident) *outbox {
	for _, r := range m.cfg.Routes {
		if i.Opening.Severity.Rank() >= r.MinSeverity.Rank() {
			return m.outboxes[r.Channel]
		}
	}
	return m.outboxes[m.cfg.Channel]
}

// Restore rebuilds incidents and what is owed from the journals' rows, in any
// order. Call it once, before Run and Append. What the rows leave open is looked
// for in the channel and sent if it is not there.
//
// Give all rows of an incident or none: without its first row an incident cannot
// be rebuilt, and without its deliveries it would be posted again. One that
// cannot be rebuilt is logged and left out, so that damage to one row does not
// stop all alerts: its next finding opens a new incident. The error is for a
// Manager that has incidents already.
func (m *Manager) Restore(incidents []IncidentEvent, deliveries []Delivery) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.tracker.byID) > 0 {
		return errors.New("restore incidents: there are some already: restore once, before the first finding")
	}
	restored, err := Replay(incidents)
	if err != nil {
		m.cfg.Log.Error("incidents not restored, their next finding opens new ones", "error", err)
	}
	m.tracker.Restore(restored)
	elsewhere := map[string]bool{}
	for n := range deliveries {
		d := &deliveries[n]
		i, known := m.tracker.Get(d.IncidentID)
		switch {
		case !known:
		case m.route(&i).channel == d.Channel:
			m.route(&i).thread(i.ID).apply(d)
		case d.Kind == MessageRoot && d.TS != "":
			elsewhere[d.IncidentID] = true
		}
	}
	for _, i := range m.tracker.Incidents() {
		o := m.route(&i)
		_, begun := o.threads[i.ID]
		// An incident that was shown in a channel which is no longer used, and
		// is over, is not posted again for a change of configuration.
		if begun || i.State != StateResolved || !elsewhere[i.ID] {
			o.owe(i.ID)
		}
	}
	m.forget()
	m.report()
	return nil
}

// Append takes findings. It returns when the incidents they make are durable; on
// an error the caller appends the same findings again, and none is counted
// twice. It does not wait for messages.
func (m *Manager) Append(ctx context.Context, fs ...detect.Finding) error {
	return m.change(ctx, func(c *Change) error {
		for n := range fs {
			if err := c.Observe(&fs[n]); err != nil {
				return err
			}
		}
		return nil
	})
}

// Advance tells the event time (µs) that detection has reached; incidents that
// were quiet for long enough are resolved.
func (m *Manager) Advance(ctx context.Context, now int64) error {
	return m.change(ctx, func(c *Change) error { return c.Advance(now) })
}

// Act applies what a person did to an incident. It returns when that is durable.
func (m *Manager) Act(ctx context.Context, id string, a Action) error {
	return m.change(ctx, func(c *Change) error { return c.Act(id, a) })
}

// Incidents lists the incidents that are remembered, by the time of their first
// event.
func (m *Manager) Incidents() []Incident {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tracker.Incidents()
}

// change decides, journals and commits. A change whose rows may be half stored
// stays pending and is stored first next time: no other row may take their
// numbers.
func (m *Manager) change(ctx context.Context, decide func(*Change) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.flush(ctx); err != nil {
		return err
	}
	c := m.tracker.Begin()
	if err := decide(c); err != nil {
		return err
	}
	m.pending = c
	return m.flush(ctx)
}

func (m *Manager) flush(ctx context.Context) error {
	c := m.pending
	if c == nil {
		return nil
	}
	if len(c.Rows) > 0 {
		if err := m.cfg.Incidents.Append(ctx, c.Rows...); err != nil {
			return fmt.Errorf("journal incidents: %w", err)
		}
		m.tracker.Commit(c)
		for id, i := range c.next {
			m.route(&i).owe(id)
		}
		m.forget()
		m.report()
	}
	m.pending = nil
	return nil
}

// forget drops old incidents, and with them what their channels were told.
func (m *Manager) forget() {
	owed := func(id string) bool {
		for _, o := range m.outboxes {
			if _, yes := o.owing[id]; yes {
				return true
			}
		}
		return false
	}
	for _, id := range m.tracker.Forget(owed) {
		for _, o := range m.outboxes {
			delete(o.threads, id)
		}
	}
}

// hasQueries says whether an incident's runbook has queries to reply with.
func (m *Manager) hasQueries(i *Incident) bool {
	rb := m.cfg.Runbooks[i.Opening.Rule]
	return rb != nil && len(rb.Queries) > 0
}

// report sets the gauges. The caller holds the lock.
func (m *Manager) report() {
	open := map[rules.Severity]int{}
	for id := range m.tracker.unsettled {
		open[m.tracker.byID[id].Opening.Severity]++
	}
	depth := 0
	for _, o := range m.outboxes {
		depth += len(o.owing)
	}
	m.metrics.set(open, depth)
}
