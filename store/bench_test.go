package store

import (
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"

	"gatehouse/ingest/event"
	"gatehouse/ingest/gateway"
	"gatehouse/ingest/redact"
	"gatehouse/ingest/traffic"
)

// BenchmarkIngest is the client's way from a record of Kafka to what ClickHouse
// is sent, stage by stage and whole; fetching is in ingest/stream. cpu-ns/op is
// processor time per event, which means something on a busy machine too.
func BenchmarkIngest(b *testing.B) {
	calls := newCalls(b)
	nothing, redact, add := func(int32, *event.Raw) {}, calls.redact, calls.add // a function value costs an allocation
	b.Run("decode", func(b *testing.B) {
		calls.run(b, func(record []byte) { calls.decode(record, nothing) })
	})
	b.Run("decode+redact", func(b *testing.B) {
		calls.run(b, func(record []byte) { calls.decode(record, redact) })
	})
	b.Run("decode+redact+block", func(b *testing.B) {
		calls.run(b, func(record []byte) { calls.decode(record, add) })
	})
	for _, lz4 := range []bool{false, true} {
		b.Run(fmt.Sprintf("whole,lz4=%v", lz4), func(b *testing.B) {
			calls.run(b, func(record []byte) {
				calls.decode(record, add)
				if calls.block.rows == blockRows {
					calls.send(b, lz4)
				}
			})
		})
	}
}

// blockRows is about what fits into a batch of the default memory.
const blockRows = 100_000

// calls are API calls of 20,000 users in the canonical format, 477 bytes each on
// average, and what a client works on them with.
type calls struct {
	records  [][]byte
	bytes    int
	reader   gateway.Reader
	redactor *redact.Redactor
	event    event.Event
	block    *block
	b        *testing.B
	reject   func(int32, *event.DecodeError, int)
}

func newCalls(b *testing.B) *calls {
	keys, err := redact.LoadOrCreateKey(filepath.Join(b.TempDir(), "keys.yaml"))
	if err != nil {
		b.Fatal(err)
	}
	c := &calls{block: newBlock(), b: b}
	c.reject = func(_ int32, err *event.DecodeError, _ int) { c.b.Fatal(err) }
	if c.redactor, err = redact.New(redact.Config{Keys: keys}); err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 20_000 {
		raw := benchCall(r, n)
		line, err := traffic.Append(nil, raw.Gateway, &raw)
		if err != nil {
			b.Fatal(err)
		}
		c.records, c.bytes = append(c.records, line), c.bytes+len(line)
	}
	return c
}

func benchCall(r *rand.Rand, n int) event.Raw {
	resources := []string{"orders", "invoices", "customers", "carts", "products", "payments", "refunds", "shipments"}
	agents := []string{"ShopApp/7.2.2 (iOS 18.6; iPhone16,2)", "python-requests/2.31.3", "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0"}
	resource := resources[r.IntN(len(resources))]
	raw := event.NewRaw("canonical")
	raw.TS, raw.Tenant, raw.Principal = 1_764_000_000_000_000+int64(n)*1000, fmt.Sprintf("tenant-%02d", n%40), fmt.Sprintf("user-%05d", n)
	raw.RequestID = fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64())
	raw.Method, raw.Host = "GET", "api.example.com"
	raw.Route, raw.Path = "/v1/"+resource+"/{id}", fmt.Sprintf("/v1/%s/%d", resource, 100_000+r.IntN(2_000_000))
	raw.Query, raw.Service = fmt.Sprintf("page=%d&limit=50", 1+r.IntN(9)), resource
	raw.Status, raw.RespBytes, raw.LatencyUS = 200, int64(200+r.IntN(20_000)), int64(800+r.IntN(40_000))
	raw.Client = fmt.Sprintf("100.%d.%d.%d", 64+n%64, n/64%250, 1+r.IntN(3))
	raw.UserAgent, raw.AuthType = agents[n%len(agents)], event.AuthOAuth2
	raw.Authorization = fmt.Sprintf("Bearer %016x", r.Uint64())
	return raw
}

// run does something with one record after the other.
func (c *calls) run(b *testing.B, do func(record []byte)) {
	b.SetBytes(int64(c.bytes / len(c.records)))
	b.ReportAllocs()
	c.block.reset()
	n, from := 0, processorTime(b)
	for b.Loop() {
		do(c.records[n%len(c.records)])
		n++
	}
	spent := processorTime(b) - from
	b.ReportMetric(float64(spent)/float64(n), "cpu-ns/op")
	b.ReportMetric(float64(n)/float64(spent)*1e9, "events/cpu-s")
}

func (c *calls) decode(record []byte, emit func(int32, *event.Raw)) {
	c.reader.Decode("canonical", record, emit, c.reject)
}

func (c *calls) redact(index int32, raw *event.Raw) {
	if err := c.redactor.Redact(raw, event.Origin{Topic: "gateway-logs", Offset: int64(c.block.rows), Index: index}, &c.event); err != nil {
		c.b.Fatal(err)
	}
}

func (c *calls) add(index int32, raw *event.Raw) {
	c.redact(index, raw)
	if c.block.Add(&c.event); c.block.rows > blockRows {
		c.block.reset()
	}
}

// send encodes the block as for ClickHouse, and begins the next.
func (c *calls) send(b *testing.B, lz4 bool) {
	var body io.Reader = newBlockReader(c.block.inputs(), c.block.rows)
	if lz4 {
		body = newFrameReader(body)
	}
	if _, err := io.Copy(io.Discard, body); err != nil {
		b.Fatal(err)
	}
	c.block.reset()
}

func processorTime(b *testing.B) int64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return used.Utime.Nano() + used.Stime.Nano()
}

// BenchmarkAppend is the ledger and the embedded engine together.
func BenchmarkAppend(b *testing.B) {
	db, err := Open(b.Context(), backends["embedded"].cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	const perBatch = 50_000
	var batch rows
	for i := range perBatch {
		e := event.Event{TS: baseTime.UnixMicro() + int64(i)*1000, Path: "/v1/orders/17", Status: 200, Method: "GET", Principal: fmt.Sprint("user", i%977)}
		batch.Events = append(batch.Events, e)
	}
	ledger := db.Ledger()
	b.ReportAllocs()
	for b.Loop() {
		batch.Range.First += perBatch
		if err := batch.append(b.Context(), ledger); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*perBatch/b.Elapsed().Seconds(), "rows/s")
}
