package stream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// storedBatch is what the header of a batch says about it, as the broker stores
// it: read on a raw connection, without unpacking it. kafka-go keeps the offset
// at which a batch ends to itself and reports unreadable ones without offsets.
type storedBatch struct {
	first, last int64
	intact      bool // the checksum is right
}

// diagnose makes a *BatchError, with the offsets to skip, of a fetch that failed
// because of what is stored. Other errors it returns as they are.
func (f *fetcher) diagnose(ctx context.Context, position int64, err error) (fetched, error) {
	var code kafka.Error
	var op *net.OpError
	if errors.As(err, &code) || errors.As(err, &op) || ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, protocol.ErrNoTopic) || errors.Is(err, protocol.ErrNoPartition) || errors.Is(err, protocol.ErrNoLeader) {
		return fetched{}, err
	}
	batch, askErr := f.storedBatch(ctx, position)
	if askErr != nil {
		return fetched{}, errors.Join(err, askErr)
	}
	reason := BatchCorrupt
	switch {
	case errors.Is(err, errTooLarge):
		reason = BatchTooLarge
	case batch.intact && broken(err):
		return fetched{}, err // the connection broke, not the batch
	}
	return fetched{}, &BatchError{
		Topic: f.topic, Partition: f.partition, From: position, To: max(batch.last, position) + 1, Reason: reason, Err: err,
	}
}

// rawFetchVersion is the newest Fetch that names topics by name.
const rawFetchVersion = 11

// storedBatch asks the leader for the batch that holds position. Where the log
// ends the answer spans nothing.
func (f *fetcher) storedBatch(ctx context.Context, position int64) (storedBatch, error) {
	t, err := f.link.topology(ctx, []string{f.topic})
	if err != nil {
		return storedBatch{}, err
	}
	leader, err := t.leader(f.topic, f.partition)
	if err != nil {
		return storedBatch{}, err
	}
	res, err := f.link.askBroker(ctx, leader, f.smallestFetch(position))
	if err != nil {
		return storedBatch{}, err
	}
	raw, err := onlyBatches(res.(*kmsg.FetchResponse))
	if err != nil {
		return storedBatch{}, fmt.Errorf("fetch batch of %s/%d at offset %d: %w", f.topic, f.partition, position, err)
	}
	if len(raw) == 0 {
		return storedBatch{first: position, last: position - 1, intact: true}, nil
	}
	return readBatch(raw)
}

// smallestFetch asks for one byte, for which a broker returns one batch.
func (f *fetcher) smallestFetch(position int64) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.SetVersion(rawFetchVersion)
	req.ReplicaID, req.MinBytes, req.MaxBytes, req.SessionEpoch = -1, 0, 1, -1
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = f.partition, position, 1
	top := kmsg.NewFetchRequestTopic()
	top.Topic, top.Partitions = f.topic, []kmsg.FetchRequestTopicPartition{part}
	req.Topics = []kmsg.FetchRequestTopic{top}
	return req
}

// onlyBatches are the stored bytes in the answer to smallestFetch.
func onlyBatches(res *kmsg.FetchResponse) ([]byte, error) {
	switch {
	case res.ErrorCode != 0:
		return nil, kafka.Error(res.ErrorCode)
	case len(res.Topics) != 1 || len(res.Topics[0].Partitions) != 1:
		return nil, errAnswer
	case res.Topics[0].Partitions[0].ErrorCode != 0:
		return nil, kafka.Error(res.Topics[0].Partitions[0].ErrorCode)
	}
	return res.Topics[0].Partitions[0].RecordBatches, nil
}

// Places in the header of a batch (message format 2).
const (
	batchLengthAt    = 8
	batchLengthEnd   = 12 // the length counts from here
	batchMagicAt     = 16
	batchCRCAt       = 17
	batchChecked     = 21 // the checksum covers what follows
	batchLastDeltaAt = 23
	batchHeaderSize  = 61
)

// readBatch reads the header of the first batch in b. Before format 2 a message
// carries the offset of the last record in it, and its checksum is not read.
func readBatch(b []byte) (storedBatch, error) {
	if len(b) <= batchMagicAt {
		return storedBatch{}, io.ErrUnexpectedEOF
	}
	first := int64(binary.BigEndian.Uint64(b))
	if b[batchMagicAt] < 2 {
		return storedBatch{first: first, last: first, intact: true}, nil
	}
	if len(b) < batchHeaderSize {
		return storedBatch{}, io.ErrUnexpectedEOF
	}
	delta := int32(binary.BigEndian.Uint32(b[batchLastDeltaAt:]))
	if first < 0 || delta < 0 || first+int64(delta) < first {
		return storedBatch{}, errAnswer
	}
	out := storedBatch{first: first, last: first + int64(delta)}
	if end := batchLengthEnd + int64(int32(binary.BigEndian.Uint32(b[batchLengthAt:]))); end >= batchHeaderSize && end <= int64(len(b)) {
		sum := crc32.Checksum(b[batchChecked:end], crc32.MakeTable(crc32.Castagnoli))
		out.intact = sum == binary.BigEndian.Uint32(b[batchCRCAt:])
	}
	return out, nil
}
