package main

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"gatehouse/detect"
	"gatehouse/ingest/event"
	"gatehouse/store"
)

// detection is the detector's two ends: its source is what nobody has looked at
// yet and then what is being stored, its sink the table of findings.
type detection struct {
	detector *detect.Detector
	feed     *feed
	findings *store.Table[findingRow]
	marks    *marks
	warm     *warmUp
	seen     *seen
	log      *slog.Logger
	nudge    func()
	ready    func()

	taken int
	// watermark is the event time that detection has reached, µs.
	watermark atomic.Int64
	observed  atomic.Int64
}

// feedWait is how long Next waits for a batch before it lets time move on.
const feedWait = time.Second

func newDetection(a *app) (*detection, error) {
	d := &detection{
		feed: a.feed, findings: newFindingTable(a.db), marks: newMarks(a.db), seen: newSeen(),
		log: a.log.With("component", "detect"), nudge: func() {}, ready: func() { a.ready.set("detector") },
	}
	d.warm = &warmUp{db: a.db, seen: d.seen}
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

// run warms up and then looks at every batch that is stored, until ctx ends. It
// runs once.
func (d *detection) run(ctx context.Context) error {
	defer close(d.feed.gone)
	mark, err := d.marks.newest(ctx)
	if err != nil {
		return ended(ctx, err)
	}
	known, unseen := d.warm.spans(time.Now(), mark)
	if err := d.detector.Warm(d.warm.events(ctx, known, warmUpEvents)); err != nil {
		return ended(ctx, err)
	}
	defer d.warm.open(ctx, unseen)()
	return d.detector.Run(ctx)
}

// ended is nil for an error that only says that ctx has ended.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Next implements detect.Source.
func (d *detection) Next(ctx context.Context) ([]event.Event, error) {
	if d.warm.going() {
		return d.warm.next()
	}
	wait := time.NewTimer(feedWait)
	defer wait.Stop()
	select {
	case item := <-d.feed.items:
		d.taken = len(item.events)
		return d.seen.filter(item.topicID, item.events), nil
	case <-wait.C:
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Append implements detect.Sink: it makes findings durable, trying until that
// works, because a finding is never given up for an outage.
func (d *detection) Append(ctx context.Context, found ...detect.Finding) error {
	err := retry(ctx, func() error { return d.store(ctx, found) }, func(err error, wait time.Duration) {
		d.log.WarnContext(ctx, "findings not stored, retrying", "findings", len(found), "wait", wait, "error", err)
	})
	if err != nil {
		return fmt.Errorf("store findings: %w", err)
	}
	d.nudge()
	return nil
}

// store leaves out what is stored: after a start some of what was found before is
// found again.
func (d *detection) store(ctx context.Context, found []detect.Finding) error {
	ids := make([]string, len(found))
	for i := range found {
		ids[i] = found[i].ID
	}
	stored, err := d.findings.All(ctx, "id IN (?)", ids)
	if err != nil {
		return err
	}
	have := map[string]bool{}
	for _, r := range stored {
		have[r.ID] = true
	}
	var rows []findingRow
	for _, f := range found {
		if !have[f.ID] {
			rows = append(rows, newFindingRow(f, time.Now()))
		}
	}
	return d.findings.Append(ctx, rows...)
}

// Ack implements detect.Source. The detector calls it between batches, when
// everything taken has been looked at and its counters may be read.
func (d *detection) Ack(ctx context.Context) error {
	d.watermark.Store(d.detector.Stats().Watermark)
	d.observed.Add(int64(d.taken))
	d.taken = 0
	if d.warm.going() {
		return nil
	}
	d.ready()
	if err := d.marks.advance(ctx, d.feed.handed(time.Now())); err != nil {
		d.log.WarnContext(ctx, "mark not stored", "error", err) // the older one only means more to look at again
	}
	return nil
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
