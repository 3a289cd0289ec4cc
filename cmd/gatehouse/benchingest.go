package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"gatehouse/deploy/kafka"
	"gatehouse/ingest/stream"
)

// benchIngestCmd measures Kafka to ClickHouse beside other ways there.
type benchIngestCmd struct {
	Events     int           `help:"Events of the backlog." default:"2000000"`
	Partitions int           `help:"Partitions of the topic." default:"4"`
	Consumers  int           `help:"Consumers of ClickHouse's Kafka engine in its second run." default:"4"`
	Columns    string        `help:"all: b and c write a table of Gatehouse's columns; carried: of those that the JSON carries." enum:"all,carried" default:"all"`
	Flush      time.Duration `help:"Flush interval of ClickHouse's Kafka engine: shorter for its latency, longer for its CPU." default:"7.5s"`
	Rate       int           `help:"Events per second while latency is measured." default:"20000"`
	For        time.Duration `help:"How long latency is measured; 0 leaves it out." default:"10s"`
	Only       []string      `help:"Which ways to measure: a, b1, bn, c." default:"a,b1,bn,c"`
	Broker     string        `help:"embedded, or apache: a real one, started with java." enum:"embedded,apache" default:"embedded"`
	Brokers    []string      `help:"An existing Kafka instead; topics are created in it and stay there."`
	Seed       uint64        `help:"Seed of the calls." default:"5"`
	DataDir    string        `help:"Where data is kept while measuring; it must be empty or missing. Without it, a temporary directory." type:"path"`
	Profile    string        `help:"Write a CPU profile of Gatehouse to this file." type:"path"`
	JSON       bool          `help:"One JSON object." name:"json"`
}

// Help is printed below the flags.
func (benchIngestCmd) Help() string {
	return `Measures, one after another and each with a fresh ClickHouse engine:
  a   gatehouse run --role ingest: redacted, exactly once
  b1  ClickHouse's own Kafka engine with a materialized view, one consumer
  bn  the same with several consumers, a thread each
  c   kafka-go Reader, encoding/json, row appends of 50,000, commit after insert
All read the same topic into a table of the same definition. The work counts as
done when the table is merged to one part a day. Figures are printed only if rows
and hashes agree. Broker, engine and client are processes of their own; the
broker's CPU counts for nobody. Needs Linux, about 1 GB of memory and of disk for
each million events, and a machine that does nothing else.

Examples:
  gatehouse bench ingest
  gatehouse bench ingest --events 500000 --only a,b1
  gatehouse bench ingest --broker apache --only a --profile ingest.prof
  gatehouse bench ingest --brokers 127.0.0.1:9092 --json`
}

// columnsCarried is the --columns of a narrow table for the peers.
const columnsCarried = "carried"

func (c *benchIngestCmd) validate() error {
	bad := func(flag string, value any, want string) error {
		return usageError{fmt.Errorf("--%s %v: want %s", flag, value, want)}
	}
	for _, key := range c.Only {
		if !slices.ContainsFunc(c.ways(), func(w way) bool { return w.key == key }) {
			return bad("only", key, "some of a, b1, bn, c")
		}
	}
	switch {
	case runtime.GOOS != "linux":
		return fmt.Errorf("measure processes: this is %s, and their CPU time is read from /proc: run it on Linux", runtime.GOOS)
	case c.Events < 1:
		return bad("events", c.Events, "at least 1")
	case c.Partitions < 1:
		return bad("partitions", c.Partitions, "at least 1")
	case c.Consumers < 2:
		return bad("consumers", c.Consumers, "at least 2")
	case c.Rate < 1:
		return bad("rate", c.Rate, "at least 1")
	case c.Flush < time.Millisecond:
		return bad("flush", c.Flush, "at least 1ms")
	case c.For < 0 || c.For > 0 && c.steadyCalls() < 1:
		return bad("for", c.For, "time for a call at --rate, or 0")
	}
	return nil
}

