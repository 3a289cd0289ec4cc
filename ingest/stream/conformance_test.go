package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Every record comes once, in the order of its partition, with all its parts.
func TestDeliversInOrder(t *testing.T) {
	onEach(t, func(t *testing.T, k *cluster) {
		k.withTopic(3)
		const each = 2500
		want := map[int32][]string{}
		for p := range int32(3) {
			k.write(p, 0, each)
			for i := range each {
				want[p] = append(want[p], fmt.Sprintf("%d record %d", i, i))
			}
		}
		var mu sync.Mutex
		got := map[int32][]string{}
		full := make(chan bool, 3)
		r := k.consume(k.cfg, func(ctx context.Context, p *Partition) error {
			for {
				records, next, err := p.Next(ctx)
				if err != nil {
					return err
				}
				mu.Lock()
				for _, rec := range records {
					got[p.ID()] = append(got[p.ID()], fmt.Sprintf("%d %s", rec.Offset, rec.Value))
				}
				n := len(got[p.ID()])
				mu.Unlock()
				if next != int64(n) {
					return fmt.Errorf("next is %d after %d records", next, n)
				}
				if n >= each {
					full <- true
				}
			}
		})
		for range 3 {
			take(t, "a partition to be read", full)
		}
		r.stop()
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("records differ (-want +got):\n%s", d)
		}
	})
}

// Key, headers and time come through; equal keys share a partition.
func TestKeepsRecords(t *testing.T) {
	onEach(t, func(t *testing.T, k *cluster) {
		k.withTopic(4)
		at := time.UnixMilli(1_767_225_600_123)
		in := Message{Key: []byte("k"), Value: []byte("v"), Time: at, Headers: []Header{{"gatehouse-gateway", []byte("kong")}, {"empty", nil}}}
		if err := k.out.Append(t.Context(), k.topic, in, in, Message{Key: []byte("k")}); err != nil {
			t.Fatal(err)
		}
		got := make(chan []Record, 1)
		r := k.consume(k.cfg, func(ctx context.Context, p *Partition) error {
			records, _, err := p.Next(ctx)
			if err == nil {
				got <- records
			}
			return err
		})
		want := []Record{
			{Offset: 0, Key: in.Key, Value: in.Value, Time: at, Headers: in.Headers},
			{Offset: 1, Key: in.Key, Value: in.Value, Time: at, Headers: in.Headers},
		}
		records := take(t, "records", got)
		r.stop()
		if len(records) != 3 || records[2].Value != nil {
			t.Fatalf("got %v: want three records, the last without a value", records)
		}
		if d := cmp.Diff(want, records[:2]); d != "" {
			t.Errorf("records differ (-want +got):\n%s", d)
		}
	})
}

// What was committed is where the next owner starts, with its metadata, up to the
// longest that fits; a longer one is refused by us.
func TestCommits(t *testing.T) {
	t.Parallel() // it waits more than it works
	onEach(t, func(t *testing.T, k *cluster) {
		k.withTopic(1)
		k.write(0, 0, 10)
		var ids []string
		for i, metadata := range []string{"", "plain", strings.Repeat("x", MaxMetadata), strings.Repeat("€", MaxMetadata), "😀"} {
			k.onPartition(func(ctx context.Context, p *Partition) error {
				if offset, had := p.Position(); (i == 0 && offset != -1) || (i > 0 && offset != int64(i)) {
					return fmt.Errorf("run %d starts at %d with %q", i, offset, had)
				}
				records, _, err := p.Next(ctx)
				if err != nil || records[0].Offset != int64(i) {
					return fmt.Errorf("run %d reads %v first (%w)", i, records[:1], err)
				}
				r := p.Range(1, 2)
				ids = append(ids, r.Cluster+" "+r.TopicID)
				return p.Commit(ctx, int64(i+1), metadata)
			})
			k.onPartition(func(_ context.Context, p *Partition) error {
				if offset, got := p.Position(); offset != int64(i+1) || got != metadata {
					return fmt.Errorf("got %d and %.20q: want %d and %.20q", offset, got, i+1, metadata)
				}
				return nil
			})
		}
		if ids = slices.Compact(ids); len(ids) != 1 || len(ids[0]) < 34 {
			t.Errorf("got ids %q: want one cluster and topic id", ids)
		}
		for _, long := range []string{strings.Repeat("x", MaxMetadata+1), strings.Repeat("😀", MaxMetadata/2+1), strings.Repeat("x", 40_000)} {
			k.onPartition(func(ctx context.Context, p *Partition) error {
				if err := p.Commit(ctx, 5, long); !errors.Is(err, ErrMetadataTooLong) {
					return fmt.Errorf("got %v: want ErrMetadataTooLong", err)
				}
				return nil
			})
		}
	})
}

