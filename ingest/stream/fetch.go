package stream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetchWait is how long a broker holds a fetch that finds nothing.
const fetchWait = 500 * time.Millisecond

const readCommitted = 1

// fetcher reads one partition from its leader.
type fetcher struct {
	link      *link
	topic     string
	partition int32
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
	got := fetched{next: position, end: part.LastStableOffset}
	var memory arena
	for _, batch := range stream.Records {
		if err := got.take(batch, filter, position, &memory); err != nil {
			return fetched{}, fmt.Errorf("read %s/%d from offset %d: %w", f.topic, f.partition, got.next, err)
		}
	}
	if got.next > position {
		return got, nil
	}
	// Batches that compaction emptied hold no record to go on from, and kafka-go
	// drops the offset at which they end.
	_, last, err := f.span(ctx, position)
	if err != nil {
		return fetched{}, err
	}
	got.next = max(position, last+1)
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

// diagnose makes a *BatchError of a batch that cannot be unpacked, with the span
// to skip.
func (f *fetcher) diagnose(ctx context.Context, position int64, err error) (fetched, error) {
	reason := BatchReason("")
	switch {
	case errors.Is(err, errTooLarge):
		reason = BatchTooLarge
	case strings.Contains(err.Error(), "crc32 checksum mismatch"): // kafka-go has no value for it
		reason = BatchCorrupt
	default:
		return fetched{}, err
	}
	_, last, spanErr := f.span(ctx, position)
	if spanErr != nil {
		return fetched{}, errors.Join(err, spanErr)
	}
	return fetched{}, &BatchError{Topic: f.topic, Partition: f.partition, From: position, To: max(last, position) + 1, Reason: reason, Err: err}
}

// rawFetchVersion is the newest Fetch that names topics by name.
const rawFetchVersion = 11

// span asks the leader for the batch at position and reads its header only.
func (f *fetcher) span(ctx context.Context, position int64) (first, last int64, err error) {
	t, err := f.link.topology(ctx, []string{f.topic})
	if err != nil {
		return 0, 0, err
	}
	leader, err := t.leader(f.topic, f.partition)
	if err != nil {
		return 0, 0, err
	}
	req := kmsg.NewPtrFetchRequest()
	req.SetVersion(rawFetchVersion)
	req.ReplicaID, req.MinBytes, req.MaxBytes, req.SessionEpoch = -1, 0, 1, -1
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = f.partition, position, 1
	top := kmsg.NewFetchRequestTopic()
	top.Topic, top.Partitions = f.topic, []kmsg.FetchRequestTopicPartition{part}
	req.Topics = []kmsg.FetchRequestTopic{top}
	res, err := f.link.askBroker(ctx, leader, req)
	if err != nil {
		return 0, 0, err
	}
	answer := res.(*kmsg.FetchResponse)
	if answer.ErrorCode != 0 {
		return 0, 0, kafka.Error(answer.ErrorCode)
	}
	if len(answer.Topics) != 1 || len(answer.Topics[0].Partitions) != 1 {
		return 0, 0, errAnswer
	}
	if code := answer.Topics[0].Partitions[0].ErrorCode; code != 0 {
		return 0, 0, kafka.Error(code)
	}
	batch := answer.Topics[0].Partitions[0].RecordBatches
	if len(batch) == 0 {
		return position, position - 1, nil
	}
	return batchSpan(batch)
}

// Places in the header of a batch (message format 2).
const (
	batchMagicAt     = 16
	batchLastDeltaAt = 23
	batchHeaderSize  = 61
)

// batchSpan reads the first and last offset of a stored batch from its header.
// Before format 2 a message's offset is that of the last record inside it.
func batchSpan(b []byte) (first, last int64, err error) {
	if len(b) <= batchMagicAt {
		return 0, 0, errAnswer
	}
	first = int64(binary.BigEndian.Uint64(b))
	if b[batchMagicAt] < 2 {
		return first, first, nil
	}
	if len(b) < batchHeaderSize {
		return 0, 0, errAnswer
	}
	delta := int32(binary.BigEndian.Uint32(b[batchLastDeltaAt:]))
	if first < 0 || delta < 0 || first+int64(delta) < first {
		return 0, 0, errAnswer
	}
	return first, first + int64(delta), nil
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
