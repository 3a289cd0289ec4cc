package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"golang.org/x/sync/errgroup"
)

// Bounds of one produce request: below the broker's default message.max.bytes
// even if nothing compresses.
const (
	batchRecords   = 1000
	batchBytes     = 900 << 10
	produceTimeout = 60 * time.Second // all tries of one batch
	produceAtOnce  = 4                // batches under way in one Append
)

// Message is one record to append. A zero Time is the time of sending.
type Message struct {
	Key, Value []byte
	Headers    []Header
	Time       time.Time
}

// size is what the message takes in a batch, roughly and never less.
func (m *Message) size() int {
	n := len(m.Key) + len(m.Value) + 32
	for _, h := range m.Headers {
		n += len(h.Key) + len(h.Value) + 10
	}
	return n
}

// Producer appends records to topics. It may be used by several goroutines.
type Producer struct {
	link    *link
	metrics *metrics
	turn    atomic.Uint32 // which partition records without key go to next
}

// NewProducer checks the configuration. It connects to nothing.
func NewProducer(cfg Config) (*Producer, error) {
	l, err := open(cfg)
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, fmt.Errorf("register stream metrics: %w", err)
	}
	return &Producer{link: l, metrics: m}, nil
}

// Append writes msgs to topic and returns when every in-sync replica has them.
// Messages with equal keys go to the same partition, in order, by the hash that
// Kafka's own clients use; those without a key go to one partition per call.
//
// After an error some of msgs may have been written, and a message may be
// written twice when a broker was lost between write and answer.
func (p *Producer) Append(ctx context.Context, topic string, msgs ...Message) error {
	partitions, err := p.partitions(ctx, topic)
	if err != nil {
		return fmt.Errorf("append to %s: %w", topic, err)
	}
	byPartition := make([][]Message, len(partitions))
	keyless := int(p.turn.Add(1)) % len(partitions)
	indexes := make([]int, len(partitions))
	for i := range indexes {
		indexes[i] = i
	}
	hash := kafka.Murmur2Balancer{Consistent: true} // as Kafka's own clients do
	for _, m := range msgs {
		i := keyless
		if m.Key != nil {
			i = hash.Balance(kafka.Message{Key: m.Key}, indexes...)
		}
		byPartition[i] = append(byPartition[i], m)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(produceAtOnce)
	for i, part := range byPartition {
		if len(part) > 0 {
			group.Go(func() error { return p.AppendTo(ctx, topic, partitions[i], part...) })
		}
	}
	return group.Wait()
}

// AppendTo is Append to one partition, in order.
func (p *Producer) AppendTo(ctx context.Context, topic string, partition int32, msgs ...Message) error {
	for len(msgs) > 0 {
		n := batchLength(msgs)
		if err := p.send(ctx, topic, partition, msgs[:n]); err != nil {
			return fmt.Errorf("append to %s/%d: %w", topic, partition, err)
		}
		p.metrics.produced.WithLabelValues(topic).Add(float64(n))
		msgs = msgs[n:]
	}
	return nil
}

// batchLength is how many of msgs go into one request: at least one.
func batchLength(msgs []Message) int {
	size := 0
	for i := range msgs {
		if size += msgs[i].size(); i > 0 && (i >= batchRecords || size > batchBytes) {
			return i
		}
	}
	return len(msgs)
}

// partitions lists the topic's partitions as a broker sees them now: keys must not
// be spread by an old count.
func (p *Producer) partitions(ctx context.Context, topic string) ([]int32, error) {
	t, err := p.link.existing(ctx, []string{topic})
	if err != nil {
		return nil, err
	}
	found := t.topics[topic]
	if len(found.partitions) == 0 {
		return nil, found.err
	}
	return found.partitions, nil
}

// send writes one batch, trying again while the error may pass.
func (p *Producer) send(ctx context.Context, topic string, partition int32, msgs []Message) error {
	limited, cancel := context.WithTimeout(ctx, produceTimeout)
	defer cancel()
	var retry backoff
	for {
		err := p.try(limited, topic, partition, msgs)
		if err == nil {
			return nil
		}
		p.metrics.failed(err)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, kafka.MessageSizeTooLarge) {
			return fmt.Errorf("%w: %d records of %d bytes: raise the topic's max.message.bytes or send smaller records", err, len(msgs), sizeOf(msgs))
		}
		if !passing(err) {
			return err
		}
		if retry.pause(limited) != nil {
			return fmt.Errorf("%w: gave up after %v", err, produceTimeout)
		}
	}
}

func (p *Producer) try(ctx context.Context, topic string, partition int32, msgs []Message) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	res, err := p.link.client.Produce(ctx, &kafka.ProduceRequest{
		Topic:        topic,
		Partition:    int(partition),
		RequiredAcks: kafka.RequireAll,
		Compression:  kafka.Lz4,
		Records:      &messageReader{msgs: msgs},
	})
	if err != nil {
		return err
	}
	return res.Error
}

func sizeOf(msgs []Message) (n int) {
	for i := range msgs {
		n += msgs[i].size()
	}
	return n
}

// Close ends the connections.
func (p *Producer) Close() { p.link.close() }

// messageReader gives messages to kafka-go one at a time.
type messageReader struct {
	msgs   []Message
	record protocol.Record
}

// ReadRecord implements protocol.RecordReader.
func (r *messageReader) ReadRecord() (*protocol.Record, error) {
	if len(r.msgs) == 0 {
		return nil, io.EOF
	}
	m := &r.msgs[0]
	r.msgs = r.msgs[1:]
	r.record = protocol.Record{Time: m.Time, Key: protocol.NewBytes(m.Key), Value: protocol.NewBytes(m.Value)}
	for _, h := range m.Headers {
		r.record.Headers = append(r.record.Headers, protocol.Header(h))
	}
	return &r.record, nil
}
