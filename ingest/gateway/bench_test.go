package gateway

import (
	"syscall"
	"testing"

	"gatehouse/ingest/event"
)

// BenchmarkDecode measures the whole path of one record, per format, on a real
// line of each.
func BenchmarkDecode(b *testing.B) {
	for _, c := range []struct {
		label, name, file string
		line              int
	}{
		{"canonical", "canonical", "testdata/canonical/typical.jsonl", 1},
		{"kong", "kong", "testdata/kong/log-format.jsonl", 1},
		{"traefik", "traefik", "testdata/traefik/traefik_json.log", 5},
		{"traefik-clf", "traefik", "testdata/traefik/traefik_clf.log", 2},
		{"envoy-gateway", "envoy", "testdata/envoy/envoy-gateway.jsonl", 1},
		{"envoy-cri", "envoy", "testdata/envoy/envoy.log", 1},
		{"istio", "envoy", "testdata/envoy/istio-json.jsonl", 1},
		{"istio-text", "envoy", "testdata/envoy/istio-text.log", 1},
		{"nginx", "nginx", "testdata/nginx/json.jsonl", 1},
		{"nginx-combined", "nginx", "testdata/nginx/nginx_http-logs.log", 3},
		{"clf", "clf", "testdata/clf/apache2-logs.log", 3},
		{"sniffed-kong", "", "testdata/kong/log-format.jsonl", 1},
		{"sniffed-clf", "", "testdata/clf/apache2-logs.log", 3},
	} {
		b.Run(c.label, func(b *testing.B) {
			record := fixtureLines(b, c.file)[c.line-1]
			benchmarkRecord(b, c.name, record)
		})
	}
}

func benchmarkRecord(b *testing.B, name string, record []byte) {
	events := 0
	emit := func(int32, *event.Raw) { events++ }
	reject := func(_ int32, err *event.DecodeError, _ int) { b.Fatal(err) }
	b.SetBytes(int64(len(record)))
	b.ReportAllocs()
	from := cpuTime(b)
	var r Reader
	for b.Loop() {
		r.Decode(name, record, emit, reject)
	}
	b.ReportMetric(float64(cpuTime(b)-from)/float64(events), "cpu-ns/op")
}

// cpuTime is the processor time that the process has used, in ns: unlike the
// wall's it means something on a machine that is busy otherwise. It counts the
// garbage collector's.
func cpuTime(b *testing.B) int64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return used.Utime.Nano() + used.Stime.Nano()
}

// BenchmarkSkip measures the scanner alone.
func BenchmarkSkip(b *testing.B) {
	record := fixtureLines(b, "testdata/kong/log-format.jsonl")[0]
	b.SetBytes(int64(len(record)))
	b.ReportAllocs()
	for b.Loop() {
		s := newScanner(new(memory), record)
		s.skip()
		if err := s.end(); err != nil {
			b.Fatal(err)
		}
	}
}
