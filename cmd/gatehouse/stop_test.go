package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"gatehouse/ingest/event"
	"gatehouse/ingest/stream"
	"gatehouse/ingest/traffic"
)

// stopPatience is how long a process may take to stop under load: far less than
// the 30 s for which it would own its partitions.
const stopPatience = 10 * time.Second

// A process that is told to stop while it works off a backlog finishes what it has
// at hand and is gone at once, although its detector may be gone before the last
// batch is stored. Nothing is lost by that: every event is stored once, and what is
// in the events is found.
func TestStopsAtOnceUnderLoad(t *testing.T) {
	addr := startFake(t)
	c := newChild(t, addr)
	c.start()
	c.ready()
	const stops = 6
	duration, left, next := 20*time.Minute, stops, 0
	cfg := traffic.Config{Seed: 7, Start: time.Now().Add(-duration), Duration: duration, Rate: 50, Attacks: demoAttacks()}
	sent := produce(t, addr, cfg, func(n int) {
		if n < next || left == 0 {
			return
		}
		left, next = left-1, n+8_000
		before := c.stored()
		c.wait("progress", func() bool { now := c.stored(); return now != before || now == fmt.Sprint(n) })
		c.stopAtOnce()
		c.start()
	})
	c.wait("every event", func() bool { return c.stored() == fmt.Sprint(sent) })
	checkOnce(t, c, sent)
	c.wait("three incidents", func() bool {
		got, ok := c.query("SELECT uniqExact(incident_id) >= 3 FROM audit.incident_log")
		return ok && got == "1"
	})
	if got, _ := c.query("SELECT count() = uniqExact(id) FROM audit.findings"); got != "1" {
		t.Error("a finding is stored twice")
	}
	if left > 0 {
		t.Errorf("only %d of %d stops happened", stops-left, stops)
	}
}

// A feed topic that takes nothing does not hold a process that is to stop: the
// batch comes back as not handed on.
func TestFeedTopicDoesNotHoldTheProcess(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // connects, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	producer, err := stream.NewProducer(stream.Config{Brokers: []string{silent.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	stopping, stop := context.WithCancel(t.Context())
	f := &kafkaFeed{producer: producer, topic: "feed", stopping: stopping}
	b := f.Open()
	b.Add(&event.Event{})
	stop()
	if err := f.Append(t.Context(), event.Batch{Block: b}); !errors.Is(err, errStopping) {
		t.Errorf("got %v, want %v", err, errStopping)
	}
}

// stopAtOnce ends the process as an operator would, who does not wait long.
func (c *child) stopAtOnce() {
	c.t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		c.t.Fatal(err)
	}
	select {
	case err := <-c.exited:
		if err != nil {
			c.t.Errorf("stopped process: %v\n%s", err, c.stderr.String())
		}
	case <-time.After(stopPatience):
		c.t.Fatalf("the process did not stop within %s\n%s", stopPatience, c.stderr.String())
	}
	c.cmd = nil
}
