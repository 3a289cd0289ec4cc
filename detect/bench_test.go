package detect

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"gatehouse/ingest/event"
)

// benchEvents is a mix of callers, routes and outcomes, in event time.
func benchEvents(n, actors int) []event.Event {
	events := make([]event.Event, n)
	agents := []string{"Mozilla/5.0 (X11; Linux x86_64) Chrome/141.0", "Go-http-client/2.0", "Mozilla/5.0 (iPhone) Mobile Safari/604.1"}
	for i := range events {
		h := uint64(i) * 0x9e3779b97f4a7c15 >> 32
		actor := int(h % uint64(actors))
		ev := &events[i]
		*ev = event.Event{
			Kind: event.KindAccess, TS: int64(i) * 50, Method: "GET", Host: "api.example.com", Status: 200,
			Path: fmt.Sprintf("/v1/accounts/%d", actor*3+i%3), Route: "/v1/accounts/{account_id}",
			Objects:   []event.Object{{Name: "account_id", Ref: fmt.Sprint(actor*3 + i%3)}},
			Principal: fmt.Sprintf("user-%d", actor), TokenFP: fmt.Sprintf("%032x", actor),
			ClientIP:  netip.AddrFrom4([4]byte{100, 64, byte(actor >> 8), byte(actor)}),
			UserAgent: agents[actor%3], UAFamily: []string{"Chrome", "Go-http-client", "Mobile Safari"}[actor%3],
			ReqBytes: event.Absent, RespBytes: 1200, LatencyUS: 20_000, UpstreamLatencyUS: event.Absent,
			Origin: event.Origin{Topic: "gateway-logs", Partition: 0, Offset: int64(i)},
		}
		if h%50 == 0 {
			ev.Status = 404
		}
		ev.Complete()
	}
	return events
}

// BenchmarkEngine is the whole catalogue over decoded events, on one core.
func BenchmarkEngine(b *testing.B) {
	for _, actors := range []int{1_000, 50_000} {
		b.Run(fmt.Sprintf("actors=%d", actors), func(b *testing.B) {
			events := benchEvents(200_000, actors)
			e := NewEngine(EngineConfig{Rules: catalogue(b)})
			turn := int64(len(events)) * 50 // µs: each time round, the events are that much later
			for i := range events {         // every entity is known before the clock starts
				e.Observe(&events[i])
				events[i].TS += turn
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				e.Observe(&events[i])
				events[i].TS += turn
				if i++; i == len(events) {
					i = 0
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkEntity is the memory of what the whole catalogue remembers of one
// caller, in bytes per caller: all rules and a few values each.
func BenchmarkEntity(b *testing.B) {
	const actors = 50_000
	events := benchEvents(200_000, actors)
	for b.Loop() {
		before := heap()
		e := NewEngine(EngineConfig{Rules: catalogue(b)})
		for i := range events {
			e.Observe(&events[i])
		}
		b.ReportMetric(float64(heap()-before)/actors, "B/caller")
		runtime.KeepAlive(e)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
