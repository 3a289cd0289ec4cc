package redact

import (
	"syscall"
	"testing"
	"time"

	"gatehouse/ingest/event"
)

const benchJWT = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6IjIwMjYtMDEifQ." +
	"eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlLmNvbS8iLCJhdWQiOiJvcmRlcnMiLCJzdWIiOiI0MiIsImV4cCI6MTgwMDAwMDAwMH0." +
	"c2lnbmF0dXJlLXNpZ25hdHVyZS1zaWduYXR1cmUtc2lnbmF0dXJlLXNpZ25hdHVyZQ"

const benchAgent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"

// benchRaws are the kinds of record that gateways write most.
func benchRaws() map[string]event.Raw {
	plain := event.NewRaw("clf")
	plain.Method, plain.Path, plain.Status, plain.Client = "GET", "/images/logo.png", 200, "203.0.113.9"
	plain.HTTPVersion, plain.Principal, plain.UserAgent = "HTTP/1.1", "alice", benchAgent

	opaque := plain
	opaque.Gateway, opaque.Host, opaque.Path, opaque.Query = "kong", "api.example.com", "/v1/users/4711/orders/550e8400-e29b-41d4-a716-446655440000", "page=2&limit=50&q=blue+shoes"
	opaque.Authorization, opaque.Principal = "Bearer 8f7a6s5d4f3g2h1j0k9l8m7n6b5v4c3x", ""
	opaque.RequestID, opaque.Service, opaque.RouteID = "6d6e08ba-02a3-4a26-968a-2183aa33a56d", "orders", "orders-v1"
	opaque.Referer = "https://shop.example.com/cart?session=abc"
	opaque.Headers = []event.Label{{Name: "accept", Value: "application/json"}, {Name: "x-internal", Value: "1"}}

	jwt := opaque
	jwt.Authorization, jwt.Cookie = "Bearer "+benchJWT, "theme=dark; JSESSIONID=0A1B2C3D4E5F60718293A4B5C6D7E8F9"
	return map[string]event.Raw{"access-line": plain, "opaque-token": opaque, "jwt-and-session": jwt}
}

func BenchmarkRedact(b *testing.B) {
	r := fixedRedactor(b)
	for _, name := range []string{"access-line", "opaque-token", "jwt-and-session"} {
		raw := benchRaws()[name]
		b.Run(name, func(b *testing.B) {
			var e event.Event
			b.ReportAllocs()
			defer reportCPU(b, processCPU(b))
			for b.Loop() {
				if err := r.Redact(&raw, event.Origin{Topic: "t"}, &e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// processCPU is the processor time used so far: on a busy machine it tells more
// than the clock.
func processCPU(b *testing.B) time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

func reportCPU(b *testing.B, start time.Duration) {
	b.ReportMetric(float64(processCPU(b)-start)/float64(b.N), "cpu-ns/op")
}

func BenchmarkFind(b *testing.B) {
	agent, reason := benchAgent, "upstream connect error or disconnect/reset before headers. reset reason: connection failure, transport failure reason: delayed connect error: 111"
	for name, text := range map[string]string{"agent": agent, "reason": reason} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			defer reportCPU(b, processCPU(b))
			for b.Loop() {
				if find(text, 0).end != 0 {
					b.Fatal("a hit in clean text")
				}
			}
		})
	}
}

func BenchmarkFingerprint(b *testing.B) {
	fp := newFingerprinter(newKey("k1", [keySize]byte{}))
	b.ReportAllocs()
	defer reportCPU(b, processCPU(b))
	for b.Loop() {
		fp.sumHashed("tenant", ClassToken, fp.hash("8f7a6s5d4f3g2h1j0k9l8m7n6b5v4c3x8f7a6s5d4f3"))
	}
}
