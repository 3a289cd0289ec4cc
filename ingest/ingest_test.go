package ingest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/ingest/event"
	"gatehouse/ingest/redact"
	"gatehouse/ingest/stream"
)

// partition is a Kafka partition in memory: a log that stays, with the group's
// committed offset. An owner reads it; owners come and go.
type partition struct {
	mu       sync.Mutex
	records  []stream.Record
	start    int64 // first offset that retention has left
	offset   int64
	metadata string
	topicID  string
	commits  []string
	moved    chan struct{} // one for every commit
}

func newPartition(lines ...string) *partition {
	p := &partition{topicID: "0123456789abcdef0123456789abcdef", moved: make(chan struct{}, 1<<16)}
	for i, line := range lines {
		p.records = append(p.records, stream.Record{Offset: int64(i), Value: []byte(line), Headers: []stream.Header{{Key: GatewayHeader, Value: []byte("clf")}}})
	}
	return p
}

// owner is one process's hold of the partition. step is called before and after
// everything that it does to the outside world, and may kill it.
type owner struct {
	*partition
	position int64
	step     func() error
	chunk    int
}

func (o *owner) Behind() int64          { return 0 }
func (o *owner) Owned() context.Context { return context.Background() }

func (o *owner) Position() (int64, string) { return o.offset, o.metadata }
func (o *owner) Seek(to stream.Offset)     { o.position = to }

func (o *owner) Range(first, last int64) event.Range {
	return event.Range{Cluster: "c", Topic: "gateway-logs", TopicID: o.topicID, First: first, Last: last}
}

func (o *owner) Next(ctx context.Context) ([]stream.Record, int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.position < o.start {
		return nil, 0, &stream.GapError{Topic: "gateway-logs", From: o.position, To: o.start}
	}
	if o.position >= int64(len(o.records)) {
		o.mu.Unlock()
		<-ctx.Done()
		o.mu.Lock()
		return nil, 0, ctx.Err()
	}
	to := min(o.position+int64(o.chunk), int64(len(o.records)))
	got := o.records[o.position:to]
	o.position = to
	return got, to, nil
}

func (o *owner) Commit(_ context.Context, next int64, metadata string) error {
	if err := o.step(); err != nil {
		return err
	}
	o.mu.Lock()
	o.offset, o.metadata = next, metadata
	o.commits = append(o.commits, fmt.Sprintf("%d %s", next, metadata))
	o.mu.Unlock()
	o.moved <- struct{}{}
	return o.step()
}

// done says that everything is committed and nothing declared.
func (p *partition) done() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.offset == int64(len(p.records)) && p.metadata == ""
}

// table stores batches as ClickHouse does: a token that it has is ignored.
type table struct {
	mu       sync.Mutex
	tokens   map[string]bool
	events   map[event.Origin]int
	rejected map[event.Origin]event.Reason
	step     func() error
	stored   chan struct{} // one for every batch
	largest  int
}

func newTable() *table {
	return &table{
		tokens: map[string]bool{}, events: map[event.Origin]int{}, rejected: map[event.Origin]event.Reason{},
		step: func() error { return nil }, stored: make(chan struct{}, 1<<16),
	}
}

func (s *table) Open() event.Block { return &event.Events{} }

func (s *table) Append(_ context.Context, b event.Batch) error {
	if err := s.step(); err != nil {
		return err
	}
	s.mu.Lock()
	events := *b.Block.(*event.Events)
	s.largest = max(s.largest, len(events))
	if !s.tokens[b.Range.Token()] {
		s.tokens[b.Range.Token()] = true
		for i := range events {
			s.events[events[i].Origin]++
		}
		for _, r := range b.Rejected {
			s.rejected[r.Origin] = r.Reason
		}
	}
	s.mu.Unlock()
	s.stored <- struct{}{}
	return s.step()
}

func (s *table) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.events) + len(s.rejected)
}

type gapLog struct {
	mu       sync.Mutex
	gaps     []Gap
	failures int // of the next calls
}

func (g *gapLog) Append(_ context.Context, gaps ...Gap) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failures--; g.failures >= 0 {
		return errors.New("connection refused")
	}
	g.gaps = append(g.gaps, gaps...)
	return nil
}

