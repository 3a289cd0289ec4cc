package main

import (
	"context"

	"gatehouse/ingest/event"
)

// feed hands stored batches from ingest to the detector inside one process. It
// stands behind the ledger in the list of sinks, so what is not stored is not
// detected.
//
// Append returns when the detector has taken the batch, not when it has looked
// at it: after a crash in between, the detector reads the batch again from
// ClickHouse when it warms up.
type feed struct {
	batches chan event.Batch
}

func newFeed() *feed { return &feed{batches: make(chan event.Batch)} }

// Append implements ingest.Sink.
func (f *feed) Append(ctx context.Context, b event.Batch) error {
	select {
	case f.batches <- b:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// seen drops events that came before. A partition's events arrive in the order
// of their offsets, so the last origin of each partition is all there is to
// remember; a batch is repeated after a takeover, and the first batches after a
// start may be among those that the detector warmed up on.
type seen struct {
	last map[partition]event.Origin
}

type partition struct {
	topic string
	id    int32
}

func newSeen() *seen { return &seen{last: map[partition]event.Origin{}} }

// fresh says whether an origin is new, and remembers it.
func (s *seen) fresh(o event.Origin) bool {
	p := partition{o.Topic, o.Partition}
	last, known := s.last[p]
	if known && o.Compare(last) <= 0 {
		return false
	}
	s.last[p] = o
	return true
}

// filter keeps the new events of a batch, in place.
func (s *seen) filter(events []event.Event) []event.Event {
	kept := events[:0]
	for i := range events {
		if s.fresh(events[i].Origin) {
			kept = append(kept, events[i])
		}
	}
	return kept
}
