package gateway

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gatehouse/ingest/event"

	"github.com/google/go-cmp/cmp"
)

const sampleLine = `10.0.0.1 - - [29/Sep/2021:14:11:34 +0200] "GET /a HTTP/1.1" 200 9 "-" "-"`

// tally decodes a record and counts its events and rejections, checking that
// elements are numbered in order.
func tally(t testing.TB, name string, record []byte) (events int, reasons []event.Reason) {
	t.Helper()
	next := int32(0)
	count := func(i int32) {
		if i != next {
			t.Fatalf("element numbered %d, want %d", i, next)
		}
		next++
	}
	Decode(name, record,
		func(i int32, raw *event.Raw) {
			count(i)
			events++
			checkRaw(t, raw)
		},
		func(i int32, err *event.DecodeError, size int) {
			count(i)
			reasons = append(reasons, err.Reason)
			if size < 0 || size > len(record) {
				t.Fatalf("rejected %d bytes of a record of %d", size, len(record))
			}
		})
	return events, reasons
}

// checkRaw checks what holds for every decoded record.
func checkRaw(t testing.TB, raw *event.Raw) {
	t.Helper()
	switch {
	case raw.TS < minTime || raw.TS >= maxTime:
		t.Fatalf("time out of bounds: %d", raw.TS)
	case raw.TSSrc != event.TimeStart && raw.TSSrc != event.TimeEnd:
		t.Fatalf("time source %q", raw.TSSrc)
	case raw.Status < 0 || raw.Status > 999 || raw.UpstreamStatus < 0 || raw.UpstreamStatus > 999:
		t.Fatalf("status %d, upstream status %d", raw.Status, raw.UpstreamStatus)
	case min(raw.ReqBytes, raw.RespBytes, raw.LatencyUS, raw.UpstreamLatencyUS) < event.Absent:
		t.Fatalf("negative amount: %s", dump(*raw))
	case raw.Gateway == "":
		t.Fatal("no gateway")
	case raw.Method != strings.ToUpper(raw.Method):
		t.Fatalf("method %q", raw.Method)
	case strings.ContainsRune(raw.Path, '?'):
		t.Fatalf("query in path %q", raw.Path)
	case !slices.IsSorted(raw.Quality):
		t.Fatalf("quality not sorted: %q", raw.Quality)
	}
	for _, note := range raw.Quality {
		if !slices.Contains(noteNames[:], note) {
			t.Fatalf("quality %q is not of the closed set", note)
		}
	}
	if d := dump(*raw); d != strings.ToValidUTF8(d, "") {
		t.Fatalf("not UTF-8:\n%s", d)
	}
}

func TestNamesAreSortedAndFound(t *testing.T) {
	names := Names()
	if !slices.IsSorted(names) || len(names) == 0 {
		t.Errorf("names %q, want some, sorted", names)
	}
	for _, name := range names {
		if _, ok := Lookup(name); !ok {
			t.Errorf("cannot look up %q", name)
		}
	}
	if _, ok := Lookup("nothing"); ok {
		t.Error("found a decoder that is not there")
	}
	if !slices.IsSorted(noteNames[:]) {
		t.Errorf("notes are not sorted: %q", noteNames)
	}
}

func TestLookedUpDecoderEmitsOnceOrFails(t *testing.T) {
	d, _ := Lookup("clf")
	emitted := 0
	count := func(*event.Raw) { emitted++ }
	if err := d([]byte(sampleLine), count); err != nil || emitted != 1 {
		t.Errorf("emitted %d, error %v; want 1 and none", emitted, err)
	}
	if err := d([]byte("nonsense"), count); err == nil || emitted != 1 {
		t.Errorf("emitted %d more, error %v; want none and one", emitted-1, err)
	}
}