func newIngester(t *testing.T, change func(*Config)) *Ingester {
	t.Helper()
	keys, err := redact.LoadOrCreateKey(filepath.Join(t.TempDir(), "keys.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	redactor, err := redact.New(redact.Config{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Redactor: redactor, Gaps: &gapLog{}, FlushInterval: time.Millisecond}
	change(&cfg)
	in, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func clfLines(n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf(`203.0.113.%d - user%d [04/Mar/2026:05:06:%02d +0000] "GET /v1/orders/%d HTTP/1.1" 200 5 "-" "curl/8.5"`, i%200, i%7, i%60, i)
	}
	return lines
}

var errKilled = errors.New("killed")

// killer returns a step function that fails from the n-th step on.
func killer(n int) func() error {
	var mu sync.Mutex
	return func() error {
		mu.Lock()
		defer mu.Unlock()
		if n--; n < 0 {
			return errKilled
		}
		return nil
	}
}

// A process is killed before or after any single thing that it does to Kafka or
// to the store; another takes over, with other batch limits, and is killed in
// turn. In the end every record is stored once.
func TestKilledAnywhereEveryRecordIsStoredOnce(t *testing.T) {
	const records, kills = 60, 40
	lines := clfLines(records)
	lines[17], lines[40] = "not a log line", `{"neither":"this"}`
	for kill := range kills {
		p, sink := newPartition(lines...), newTable()
		for attempt := 0; sink.size() < records || !p.done(); attempt++ {
			if attempt > records {
				t.Fatalf("kill at step %d: no progress: %d stored", kill, sink.size())
			}
			step := killer(kill + 1 + attempt*3)
			sink.step = step
			runOwner(t, p, sink, step, attempt)
		}
		sink.check(t, kill, records)
	}
}

// runOwner ingests until it is killed or has nothing left to do.
func runOwner(t *testing.T, p *partition, sink *table, step func() error, attempt int) {
	t.Helper()
	in := newIngester(t, func(c *Config) {
		c.Sinks, c.BatchEvents = []Sink{sink}, 5+attempt*3%11
		c.Permanent = func(err error) bool { return errors.Is(err, errKilled) }
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := &owner{partition: p, step: step, chunk: 1 + attempt*5%9}
	o.Seek(o.offset)
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx, o) }()
	for {
		select {
		case err := <-done:
			if err != nil && !errors.Is(err, errKilled) {
				t.Fatal(err)
			}
			return
		case <-p.moved:
		}
		if p.done() {
			cancel()
		}
	}
}

func (s *table) check(t *testing.T, kill, records int) {
	t.Helper()
	for offset := range int64(records) {
		o := event.Origin{Topic: "gateway-logs", Offset: offset}
		_, refused := s.rejected[o]
		if n := s.events[o]; n+count(refused) != 1 {
			t.Errorf("kill at step %d: record %d is stored %d times, refused %v", kill, offset, n, refused)
		}
	}
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// A declaration found at the start is replayed with exactly its range, whatever
// the limits of this process.
func TestADeclaredBatchIsReplayedExactly(t *testing.T) {
	p, sink := newPartition(clfLines(30)...), newTable()
	o := &owner{partition: p, step: func() error { return nil }, chunk: 7}
	declared := o.Range(4, 16)
	p.offset, p.metadata = 4, intentOf(declared).String()
	o.Seek(4)
	runOwner(t, p, sink, o.step, 2)
	if !sink.tokens[declared.Token()] {
		t.Error("no batch has the token of the declared range")
	}
	if len(sink.events) != 26 {
		t.Errorf("%d events are stored: want the 26 from offset 4 on", len(sink.events))
	}
}

// A declared batch that is stored is not stored again, even if the store has
// forgotten its token; what comes behind the store in the list gets it.
func TestADeclaredBatchThatIsStoredIsOnlyPassedOn(t *testing.T) {
	p, store, feed := newPartition(clfLines(12)...), newTable(), newTable()
	o := &owner{partition: p, step: func() error { return nil }, chunk: 5}
	p.metadata = intentOf(o.Range(0, 11)).String()
	in := newIngester(t, func(c *Config) {
		c.Sinks = []Sink{store, feed}
		c.Stored = func(context.Context, event.Range) (uint64, uint64, error) { return 12, 0, nil }
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx, o) }()
	for !p.done() {
		<-p.moved
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if store.size() != 0 || feed.size() != 12 {
		t.Errorf("store got %d and feed %d events: want 0 and 12", store.size(), feed.size())
	}
}

// A declaration under another token is another program's: nothing is guessed.
func TestADeclarationUnderAnotherTokenIsRefused(t *testing.T) {
	p := newPartition(clfLines(3)...)
	o := &owner{partition: p, step: func() error { return nil }, chunk: 3}
	i := intentOf(o.Range(0, 2))
	i.token = strings.Repeat("0", 32)
	p.metadata = i.String()
	in := newIngester(t, func(c *Config) { c.Sinks = []Sink{newTable()} })
	if err := in.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "another token") {
		t.Errorf("got %v: want a refusal", err)
	}
}

// However much one look at the partition brings, a batch keeps its limit.
func TestABatchKeepsItsLimit(t *testing.T) {
	p, sink := newPartition(clfLines(100)...), newTable()
	in := newIngester(t, func(c *Config) { c.Sinks, c.BatchEvents = []Sink{sink}, 7 })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx, &owner{partition: p, step: func() error { return nil }, chunk: 64}) }()
	for !p.done() {
		<-p.moved
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if sink.size() != 100 || sink.largest > 7 {
		t.Errorf("%d events in batches of up to %d: want 100, up to 7", sink.size(), sink.largest)
	}
}

// One commit declares a batch and acknowledges the one before.
func TestACommitDeclaresAndAcknowledges(t *testing.T) {
	p, sink := newPartition(clfLines(10)...), newTable()
	runOwner(t, p, sink, func() error { return nil }, 0)
	first, _, found := strings.Cut(p.commits[0], " ")
	if first != "0" || !found || !strings.Contains(p.commits[0], "gh2;"+p.topicID+";0;") {
		t.Errorf("first commit %q: want offset 0 and the declaration of the first batch", p.commits[0])
	}
	if last := p.commits[len(p.commits)-1]; last != "10 " {
		t.Errorf("last commit %q: want offset 10 and no declaration", last)
	}
}

// While the store is away the same batch is tried again, and nothing is lost.
func TestAnOutageOfTheStoreLosesNothing(t *testing.T) {
	p, sink := newPartition(clfLines(20)...), newTable()
	var mu sync.Mutex
	failures := 3
	away := func() error {
		mu.Lock()
		defer mu.Unlock()
		if failures--; failures >= 0 {
			return errors.New("connection refused")
		}
		return nil
	}
	sink.step = away
	runOwner(t, p, sink, func() error { return nil }, 0)
	sink.check(t, 0, 20)
}

// A refusal that no retry mends stops the loop and says why.
func TestAPermanentRefusalStops(t *testing.T) {
	p, sink := newPartition(clfLines(3)...), newTable()
	refusal := errors.New("no such table")
	sink.step = func() error { return refusal }
	in := newIngester(t, func(c *Config) {
		c.Sinks, c.Permanent = []Sink{sink}, func(err error) bool { return errors.Is(err, refusal) }
	})
	err := in.Run(t.Context(), &owner{partition: p, step: func() error { return nil }, chunk: 3})
	if !errors.Is(err, refusal) {
		t.Errorf("got %v: want the refusal", err)
	}
	if p.metadata == "" {
		t.Error("the batch that was not stored is not declared any more")
	}
}

// Offsets that retention removed are recorded and stepped over, also while the
// store is away.
func TestLostOffsetsAreRecorded(t *testing.T) {
	p, sink := newPartition(clfLines(20)...), newTable()
	p.start = 12
	gaps := &gapLog{failures: 2}
	in := newIngester(t, func(c *Config) { c.Sinks, c.Gaps = []Sink{sink}, gaps })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx, &owner{partition: p, step: func() error { return nil }, chunk: 4}) }()
	for sink.size() < 8 {
		<-sink.stored
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if len(gaps.gaps) != 1 || gaps.gaps[0].First != 0 || gaps.gaps[0].Last != 11 || gaps.gaps[0].Reason != GapRetention {
		t.Errorf("gaps %+v: want one, offsets 0 to 11, retention", gaps.gaps)
	}
}

// A declaration of a topic that was deleted since is not replayed on its
// namesake.
func TestADeclarationOfAnotherTopicIsAGap(t *testing.T) {
	p, sink := newPartition(clfLines(5)...), newTable()
	o := &owner{partition: p, step: func() error { return nil }, chunk: 5}
	old := o.Range(50, 70)
	old.TopicID = "ffffffffffffffffffffffffffffffff"
	p.offset, p.metadata = 50, intentOf(old).String()
	gaps := &gapLog{}
	in := newIngester(t, func(c *Config) { c.Sinks, c.Gaps = []Sink{sink}, gaps })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx, o) }()
	for sink.size() < 5 {
		<-sink.stored
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if len(gaps.gaps) != 1 || gaps.gaps[0].Reason != GapRecreated {
		t.Errorf("gaps %+v: want one, topic_recreated", gaps.gaps)
	}
}

