package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
)

// fetchWait is how long a broker holds a fetch that finds nothing.
const fetchWait = 500 * time.Millisecond

const readCommitted = 1

// fetcher reads one partition from its leader.
type fetcher struct {
	link      *link
	topic     string
	partition int32
	usual     int // records that the last fetch brought
}

// fetched is what one fetch brought.
type fetched struct {
	records []Record
	next    int64 // offset after what was read, past control and aborted records too
	end     int64 // the last stable offset: the end of what can be read
	bytes   int   // of keys and values
}

// fetch reads records from position on. It returns empty when there are none
// yet. A batch that cannot be read is a *BatchError; a position outside the log
// is kafka's error 1.
func (f *fetcher) fetch(ctx context.Context, position int64) (fetched, error) {
	part, err := f.roundTrip(ctx, position)
	if err != nil {
		return f.diagnose(ctx, position, err)
	}
	stream, ok := part.RecordSet.Records.(*protocol.RecordStream)
	if !ok {
		return fetched{next: position, end: part.LastStableOffset}, nil
	}
	filter := newFilter(part.AbortedTransactions)
	got := fetched{next: position, end: part.LastStableOffset, records: make([]Record, 0, f.usual+f.usual/8)}
	var memory arena
	for _, batch := range stream.Records {
		if err := got.take(batch, filter, position, &memory); err != nil {
			return fetched{}, fmt.Errorf("read %s/%d from offset %d: %w", f.topic, f.partition, got.next, err)
		}
	}
	if got.next > position {
		f.usual = len(got.records)
		return got, nil
	}
	// Batches that compaction emptied hold no record to go on from, and kafka-go
	// drops the offset at which they end.
	batch, err := f.storedBatch(ctx, position)
	if err != nil {
		return fetched{}, err
	}
	got.next = max(position, batch.last+1)
	return got, nil
}

func (f *fetcher) roundTrip(ctx context.Context, position int64) (*fetch.ResponsePartition, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchWait+requestTimeout)
	defer cancel()
	size := int32(f.link.cfg.FetchMaxBytes)
	res, err := f.link.transport.RoundTrip(ctx, f.link.addr, &fetch.Request{
		ReplicaID:      -1,
		MaxWaitTime:    int32(fetchWait.Milliseconds()),
		MinBytes:       1,
		MaxBytes:       size,
		IsolationLevel: readCommitted,
		SessionEpoch:   -1,
		Topics: []fetch.RequestTopic{{Topic: f.topic, Partitions: []fetch.RequestPartition{{
			Partition:          f.partition,
			CurrentLeaderEpoch: -1,
			FetchOffset:        position,
			LogStartOffset:     -1,
			PartitionMaxBytes:  size,
		}}}},
	})
	if err != nil {
		return nil, err
	}
	answer := res.(*fetch.Response)
	if answer.ErrorCode != 0 {
		return nil, kafka.Error(answer.ErrorCode)
	}
	if len(answer.Topics) != 1 || len(answer.Topics[0].Partitions) != 1 {
		return nil, io.ErrUnexpectedEOF
	}
	part := &answer.Topics[0].Partitions[0]
	if part.ErrorCode != 0 {
		return nil, kafka.Error(part.ErrorCode)
	}
	return part, nil
}

// filter knows which transactions of a fetch were aborted.
type filter struct {
	starts []fetch.ResponseTransaction // by first offset, not yet reached
	within map[int64]bool              // producers inside an aborted transaction
}

func newFilter(aborted []fetch.ResponseTransaction) *filter {
	starts := slices.Clone(aborted)
	slices.SortFunc(starts, func(a, b fetch.ResponseTransaction) int {
		switch {
		case a.FirstOffset < b.FirstOffset:
			return -1
		case a.FirstOffset > b.FirstOffset:
			return 1
		}
		return 0
	})
	return &filter{starts: starts, within: map[int64]bool{}}
}

// reach opens the aborted transactions that start at or before offset.
func (f *filter) reach(offset int64) {
	for len(f.starts) > 0 && f.starts[0].FirstOffset <= offset {
		f.within[f.starts[0].ProducerID] = true
		f.starts = f.starts[1:]
	}
}

func (f *filter) aborted(b *protocol.RecordBatch) bool {
	return b.Attributes.Transactional() && f.within[b.ProducerID]
}

// markerAbort is the type of the control record that ends an aborted transaction.
const markerAbort = 0

// marker ends a transaction.
func (f *filter) marker(c *protocol.ControlBatch) error {
	m, err := c.ReadControlRecord()
	if errors.Is(err, io.EOF) {
		return nil // emptied by compaction
	}
	if err == nil && m.Type == markerAbort {
		delete(f.within, c.ProducerID)
	}
	return err
}

// take adds the records of one batch that lie at or behind position.
func (got *fetched) take(batch protocol.RecordReader, f *filter, position int64, memory *arena) error {
	skip := false
	switch b := batch.(type) {
	case *protocol.ControlBatch:
		got.next = max(got.next, b.BaseOffset+1)
		f.reach(b.BaseOffset) // a fetch may begin with the marker of a transaction before it
		return f.marker(b)
	case *protocol.RecordBatch:
		f.reach(b.BaseOffset)
		skip = f.aborted(b)
		got.next = max(got.next, b.BaseOffset) // what is before it is gone by compaction
	}
	for {
		in, err := batch.ReadRecord()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		got.next = max(got.next, in.Offset+1)
		if skip || in.Offset < position {
			release(in)
			continue
		}
		out, err := memory.record(in)
		if err != nil {
			return err
		}
		got.bytes += len(out.Key) + len(out.Value)
		got.records = append(got.records, out)
	}
}