// steadyCalls is how many calls the latency phase sends.
func (c *benchIngestCmd) steadyCalls() int { return int(c.For.Seconds() * float64(c.Rate)) }

// Run is the command.
func (c *benchIngestCmd) Run(ctx context.Context, con *console) error {
	if err := c.validate(); err != nil {
		return err
	}
	b := &ingestBench{cmd: c, progress: con.progress(), calls: newCaller(c.Seed)}
	err := b.prepare()
	if err == nil {
		err = b.run(ctx)
	}
	b.progress.done()
	err = errors.Join(err, b.close(err != nil && ctx.Err() == nil))
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted")
	case err != nil:
		return err
	}
	return b.report().print(con, c.JSON)
}

// ingestBench is one run of the benchmark.
type ingestBench struct {
	cmd      *benchIngestCmd
	progress *progress
	calls    *caller

	dir       string
	stopKafka func() error // nil with a Kafka of the user's own
	kafkaPID  int          // of the built-in broker, else 0
	brokers   []string
	topic     string
	producer  *stream.Producer
	rawBytes  int
	results   []wayResult
}

func (b *ingestBench) prepare() error {
	b.dir = b.cmd.DataDir
	if b.dir == "" {
		var err error
		if b.dir, err = os.MkdirTemp("", "gatehouse-bench-"); err != nil {
			return fmt.Errorf("make a directory for the benchmark: %w: name one with --data-dir", err)
		}
		return nil
	}
	if entries, err := os.ReadDir(b.dir); err == nil && len(entries) > 0 {
		return usageError{fmt.Errorf("--data-dir %s is not empty: name another, or remove it", b.dir)}
	}
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return usageError{fmt.Errorf("make --data-dir: %w", err)}
	}
	return nil
}

func (b *ingestBench) run(ctx context.Context) error {
	b.topic = fmt.Sprintf("gatehouse-bench-%d", time.Now().Unix())
	if err := b.startBroker(ctx); err != nil {
		return err
	}
	if err := b.fill(ctx); err != nil {
		return err
	}
	for _, w := range b.cmd.ways() {
		if !slices.Contains(b.cmd.Only, w.key) {
			continue
		}
		r, err := b.measure(ctx, w)
		if err != nil {
			return fmt.Errorf("measure %s: %w", w.title, err)
		}
		b.results = append(b.results, r)
	}
	return compare(b.results, uint64(b.cmd.Events))
}

// startBroker starts a broker, unless there is one. Its CPU is in no figure.
func (b *ingestBench) startBroker(ctx context.Context) error {
	dir := filepath.Join(b.dir, partBroker)
	switch {
	case len(b.cmd.Brokers) > 0:
		b.brokers = b.cmd.Brokers
	case b.cmd.Broker == "apache":
		if err := os.Mkdir(dir, 0o700); err != nil {
			return fmt.Errorf("make a directory: %w", err)
		}
		real, err := kafka.Start(ctx, kafka.Options{Dir: dir})
		if err != nil {
			return err
		}
		b.brokers, b.stopKafka = []string{real.Addr()}, real.Stop
	default:
		p, err := startPart(ctx, b.dir, partSpec{Part: partBroker, Dir: dir})
		if err != nil {
			return err
		}
		b.brokers, b.stopKafka, b.kafkaPID = []string{p.Kafka}, p.stop, p.cmd.Process.Pid
	}
	return b.createTopics(ctx)
}

func (b *ingestBench) createTopics(ctx context.Context) error {
	conf := stream.Config{Brokers: b.brokers}
	admin, err := stream.NewAdmin(conf)
	if err != nil {
		return err
	}
	defer admin.Close()
	topics := []string{b.topic}
	for _, w := range b.cmd.ways() {
		topics = append(topics, b.steadyTopic(w))
	}
	for _, topic := range topics {
		if err := admin.EnsureTopic(ctx, topic, b.cmd.Partitions, nil); err != nil {
			return err
		}
	}
	b.producer, err = stream.NewProducer(conf)
	return err
}

