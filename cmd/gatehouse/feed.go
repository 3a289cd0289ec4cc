package main

import (
	"context"
	"fmt"

	"gatehouse/ingest/event"
	"gatehouse/ingest/stream"
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

// kafkaFeed hands stored batches to a detector in another process, through a
// topic of redacted events in their JSON form. Events of one raw partition keep
// their order: they share a key. A batch may come twice; the reader drops what it
// has seen.
type kafkaFeed struct {
	producer *stream.Producer
	topic    string
}

// Append implements ingest.Sink.
func (f *kafkaFeed) Append(ctx context.Context, b event.Batch) error {
	key := fmt.Appendf(nil, "%s/%d", b.Range.Topic, b.Range.Partition)
	msgs := make([]stream.Message, len(b.Events))
	for i := range b.Events {
		msgs[i] = stream.Message{Key: key, Value: b.Events[i].AppendJSON(nil)}
	}
	if err := f.producer.Append(ctx, f.topic, msgs...); err != nil {
		return fmt.Errorf("feed the detector: %w", err)
	}
	return nil
}

// readFeed passes one partition of the feed topic to the detector of this
// process. Offsets are committed once the detector has taken the events: after a
// crash it reads them again from ClickHouse.
func (f *feed) readFeed(ctx context.Context, p *stream.Partition) error {
	for {
		records, next, err := p.Next(ctx)
		if err != nil {
			return fmt.Errorf("read feed: %w", err)
		}
		b := event.Batch{Events: make([]event.Event, 0, len(records))}
		for _, rec := range records {
			var e event.Event
			if err := e.UnmarshalJSON(rec.Value); err != nil {
				return fmt.Errorf("read feed at offset %d: %w: is kafka.feed_topic used by something else?", rec.Offset, err)
			}
			b.Events = append(b.Events, e)
		}
		if err := f.Append(ctx, b); err != nil {
			return err
		}
		if err := p.Commit(ctx, next, ""); err != nil {
			return fmt.Errorf("commit feed: %w", err)
		}
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
