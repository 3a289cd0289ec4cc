package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// noise does not compress.
func noise(size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b) // never fails
	return b
}

// produce writes one batch the way that Producer never would.
func (k *cluster) produce(codec kafka.Compression, records ...protocol.Record) {
	k.t.Helper()
	until(k.t, "a leader", func() bool { // a broker busy with a bomb loses its lease at times
		res, err := k.admin.link.client.Produce(k.t.Context(), &kafka.ProduceRequest{
			Topic: k.topic, RequiredAcks: kafka.RequireAll, Compression: codec, Records: protocol.NewRecordReader(records...),
		})
		if err == nil {
			err = res.Error
		}
		if err != nil && !unsent(err) && !errors.Is(err, protocol.ErrNoLeader) {
			k.t.Fatal(codec, err)
		}
		return err == nil
	})
}

// readTo reads up to an offset and says what was read and what was refused.
func readTo(ctx context.Context, p *Partition, end int64) (got []string, err error) {
	for next := int64(0); next < end; {
		records, after, err := p.Next(ctx)
		var refused *BatchError
		switch {
		case errors.As(err, &refused):
			got = append(got, fmt.Sprintf("%s %d-%d", refused.Reason, refused.From, refused.To))
			p.Seek(refused.To)
			after = refused.To
		case err != nil:
			return nil, err
		}
		for _, r := range records {
			got = append(got, string(r.Value[:min(len(r.Value), 20)]))
		}
		next = after
	}
	return got, nil
}

// A batch that unpacks to more than the limit is refused with the offsets it
// covers, and what is behind it stays readable; whatever packed it.
func TestRefusesBombs(t *testing.T) {
	onEach(t, func(t *testing.T, k *cluster) {
		k.withTopic(1)
		k.configure("max.message.bytes", fmt.Sprint(8<<20)) // snappy packs zeros to 5 % only
		k.write(0, 0, 2)
		zeros := bytes.Repeat([]byte{0}, DefaultMaxDecompressed/2)
		for _, codec := range []kafka.Compression{kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd} {
			var bomb []protocol.Record
			for range 3 {
				bomb = append(bomb, protocol.Record{Value: protocol.NewBytes(zeros)})
			}
			k.produce(codec, bomb...)
		}
		k.write(0, 2, 1)
		k.onPartition(func(ctx context.Context, p *Partition) error {
			got, err := readTo(ctx, p, 15)
			want := []string{"record 0", "record 1", "too_large 2-5", "too_large 5-8", "too_large 8-11", "too_large 11-14", "record 2"}
			if d := cmp.Diff(want, got); d != "" {
				return errors.Join(fmt.Errorf("reads differ (-want +got):\n%s", d), err)
			}
			return err
		})
	})
}

// Batches that each unpack to less than the limit do not come all at once because
// they are small on the wire, and each record comes once.
func TestBoundsUnpackedFetch(t *testing.T) {
	onEach(t, func(t *testing.T, k *cluster) {
		k.withTopic(1)
		const batches, size = 8, 1 << 20
		k.cfg.FetchMaxBytes = size / unpackedPerFetch
		for range batches { // each a few hundred bytes
			half := func() protocol.Record { return protocol.Record{Value: protocol.NewBytes(make([]byte, size/2))} }
			k.produce(kafka.Zstd, half(), half())
		}
		k.onPartition(func(ctx context.Context, p *Partition) error {
			var offsets []int64
			for next := int64(0); next < 2*batches; {
				records, after, err := p.Next(ctx)
				if err != nil {
					return err
				}
				if len(records) > 2 {
					return fmt.Errorf("one fetch brought %d records of %d bytes: want one batch", len(records), size/2)
				}
				for _, r := range records {
					offsets = append(offsets, r.Offset)
				}
				next = after
			}
			if d := cmp.Diff([]int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, offsets); d != "" {
				return fmt.Errorf("offsets differ (-want +got):\n%s", d)
			}
			return nil
		})
	})
}

// A record far larger than a fetch asks for comes whole and alone, so that memory
// stays bounded by it; the next fetch is small again.
func TestReadsGiants(t *testing.T) {
	onEach(t, func(t *testing.T, k *cluster) {
		k.withTopic(1)
		k.configure("max.message.bytes", fmt.Sprint(16<<20))
		giant := noise(15 << 20)
		k.write(0, 0, 1)
		k.produce(0, protocol.Record{Value: protocol.NewBytes(giant)})
		k.produce(0, protocol.Record{Value: protocol.NewBytes(giant)})
		k.write(0, 3, 1)
		k.onPartition(func(ctx context.Context, p *Partition) error {
			for next := int64(0); next < 4; {
				records, after, err := p.Next(ctx)
				if err != nil {
					return err
				}
				size := 0
				for _, r := range records {
					size += len(r.Value)
					if (r.Offset == 1 || r.Offset == 2) && !bytes.Equal(r.Value, giant) {
						return fmt.Errorf("giant at %d differs", r.Offset)
					}
				}
				if size > len(giant)+DefaultFetchMaxBytes {
					return fmt.Errorf("one fetch brought %d bytes: want no more than one giant", size)
				}
				next = after
			}
			return nil
		})
	})
}

