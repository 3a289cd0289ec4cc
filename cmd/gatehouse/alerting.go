package main

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"time"

	"gatehouse/alert"
	"gatehouse/detect"
	"gatehouse/store"
)

// alerting carries stored findings to the incident manager. The table of
// findings is the queue between detection and alerting: a finding that is stored
// is alerted, whatever dies in between, because after a start the table is read
// again from before where it was left, and the manager ignores what it knows.
type alerting struct {
	manager  *alert.Manager
	findings *store.Table[findingRow]
	log      *slog.Logger
	wake     chan struct{}
	flushes  chan chan error
	cursor   time.Time
	known    map[string]bool
	reached  func() int64 // event time that detection has reached, µs
}

const (
	// alertEvery is how often the table is looked at without a nudge.
	alertEvery = time.Second
	// alertOverlap is how far before the newest row seen the next look begins:
	// rows of several writers do not appear in the order of their stamps.
	alertOverlap = 10 * time.Minute
	// incidentBack is how far back incidents are restored: longer than an
	// incident can stay open without a finding, plus the time to reopen it.
	incidentBack = 14 * 24 * time.Hour
)

func newAlerting(a *app) *alerting {
	return &alerting{
		manager: a.manager, findings: newFindingTable(a.db), log: a.log.With("component", "alert"),
		wake: make(chan struct{}, 1), flushes: make(chan chan error), known: map[string]bool{},
		reached: func() int64 {
			if a.detection != nil {
				return a.detection.watermark.Load()
			}
			return time.Now().UnixMicro()
		},
	}
}

// restore gives the manager what its journals hold.
func (w *alerting) restore(ctx context.Context, incidents *store.Table[alert.IncidentEvent], deliveries *store.Table[alert.Delivery]) error {
	// All rows of every incident that moved lately: half of an incident's rows do
	// not make a state.
	const lately = "incident_id IN (SELECT incident_id FROM audit.incident_log WHERE stored_at >= ?)"
	since := time.Now().Add(-incidentBack)
	w.cursor = since // findings nobody was told of; the manager knows the others
	events, err := incidents.All(ctx, lately+" ORDER BY incident_id, seq", since)
	if err != nil {
		return err
	}
	tries, err := deliveries.All(ctx, lately+" ORDER BY stored_at", since)
	if err != nil {
		return err
	}
	if err := w.manager.Restore(events, tries); err != nil {
		return fmt.Errorf("restore incidents: %w", err)
	}
	return nil
}

// nudge asks for a look now.
func (w *alerting) nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run looks at the table until ctx ends.
func (w *alerting) run(ctx context.Context) error {
	tick := time.NewTicker(alertEvery)
	defer tick.Stop()
	for {
		if err := w.look(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			w.log.WarnContext(ctx, "findings not read, retrying", "error", err)
		}
		select {
		case <-w.wake:
		case <-tick.C:
		case answer := <-w.flushes:
			answer <- w.look(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// settle returns when every finding that is stored now has been looked at.
func (w *alerting) settle(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case w.flushes <- answer:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (w *alerting) look(ctx context.Context) error {
	rows, err := w.findings.All(ctx, "stored_at >= ? ORDER BY stored_at, id", w.cursor.Add(-alertOverlap))
	if err != nil {
		return err
	}
	var fresh []detect.Finding
	for _, r := range rows {
		if w.known[r.ID] {
			continue
		}
		f, err := r.finding()
		if err != nil { // of a newer version: the others must not wait for it
			w.log.ErrorContext(ctx, "finding left out", "finding", r.ID, "error", err)
			continue
		}
		fresh = append(fresh, f)
	}
	if len(fresh) > 0 {
		if err := w.manager.Append(ctx, fresh...); err != nil {
			return err
		}
	}
	w.remember(rows)
	if reached := w.reached(); reached != math.MinInt64 {
		return w.manager.Advance(ctx, reached)
	}
	return nil
}

// remember moves the cursor on. What lies before the next look's begin never
// comes again, so only the ids of this look need to be kept. A stamp from the
// future does not count: it would hide what is stored until then.
func (w *alerting) remember(rows []findingRow) {
	now := time.Now()
	clear(w.known)
	for _, r := range rows {
		w.known[r.ID] = true
		if r.StoredAt.After(w.cursor) && !r.StoredAt.After(now) {
			w.cursor = r.StoredAt
		}
	}
}

// sampler shows the events behind a finding in an incident's thread.
type sampler struct{ db *store.DB }

// sampleSlack widens the time around a finding's window in which its evidence is
// looked for, so that the table's order helps.
const sampleSlack = time.Hour

// Samples implements alert.Sampler.
func (s sampler) Samples(ctx context.Context, f *detect.Finding, limit int) (*alert.Table, error) {
	if len(f.Evidence) == 0 {
		return nil, nil
	}
	origins := make([]string, len(f.Evidence))
	for i, o := range f.Evidence {
		origins[i] = fmt.Sprintf("(%s, %d, %d, %d)", detect.Quote(o.Topic), o.Partition, o.Offset, o.Index)
	}
	const sql = `SELECT ts, actor, method, path, status, client_ip, ua_family FROM audit.events
WHERE ts BETWEEN fromUnixTimestamp64Micro(%d) AND fromUnixTimestamp64Micro(%d)
AND (kafka_topic, kafka_partition, kafka_offset, kafka_index) IN (%s)
ORDER BY ts, kafka_topic, kafka_partition, kafka_offset, kafka_index LIMIT %d`
	slack := sampleSlack.Microseconds()
	res, err := s.db.Query(ctx, fmt.Sprintf(sql, f.First-slack, f.Last+slack, strings.Join(origins, ", "), limit), limit)
	if err != nil {
		return nil, err
	}
	t := &alert.Table{Caption: "Sample events", Columns: []string{"time (UTC)", "who", "method", "path", "status", "client", "agent"}}
	for _, row := range res.Rows {
		cells := make([]string, len(row))
		for i, v := range row {
			cells[i] = cellText(v)
		}
		t.Rows = append(t.Rows, cells)
	}
	return t, nil
}
