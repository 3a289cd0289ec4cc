package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gatehouse/ingest/event"
	"gatehouse/ingest/stream"
)

// feed hands stored batches from ingest to the detector inside one process. It
// stands behind the ledger in the list of sinks, so what is not stored is not
// detected.
//
// Append returns when the detector has taken the batch, not when it has looked
// at it: after a crash in between, the detector reads the batch again from
// ClickHouse when it warms up. So it is after the detector has stopped, which is
// before the last batch is stored when the process ends: then a batch is dropped
// here, and no mark moves past it.
type feed struct {
	items chan fed
	gone  chan struct{} // closed when the detector has stopped

	mu      sync.Mutex
	waiting map[*fed]bool
	latest  time.Time // since of the newest item from a feed topic; zero in one process
}

// fed is stored events of one partition, and a time before which they were not
// stored.
type fed struct {
	events  []event.Event
	topicID string
	since   time.Time
}

func newFeed() *feed {
	return &feed{items: make(chan fed), gone: make(chan struct{}), waiting: map[*fed]bool{}}
}

// Open implements ingest.Sink.
func (f *feed) Open() event.Block { return &event.Events{} }

// Append implements ingest.Sink. The detector keeps the events.
func (f *feed) Append(ctx context.Context, b event.Batch) error {
	events, ok := b.Block.(*event.Events)
	if !ok {
		return fmt.Errorf("feed the detector: BUG: a block of %T", b.Block)
	}
	return f.hand(ctx, fed{events: *events, topicID: b.Range.TopicID, since: time.Now()})
}

func (f *feed) hand(ctx context.Context, item fed) error {
	f.mark(&item, true)
	defer f.mark(&item, false)
	select {
	case f.items <- item:
		return nil
	case <-f.gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *feed) mark(item *fed, waits bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if waits {
		f.waiting[item] = true
		return
	}
	delete(f.waiting, item)
}

// handed is a time of which everything stored before has been handed over, give
// or take how long a batch is on its way from the ledger to here.
func (f *feed) handed(now time.Time) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.latest.IsZero() {
		now = f.latest
	}
	for item := range f.waiting {
		if item.since.Before(now) {
			now = item.since
		}
	}
	return now
}

// kafkaFeed hands stored batches to a detector in another process, through a
// topic of redacted events in their JSON form. Events of one raw partition keep
// their order: they share a key. A batch may come twice; the reader drops what it
// has seen.
type kafkaFeed struct {
	producer *stream.Producer
	topic    string
	stopping context.Context //nolint:containedctx // ends when the process is to end
	grace    time.Duration   // how long a batch may take after that
}

// feedGrace leaves time for a batch that is on its way. When the topic does not
// take it, the batch is not acknowledged either, and comes again after the start.
const feedGrace = 3 * time.Second

// errStopping is why a batch was not handed on.
var errStopping = errors.New("the process is stopping and the feed topic takes nothing")

// within is ctx, cut short when the process is to end.
func (f *kafkaFeed) within(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(f.stopping, func() {
		if sleep(ctx, f.grace) == nil {
			cancel(errStopping)
		}
	})
	return ctx, func() { stop(); cancel(nil) }
}

// topicIDHeader carries the incarnation of the raw topic with an event.
const topicIDHeader = "gatehouse-topic-id"

// Open implements ingest.Sink.
func (f *kafkaFeed) Open() event.Block { return &written{} }

// written is the events of a batch in their JSON form.
type written struct {
	text []byte
	ends []int // of each event in text
}

// Add implements event.Block.
func (w *written) Add(e *event.Event) {
	w.text = e.AppendJSON(w.text)
	w.ends = append(w.ends, len(w.text))
}

// Len implements event.Block.
func (w *written) Len() int { return len(w.ends) }

// Size implements event.Block.
func (w *written) Size() int { return len(w.text) + 8*len(w.ends) }

// Append implements ingest.Sink.
func (f *kafkaFeed) Append(ctx context.Context, b event.Batch) error {
	w, ok := b.Block.(*written)
	if !ok {
		return fmt.Errorf("feed the detector: BUG: a block of %T", b.Block)
	}
	if w.Len() == 0 {
		return nil
	}
	key, now := fmt.Appendf(nil, "%s/%d", b.Range.Topic, b.Range.Partition), time.Now()
	headers := []stream.Header{{Key: topicIDHeader, Value: []byte(b.Range.TopicID)}}
	msgs, start := make([]stream.Message, w.Len()), 0
	for i, end := range w.ends {
		msgs[i] = stream.Message{Key: key, Value: w.text[start:end], Headers: headers, Time: now}
		start = end
	}
	ctx, done := f.within(ctx)
	defer done()
	if err := f.producer.Append(ctx, f.topic, msgs...); err != nil {
		return fmt.Errorf("feed the detector: %w", cause(ctx, err))
	}
	return nil
}

// cause is why ctx ended, where that is what err says.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
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
		for len(records) > 0 {
			item, n, err := feedItem(records)
			if err != nil {
				return err
			}
			if err := f.hand(ctx, item); err != nil {
				return err
			}
			f.mu.Lock()
			f.latest = item.since
			f.mu.Unlock()
			records = records[n:]
		}
		if err := p.Commit(ctx, next, ""); err != nil {
			return fmt.Errorf("commit feed: %w", err)
		}
	}
}

// feedItem reads the first n records that are of one incarnation of a topic.
func feedItem(records []stream.Record) (item fed, n int, err error) {
	item = fed{topicID: topicIDOf(&records[0]), since: records[0].Time}
	for n < len(records) && topicIDOf(&records[n]) == item.topicID {
		var e event.Event
		if err := e.UnmarshalJSON(records[n].Value); err != nil {
			return fed{}, 0, fmt.Errorf("read feed at offset %d: %w: is kafka.feed_topic used by something else?", records[n].Offset, err)
		}
		item.events = append(item.events, e)
		n++
	}
	return item, n, nil
}

func topicIDOf(r *stream.Record) string {
	for _, h := range r.Headers {
		if h.Key == topicIDHeader {
			return string(h.Value)
		}
	}
	return ""
}

// seen drops events that came before. A partition's events arrive in the order
// of their offsets, so the last origin of each partition is all there is to
// remember; a batch is repeated after a takeover, and the first batches after a
// start may be among those that the detector warmed up on.
type seen struct {
	last map[partition]event.Origin
}

// partition is one partition of one incarnation of a topic.
type partition struct {
	topicID, topic string
	id             int32
}

func newSeen() *seen { return &seen{last: map[partition]event.Origin{}} }

// note remembers an origin that is looked at without being asked for.
func (s *seen) note(topicID string, o event.Origin) {
	p := partition{topicID, o.Topic, o.Partition}
	if last, known := s.last[p]; !known || o.Compare(last) > 0 {
		s.last[p] = o
	}
}

// filter gives the new events of a list: the list itself when all are.
func (s *seen) filter(topicID string, events []event.Event) []event.Event {
	var kept []event.Event
	dropped := false
	for i := range events {
		o := events[i].Origin
		p := partition{topicID, o.Topic, o.Partition}
		last, known := s.last[p]
		if known && o.Compare(last) <= 0 {
			if !dropped {
				dropped, kept = true, append(kept, events[:i]...)
			}
			continue
		}
		s.last[p] = o
		if dropped {
			kept = append(kept, events[i])
		}
	}
	if dropped {
		return kept
	}
	return events
}