func TestDecodeRefusesWhole(t *testing.T) {
	huge := bytes.Repeat([]byte(" "), event.MaxRecordBytes+1)
	for _, c := range []struct {
		name   string
		record []byte
		want   event.Reason
	}{
		{"clf", nil, event.ReasonEmpty},
		{"clf", []byte(" \r\n"), event.ReasonEmpty},
		{"clf", huge, event.ReasonTooLarge},
		{"nonesuch", []byte(sampleLine), event.ReasonUnknownGateway},
		{"", []byte("{}"), event.ReasonUnknownGateway},
	} {
		events, reasons := tally(t, c.name, c.record)
		if events != 0 || !slices.Equal(reasons, []event.Reason{c.want}) {
			t.Errorf("%q, %d bytes: %d events, rejected %v; want %s", c.name, len(c.record), events, reasons, c.want)
		}
	}
}

func TestDecodeStopsAtMaxElements(t *testing.T) {
	const element = `{"ts":1,"method":"GET","path":"/","status":200},`
	array := "[" + strings.Repeat(element, event.MaxElements+3)
	nested := `{"records":[` + array[:len(array)-1] + "]," + element + element[:len(element)-1] + "]}"
	for _, record := range []string{array[:len(array)-1] + "]", nested} {
		events, reasons := tally(t, "canonical", []byte(record))
		if events != event.MaxElements || !slices.Contains(reasons, event.ReasonTooMany) || len(reasons) != 1 {
			t.Errorf("%d events, rejected %v; want %d and one too_many", events, reasons, event.MaxElements)
		}
	}
}

// TestDecodeLeavesItsInputAlone: strings share the record's memory, so a decoder
// that wrote into it would change what it emitted before.
func TestDecodeLeavesItsInputAlone(t *testing.T) {
	for _, file := range fixtures(t) {
		for i, line := range fixtureLines(t, file) {
			before := string(line)
			Decode("", line, func(int32, *event.Raw) {}, func(int32, *event.DecodeError, int) {})
			if string(line) != before {
				t.Errorf("%s:%d: the record was modified", file, i+1)
			}
		}
	}
}

// TestReaderForgets: nothing of one event shows in the next, nor stays behind.
func TestReaderForgets(t *testing.T) {
	var r Reader
	for _, file := range fixtures(t) {
		for i, line := range fixtureLines(t, file) {
			want := transcript("", line)
			if got := transcriptBy(&r, "", line); got != want {
				t.Errorf("%s:%d: want what a new reader gives (-want +got):\n%s", file, i+1, cmp.Diff(want, got))
			}
			if d := dump(r.Raw); d != dump(event.NewRaw("")) {
				t.Errorf("%s:%d: the reader keeps:\n%s", file, i+1, d)
			}
		}
	}
}

// TestRecognitionFindsTheDecoder decodes real records with and without the name
// of their source: both must give the same.
func TestRecognitionFindsTheDecoder(t *testing.T) {
	for file, name := range map[string]string{
		"testdata/kong/log-format.jsonl": "kong", "testdata/traefik/traefik_json.log": "traefik",
		"testdata/envoy/envoy.log": "envoy", "testdata/envoy/istio-text.log": "envoy", "testdata/envoy/istio-json.jsonl": "envoy",
		"testdata/envoy/envoy-gateway.jsonl": "envoy", "testdata/canonical/typical.jsonl": "canonical",
		"testdata/clf/apache2-logs.log": "clf", "testdata/clf/odd.log": "clf", "testdata/nginx/json.jsonl": "nginx",
	} {
		for i, line := range fixtureLines(t, file) {
			byName := transcript(name, line)
			if strings.Contains(byName, "rejected") {
				continue
			}
			if d := cmp.Diff(byName, transcript("", line)); d != "" {
				t.Errorf("%s:%d (-by name +recognised):\n%s", file, i+1, d)
			}
		}
	}
}

