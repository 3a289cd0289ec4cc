package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetchWait is how long a broker holds a fetch that finds nothing.
const fetchWait = 500 * time.Millisecond

const (
	// fetchVersion is the newest Fetch that names topics by name.
	fetchVersion  = 11
	readCommitted = 1
)

// unpackedPerFetch is how many times the size of a fetch its batches may unpack to,
// before the rest of it is left to the next one: FetchMaxBytes bounds what is on the
// wire, and a few packed batches can be hundreds of megabytes. The batch that goes
// over it is taken whole, so MaxDecompressed comes on top.
const unpackedPerFetch = 16

// fetcher reads one partition from its leader, on a connection of its own.
type fetcher struct {
	link      *link
	topic     string
	partition int32
	life      context.Context // the connection is closed when it ends

	conn  *rawConn // nil until the leader is known, and after every error
	usual int      // records that the last fetch brought
	unpacker
}

// fetched is what one fetch brought.
type fetched struct {
	records []Record
	next    int64 // offset after what was read, past control and aborted records too
	end     int64 // the last stable offset: the end of what can be read
	bytes   int   // of keys and values
	packed  int   // bytes of batches, as they came
	content int   // bytes of batches, unpacked
}

// fetch reads records from position on. It returns empty when there are none
// yet. A batch that cannot be read is a *BatchError; a position outside the log
// is kafka's error 1. What is damaged is fetched once more over a new connection,
// because the way here may have done it.
func (f *fetcher) fetch(ctx context.Context, position int64) (fetched, error) {
	size := f.link.cfg.FetchMaxBytes
	got, err := f.fetchOnce(ctx, position, size)
	if !damaged(err) {
		return got, err
	}
	f.link.cfg.Log.WarnContext(ctx, "fetched damaged bytes, fetching again",
		"topic", f.topic, "partition", f.partition, "offset", position, "error", err)
	f.drop()
	// Large enough to show where the batch behind begins.
	return f.fetchOnce(ctx, position, min(size+got.packed, maxFetchBytes))
}

// damaged says that bytes have changed, here or on the broker's disk.
func damaged(err error) bool { return errors.Is(err, errChecksum) || errors.Is(err, errAnswer) }

// fetchOnce asks the leader once. With an error nothing but packed is of use.
func (f *fetcher) fetchOnce(ctx context.Context, position int64, size int) (fetched, error) {
	part, err := f.roundTrip(ctx, f.request(position, size))
	if err != nil {
		return fetched{}, err
	}
	got := fetched{next: position, end: part.LastStableOffset, packed: len(part.RecordBatches)}
	if len(part.RecordBatches) == 0 {
		return got, nil
	}
	got.records = make([]Record, 0, f.usual+f.usual/8)
	err = f.take(&got, part.RecordBatches, newFilter(part.AbortedTransactions))
	if got.next > position {
		f.usual = len(got.records)
		return got, nil // an error belongs to what is behind, and comes with the next fetch
	}
	return got, err
}

// take reads batch after batch, until one cannot be read or it is enough for one
// fetch.
func (f *fetcher) take(got *fetched, raw []byte, filter *filter) error {
	enough := unpackedPerFetch * f.link.cfg.FetchMaxBytes
	for len(raw) > 0 && got.content <= enough {
		batch, rest, err := cutBatch(raw)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		had, size := len(got.records), got.bytes
		if err == nil {
			err = f.add(got, &batch, filter)
		}
		if err != nil {
			got.records, got.bytes = got.records[:had], size
			return f.refuse(got, batch.last+1, rest, err)
		}
		got.next = max(got.next, batch.last+1)
		raw = rest
	}
	return nil
}

// refuse makes the error of a batch that lies at got.next and says that it ends at
// to. Where its checksum is wrong it is not believed: then it ends where the batch
// behind begins, which is at the start of rest, or with what can be read.
func (f *fetcher) refuse(got *fetched, to int64, rest []byte, err error) error {
	if damaged(err) {
		behind, known := firstOffset(rest)
		switch {
		case known && got.next < behind && behind <= got.end:
			to = behind
		case errors.Is(err, errAnswer):
			return fmt.Errorf("%w: the header of a batch is damaged, and where the batch ends cannot be told: "+
				"find the next offset with kafka-dump-log.sh and set the group to it with kafka-consumer-groups.sh --reset-offsets", err)
		default:
			to = min(to, got.end)
		}
	}
	return &BatchError{
		Topic: f.topic, Partition: f.partition, From: got.next, To: max(to, got.next+1), Reason: reasonOf(err), Err: err,
	}
}

