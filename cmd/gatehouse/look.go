package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"gatehouse/ingest/stream"
	"gatehouse/store"
)

// look reads spans of offsets of one topic from Kafka, to say what they hold. It
// joins a group of its own, so that the real one does not notice, and commits
// nothing.
type look struct {
	topic string
	spans map[int32][]store.Offsets // by partition
	seen  map[ledgerKey]holdings

	mu   sync.Mutex
	done map[int32]bool
}

// holdings are what Kafka has at the offsets that were asked for; the rest of
// them hold no record.
type holdings struct {
	looked  bool
	records []store.Offsets
	gone    []store.Offsets // no longer there
}

// lookTimeout bounds a look. Joining a new group alone takes a broker 3 s.
const lookTimeout = 2 * time.Minute

func (l *look) run(ctx context.Context, conf stream.Config) error {
	conf.Topics, conf.InstanceID = []string{l.topic}, ""
	conf.Group += "-audit-" + rand.Text()[:8]
	conf.Log, conf.Metrics = nil, nil
	consumer, err := stream.NewConsumer(conf)
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeoutCause(ctx, lookTimeout, fmt.Errorf("no answer in %s", lookTimeout))
	defer cancel()
	reading, finish := context.WithCancel(bounded)
	defer finish()
	l.done = map[int32]bool{}
	err = consumer.Run(reading, func(ctx context.Context, p *stream.Partition) error { return l.partition(ctx, p, finish) })
	if err == nil && bounded.Err() != nil {
		return context.Cause(bounded)
	}
	return err
}

// partition looks at one partition, and finishes when it was the last.
func (l *look) partition(ctx context.Context, p *stream.Partition, finish func()) error {
	var held holdings
	for _, span := range l.spans[p.ID()] {
		if err := held.read(ctx, p, span); err != nil {
			if ctx.Err() != nil {
				return nil // comes back with the next generation
			}
			return err
		}
	}
	held.looked = true
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done[p.ID()] = true
	l.seen[ledgerKey{l.topic, p.Range(0, 0).TopicID, p.ID()}] = held
	for id := range l.spans {
		if !l.done[id] {
			return nil
		}
	}
	finish()
	return nil
}

// offsetReader reads a partition from any offset. *stream.Partition is one.
type offsetReader interface {
	Seek(to stream.Offset)
	// Next returns records at or behind the offset, and the one to go on from: past
	// what holds no record.
	Next(ctx context.Context) ([]stream.Record, int64, error)
}

// read looks at one span.
func (h *holdings) read(ctx context.Context, p offsetReader, span store.Offsets) error {
	return walk(ctx, p, span, func(at store.Offsets, there bool) bool {
		if there {
			h.records = store.JoinOffsets(append(h.records, at))
		} else {
			h.gone = append(h.gone, at)
		}
		return true
	})
}

// walk visits the offsets of a span that hold a record, and those that Kafka no
// longer has (there is false then), until visit returns false.
func walk(ctx context.Context, p offsetReader, span store.Offsets, visit func(at store.Offsets, there bool) bool) error {
	p.Seek(span.First)
	for next := span.First; next <= span.Last; {
		records, to, err := p.Next(ctx)
		at, there, err := unreadable(err, next)
		if err != nil {
			return err
		}
		if at.Last >= next {
			to = at.Last + 1
			p.Seek(to)
			if !visit(store.Offsets{First: next, Last: min(at.Last, span.Last)}, there) {
				return nil
			}
		}
		for _, r := range records {
			if r.Offset <= span.Last && !visit(store.Offsets{First: r.Offset, Last: r.Offset}, true) {
				return nil
			}
		}
		next = to
	}
	return nil
}

// unreadable are the offsets that an error of Next is about, and whether Kafka
// has something there. Other errors come back.
func unreadable(err error, next int64) (at store.Offsets, there bool, _ error) {
	var (
		gap    *stream.GapError
		batch  *stream.BatchError
		beyond *stream.BeyondEndError
	)
	switch {
	case errors.As(err, &gap):
		return store.Offsets{First: next, Last: gap.To - 1}, false, nil
	case errors.As(err, &batch):
		return store.Offsets{First: next, Last: batch.To - 1}, true, nil
	case errors.As(err, &beyond):
		return store.Offsets{First: next, Last: math.MaxInt64 - 1}, false, nil
	}
	return store.Offsets{First: next, Last: next - 1}, false, err
}