// Positions of a deleted topic are not used for its successor.
func TestNoticesRecreatedTopic(t *testing.T) {
	onEach(t, func(t *testing.T, k *cluster) {
		k.withTopic(1)
		k.write(0, 0, 10)
		first, recreated := make(chan string, 1), make(chan *RecreatedError, 1)
		again := make(chan []Record, 1)
		r := k.consume(k.cfg, func(ctx context.Context, p *Partition) error {
			for {
				records, next, err := p.Next(ctx)
				var re *RecreatedError
				switch {
				case errors.As(err, &re):
					recreated <- re
					p.Seek(re.First)
					continue
				case err != nil:
					return err
				}
				if err := p.Commit(ctx, next, ""); err != nil {
					return err
				}
				if records[0].Offset == 0 && len(first) == 0 && len(recreated) == 0 {
					select {
					case first <- p.Range(0, 0).TopicID:
						continue
					default:
					}
				}
				again <- records
			}
		})
		was := take(t, "the first topic", first)
		first <- "" // keep it full: what comes now belongs to the second
		k.deleteTopic()
		k.withTopic(1)
		k.write(0, 100, 3)
		re := take(t, "the re-creation", recreated)
		records := take(t, "the new records", again)
		r.stop()
		if re.Was != was || re.Is == was || re.Committed != 10 || re.First != 0 {
			t.Errorf("got %+v: want Was %s, Committed 10, First 0", re, was)
		}
		if records[0].Offset != 0 || string(records[0].Value) != "record 100" {
			t.Errorf("goes on with %d %s: want record 100 at 0", records[0].Offset, records[0].Value)
		}
	})
}

// A process that starts after the re-creation is told by the commit's tag, even
// where the broker took a commit of the old position for the new topic.
func TestNoticesStaleCommit(t *testing.T) {
	onEach(t, func(t *testing.T, k *cluster) {
		k.withTopic(1)
		k.write(0, 0, 10)
		tag, err := tagMetadata(strings.Repeat("ab", 16), "intent")
		if err != nil {
			t.Fatal(err)
		}
		until(t, "the commit", func() bool {
			res, err := k.admin.link.client.OffsetCommit(t.Context(), &kafka.OffsetCommitRequest{
				GroupID: k.cfg.Group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{k.topic: {{Offset: 7, Metadata: tag}}},
			})
			return err == nil && res.Topics[k.topic][0].Error == nil
		})
		k.onPartition(func(ctx context.Context, p *Partition) error {
			_, _, err := p.Next(ctx)
			var re *RecreatedError
			if !errors.As(err, &re) || re.Committed != 7 || re.First != 0 {
				return fmt.Errorf("got %v: want a RecreatedError with 7 committed", err)
			}
			if offset, metadata := p.Position(); offset != 7 || metadata != "intent" {
				return fmt.Errorf("position is %d, %q: want 7, intent", offset, metadata)
			}
			p.Seek(re.First)
			records, _, err := p.Next(ctx)
			if err != nil || records[0].Offset != 0 {
				return fmt.Errorf("after Seek: %v, %w", records, err)
			}
			return nil
		})
	})
}

// Where the group has no offset left, this process goes on from its own last commit
// and what was declared with it, after saying so once. Of partitions that it no
// longer has it remembers nothing.
func TestRemembersLostPosition(t *testing.T) {
	onEach(t, func(t *testing.T, k *cluster) {
		k.withTopic(1)
		k.write(0, 0, 10)
		shape, err := k.admin.link.topology(t.Context(), []string{k.topic})
		if err != nil {
			t.Fatal(err)
		}
		c, err := NewConsumer(k.cfg)
		if err != nil {
			t.Fatal(err)
		}
		mine, other := partitionKey{k.topic, 0}, partitionKey{k.topic, 1}
		for _, key := range []partitionKey{mine, other} {
			c.remember(key, commitment{shape.topics[k.topic].id, 5, "intent"})
		}
		got := make(chan error, 1)
		r := k.run(c, func(ctx context.Context, p *Partition) error {
			got <- goesOnFromFive(ctx, p)
			return nil
		})
		if err := take(t, "the handler", got); err != nil {
			t.Error(err)
		}
		r.stop()
		if made, _ := c.committedHere(mine); made.offset != 10 || made.metadata != "next" {
			t.Errorf("remembers %+v: want the last commit", made)
		}
		if made, known := c.committedHere(other); known {
			t.Errorf("remembers %+v of a partition that is not assigned", made)
		}
	})
}

func goesOnFromFive(ctx context.Context, p *Partition) error {
	if offset, metadata := p.Position(); offset != 5 || metadata != "intent" {
		return fmt.Errorf("position is %d, %q: want 5, intent", offset, metadata)
	}
	_, next, err := p.Next(ctx)
	var lost *PositionLostError
	if !errors.As(err, &lost) || lost.Committed != 5 || next != 5 {
		return fmt.Errorf("got %v and next %d: want a PositionLostError at 5", err, next)
	}
	p.Seek(5)
	records, next, err := p.Next(ctx)
	if err != nil || len(records) != 5 || records[0].Offset != 5 {
		return fmt.Errorf("after Seek: %v, %w", records, err)
	}
	return p.Commit(ctx, next, "next")
}

