package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"gatehouse/ingest"
	"gatehouse/ingest/event"
	"gatehouse/ingest/traffic"
)

// call is the one call of a run that has a number: its content is a function of
// that number, and says it.
type call struct {
	start time.Time // of the run
	seed  uint64
}

// chaosStatuses are what the calls answer with.
var chaosStatuses = []int{200, 201, 204, 404, 403}

func (c call) raw(n int) event.Raw {
	raw := event.NewRaw("canonical")
	raw.TS = c.start.UnixMicro() + int64(n)
	raw.RequestID = c.id(n)
	raw.Client, raw.Method, raw.Path = fmt.Sprintf("100.64.%d.%d", n>>8&255, n&255), "GET", "/v1/orders/"+strconv.Itoa(n)
	raw.Status, raw.RespBytes = chaosStatuses[n%len(chaosStatuses)], int64(n)
	raw.HTTPVersion, raw.UserAgent = "1.1", "curl/8.5"
	return raw
}

// id says which run and which call.
func (c call) id(n int) string { return fmt.Sprintf("chaos-%d-%d", c.seed, n) }

// stored is what the columns storedColumns of a call are, as TSV.
func (c call) stored(n int) string {
	return fmt.Sprintf("%s\tcanonical\tGET\t/v1/orders/%d\t%d\t%d\t%d\t100.64.%d.%d\tcurl/8.5",
		c.id(n), n, chaosStatuses[n%len(chaosStatuses)], n, c.start.UnixMicro()+int64(n), n>>8&255, n&255)
}

// storedColumns is the content that is compared: the text of stored.
const storedColumns = "request_id, gateway, method, path, status, resp_bytes, toUnixTimestamp64Micro(ts), client_ip, user_agent"

// number is the n of an id.
func (c call) number(id string) (int, bool) {
	var seed uint64
	var n int
	if _, err := fmt.Sscanf(id, "chaos-%d-%d", &seed, &n); err != nil || seed != c.seed {
		return 0, false
	}
	return n, id == c.id(n)
}

// journal is what the producer knows: the oracle of the run. Kafka has
// acknowledged that record (partition, offset) is call n, or a poisoned record.
type journal struct {
	mu     sync.Mutex
	acked  [chaosPartitions][]int32 // by offset: n+1; 0 is no call
	poison [chaosPartitions]map[int64]string
	// replaced are n+1 of calls whose offset was acknowledged again for another one.
	replaced [chaosPartitions][]int32

	calls  int   // acknowledged
	failed int   // never acknowledged, and given up
	err    error // the last reason
}

func (j *journal) record(n int, partition int32, offset int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	p := j.acked[partition]
	for int64(len(p)) <= offset {
		p = append(p, 0)
	}
	if p[offset] != 0 {
		j.replaced[partition] = append(j.replaced[partition], p[offset])
	}
	p[offset] = int32(n + 1)
	j.acked[partition] = p
	j.calls++
}

func (j *journal) recordPoison(name string, partition int32, offset int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.poison[partition] == nil {
		j.poison[partition] = map[int64]string{}
	}
	j.poison[partition][offset] = name
	if p := j.acked[partition]; offset < int64(len(p)) && p[offset] != 0 {
		j.replaced[partition] = append(j.replaced[partition], p[offset])
		p[offset] = 0
	}
}

func (j *journal) fail(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.failed++
	j.err = err
}

func (j *journal) count() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.calls
}

// load sends calls at a steady rate until it is stopped, with acknowledgement of
// all replicas, and keeps the journal. Its client is another library than the
// ingester's, and idempotent, so that it cannot share the ingester's mistakes nor
// double a record.
type load struct {
	client  *kgo.Client
	topic   string
	call    call
	journal *journal
	rate    int
	next    int // number of the next call
	mu      sync.Mutex
	stop    context.CancelFunc
	done    chan struct{}
}

// Bounds of the load.
const (
	loadTick       = 20 * time.Millisecond
	loadBuffered   = 20_000  // records that wait for a broker that is down
	loadBatchBytes = 900_000 // below the broker's message.max.bytes
)

