package main

import (
	"context"
	"fmt"
	"iter"
	"math"
	"time"

	"gatehouse/ingest/event"
	"gatehouse/store"
)

// How far back a detector that starts reads to regain its state. The events of
// that time are stored, so nothing else has to be kept.
const (
	warmUpFor    = 24 * time.Hour
	warmUpEvents = 2_000_000
	warmUpChunk  = 10_000
)

// warmUp reads what is stored for a detector that starts: first what was looked
// at before, to know what was known, then what nobody has looked at, to find what
// is in it.
type warmUp struct {
	db   *store.DB
	seen *seen
	pull func() (event.Event, error, bool) // of the second part; nil when it is over
}

// spans divides what is stored at the newest mark.
func (w *warmUp) spans(now, mark time.Time) (known, unseen store.Span) {
	looked := mark.Add(-markMargin)
	known = store.Span{Since: now.Add(-warmUpFor), Until: looked}
	unseen = store.Span{Since: looked, Until: now.Add(warmUpFor)}
	if mark.IsZero() { // never looked at anything
		return store.Span{}, store.Span{Until: unseen.Until}
	}
	return known, unseen
}

// events reads a span, in the order in which it was stored, and notes the
// origins.
func (w *warmUp) events(ctx context.Context, span store.Span, limit uint64) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		for e, err := range w.db.Recent(ctx, span, limit) {
			w.seen.note(e.TopicID, e.Origin)
			if !yield(e.Event, err) {
				return
			}
		}
	}
}

// open begins the second part; the function it returns ends it.
func (w *warmUp) open(ctx context.Context, span store.Span) (end func()) {
	w.pull, end = iter.Pull2(w.events(ctx, span, math.MaxUint64))
	return end
}

// going says that there may be more of the second part.
func (w *warmUp) going() bool { return w.pull != nil }

// next gives the next events of the second part, none at its end.
func (w *warmUp) next() ([]event.Event, error) {
	var chunk []event.Event
	for len(chunk) < warmUpChunk {
		e, err, more := w.pull()
		if !more {
			w.pull = nil
			break
		}
		if err != nil {
			return nil, fmt.Errorf("warm up: %w", err)
		}
		chunk = append(chunk, e)
	}
	return chunk, nil
}

// marks keep up to which time of insertion detection has looked.
type marks struct {
	table   *store.Table[markRow]
	last    time.Time
	written time.Time
}

// markRow is a row of audit.detector_marks.
type markRow struct {
	LookedAt time.Time `ch:"looked_at"`
	At       time.Time `ch:"at"`
}

const (
	// markEvery is how often the mark is moved on.
	markEvery = 10 * time.Second
	// markMargin is how far before the mark a start looks again: longer than a
	// batch is on its way from its stamp to the detector, outages of ClickHouse
	// up to this long included.
	markMargin = 15 * time.Minute
)

func newMarks(db *store.DB) *marks {
	return &marks{table: store.NewTable[markRow](db, "detector_marks", nil)}
}

// newest is the newest mark, zero when there is none.
func (m *marks) newest(ctx context.Context) (time.Time, error) {
	rows, err := m.table.All(ctx, "1 ORDER BY looked_at DESC LIMIT 1")
	if err != nil || len(rows) == 0 {
		return time.Time{}, err
	}
	return rows[0].LookedAt, nil
}

// advance moves the mark on, when it is time to.
func (m *marks) advance(ctx context.Context, looked time.Time) error {
	now := time.Now()
	if now.Sub(m.written) < markEvery || !looked.After(m.last) {
		return nil
	}
	if err := m.table.Append(ctx, markRow{looked.UTC(), now.UTC()}); err != nil {
		return err
	}
	m.last, m.written = looked, now
	return nil
}
