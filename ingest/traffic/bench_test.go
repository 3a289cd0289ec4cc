package traffic

import (
	"testing"
	"time"
)

// BenchmarkEncode makes and encodes calls: what feeding a pipeline costs.
func BenchmarkEncode(b *testing.B) {
	for _, gateway := range Gateways() {
		b.Run(gateway, func(b *testing.B) {
			b.ReportAllocs()
			var buf []byte
			var size, n int
			cfg := Config{Seed: 1, Rate: 200, Duration: 100 * time.Hour, Gateway: gateway}
			for c := range Scenario(cfg) {
				if n == b.N {
					break
				}
				var err error
				if buf, err = Append(buf[:0], gateway, &c.Raw); err != nil {
					b.Fatal(err)
				}
				size += len(buf)
				n++
			}
			b.ReportMetric(float64(size)/float64(n), "B/event")
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkScenario makes calls and leaves them.
func BenchmarkScenario(b *testing.B) {
	b.ReportAllocs()
	n := 0
	for range Scenario(Config{Seed: 1, Rate: 200, Duration: 100 * time.Hour, Attacks: OneOfEach(time.Hour)}) {
		if n++; n == b.N {
			break
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}