// A record over the topic's max.message.bytes is refused by the broker, and the
// error says what to change; others still go through.
func TestRefusesOversizedAppend(t *testing.T) {
	onEach(t, func(t *testing.T, k *cluster) {
		k.withTopic(1)
		err := k.out.AppendTo(t.Context(), k.topic, 0, Message{Value: noise(2 << 20)})
		if !errors.Is(err, kafka.MessageSizeTooLarge) || !strings.Contains(err.Error(), "max.message.bytes") {
			t.Errorf("got %v: want error 10 and what to raise", err)
		}
		k.write(0, 0, 1)
	})
}

// On a topic whose broker stamps the time of arrival that is the record's time, and
// not what its producer claims.
func TestTimeOfArrival(t *testing.T) {
	k := newCluster(t, requireBroker(t).Addr()).withTopic(1)
	claimed := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	write := func() {
		if err := k.out.AppendTo(t.Context(), k.topic, 0, Message{Value: []byte("v"), Time: claimed}); err != nil {
			t.Fatal(err)
		}
	}
	write()
	k.configure("message.timestamp.type", "LogAppendTime")
	before := time.Now()
	write()
	k.onPartition(func(ctx context.Context, p *Partition) error {
		var got []Record
		for next := int64(0); next < 2; {
			records, after, err := p.Next(ctx)
			if err != nil {
				return err
			}
			got, next = append(got, records...), after
		}
		if !got[0].Time.Equal(claimed) || got[1].Time.Before(before.Truncate(time.Millisecond)) {
			return fmt.Errorf("times are %v and %v: want %v and the arrival", got[0].Time, got[1].Time, claimed)
		}
		return nil
	})
}

// The broker itself takes a commit for a partition that the member was never given,
// and one past the end of the log: nothing but our own check stands between.
func TestBrokerTakesForeignCommits(t *testing.T) {
	t.Parallel() // it waits more than it works
	onEach(t, func(t *testing.T, k *cluster) {
		k.withTopic(2)
		a := make(roll, 100)
		one, two := k.consume(k.cfg, a.hold), k.consume(k.cfg, a.hold)
		var owned []*Partition
		for generation := 0; len(owned) == 0 || !twoMembers(owned); {
			generation, owned = a.await(t, generation, 2)
		}
		mine, theirs := owned[0], owned[1]
		foreign := Partition{consumer: mine.consumer, generation: mine.generation, topic: mine.topic, partition: theirs.partition}
		if err := foreign.commit(t.Context(), 1000, ""); err != nil {
			t.Errorf("got %v: the broker protects partitions now; the README says otherwise", err)
		}
		one.stop()
		two.stop()
	})
}

// A topic whose records the broker may remove one by one is refused at the start,
// with the reason and the command that mends it.
func TestRefusesCompactedTopics(t *testing.T) {
	for _, policy := range []string{"compact", "compact,delete"} {
		onEach(t, func(t *testing.T, k *cluster) {
			k.withTopic(1).configure("cleanup.policy", policy)
			c, err := NewConsumer(k.cfg)
			if err != nil {
				t.Fatal(err)
			}
			err = c.Run(t.Context(), nil)
			var refused *CompactedTopicError
			if !errors.As(err, &refused) || refused.Policy != policy ||
				!strings.Contains(err.Error(), "--entity-name "+k.topic+" --add-config cleanup.policy=delete") {
				t.Errorf("got %v: want a refusal of %s with what to do", err, policy)
			}
		})
	}
}

// A user who may read a topic but not its settings is let in, and told what was
// not checked.
func TestWarnsWherePolicyIsHidden(t *testing.T) {
	b := requireBroker(t)
	k := newCluster(t, b.Addr()).withTopic(1)
	k.write(0, 0, 1)
	rule := func(op kafka.ACLOperationType) kafka.ACLEntry {
		return kafka.ACLEntry{
			ResourceType: kafka.ResourceTypeTopic, ResourceName: k.topic, ResourcePatternType: kafka.PatternTypeLiteral,
			Principal: "User:" + user, Host: "*", Operation: op, PermissionType: kafka.ACLPermissionTypeAllow,
		}
	}
	res, err := k.admin.link.client.CreateACLs(t.Context(), &kafka.CreateACLsRequest{ACLs: []kafka.ACLEntry{rule(kafka.ACLOperationTypeRead)}})
	if err != nil || res.Errors[0] != nil {
		t.Fatal(err, res)
	}
	cfg := secure(t, b, ScramSHA512, password)
	k.cfg.Brokers, k.cfg.TLS, k.cfg.SASL = cfg.Brokers, cfg.TLS, cfg.SASL
	var log bytes.Buffer
	k.cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	k.onPartition(func(ctx context.Context, p *Partition) error {
		_, _, err := p.Next(ctx)
		return err
	})
	if !strings.Contains(log.String(), "give this user DESCRIBE_CONFIGS") || !strings.Contains(log.String(), k.topic) {
		t.Errorf("log says nothing of the check:\n%s", log.String())
	}
}