// Records that retention removed are a typed gap, never a silent jump; a position
// past the end is another error.
func TestReportsGaps(t *testing.T) {
	onEach(t, func(t *testing.T, k *cluster) {
		k.withTopic(1)
		k.write(0, 0, 10)
		req := kmsg.NewPtrDeleteRecordsRequest()
		req.SetVersion(2)
		part := kmsg.NewDeleteRecordsRequestTopicPartition()
		part.Offset = 6
		top := kmsg.NewDeleteRecordsRequestTopic()
		top.Topic, top.Partitions = k.topic, []kmsg.DeleteRecordsRequestTopicPartition{part}
		req.Topics = []kmsg.DeleteRecordsRequestTopic{top}
		req.TimeoutMillis = 10_000
		res, err := k.admin.link.ask(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if code := res.(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0].ErrorCode; code != 0 {
			t.Fatal(kafka.Error(code))
		}
		k.onPartition(func(ctx context.Context, p *Partition) error {
			p.Seek(2)
			_, _, err := p.Next(ctx)
			if d := cmp.Diff(&GapError{Topic: k.topic, From: 2, To: 6}, err); d != "" {
				return fmt.Errorf("error differs (-want +got):\n%s", d)
			}
			p.Seek(6)
			records, next, err := p.Next(ctx)
			if err != nil || next != 10 || records[0].Offset != 6 {
				return fmt.Errorf("after the gap: next %d, %w", next, err)
			}
			p.Seek(11)
			_, _, err = p.Next(ctx)
			if d := cmp.Diff(&BeyondEndError{Topic: k.topic, Position: 11, End: 10}, err); d != "" {
				return fmt.Errorf("error differs (-want +got):\n%s", d)
			}
			return nil
		})
	})
}

// Mistakes in the configuration end Run with what to do next.
func TestExplainsRefusals(t *testing.T) {
	t.Parallel() // it waits more than it works
	onEach(t, func(t *testing.T, k *cluster) {
		c, err := NewConsumer(k.cfg)
		if err != nil {
			t.Fatal(err)
		}
		err = c.Run(t.Context(), nil)
		var missing *MissingTopicError
		if !errors.As(err, &missing) || !strings.Contains(err.Error(), "--create --topic "+k.topic) {
			t.Errorf("got %v: want how to create the topic", err)
		}
		if err := k.out.Append(t.Context(), k.topic, Message{}); !errors.As(err, &missing) {
			t.Errorf("got %v: want how to create the topic", err)
		}
	})
}

// A description has what doctor shows; a topic that exists is left as it is.
func TestDescribes(t *testing.T) {
	onEach(t, func(t *testing.T, k *cluster) {
		d, err := k.admin.Describe(t.Context())
		if err != nil || len(d.Topics) != 1 || !errors.Is(d.Topics[0].Err, codeUnknownTopic) {
			t.Fatalf("without a topic: %+v, %v", d, err)
		}
		k.withTopic(2).withTopic(5)
		k.write(1, 0, 10)
		k.onPartition(func(ctx context.Context, p *Partition) error {
			if p.ID() != 1 {
				<-ctx.Done()
				return nil
			}
			return p.Commit(ctx, 4, "here")
		})
		if d, err = k.admin.Describe(t.Context()); err != nil || d.Cluster == "" || len(d.Brokers) != 1 || d.Brokers[0].Addr != k.cfg.Brokers[0] {
			t.Fatalf("got %+v, %v", d, err)
		}
		leader := d.Brokers[0].ID
		want := []PartitionState{{ID: 0, Leader: leader, Committed: -1}, {ID: 1, Leader: leader, End: 10, Committed: 4, Metadata: "here", Lag: 6}}
		if diff := cmp.Diff(want, d.Topics[0].Partitions); diff != "" {
			t.Errorf("partitions differ (-want +got):\n%s", diff)
		}
	})
}

// The handler's error ends Run and is returned; other handlers are drained.
func TestReturnsHandlerError(t *testing.T) {
	onEach(t, func(t *testing.T, k *cluster) {
		k.withTopic(2)
		boom := errors.New("disk full")
		drained := make(chan bool, 1)
		r := k.consume(k.cfg, func(ctx context.Context, p *Partition) error {
			if p.ID() == 1 {
				return boom
			}
			<-ctx.Done()
			drained <- true
			return ctx.Err()
		})
		if err := take(t, "Run to end", r.done); !errors.Is(err, boom) || !strings.Contains(err.Error(), k.topic+"/1") {
			t.Errorf("got %v: want the handler's error with its partition", err)
		}
		take(t, "the other handler", drained)
	})
}
