package ingest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"gatehouse/ingest/event"
	"gatehouse/ingest/redact"
	"gatehouse/ingest/traffic"
)

// BenchmarkDecode is JSON or line → redacted event: what the client spends on an event beside fetching and encoding.
// cpu-ns/op is processor time, which means something on a busy machine too.
func BenchmarkDecode(b *testing.B) {
	b.Run("canonical-477B", func(b *testing.B) { benchmarkDecode(b, canonicalCalls(b)) })
	b.Run("canonical-hash", func(b *testing.B) { benchmarkDecode(b, hashedCalls(b)) })
	for _, name := range traffic.Gateways() {
		b.Run(name, func(b *testing.B) { benchmarkDecode(b, trafficCalls(b, name)) })
	}
}

type benchCall struct {
	gateway string
	record  []byte
}

func benchmarkDecode(b *testing.B, calls []benchCall) {
	keys, err := redact.LoadOrCreateKey(filepath.Join(b.TempDir(), "keys.yaml"))
	if err != nil {
		b.Fatal(err)
	}
	redactor, err := redact.New(redact.Config{Keys: keys})
	if err != nil {
		b.Fatal(err)
	}
	decoder, out := NewDecoder(redactor, time.Now), &tally{}
	size := 0
	for _, c := range calls {
		size += len(c.record)
	}
	b.SetBytes(int64(size / len(calls)))
	b.ReportAllocs()
	from, n := processorTime(b), 0
	for b.Loop() {
		c := &calls[n%len(calls)]
		decoder.Decode(c.gateway, event.Origin{Topic: "t", Offset: int64(n)}, c.record, out)
		n++
	}
	b.ReportMetric(float64(processorTime(b)-from)/float64(n), "cpu-ns/op")
	b.ReportMetric(float64(size)/float64(len(calls)), "B/record")
	if out.rejected > 0 {
		b.Fatalf("%d records were rejected, the last: %s", out.rejected, out.reason)
	}
}

// tally counts what is decoded.
type tally struct {
	events, rejected int
	reason           event.Reason
}

func (t *tally) Take(*event.Event)        { t.events++ }
func (t *tally) Reject(r event.Rejection) { t.rejected++; t.reason = r.Reason }

func processorTime(b *testing.B) int64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return used.Utime.Nano() + used.Stime.Nano()
}

// hashedCalls are the same from a gateway that hashes tokens itself.
func hashedCalls(b *testing.B) []benchCall {
	calls := canonicalCalls(b)
	for i := range calls {
		at := bytes.Index(calls[i].record, []byte(`"authorization":"`))
		end := at + len(`"authorization":"Bearer 0123456789abcdef"`)
		hash := fmt.Sprintf(`"token_hash":"%x"`, sha256.Sum256(calls[i].record[at:end]))
		calls[i].record = slices.Concat(calls[i].record[:at], []byte(hash), calls[i].record[end:])
	}
	return calls
}

// canonicalCalls are API calls of 20,000 users in the canonical format, 18
// members and 477 bytes on average.
func canonicalCalls(b *testing.B) []benchCall {
	r := rand.New(rand.NewPCG(1, 2))
	resources := []string{"orders", "invoices", "customers", "carts", "products", "payments", "refunds", "shipments"}
	agents := []string{"ShopApp/7.2.2 (iOS 18.6; iPhone16,2)", "python-requests/2.31.3", "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0"}
	var calls []benchCall
	for n := range 20_000 {
		raw := event.NewRaw("canonical")
		raw.TS, raw.Tenant, raw.Principal = 1_764_000_000_000_000+int64(n)*1000, fmt.Sprintf("tenant-%02d", n%40), fmt.Sprintf("user-%05d", n)
		raw.RequestID = fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64())
		raw.Method, raw.Host = "GET", "api.example.com"
		resource := resources[r.IntN(len(resources))]
		raw.Route, raw.Path = "/v1/"+resource+"/{id}", fmt.Sprintf("/v1/%s/%d", resource, 100_000+r.IntN(2_000_000))
		raw.Query, raw.Service = fmt.Sprintf("page=%d&limit=50", 1+r.IntN(9)), resource
		raw.Status, raw.RespBytes, raw.LatencyUS = 200, int64(200+r.IntN(20_000)), int64(800+r.IntN(40_000))
		raw.Client = fmt.Sprintf("100.%d.%d.%d", 64+n%64, n/64%250, 1+r.IntN(3))
		raw.UserAgent, raw.AuthType = agents[n%len(agents)], event.AuthOAuth2
		raw.Authorization = fmt.Sprintf("Bearer %016x", r.Uint64())
		line, err := traffic.Append(nil, raw.Gateway, &raw)
		if err != nil {
			b.Fatal(err)
		}
		calls = append(calls, benchCall{"canonical", line})
	}
	return calls
}

// trafficCalls are ten minutes of a simulated shop, as a gateway writes them.
func trafficCalls(b *testing.B, gateway string) []benchCall {
	var calls []benchCall
	for call := range traffic.Scenario(traffic.Config{Seed: 3, Gateway: gateway, Duration: 10 * time.Minute}) {
		line, err := traffic.Encode(call.Raw.Gateway, &call.Raw, traffic.WithCredential)
		if err != nil {
			b.Fatal(err)
		}
		calls = append(calls, benchCall{call.Raw.Gateway, line})
	}
	return calls
}
