package ingest

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/ingest/event"
	"gatehouse/ingest/stream"
)

func TestLimitsAreChecked(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"ingest.batch_events 2000000": func(c *Config) { c.BatchEvents = 2_000_000 },
		"ingest.batch_events -1":      func(c *Config) { c.BatchEvents = -1 },
		"ingest.memory_bytes 1:":      func(c *Config) { c.Memory = 1 },
		"ingest.memory_bytes -1:":     func(c *Config) { c.Memory = -1 },
		"ingest.batch_bytes 1000":     func(c *Config) { c.BatchBytes = 1000 },
	} {
		good := newIngester(t, func(c *Config) { c.Sinks = []Sink{newTable()} }).cfg
		change(&good)
		if _, err := New(good); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v: want it refused", name, err)
		}
	}
}

// ingestAll runs until the partition is committed to its end.
func ingestAll(t *testing.T, p *partition, change func(*Config)) {
	t.Helper()
	in := newIngester(t, change)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx, &owner{partition: p, step: func() error { return nil }, chunk: 64}) }()
	for !p.done() {
		select {
		case <-p.moved:
		case err := <-done:
			t.Fatalf("stopped early: %v", err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// spread is a sink that notes the days and the bytes of each batch.
type spread struct {
	days    []int
	largest int
	events  int
}

type spreadBlock struct {
	event.Events
	days map[int64]bool
	text int
}

func (s *spread) Open() event.Block { return &spreadBlock{days: map[int64]bool{}} }

func (s *spread) Append(_ context.Context, b event.Batch) error {
	block := b.Block.(*spreadBlock)
	s.days = append(s.days, len(block.days))
	s.largest = max(s.largest, block.text)
	s.events += block.Len()
	return nil
}

func (b *spreadBlock) Add(e *event.Event) {
	b.Events.Add(e)
	b.days[e.TS/microsPerDay] = true
	b.text += len(e.Path) + len(e.UserAgent)
}

func (b *spreadBlock) Size() int { return b.text }

// ClickHouse makes a part of each day that a batch touches.
func TestABatchTouchesFewDays(t *testing.T) {
	lines := make([]string, 180)
	for i := range lines {
		at := time.Date(2024, 1, 1+i, 5, 6, 7, 0, time.UTC)
		lines[i] = fmt.Sprintf(`203.0.113.9 - ana [%s] "GET /v1/orders/%d HTTP/1.1" 200 5 "-" "curl/8.5"`, at.Format("02/Jan/2006:15:04:05 -0700"), i)
	}
	p, sink := newPartition(lines...), &spread{}
	ingestAll(t, p, func(c *Config) { c.Sinks, c.FlushInterval = []Sink{sink}, 50*time.Millisecond })
	for _, n := range sink.days {
		if n > fullDays {
			t.Errorf("a batch touches %d days: want at most %d", n, fullDays)
		}
	}
}

// One record may hold ten thousand elements, each of another day.
func TestOneRecordCannotTouchThousandsOfDays(t *testing.T) {
	const elements = 300
	var list []string
	for i := range elements {
		at := time.Date(2024, 1, 1+i, 5, 6, 7, 0, time.UTC)
		list = append(list, fmt.Sprintf(`{"v":1,"ts":%q,"method":"GET","path":"/v1/orders/%d","status":200}`, at.Format(time.RFC3339), i))
	}
	p := newPartition("[" + strings.Join(list, ",") + "]")
	p.records[0].Headers = []stream.Header{{Key: GatewayHeader, Value: []byte("canonical")}}
	sink := newTable()
	ingestAll(t, p, func(c *Config) { c.Sinks = []Sink{sink} })
	if len(sink.events) != maxDays || len(sink.rejected) != elements-maxDays {
		t.Errorf("%d events and %d rejections: want %d and %d", len(sink.events), len(sink.rejected), maxDays, elements-maxDays)
	}
	for o, reason := range sink.rejected {
		if reason != event.ReasonBadTime {
			t.Fatalf("%s is rejected as %s: want %s", o, reason, event.ReasonBadTime)
		}
	}
}

// However large records are, a batch is at most one of them over its memory.
func TestABatchOfGiantsKeepsItsMemory(t *testing.T) {
	const giant = 8000
	lines := make([]string, 2000)
	for i := range lines {
		lines[i] = fmt.Sprintf(`203.0.113.9 - ana [04/Mar/2026:05:06:07 +0000] "GET /v1/orders/%s HTTP/1.1" 200 5 "-" "curl/8.5"`, strings.Repeat("ab/", giant/3))
	}
	p, sink := newPartition(lines...), &spread{}
	ingestAll(t, p, func(c *Config) { c.Sinks, c.Memory = []Sink{sink}, minMemory })
	if limit := minMemory/3 + bytesPerLook + giant; sink.largest > limit {
		t.Errorf("a batch has %d bytes: want at most %d", sink.largest, limit)
	}
	if sink.events != len(lines) {
		t.Errorf("%d events: want %d", sink.events, len(lines))
	}
}

// held is a sink whose Append waits until it is let go.
type held struct {
	*table
	entered, proceed chan struct{}
}

func (h *held) Append(ctx context.Context, b event.Batch) error {
	h.entered <- struct{}{}
	<-h.proceed
	return h.table.Append(ctx, b)
}

// Told to stop, the ingester finishes the batch that is being stored and
// acknowledges it, so that the next start has nothing to replay.
func TestAStopFinishesTheBatchAtHand(t *testing.T) {
	p, sink := newPartition(clfLines(20)...), &held{newTable(), make(chan struct{}), make(chan struct{})}
	in := newIngester(t, func(c *Config) { c.Sinks, c.BatchEvents = []Sink{sink}, 5 })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx, &owner{partition: p, step: func() error { return nil }, chunk: 64}) }()
	<-sink.entered
	cancel()
	close(sink.proceed)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if p.offset != 5 || p.metadata != "" || sink.size() != 5 {
		t.Errorf("committed %d with %q, %d stored: want 5, acknowledged, 5", p.offset, p.metadata, sink.size())
	}
}

// Of a declared batch a part is stored and retention has removed some records
// since: what can still be read is stored, and the rest is a gap.
func TestAPartlyStoredBatchIsCompleted(t *testing.T) {
	p, sink, gaps := newPartition(clfLines(30)...), newTable(), &gapLog{}
	o := &owner{partition: p, step: func() error { return nil }, chunk: 7}
	p.metadata, p.start = intentOf(o.Range(0, 19)).String(), 8
	var asked atomic.Int32
	ingestAll(t, p, func(c *Config) {
		c.Sinks, c.Gaps = []Sink{sink}, gaps
		c.Stored = func(context.Context, event.Range) (uint64, uint64, error) { asked.Add(1); return 10, 0, nil }
	})
	if sink.size() != 22 || asked.Load() == 0 {
		t.Errorf("%d events are stored, asked %d times: want the 22 that are left", sink.size(), asked.Load())
	}
	if len(gaps.gaps) != 1 || gaps.gaps[0].First != 0 || gaps.gaps[0].Last != 7 {
		t.Errorf("gaps %v: want one of 0 to 7", gaps.gaps)
	}
}
