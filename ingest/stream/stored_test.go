package stream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A batch whose bytes have changed on the broker's disk is reported with its
// offsets, compressed or not, and the next is readable.
func TestReportsCorruptBatches(t *testing.T) {
	b := requireBroker(t)
	k := newCluster(t, b.Addr()).withTopic(1)
	k.write(0, 0, 1)
	k.write(0, 1, 5) // to be changed
	k.write(0, 6, 1)
	segment := filepath.Join(broker.dir, "data", k.topic+"-0", "00000000000000000000.log")
	log, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	second := batchLengthEnd + int(log[batchLengthAt+2])<<8 + int(log[batchLengthAt+3])
	f, err := os.OpenFile(segment, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	place := int64(second + batchHeaderSize + 10)
	if _, err := f.WriteAt([]byte{log[place] ^ 0xff}, place); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	k.onPartition(func(ctx context.Context, p *Partition) error {
		var got []string
		for next := int64(0); next < 7; {
			records, after, err := p.Next(ctx)
			var be *BatchError
			switch {
			case errors.As(err, &be):
				got = append(got, fmt.Sprintf("%s %d-%d", be.Reason, be.From, be.To))
				p.Seek(be.To)
			case err != nil:
				return err
			}
			for _, r := range records {
				got = append(got, string(r.Value))
			}
			next = after
		}
		if d := cmp.Diff([]string{"record 0", "corrupt 1-6", "record 6"}, got); d != "" {
			return fmt.Errorf("reads differ (-want +got):\n%s", d)
		}
		return nil
	})
}

// A position inside a batch whose rest compaction removed moves on to its end,
// although the broker sends nothing but what lies before the position.
func TestPassesCompactedBatches(t *testing.T) {
	b := requireBroker(t)
	k := newCluster(t, b.Addr())
	err := k.admin.EnsureTopic(t.Context(), k.topic, 1, map[string]string{
		"cleanup.policy": "compact", "segment.ms": "500", "min.cleanable.dirty.ratio": "0.001", "max.compaction.lag.ms": "1000",
	})
	if err != nil {
		t.Fatal(err)
	}
	value := make([]byte, 3000) // does not compress, so one is more than a fetch asks for
	_, _ = rand.NewChaCha8([32]byte{}).Read(value)
	write := func(keys ...string) {
		var msgs []Message
		for _, key := range keys {
			msgs = append(msgs, Message{Key: []byte(key), Value: value})
		}
		if err := k.out.AppendTo(t.Context(), k.topic, 0, msgs...); err != nil {
			t.Fatal(err)
		}
	}
	write("kept", "a", "b", "c") // 0 to 3: 1 to 3 will go
	write("a", "b", "c")         // 4 to 6
	k.cfg.FetchMaxBytes = 1024
	whole, err := NewAdmin(k.cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(whole.Close)
	reader := fetcher{link: whole.link, topic: k.topic, life: t.Context()}
	until(t, "compaction", func() bool {
		write("tick") // a new segment is only begun by a new record
		got, err := reader.fetch(t.Context(), 0)
		return err == nil && len(got.records) == 1
	})
	k.configure("cleanup.policy", "delete") // or it would be refused; what is gone stays gone
	k.onPartition(func(ctx context.Context, p *Partition) error {
		p.Seek(1)
		records, next, err := p.Next(ctx)
		if err != nil || len(records) != 0 || next != 4 {
			return fmt.Errorf("got %d records, next %d, %w: want none and 4", len(records), next, err)
		}
		records, _, err = p.Next(ctx)
		if err != nil || records[0].Offset != 4 {
			return fmt.Errorf("got %v, %w: want offset 4", records, err)
		}
		return nil
	})
}

// A handler that ignores the end of its context is an error of Run: going on would
// put two handlers on one partition.
func TestBoundsDrain(t *testing.T) {
	onEach(t, func(t *testing.T, k *cluster) {
		k.withTopic(1)
		k.cfg.DrainTimeout = 1 // ns
		started, release := make(chan bool), make(chan bool)
		r := k.consume(k.cfg, func(context.Context, *Partition) error {
			started <- true
			<-release
			return nil
		})
		take(t, "the handler", started)
		r.cancel()
		err := take(t, "Run to end", r.done)
		close(release)
		if !errors.Is(err, errDrainFailed) || !strings.Contains(err.Error(), "end this process") {
			t.Errorf("got %v: want errDrainFailed", err)
		}
	})
}
