package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"gatehouse/detect"
	"gatehouse/ingest/event"
	"gatehouse/store"
)

// How far back a detector that starts reads to regain its state. The events of
// that time are stored, so nothing else has to be kept; findings of it that are
// stored already have the same ids and are not stored again.
const (
	warmUpFor    = 24 * time.Hour
	warmUpEvents = 2_000_000
	// warmUpCatch is how long before the newest warm-up event a finding may lie
	// to count: what a crash kept from being looked at. Older ones were found
	// then, or come of a state that begins in the middle.
	warmUpCatch = 10 * time.Minute
	advanceTick = time.Second
)

// detection is the detector at work: stored events in, stored findings out.
type detection struct {
	engine   *detect.Engine
	db       *store.DB
	feed     *feed
	findings *store.Table[findingRow]
	seen     *seen
	log      *slog.Logger
	metrics  *detectionMetrics
	nudge    func()

	// watermark is the event time that detection has reached, µs.
	watermark atomic.Int64
	observed  atomic.Int64
	found     atomic.Int64
}

func newDetection(a *app) *detection {
	d := &detection{
		engine: newEngine(a.rules), db: a.db, feed: a.feed, findings: newFindingTable(a.db), seen: newSeen(),
		log: a.log.With("component", "detect"), metrics: newDetectionMetrics(a.registry), nudge: func() {},
	}
	if a.alerting != nil {
		d.nudge = a.alerting.nudge
	}
	return d
}

// run warms up and then looks at every batch that is stored, until ctx ends.
func (d *detection) run(ctx context.Context) error {
	if err := d.warmUp(ctx); err != nil {
		return ended(ctx, err)
	}
	tick := time.NewTicker(advanceTick)
	defer tick.Stop()
	for {
		var err error
		select {
		case b := <-d.feed.batches:
			err = d.look(ctx, d.seen.filter(b.Events))
		case now := <-tick.C:
			err = d.store(ctx, d.engine.Advance(now.UnixMicro()))
		case <-ctx.Done():
			return nil
		}
		if err != nil {
			return ended(ctx, err)
		}
	}
}

// ended is nil for an error that only says that ctx has ended.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (d *detection) look(ctx context.Context, events []event.Event) error {
	start := time.Now()
	var found []detect.Finding
	for i := range events {
		found = append(found, d.engine.Observe(&events[i])...)
	}
	d.metrics.looked(len(events), time.Since(start))
	err := d.store(ctx, found)
	d.observed.Add(int64(len(events)))
	return err
}

// store makes findings durable, trying until it works: a finding is never given
// up for an outage.
func (d *detection) store(ctx context.Context, found []detect.Finding) error {
	stats := d.engine.Stats()
	d.watermark.Store(stats.Watermark)
	d.metrics.stats(stats)
	if len(found) == 0 {
		return nil
	}
	rows := make([]findingRow, len(found))
	for i, f := range found {
		rows[i] = newFindingRow(f, time.Now())
		d.metrics.findings.WithLabelValues(f.Rule).Inc()
	}
	err := retry(ctx, func() error { return d.findings.Append(ctx, rows...) }, func(err error, wait time.Duration) {
		d.log.WarnContext(ctx, "findings not stored, retrying", "findings", len(rows), "wait", wait, "error", err)
	})
	if err != nil {
		return fmt.Errorf("store findings: %w", err)
	}
	d.found.Add(int64(len(found)))
	d.nudge()
	return nil
}

func (d *detection) warmUp(ctx context.Context) error {
	start, n := time.Now(), 0
	var newest int64
	var found []detect.Finding
	for e, err := range d.db.Recent(ctx, start.Add(-warmUpFor), warmUpEvents) {
		if err != nil {
			return fmt.Errorf("warm up: %w", err)
		}
		if !d.seen.fresh(e.Origin) {
			continue
		}
		newest = max(newest, e.TS)
		found = append(found, d.engine.Observe(&e)...)
		n++
	}
	late := found[:0]
	for _, f := range found {
		if f.At >= newest-warmUpCatch.Microseconds() {
			late = append(late, f)
		}
	}
	if n > 0 {
		d.log.InfoContext(ctx, "detector warmed up", "events", n, "took", time.Since(start).Round(time.Millisecond))
	}
	return d.store(ctx, late)
}

// Waits of retry.
const (
	retryFirst = 100 * time.Millisecond
	retryMax   = 10 * time.Second
)

// retry does something until it works or ctx ends, telling of each failure.
func retry(ctx context.Context, do func() error, failed func(err error, wait time.Duration)) error {
	for wait := retryFirst; ; wait = min(2*wait, retryMax) {
		err := do()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		failed(err, wait)
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
}
