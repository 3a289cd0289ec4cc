package traffic

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"gatehouse/ingest/event"
)

// Whatever a call holds, a JSON line is one line of JSON.
func FuzzEncodeIsOneLine(f *testing.F) {
	f.Add("/a\"b\\c", "q=\n", "agent\x00", "ana\u2028", int64(1))
	f.Add("", "%", "\xff", "", int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, path, query, agent, principal string, latency int64) {
		r := event.NewRaw("")
		r.Path, r.Query, r.UserAgent, r.Principal, r.LatencyUS = path, query, agent, principal, latency%1e12
		r.Client, r.Peer = "203.0.113.7", "203.0.113.7"
		for _, gateway := range Gateways() {
			line, err := Encode(gateway, &r, WithCredential)
			if err != nil {
				t.Fatal(err)
			}
			if strings.ContainsAny(string(line), "\n\r") {
				t.Errorf("%s: a line break in the line", gateway)
			}
			if gateway != "clf" && (!json.Valid(line) || !utf8.Valid(line)) {
				t.Errorf("%s: not JSON: %q", gateway, line)
			}
		}
	})
}

func TestEncodeNamesTheGateways(t *testing.T) {
	r := event.NewRaw("")
	if _, err := Encode("caddy", &r); err == nil || !strings.Contains(err.Error(), `gateway "caddy": want one of [canonical clf envoy`) {
		t.Errorf("got %v, want an error that lists the gateways", err)
	}
}

// Every host of the scenario has a gateway that Encode knows.
func TestFleetIsEncodable(t *testing.T) {
	seen := map[string]bool{}
	for c := range Scenario(Config{Seed: 2, Duration: 10 * time.Minute}) {
		if seen[c.Raw.Gateway] {
			continue
		}
		seen[c.Raw.Gateway] = true
		if _, err := Encode(c.Raw.Gateway, &c.Raw); err != nil {
			t.Error(err)
		}
	}
	if len(seen) != 5 {
		t.Errorf("gateways %v: want five", seen)
	}
}