func newLoad(addr, topic string, call call, rate int) (*load, error) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(addr), kgo.DefaultProduceTopic(topic), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(loadTick/4), kgo.MaxBufferedRecords(loadBuffered),
		kgo.ProducerBatchMaxBytes(loadBatchBytes), kgo.ProducerBatchCompression(kgo.Lz4Compression()),
		kgo.UnknownTopicRetries(-1), kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }),
		kgo.MetadataMinAge(50*time.Millisecond),
	)
	if err != nil {
		return nil, fmt.Errorf("start producer: %w", err)
	}
	return &load{client: client, topic: topic, call: call, journal: &journal{}, rate: rate}, nil
}

// start begins sending. It sends until finish, or until ctx ends.
func (l *load) start(ctx context.Context) {
	ctx, l.stop = context.WithCancel(ctx)
	l.done = make(chan struct{})
	go l.run(ctx, l.done)
}

func (l *load) run(ctx context.Context, done chan<- struct{}) {
	defer close(done)
	tick := time.NewTicker(loadTick)
	defer tick.Stop()
	begun := time.Now()
	for sent := 0; ; {
		select {
		case now := <-tick.C:
			due := int(now.Sub(begun).Seconds() * float64(l.rate))
			if due-sent > l.rate { // the broker was away: what was not sent then is not made up for
				sent = due - l.rate
			}
			for ; sent < due; sent++ {
				l.send(ctx)
			}
		case <-ctx.Done():
			return
		}
	}
}

// send sends the next call. It waits while too many are unacknowledged.
func (l *load) send(ctx context.Context) {
	l.mu.Lock()
	n := l.next
	l.next++
	l.mu.Unlock()
	raw := l.call.raw(n)
	value, err := traffic.Encode(raw.Gateway, &raw)
	if err != nil {
		l.journal.fail(err)
		return
	}
	record := &kgo.Record{
		Partition: int32(n % chaosPartitions), Value: value,
		Headers: []kgo.RecordHeader{{Key: ingest.GatewayHeader, Value: []byte(raw.Gateway)}},
	}
	l.client.Produce(context.WithoutCancel(ctx), record, func(r *kgo.Record, err error) {
		if err != nil {
			l.journal.fail(err)
			return
		}
		l.journal.record(n, r.Partition, r.Offset)
	})
}

// sent is how many calls were handed to the client so far.
func (l *load) sent() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next
}

// finish stops sending and waits until all that was sent is acknowledged.
func (l *load) finish(ctx context.Context) error {
	l.stop()
	<-l.done
	ctx, cancel := context.WithTimeout(ctx, chaosPatience)
	defer cancel()
	if err := l.client.Flush(ctx); err != nil {
		return fmt.Errorf("wait for the broker's acknowledgements: %w", err)
	}
	return nil
}

func (l *load) close() error {
	l.client.Close()
	return nil
}

// poison is a record that must not become an event, and must not stop its
// partition either.
type poison struct {
	name    string
	gateway string
	value   []byte
}

// errPoisonRefused says that the broker did not take a poisoned record: then it
// is no test of the ingester.
var errPoisonRefused = errors.New("the broker refused a poisoned record")

// sendPoison sends a record that no call is, in a batch of its own, by a client
// that sends more at once than the load does.
func (l *load) sendPoison(ctx context.Context, client *kgo.Client, p poison, partition int32) error {
	record := &kgo.Record{Topic: l.topic, Partition: partition, Value: p.value}
	if p.gateway != "" {
		record.Headers = []kgo.RecordHeader{{Key: ingest.GatewayHeader, Value: []byte(p.gateway)}}
	}
	result := client.ProduceSync(ctx, record)
	if err := result.FirstErr(); err != nil {
		return fmt.Errorf("%w: %s: %w", errPoisonRefused, p.name, err)
	}
	l.journal.recordPoison(p.name, record.Partition, record.Offset)
	return nil
}
