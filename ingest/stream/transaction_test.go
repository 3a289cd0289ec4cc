package stream

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// transactions writes to partition 0 of a topic inside transactions; kafka-go
// cannot, because it gives every batch the producer id -1.
type transactions struct {
	k     *cluster
	id    string
	pid   int64
	epoch int16
	seq   int32
}

// ask sends a request until no coordinator is busy; an error code fails the test.
func (x *transactions) ask(req kmsg.Request, code func(kmsg.Response) int16) kmsg.Response {
	x.k.t.Helper()
	var res kmsg.Response
	until(x.k.t, "the transaction's coordinator", func() bool {
		var err error
		if res, err = x.k.admin.link.ask(x.k.t.Context(), req); err != nil {
			x.k.t.Fatal(err)
		}
		e := kafka.Error(code(res))
		if e != 0 && !passingCode(e) && e != kafka.ConcurrentTransactions {
			x.k.t.Fatal(e)
		}
		return e == 0
	})
	return res
}

func (k *cluster) transactions(id string) *transactions {
	x := &transactions{k: k, id: id}
	until(k.t, "the transaction coordinator", func() bool { // asking creates the topic that it keeps transactions in
		res, err := k.admin.link.client.FindCoordinator(k.t.Context(), &kafka.FindCoordinatorRequest{Key: id, KeyType: kafka.CoordinatorKeyTypeTransaction})
		return err == nil && res.Error == nil
	})
	req := kmsg.NewPtrInitProducerIDRequest()
	req.SetVersion(4)
	req.TransactionalID, req.TransactionTimeoutMillis = &x.id, 60_000
	req.ProducerID, req.ProducerEpoch = -1, -1
	res := x.ask(req, func(r kmsg.Response) int16 { return r.(*kmsg.InitProducerIDResponse).ErrorCode }).(*kmsg.InitProducerIDResponse)
	x.pid, x.epoch = res.ProducerID, res.ProducerEpoch
	return x
}

// write adds records to the transaction under way, or begins one.
func (x *transactions) write(values ...string) {
	x.k.t.Helper()
	add := kmsg.NewPtrAddPartitionsToTxnRequest()
	add.SetVersion(3)
	add.TransactionalID, add.ProducerID, add.ProducerEpoch = x.id, x.pid, x.epoch
	top := kmsg.NewAddPartitionsToTxnRequestTopic()
	top.Topic, top.Partitions = x.k.topic, []int32{0}
	add.Topics = []kmsg.AddPartitionsToTxnRequestTopic{top}
	x.ask(add, func(r kmsg.Response) int16 {
		return r.(*kmsg.AddPartitionsToTxnResponse).Topics[0].Partitions[0].ErrorCode
	})

	produce := kmsg.NewPtrProduceRequest()
	produce.SetVersion(8)
	produce.TransactionID, produce.Acks, produce.TimeoutMillis = &x.id, -1, 10_000
	part := kmsg.NewProduceRequestTopicPartition()
	part.Records = x.batch(values)
	dest := kmsg.NewProduceRequestTopic()
	dest.Topic, dest.Partitions = x.k.topic, []kmsg.ProduceRequestTopicPartition{part}
	produce.Topics = []kmsg.ProduceRequestTopic{dest}
	x.ask(produce, func(r kmsg.Response) int16 { return r.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode })
	x.seq += int32(len(values))
}

// batch encodes one batch of the transaction.
func (x *transactions) batch(values []string) []byte {
	const transactional = 1 << 4
	b := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, Attributes: transactional, LastOffsetDelta: int32(len(values) - 1),
		FirstTimestamp: 1_767_225_600_000, MaxTimestamp: 1_767_225_600_000,
		ProducerID: x.pid, ProducerEpoch: x.epoch, FirstSequence: x.seq, NumRecords: int32(len(values)),
	}
	for i, v := range values {
		r := kmsg.Record{OffsetDelta: int32(i), Value: []byte(v)}
		r.Length = int32(len(r.AppendTo(nil)) - 1) // without the length itself, one byte for a short record
		b.Records = r.AppendTo(b.Records)
	}
	raw := b.AppendTo(nil)
	b.Length = int32(len(raw) - 12)
	b.CRC = int32(crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b.AppendTo(nil)
}

