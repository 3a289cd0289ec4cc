package ingest

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"gatehouse/ingest/event"
	"gatehouse/ingest/redact"
	"gatehouse/ingest/stream"
	"gatehouse/ingest/traffic"
)

// BenchmarkFill is the client's path without Kafka and without the store:
// record → decoded → redacted → in the batch.
func BenchmarkFill(b *testing.B) {
	for _, gateway := range append([]string{""}, traffic.Gateways()...) {
		name := gateway
		if name == "" {
			name = "fleet"
		}
		b.Run(name, func(b *testing.B) { benchmarkFill(b, gateway) })
	}
}

func benchmarkFill(b *testing.B, gateway string) {
	keys, err := redact.LoadOrCreateKey(filepath.Join(b.TempDir(), "keys.yaml"))
	if err != nil {
		b.Fatal(err)
	}
	redactor, err := redact.New(redact.Config{Keys: keys})
	if err != nil {
		b.Fatal(err)
	}
	in, err := New(Config{Redactor: redactor, Sinks: []Sink{&counted{}}, Gaps: &gapLog{}})
	if err != nil {
		b.Fatal(err)
	}
	records, size := benchRecords(b, gateway)
	b.SetBytes(int64(size / len(records)))
	b.ReportAllocs()
	decoder := NewDecoder(in.cfg.Redactor, in.cfg.Clock)
	batch, n := in.newFilling(0), 0
	for b.Loop() {
		if n == len(records) {
			batch, n = in.newFilling(0), 0
		}
		in.fill(decoder, batch, event.Range{Topic: "gateway-logs"}, &records[n])
		n++
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	if len(batch.rejected) > 0 {
		b.Fatalf("%d records were rejected", len(batch.rejected))
	}
}

func benchRecords(b *testing.B, gateway string) (records []stream.Record, size int) {
	for call := range traffic.Scenario(traffic.Config{Seed: 3, Gateway: gateway, Duration: 10 * time.Minute}) {
		line, err := traffic.Encode(call.Raw.Gateway, &call.Raw, traffic.WithCredential)
		if err != nil {
			b.Fatal(err)
		}
		size += len(line)
		records = append(records, stream.Record{
			Offset: int64(len(records)), Value: line, Headers: []stream.Header{{Key: GatewayHeader, Value: []byte(call.Raw.Gateway)}},
		})
	}
	return records, size
}

// counted is a sink whose blocks keep nothing.
type counted struct{ events int }

func (c *counted) Open() event.Block                         { return c }
func (c *counted) Append(context.Context, event.Batch) error { return nil }
func (c *counted) Add(*event.Event)                          { c.events++ }
func (c *counted) Len() int                                  { return c.events }
func (c *counted) Size() int                                 { return 0 }
