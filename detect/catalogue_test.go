package detect

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse/ingest/event"
	"gatehouse/ingest/gateway"
	"gatehouse/ingest/redact"
	"gatehouse/ingest/traffic"
	"gatehouse/rules"
)

// The catalogue on logs, by the whole way of a log line: decoded, redacted,
// sorted, observed.

func newRedactor(t testing.TB) *redact.Redactor {
	t.Helper()
	keys, err := redact.LoadOrCreateKey(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := redact.New(redact.Config{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// line decodes and redacts one line; ok is false when it is refused.
func line(t testing.TB, r *redact.Redactor, format string, record []byte, o event.Origin) (ev event.Event, ok bool) {
	t.Helper()
	gateway.Decode(format, record, func(_ int32, raw *event.Raw) {
		if err := r.Redact(raw, o, &ev); err != nil {
			t.Fatal(err)
		}
		ok = true
	}, func(int32, *event.DecodeError, int) {})
	return ev, ok
}

func readLog(t testing.TB, format, name string) []event.Event {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(name, ".gz") {
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if data, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	}
	r := newRedactor(t)
	var events []event.Event
	for i, l := range bytes.Split(bytes.TrimRight(data, "\n"), []byte("\n")) {
		if ev, ok := line(t, r, format, l, event.Origin{Topic: filepath.Base(name), Offset: int64(i + 1)}); ok {
			events = append(events, ev)
		}
	}
	SortByTime(events)
	return events
}

// found is a finding and the number of the event that brought it.
type found struct {
	at int
	Finding
}

func observeAll(t testing.TB, events []event.Event) []found {
	t.Helper()
	e := NewEngine(EngineConfig{Rules: catalogue(t)})
	var out []found
	for i := range events {
		for _, f := range e.Observe(&events[i]) {
			out = append(out, found{i + 1, f})
		}
	}
	for _, f := range e.Flush() {
		out = append(out, found{len(events), f})
	}
	return out
}

// Two ordinary days of a public site: crawlers, feed readers, dead links, a
// hour's traffic in a minute.
func TestBenignDaysAreQuiet(t *testing.T) {
	events := readLog(t, "clf", "testdata/benign-apache.log.gz")
	if len(events) != 4525 {
		t.Fatalf("%d events read: want 4525", len(events))
	}
	for _, f := range observeAll(t, events) {
		t.Errorf("event %d: %s %s %v: %s", f.at, f.Severity, f.Rule, f.Entity, f.Reason)
	}
}

func TestScannersAreFound(t *testing.T) {
	for _, c := range []struct {
		format, name string
		within       int // events
	}{
		{"clf", "testdata/apache-http-probing.log", 15},
		{"traefik", "testdata/traefik_base-http-scenario.log.gz", 15},
	} {
		got := observeAll(t, readLog(t, c.format, c.name))
		i := slices.IndexFunc(got, func(f found) bool { return f.Rule == "endpoint-probing" })
		if i < 0 || got[i].at > c.within {
			t.Errorf("%s: want endpoint-probing within %d events: got %+v", c.name, c.within, got)
		}
	}
}

// A caller with a new identity on each call is found by its address, wherever
// the identity is sent.
func TestRotatingIdentitiesAreFound(t *testing.T) {
	for _, c := range []struct{ name, user, path, status string }{
		{"token in the query", "-", "/guess-%d?access_token=%032x", "404"},
		{"token that is always refused", "-", "/guess-%d?access_token=%032x", "401"},
		{"session in the path", "-", "/accounts/%d;jsessionid=%032X", "403"},
		{"user name", "user%d", "/login?n=%d&x=%d", "401"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRedactor(t)
			var events []event.Event
			for i := range 20 {
				user := strings.ReplaceAll(c.user, "%d", strconv.Itoa(i))
				text := fmt.Sprintf(`198.51.100.9 - %s [04/Mar/2026:05:06:%02d +0000] "GET %s HTTP/1.1" %s 12 "-" "curl/8.10"`,
					user, i, fmt.Sprintf(c.path, 1000+i, rules.Hash(uint64(i), "identity")), c.status)
				ev, ok := line(t, r, "clf", []byte(text), event.Origin{Topic: "log", Offset: int64(i)})
				if !ok {
					t.Fatalf("refused: %s", text)
				}
				events = append(events, ev)
			}
			got := observeAll(t, events)
			if len(got) != 1 || got[0].Rule != "rotating-identity" || got[0].at != 12 {
				t.Errorf("want one rotating-identity with event 12: got %+v", got)
			}
		})
	}
}

// attackRules is which rule has to find which family, and how soon.
var attackRules = map[string]struct {
	rule   string
	within time.Duration
}{
	traffic.TokenReuse:        {"token-reuse", time.Minute},
	traffic.ObjectEnumeration: {"object-enumeration", 30 * time.Second},
	traffic.EndpointProbing:   {"endpoint-probing", 30 * time.Second},
	traffic.VolumeSpike:       {"volume-spike", time.Minute},
}

// Seeded traffic with one attack of each family, once as the fleet's own
// formats and once as combined logs, in which a token is no more than its
// user's name: every attack is found soon, and nobody else is accused.
func TestAttacksInTraffic(t *testing.T) {
	for _, format := range []string{"", "clf"} {
		name := format
		if name == "" {
			name = "fleet"
		}
		for _, seed := range []uint64{1, 2} {
			t.Run(name, func(t *testing.T) { playTraffic(t, seed, format) })
		}
	}
}

func playTraffic(t *testing.T, seed uint64, format string) {
	const duration = 40 * time.Minute
	cfg := traffic.Config{
		Seed: seed, Duration: duration, Rate: 12, Gateway: format,
		Start: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC), Attacks: traffic.OneOfEach(duration),
	}
	r := newRedactor(t)
	attack := map[int64]string{} // by offset
	begin := map[string]int64{}
	var events []event.Event
	offset := int64(0)
	for c := range traffic.Scenario(cfg) {
		record, err := traffic.Encode(c.Raw.Gateway, &c.Raw)
		if err != nil {
			t.Fatal(err)
		}
		offset++
		ev, ok := line(t, r, c.Raw.Gateway, record, event.Origin{Topic: "gateway-logs", Offset: offset})
		if !ok {
			t.Fatalf("line %d of %s is refused", offset, c.Raw.Gateway)
		}
		if c.Attack != "" {
			attack[offset] = c.Attack
			if _, ok := begin[c.Attack]; !ok {
				begin[c.Attack] = ev.TS
			}
		}
		events = append(events, ev)
	}
	SortByTime(events)
	judge(t, observeAll(t, events), attack, begin)
}

// judge compares findings with the labels of their evidence.
func judge(t *testing.T, got []found, attack map[int64]string, begin map[string]int64) {
	t.Helper()
	seen := map[string]bool{}
	noise := 0
	for _, f := range got {
		about := ""
		for _, o := range f.Evidence {
			if a := attack[o.Offset]; a != "" {
				about = a
			}
		}
		want := attackRules[about]
		switch {
		case about == "" && f.Severity.Rank() >= rules.High.Rank():
			t.Errorf("nobody did it: %s %s %v: %s", f.Severity, f.Rule, f.Entity, f.Reason)
		case about == "":
			noise++
			t.Logf("noise: %s %s %v: %s", f.Severity, f.Rule, f.Entity, f.Reason)
		case f.Rule == want.rule && !seen[about]:
			seen[about] = true
			if took := time.Duration(f.At-begin[about]) * time.Microsecond; took > want.within {
				t.Errorf("%s found after %s: want within %s", about, took, want.within)
			}
		}
	}
	for _, family := range traffic.Families() {
		if !seen[family] {
			t.Errorf("%s not found", family)
		}
	}
	if noise > 1 {
		t.Errorf("%d findings about nobody: want at most 1", noise)
	}
}