// end ends the transaction and waits for its marker, which the coordinator
// writes after it has answered.
func (x *transactions) end(commit bool) {
	x.k.t.Helper()
	_, before, err := x.k.admin.link.bounds(x.k.t.Context(), x.k.topic, 0)
	if err != nil {
		x.k.t.Fatal(err)
	}
	req := kmsg.NewPtrEndTxnRequest()
	req.SetVersion(3)
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = x.id, x.pid, x.epoch, commit
	x.ask(req, func(r kmsg.Response) int16 { return r.(*kmsg.EndTxnResponse).ErrorCode })
	until(x.k.t, "the marker", func() bool {
		_, end, err := x.k.admin.link.bounds(x.k.t.Context(), x.k.topic, 0)
		return err == nil && end > before
	})
}

// Aborted records and control records are passed over exactly, also where
// transactions of two producers interleave and where reading starts inside one;
// an open transaction holds reading back; and the marker at the end of the log
// moves the position on, so that the lag closes.
func TestSkipsAbortedTransactions(t *testing.T) {
	t.Parallel() // it waits more than it works
	onEach(t, func(t *testing.T, k *cluster) {
		k.withTopic(1)
		k.write(0, 0, 1) // 0
		a, b := k.transactions(k.topic+"-a"), k.transactions(k.topic+"-b")
		a.write("a1", "a2") // 1 2
		b.write("b1")       // 3
		a.write("a3")       // 4
		a.end(false)        // 5
		b.write("b2")       // 6
		b.end(true)         // 7
		a.write("a4")       // 8
		a.end(true)         // 9
		b.write("b3")       // 10
		b.end(false)        // 11

		for _, from := range []int64{0, 2, 5} {
			var want []string
			for _, r := range []struct {
				offset int64
				value  string
			}{{0, "record 0"}, {3, "b1"}, {6, "b2"}, {8, "a4"}} {
				if r.offset >= from {
					want = append(want, fmt.Sprintf("%d %s", r.offset, r.value))
				}
			}
			k.onPartition(func(ctx context.Context, p *Partition) error {
				p.Seek(from)
				var got []string
				for next := from; next < 12; {
					records, after, err := p.Next(ctx)
					if err != nil {
						return err
					}
					for _, r := range records {
						got = append(got, fmt.Sprintf("%d %s", r.Offset, r.Value))
					}
					next = after
				}
				if d := cmp.Diff(want, got); d != "" {
					return fmt.Errorf("from %d (-want +got):\n%s", from, d)
				}
				return p.Commit(ctx, 12, "")
			})
		}
		d, err := k.admin.Describe(t.Context())
		if err != nil || d.Topics[0].Partitions[0].Lag != 0 {
			t.Errorf("got %+v, %v: want no lag", d.Topics, err)
		}
	})
}

// Records of an open transaction, and what is behind them, wait for its end.
func TestWaitsForOpenTransaction(t *testing.T) {
	t.Parallel() // it waits more than it works
	onEach(t, func(t *testing.T, k *cluster) {
		k.withTopic(1)
		x := k.transactions(k.topic)
		x.write("held back") // 0
		k.write(0, 1, 1)     // 1
		k.onPartition(func(ctx context.Context, p *Partition) error {
			got, err := p.reader.fetch(ctx, 0)
			if err != nil {
				return err
			}
			if len(got.records) > 0 || got.next != 0 || got.end != 0 {
				return fmt.Errorf("inside the transaction: %+v", got)
			}
			x.end(true) // 2
			records, _, err := p.Next(ctx)
			if err != nil || string(records[0].Value) != "held back" {
				return errors.Join(fmt.Errorf("after the transaction: %v", records), err)
			}
			return nil
		})
	})
}
