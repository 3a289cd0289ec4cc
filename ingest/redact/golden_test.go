package redact

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"gatehouse/ingest/event"

	"github.com/google/go-cmp/cmp"
)

var rewrite = flag.Bool("rewrite", false, "write golden files")

// full is a record with everything in it.
func full() event.Raw {
	raw := event.NewRaw("kong")
	raw.TS, raw.TSSrc, raw.GatewayID, raw.Tenant = 1_795_000_000_000_000, event.TimeStart, "edge-1", "acme"
	raw.RequestID, raw.TraceID = "6d6e08ba-02a3-4a26-968a-2183aa33a56d", "0af7651916cd43dd8448eb211c80319c"
	raw.Method, raw.Scheme, raw.HTTPVersion, raw.Host = "post", "https", "HTTP/1.1", "API.example.org:443"
	raw.Path, raw.Query = "/v1/users/jo%40example.org/orders/42;v=1", "page=2&q=blue+shoes&access_token=abc123"
	raw.RouteID, raw.Service, raw.APIVersion, raw.Upstream = "orders-v1", "orders", "v1", "10.0.0.7:8080"
	raw.Status, raw.UpstreamStatus, raw.ErrorReason = 401, 401, "bad token "+benchJWT
	raw.ReqBytes, raw.RespBytes, raw.BytesScope, raw.LatencyUS, raw.UpstreamLatencyUS = 120, 512, event.BytesTotal, 1500, 1200
	raw.Client, raw.Peer, raw.XFF = "203.0.113.9", "10.0.0.1", []string{"203.0.113.9"}
	raw.UserAgent, raw.Referer = benchAgent, "https://shop.example.org/cart?sid=1"
	raw.Principal, raw.ClientID, raw.CredentialID = "Jo@Example.org", "shop-app", uuidInURL
	raw.Authorization, raw.APIKey, raw.Cookie = "Bearer "+benchJWT, "0123456789abcdef0123", "theme=dark; JSESSIONID=A1B2C3"
	raw.TLSVersion, raw.TLSFP, raw.MTLSSubject = "TLSv1.3", "e7d705a3286e19ea42f587b344ee6865", "CN=shop,emailAddress=ops@example.org"
	raw.Headers = []event.Label{{Name: "accept", Value: "application/json"}, {Name: "x-secret", Value: "hunter2"}}
	raw.Labels = []event.Label{{Name: "zone", Value: "eu-1"}}
	raw.Quality = []string{"ts_tz_assumed"}
	return raw
}

// Whole events, as they are stored.
func TestGolden(t *testing.T) {
	records := map[string]event.Raw{"full": full(), "empty": event.NewRaw("clf")}
	for name, raw := range benchRaws() {
		records[name] = raw
	}
	for name, raw := range records {
		e := redactOne(t, fixedRedactor(t), raw)
		var got bytes.Buffer
		if err := json.Indent(&got, e.AppendJSON(nil), "", "  "); err != nil {
			t.Fatal(err)
		}
		got.WriteByte('\n')
		path := filepath.Join("testdata", "events", name+".json")
		if *rewrite {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// One redactor serves many goroutines, and what one event was never shows in
// another.
func TestConcurrentUse(t *testing.T) {
	r := fixedRedactor(t)
	want := map[string]string{}
	for name, raw := range benchRaws() {
		e := redactOne(t, r, raw)
		want[name] = string(e.AppendJSON(nil))
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				for name, raw := range benchRaws() {
					var e event.Event
					err := r.Redact(&raw, event.Origin{Topic: "t", Offset: 1}, &e)
					if got := string(e.AppendJSON(nil)); err != nil || got != want[name] {
						t.Errorf("%s: %v\n got %s\nwant %s", name, err, got, want[name])
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

// A record that redaction cannot take apart is refused, never passed on, and the
// next one is not affected.
func TestPanicIsARefusal(t *testing.T) {
	r := fixedRedactor(t)
	e := event.Event{Path: "/left/from/before"}
	err := r.Redact(nil, event.Origin{}, &e)
	var refused *event.DecodeError
	if !errors.As(err, &refused) || refused.Reason != event.ReasonRedaction {
		t.Errorf("error %v: want a DecodeError of reason redaction", err)
	}
	if diff := cmp.Diff(event.Event{}, e, cmp.Comparer(func(a, b event.Event) bool { return a.Path == b.Path && a.TS == b.TS && a.Origin == b.Origin })); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	raw := full()
	if e := redactOne(t, r, raw); e.Principal == "" {
		t.Error("the next record is not redacted")
	}
}

// Every field of an event is filled from a record that has everything, but for
// those that are looked up later.
func TestEveryFieldIsFilled(t *testing.T) {
	raw := full()
	raw.Route, raw.RouteSrc = "/v1/users/{id}/orders/{order}", event.RouteGateway
	raw.Client = "gate-7.example.org"
	names := redactOne(t, fixedRedactor(t), raw)
	raw.Client, raw.Outcome = "203.0.113.9", event.OutcomeBlocked
	e := redactOne(t, fixedRedactor(t), raw)
	var members map[string]any
	if err := json.Unmarshal(e.AppendJSON(nil), &members); err != nil {
		t.Fatal(err)
	}
	members["client_host"] = names.ClientHost
	later := map[string]bool{"client_asn": true, "client_as_org": true, "client_country": true, "data_class": true}
	for _, f := range event.Fields() {
		if v := members[f.Name]; (v == nil || v == "") != later[f.Name] {
			t.Errorf("field %s is %v", f.Name, v)
		}
	}
}