func reasonOf(err error) BatchReason {
	if errors.Is(err, errTooLarge) {
		return BatchTooLarge
	}
	return BatchCorrupt
}

// add adds the records of one batch that lie at or behind the place where reading
// is.
func (f *fetcher) add(got *fetched, batch *storedBatch, filter *filter) error {
	filter.reach(batch.first) // a fetch may begin with the marker of a transaction before it
	if filter.aborted(batch) {
		return nil
	}
	f.limit = f.link.cfg.MaxDecompressed
	data, err := f.unpack(batch)
	if err != nil {
		return err
	}
	got.content += len(data)
	in, err := newReader(batch, data)
	if err != nil {
		return err
	}
	var r Record
	for in.next(&r) {
		switch {
		case batch.attributes&attrControl != 0:
			filter.marker(batch, &r)
		case r.Offset >= got.next:
			got.bytes += len(r.Key) + len(r.Value)
			got.records = append(got.records, r)
		}
	}
	return in.err
}

// roundTrip sends a fetch to the leader.
func (f *fetcher) roundTrip(ctx context.Context, req *kmsg.FetchRequest) (*kmsg.FetchResponseTopicPartition, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchWait+requestTimeout)
	defer cancel()
	if err := f.connect(ctx); err != nil {
		return nil, err
	}
	res, err := f.conn.ask(ctx, req)
	if err != nil {
		f.drop()
		return nil, err
	}
	part, err := onlyPartition(res.(*kmsg.FetchResponse))
	if err != nil {
		f.drop() // another broker may be the leader now
		return nil, err
	}
	return part, nil
}

// connect finds the leader and connects to it, unless that is done.
func (f *fetcher) connect(ctx context.Context) error {
	if f.conn != nil {
		return nil
	}
	t, err := f.link.topology(ctx, []string{f.topic})
	if err != nil {
		return err
	}
	if err := t.topics[f.topic].err; err != nil {
		return err
	}
	leader, err := t.leader(f.topic, f.partition)
	if err != nil {
		return err
	}
	conn, err := f.link.dialRaw(ctx, leader)
	if err != nil {
		return err
	}
	conn.closeWith(f.life)
	f.conn = conn
	return nil
}

func (f *fetcher) drop() {
	if f.conn == nil {
		return
	}
	_ = f.conn.close() // it is broken or leads to the wrong broker
	f.conn = nil
}

func (f *fetcher) request(position int64, most int) *kmsg.FetchRequest {
	size := int32(most)
	req := kmsg.NewPtrFetchRequest()
	req.SetVersion(fetchVersion)
	req.ReplicaID, req.MinBytes, req.MaxBytes, req.SessionEpoch = -1, 1, size, -1
	req.MaxWaitMillis, req.IsolationLevel = int32(fetchWait.Milliseconds()), readCommitted
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = f.partition, position, size
	top := kmsg.NewFetchRequestTopic()
	top.Topic, top.Partitions = f.topic, []kmsg.FetchRequestTopicPartition{part}
	req.Topics = []kmsg.FetchRequestTopic{top}
	return req
}

// onlyPartition is the one partition that was asked for.
func onlyPartition(res *kmsg.FetchResponse) (*kmsg.FetchResponseTopicPartition, error) {
	switch {
	case res.ErrorCode != 0:
		return nil, kafka.Error(res.ErrorCode)
	case len(res.Topics) != 1 || len(res.Topics[0].Partitions) != 1:
		return nil, io.ErrUnexpectedEOF
	}
	part := &res.Topics[0].Partitions[0]
	if part.ErrorCode != 0 {
		return nil, kafka.Error(part.ErrorCode)
	}
	return part, nil
}
