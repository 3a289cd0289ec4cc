package main

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"math"
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
	warmUpChunk  = 10_000
	// warmUpCatch is how long before the newest warm-up event a finding may lie
	// to count: what a crash kept from being looked at. Older ones were found
	// then, or come of a state that begins in the middle.
	warmUpCatch = 10 * time.Minute
	// feedWait is how long Next waits for a batch before it lets time move on.
	feedWait = time.Second
)

// detection is the detector's two ends: its source is what was stored lately and
// then what is being stored, its sink the table of findings.
type detection struct {
	detector *detect.Detector
	db       *store.DB
	feed     *feed
	findings *store.Table[findingRow]
	seen     *seen
	log      *slog.Logger
	nudge    func()

	past      func() (event.Event, error, bool) // the warm-up, nil when it is over
	endPast   func()
	newest    int64            // µs, of the warm-up
	held      []detect.Finding // of the warm-up
	taken     int
	warmSince time.Time

	// watermark is the event time that detection has reached, µs.
	watermark atomic.Int64
	observed  atomic.Int64
	ready     func()
}

func newDetection(a *app) (*detection, error) {
	d := &detection{
		db: a.db, feed: a.feed, findings: newFindingTable(a.db), seen: newSeen(),
		log: a.log.With("component", "detect"), nudge: func() {}, ready: func() { a.ready.set("detector") },
	}
	if a.alerting != nil {
		d.nudge = a.alerting.nudge
	}
	d.watermark.Store(math.MinInt64)
	var err error
	d.detector, err = detect.New(detect.Config{
		Engine: detect.EngineConfig{Rules: a.rules}, Source: d, Sink: d, Metrics: a.registry, Log: d.log,
	})
	return d, err
}

// run warms up and then looks at every batch that is stored, until ctx ends.
func (d *detection) run(ctx context.Context) error {
	d.warmSince = time.Now()
	d.past, d.endPast = iter.Pull2(d.db.Recent(ctx, d.warmSince.Add(-warmUpFor), warmUpEvents))
	defer d.endPast()
	return d.detector.Run(ctx)
}

// Next implements detect.Source.
func (d *detection) Next(ctx context.Context) ([]event.Event, error) {
	if d.past != nil {
		return d.nextPast()
	}
	wait := time.NewTimer(feedWait)
	defer wait.Stop()
	select {
	case b := <-d.feed.batches:
		d.taken = len(b.Events)
		return d.seen.filter(b.Events), nil
	case <-wait.C:
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// nextPast gives the next events of the warm-up. They are in the order in which
// they were stored.
func (d *detection) nextPast() ([]event.Event, error) {
	var chunk []event.Event
	for len(chunk) < warmUpChunk {
		e, err, more := d.past()
		if !more {
			d.past = nil
			return chunk, nil
		}
		if err != nil {
			return nil, fmt.Errorf("warm up: %w", err)
		}
		if d.seen.fresh(e.Origin) {
			d.newest = max(d.newest, e.TS)
			chunk = append(chunk, e)
		}
	}
	return chunk, nil
}

// Append implements detect.Sink: it makes findings durable, trying until that
// works, because a finding is never given up for an outage. Those of the warm-up
// are held until its newest event is known.
func (d *detection) Append(ctx context.Context, found ...detect.Finding) error {
	if d.past != nil || d.warmSince != (time.Time{}) {
		d.held = append(d.held, found...)
		return nil
	}
	return d.store(ctx, found)
}

func (d *detection) store(ctx context.Context, found []detect.Finding) error {
	if len(found) == 0 {
		return nil
	}
	rows := make([]findingRow, len(found))
	for i, f := range found {
		rows[i] = newFindingRow(f, time.Now())
	}
	err := retry(ctx, func() error { return d.findings.Append(ctx, rows...) }, func(err error, wait time.Duration) {
		d.log.WarnContext(ctx, "findings not stored, retrying", "findings", len(rows), "wait", wait, "error", err)
	})
	if err != nil {
		return fmt.Errorf("store findings: %w", err)
	}
	d.nudge()
	return nil
}

// Ack implements detect.Source. The detector calls it between batches, which is
// when its counters may be read.
func (d *detection) Ack(ctx context.Context) error {
	d.watermark.Store(d.detector.Stats().Watermark)
	d.observed.Add(int64(d.taken))
	d.taken = 0
	if d.past != nil || d.warmSince.IsZero() {
		return nil
	}
	return d.warm(ctx)
}

// warm ends the warm-up: what it found that nobody may have seen is stored.
func (d *detection) warm(ctx context.Context) error {
	d.log.InfoContext(ctx, "detector warmed up", "took", time.Since(d.warmSince).Round(time.Millisecond))
	d.warmSince = time.Time{}
	var late []detect.Finding
	for _, f := range d.held {
		if f.At >= d.newest-warmUpCatch.Microseconds() {
			late = append(late, f)
		}
	}
	d.held = nil
	d.ready()
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