func TestForeignMetadataIsRefused(t *testing.T) {
	p := newPartition(clfLines(1)...)
	p.metadata = "some other program's notes"
	in := newIngester(t, func(c *Config) { c.Sinks = []Sink{newTable()} })
	err := in.Run(t.Context(), &owner{partition: p, step: func() error { return nil }, chunk: 1})
	if err == nil || !strings.Contains(err.Error(), "choose another kafka.group") {
		t.Errorf("got %v: want advice to choose another group", err)
	}
}

// A rejection says where and why, and its gateway only if that is one of ours.
func TestARejectionHoldsNoContent(t *testing.T) {
	p, sink := newPartition("s3cr3t"), newTable()
	p.records[0].Headers[0].Value = []byte("s3cr3t-gateway")
	runOwner(t, p, sink, func() error { return nil }, 0)
	if got := sink.rejected[event.Origin{Topic: "gateway-logs"}]; got != event.ReasonUnknownGateway {
		t.Errorf("rejected as %q: want %q", got, event.ReasonUnknownGateway)
	}
	if known("s3cr3t-gateway") != "" || known("clf") != "clf" {
		t.Error("a foreign source type would be stored")
	}
}

func FuzzParseIntent(f *testing.F) {
	r := event.Range{Cluster: "c", TopicID: "0123456789abcdef0123456789abcdef", First: 3, Last: 9}
	f.Add(intentOf(r).String())
	f.Add("gh2;;;;;")
	f.Fuzz(func(t *testing.T, s string) {
		i, declared, err := parseIntent(s)
		if err != nil || !declared {
			return
		}
		if again, _, err := parseIntent(i.String()); err != nil || again != i {
			t.Errorf("%q reads as %+v, which reads as %+v, %v", s, i, again, err)
		}
	})
}