// TestAddresses covers the spellings of addresses and of what has none.
func TestAddresses(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.1": "10.0.0.1", "10.0.0.1:80": "10.0.0.1", "[2001:db8::1]:443": "2001:db8::1", "[2001:db8::1]": "2001:db8::1",
		"2001:db8::1": "2001:db8::1", "fe80::1%eth0": "fe80::1%eth0", "example.com:80": "example.com", "localhost": "localhost",
		"": "", "-": "", "unix:": "", "unix:///run/x": "", "envoy://internal_client_address/": "", "[broken": "[broken",
	} {
		if got := hostOf(text); got != want {
			t.Errorf("hostOf(%q) = %q, want %q", text, got, want)
		}
	}
	got := forwarded(nil, " 203.0.113.7:4711,[2001:db8::1]:99, -,, unknown ")
	if d := cmp.Diff([]string{"203.0.113.7", "2001:db8::1", "unknown"}, got); d != "" {
		t.Errorf("forwarded (-want +got):\n%s", d)
	}
	if n := len(forwarded(nil, strings.Repeat("10.0.0.1,", 1000))); n != maxForwarded {
		t.Errorf("took %d hops, want %d", n, maxForwarded)
	}
}

// TestErrorsNeverQuoteInput rejects records full of a marker and looks for it in
// what the errors say.
func TestErrorsNeverQuoteInput(t *testing.T) {
	const marker = "hunter2"
	records := []string{
		marker, `{"` + marker + `":1}`, `{"status":"` + marker + `","ts":1,"method":"GET","path":"/"}`,
		`{"ts":"` + marker + `","method":"GET","path":"/","status":200}`, `{"kind":"` + marker + `","ts":1,"method":"GET","path":"/","status":200}`,
		`{"started_at":"` + marker + `","response":{"status":200}}`, `{"start_time":"` + marker + `","response_code":200}`,
		`{"StartUTC":"` + marker + `","DownstreamStatus":1}`, `{"msec":"` + marker + `","status":200,"uri":"/"}`,
		`[` + marker + `]`, `10.0.0.1 - - [` + marker + marker + marker + `] "GET /"`, `"` + marker, marker + " stdout F " + marker,
	}
	rejected := 0
	for _, name := range append(Names(), "", marker) {
		for _, record := range records {
			Decode(name, []byte(record), func(int32, *event.Raw) {}, func(_ int32, err *event.DecodeError, _ int) {
				rejected++
				if strings.Contains(err.Error(), marker) {
					t.Errorf("%s: error quotes its input: %v", name, err)
				}
			})
		}
	}
	if rejected < len(records) {
		t.Errorf("rejected %d records, want most", rejected)
	}
}

// TestBrokenElementsLoseNoSiblings cuts random bytes out of one element in the
// middle of an array, where no bracket or quote is touched.
func TestBrokenElementsLoseNoSiblings(t *testing.T) {
	const good = `{"ts":1,"method":"GET","path":"/","status":200}`
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		bad := []byte(good)
		for i := range bad {
			if bad[i] >= '0' && bad[i] <= ':' && random.IntN(2) == 0 {
				bad[i] = '~'
			}
		}
		for _, form := range []string{"[%s,%s,%s]", `{"time":1,"records":[%s, %s, %s]}`} {
			record := fmt.Sprintf(form, good, bad, good)
			events, reasons := tally(t, "canonical", []byte(record))
			if events < 2 || events+len(reasons) != 3 {
				t.Fatalf("%s: %d events, rejected %v", record, events, reasons)
			}
		}
	}
}

func TestPlaceholdersAreNoSecrets(t *testing.T) {
	for _, v := range []string{"", "-", "REDACTED", "[redacted]", "<Redacted>", "***", "Bearer ***", "Bearer REDACTED", "xxxxxxxx"} {
		if got := secret(v); got != "" {
			t.Errorf("secret(%q) = %q, want none", v, got)
		}
	}
	for _, v := range []string{"Bearer abc", "abc", "Basic ZGVtbzpkZW1v", "sid=1; theme=***"} {
		if got := secret(v); got != v {
			t.Errorf("secret(%q) = %q, want it kept", v, got)
		}
	}
}
