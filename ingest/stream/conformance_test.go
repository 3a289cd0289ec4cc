package stream_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"gatehouse/deploy/embedded"
	"gatehouse/ingest/stream"
)

func TestThin(t *testing.T) {
	e, err := embedded.Start(t.Context(), embedded.Config{Dir: t.TempDir(), NoClickHouse: true, KafkaAddr: "127.0.0.1:0", Topics: map[string]int32{"a": 2}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	cfg := stream.Config{Brokers: []string{e.Kafka()}, Topics: []string{"a"}, Group: "g"}
	p, err := stream.NewProducer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var msgs []stream.Message
	for i := range 5000 {
		msgs = append(msgs, stream.Message{Key: fmt.Append(nil, i), Value: fmt.Append(nil, "value ", i)})
	}
	start := time.Now()
	if err := p.Append(t.Context(), "a", msgs...); err != nil {
		t.Fatal(err)
	}
	t.Log("produced", time.Since(start))
	for range 2 {
		c, err := stream.NewConsumer(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan int)
		go func() {
			n := 0
			for k := range got {
				if n += k; n == 5000 {
					cancel()
				}
			}
		}()
		start = time.Now()
		time.AfterFunc(3*time.Second, cancel)
		err = c.Run(ctx, func(ctx context.Context, p *stream.Partition) error {
			off, meta := p.Position()
			t.Log(p.Topic(), p.ID(), off, meta, time.Since(start), p.Range(1, 2))
			for {
				recs, next, err := p.Next(ctx)
				if err != nil {
					return err
				}
				if err := p.Commit(ctx, next, "hello"); err != nil {
					return err
				}
				got <- len(recs)
			}
		})
		t.Log("consumed", time.Since(start), err)
	}
}
