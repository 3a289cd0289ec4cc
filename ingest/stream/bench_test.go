package stream

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
	"golang.org/x/sys/unix"

	"gatehouse/deploy/embedded"
)

// benchLine is a JSON access event of 460 bytes with values that vary as they do
// in life.
func benchLine(i int) []byte {
	line := fmt.Appendf(nil, `{"ts":"2026-11-24T10:%02d:%02d.%03dZ","request_id":"%032x","method":"GET","host":"api.example.com","path":"/v1/orders/%d/items","status":%d,"latency_ms":%d,"client_ip":"203.0.113.%d","consumer":"user-%d"`,
		i/60%60, i%60, i%1000, i*2654435761, i%100_000, 200+i%5, i%900, i%250, i%20_000)
	return fmt.Appendf(line, `,"user_agent":"%s"}`, strings.Repeat("Mozilla/5.0 (X11; Linux x86_64) ", 12)[:460-len(line)-17])
}

func benchCluster(b *testing.B) *cluster {
	e, err := embedded.Start(b.Context(), embedded.Config{Dir: b.TempDir(), NoClickHouse: true, KafkaAddr: "127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := e.Close(); err != nil {
			b.Error(err)
		}
	})
	return newCluster(b, e.Kafka()).withTopic(1)
}

// BenchmarkFetch reads 100,000 records of 460 bytes over and over: fetch, unpack,
// check, filter, copy out. The broker is kfake in this process, whose work is
// counted too.
func BenchmarkFetch(b *testing.B) {
	benchFetch(b, benchCluster(b))
}

// BenchmarkFetchKafka is the same with Apache Kafka in a process of its own.
func BenchmarkFetchKafka(b *testing.B) {
	benchFetch(b, newCluster(b, requireBroker(b).Addr()).withTopic(1))
}

func benchFetch(b *testing.B, k *cluster) {
	const records = 100_000
	msgs := make([]Message, records)
	for i := range msgs {
		msgs[i].Value = benchLine(i)
	}
	if err := k.out.AppendTo(b.Context(), k.topic, 0, msgs...); err != nil {
		b.Fatal(err)
	}
	defer live()()
	f := fetcher{link: k.admin.link, topic: k.topic, life: b.Context()}
	b.SetBytes(460)
	n, position := 0, int64(0)
	before := cpuTime(b)
	for b.Loop() {
		if n > 0 { // one record per iteration, in the batches they come in
			n--
			continue
		}
		if position == records {
			position = 0
		}
		got, err := f.fetch(b.Context(), position)
		if err != nil {
			b.Fatal(err)
		}
		n, position = len(got.records)-1, got.next
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(b.N)/(cpuTime(b)-before).Seconds(), "records/cpu-s")
}

// live is what an ingester holds besides: its batches. Without it the garbage
// collector would run after every few fetches and be most of what is measured.
func live() (release func()) {
	held := make([]byte, 64<<20)
	return func() { runtime.KeepAlive(held) }
}

// BenchmarkUnpack unpacks a batch of 1,000 records, the short way and by the
// library's reader.
func BenchmarkUnpack(b *testing.B) {
	values := make([]string, 1000)
	for i := range values {
		values[i] = string(benchLine(i))
	}
	batch, _, err := cutBatch(pack(b, kafka.Lz4, values...))
	if err != nil {
		b.Fatal(err)
	}
	for name, unpack := range map[string]func(u *unpacker) ([]byte, error){
		"frame": func(u *unpacker) ([]byte, error) { return u.unpack(&batch) },
		"library": func(u *unpacker) ([]byte, error) {
			in := compress.Lz4.Codec().NewReader(bytes.NewReader(batch.records))
			defer in.Close()
			return readAll(in, make([]byte, 0, u.room(len(batch.records))), u.limit)
		},
	} {
		b.Run(name, func(b *testing.B) {
			defer live()()
			u := &unpacker{limit: DefaultMaxDecompressed}
			if _, err := u.unpack(&batch); err != nil {
				b.Fatal(err)
			}
			before := cpuTime(b)
			for b.Loop() {
				if _, err := unpack(u); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/float64(b.N)/float64(len(values)), "cpu-ns/record")
		})
	}
}

// cpuTime is what this process has used of the processors: on a busy machine the
// clock says little.
func cpuTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkAppend writes batches of 1,000 records of 460 bytes that all replicas
// acknowledge; kfake syncs each to disk.
func BenchmarkAppend(b *testing.B) {
	k := benchCluster(b)
	msgs := make([]Message, 1000)
	for i := range msgs {
		msgs[i].Value = benchLine(i)
	}
	b.SetBytes(460 * 1000)
	for b.Loop() {
		if err := k.out.AppendTo(b.Context(), k.topic, 0, msgs...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(msgs))/b.Elapsed().Seconds(), "records/s")
}