// steadyTopic is where the calls of a way's latency phase go: the others read
// only the backlog.
func (b *ingestBench) steadyTopic(w way) string { return b.topic + "-" + w.key }

// close ends the broker and removes what was stored. After an error the logs of
// the parts stay.
func (b *ingestBench) close(failed bool) error {
	if b.producer != nil {
		b.producer.Close()
	}
	var err error
	if b.stopKafka != nil {
		err = b.stopKafka()
	}
	if !failed {
		return errors.Join(err, os.RemoveAll(b.dir))
	}
	for _, dir := range []string{partBroker, "*/" + partEngine, "*/" + partIngest} {
		stored, _ := filepath.Glob(filepath.Join(b.dir, dir)) // the patterns are right
		for _, path := range stored {
			err = errors.Join(err, os.RemoveAll(path))
		}
	}
	_ = os.Remove(b.dir) // which is empty, and goes, when nothing has left a log
	return err
}

// Filling the topic.
const (
	fillBatch = 8_000     // calls that are made at once
	fillSpan  = time.Hour // of the backlog's calls
)

// fill sends the backlog.
func (b *ingestBench) fill(ctx context.Context) error {
	start := time.Now().Add(-fillSpan).UnixMicro()
	for sent := 0; sent < b.cmd.Events; {
		n := min(fillBatch, b.cmd.Events-sent)
		at := func(i int) int64 {
			return start + int64(float64(sent+i)/float64(b.cmd.Events)*float64(fillSpan.Microseconds()))
		}
		size, err := b.send(ctx, b.topic, n, at)
		if err != nil {
			return err
		}
		sent += n
		b.rawBytes += size
		b.progress.show(time.Now(), "filling the topic: %d of %d events", sent, b.cmd.Events)
	}
	return nil
}

// send makes n calls, the i-th at(i), and returns their size when Kafka has them.
func (b *ingestBench) send(ctx context.Context, topic string, n int, at func(i int) int64) (size int, err error) {
	byPartition := make([][]stream.Message, b.cmd.Partitions)
	for i := range n {
		line, user, err := b.calls.call(at(i))
		if err != nil {
			return 0, err
		}
		size += len(line)
		p := user % b.cmd.Partitions
		byPartition[p] = append(byPartition[p], stream.Message{Value: slices.Clone(line)})
	}
	sent := make(chan error, len(byPartition))
	for p, msgs := range byPartition {
		go func() { sent <- b.producer.AppendTo(ctx, topic, int32(p), msgs...) }()
	}
	for range byPartition {
		err = errors.Join(err, <-sent)
	}
	return size, err
}

// compare refuses results that are not of the same work.
func compare(results []wayResult, events uint64) error {
	var wrong []string
	for _, r := range results {
		first, firstPeer := results[0], results[slices.IndexFunc(results, func(o wayResult) bool { return o.ours == r.ours })]
		if r.Content.Rows != events {
			wrong = append(wrong, fmt.Sprintf("%s stored %d rows of %d events", r.Title, r.Content.Rows, events))
		}
		if r.Content.Common != first.Content.Common {
			wrong = append(wrong, fmt.Sprintf("%s and %s differ in columns that redaction leaves alone: hashes %s and %s", r.Title, first.Title, r.Content.Common, first.Content.Common))
		}
		if r.Content.All != firstPeer.Content.All {
			wrong = append(wrong, fmt.Sprintf("%s and %s differ: hashes %s and %s over all columns", r.Title, firstPeer.Title, r.Content.All, firstPeer.Content.All))
		}
	}
	if wrong != nil {
		return fmt.Errorf("no figures, because the work was not the same: %s", strings.Join(wrong, "; "))
	}
	return nil
}
