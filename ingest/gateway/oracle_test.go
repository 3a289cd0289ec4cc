package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse/ingest/event"
)

// expectation is one line of a *.expected.jsonl file: what another project's
// parser reads from the line with that number.
type expectation struct {
	Line   int               `json:"line"`
	OK     bool              `json:"ok"`
	Time   string            `json:"time"`
	Meta   map[string]string `json:"meta"`
	Parsed map[string]string `json:"parsed"`
	Fields map[string]string `json:"fields"`
}

// disagreements are the values that we read otherwise, and why. README.md has
// the same table; one that no longer occurs fails the test.
var disagreements = map[string]string{
	"clf/apache2-logs.log:8 event":            notAccess,
	"clf/apache2-logs.log:9 event":            notAccess,
	"nginx/nginx_http-logs.log:9 event":       notAccess,
	"envoy/envoy.log:9 source_ip":             lastHopCounts,
	"envoy/envoy.log:10 source_ip":            lastHopCounts,
	"traefik/traefik_json.log:1 time":         finer,
	"traefik/traefik_json.log:2 time":         finer,
	"traefik/traefik_json.log:3 time":         finer,
	"traefik/traefik_json.log:5 http_version": sameVersion,
	"traefik/traefik_json.log:7 http_version": sameVersion,
	"traefik/traefik_json.log:5 time":         finer,
	"traefik/traefik_json.log:7 time":         finer,
	"envoy/istio-text.log:1 REQ(:AUTHORITY)":  withoutPort,
	"envoy/istio-text.log:2 REQ(:AUTHORITY)":  withoutPort,
}

const (
	notAccess     = "an error log line is no call: rejected as not_access"
	lastHopCounts = "the last hop is what Envoy appended; those before it are the client's claim"
	finer         = "StartUTC, the start to the nanosecond, not time, the end to the second"
	sameVersion   = "HTTP/2.0 and HTTP/2 are one version, 2"
	withoutPort   = "a host has no port"
)

// TestOracles compares what we read with what the parsers of other projects read
// from the same lines.
func TestOracles(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.expected.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("find expected files: %d found, %v", len(files), err)
	}
	met, compared := map[string]bool{}, 0
	for _, file := range files {
		log := strings.TrimSuffix(file, ".expected.jsonl") + ".log"
		lines := fixtureLines(t, log)
		for _, want := range expectations(t, file) {
			where := fmt.Sprintf("%s:%d", strings.TrimPrefix(log, "testdata/"), want.Line)
			for _, d := range compare(filepath.Base(filepath.Dir(log)), lines[want.Line-1], want, &compared) {
				key := where + " " + d.field
				met[key] = true
				if disagreements[key] == "" {
					t.Errorf("%s: theirs %q, ours %q", key, d.theirs, d.ours)
				}
			}
		}
	}
	for key := range disagreements {
		if !met[key] {
			t.Errorf("%s: listed as a disagreement, but we agree", key)
		}
	}
	if compared < 400 {
		t.Errorf("compared %d values, want 400 or more", compared)
	}
	t.Logf("compared %d values, disagree on %d", compared, len(met))
}

func expectations(t *testing.T, file string) []expectation {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []expectation
	for line := range bytes.Lines(data) {
		var e expectation
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("read %s: %v", file, err)
		}
		all = append(all, e)
	}
	return all
}

type difference struct{ field, theirs, ours string }

// compare decodes a line and lists where the result differs from what is wanted.
func compare(name string, line []byte, want expectation, compared *int) []difference {
	var raws []event.Raw
	Decode(name, line, func(_ int32, raw *event.Raw) { raws = append(raws, raw.Clone()) }, func(int32, *event.DecodeError, int) {})
	*compared++
	if len(raws) != 1 || !want.OK {
		if want.OK == (len(raws) == 1) {
			return nil
		}
		return []difference{{"event", fmt.Sprint(want.OK), fmt.Sprint(len(raws) == 1)}}
	}
	var out []difference
	for field, ours := range oracleValues(name, &raws[0], want) {
		theirs := wanted(want, field)
		if theirs == "" {
			continue
		}
		*compared++
		if theirs == "-" {
			theirs = ""
		}
		if ours != theirs {
			out = append(out, difference{field, theirs, ours})
		}
	}
	return out
}

func wanted(want expectation, field string) string {
	if field == "time" {
		return instant(want.Time)
	}
	for _, m := range []map[string]string{want.Meta, want.Parsed, want.Fields} {
		if v, ok := m[field]; ok {
			return v
		}
	}
	return ""
}

func instant(v string) string {
	at, err := time.Parse(time.RFC3339Nano, v)
	if err != nil {
		return ""
	}
	return strconv.FormatInt(at.UnixMicro(), 10)
}

// oracleValues gives our reading under the names of the expected files.
func oracleValues(name string, raw *event.Raw, want expectation) map[string]string {
	target := raw.Path
	if raw.Query != "" {
		target += "?" + raw.Query
	}
	ms := scaled(raw.LatencyUS, 1000)
	v := map[string]string{
		"time": strconv.FormatInt(raw.TS, 10), "source_ip": raw.Client, "http_verb": raw.Method, "http_path": target,
		"http_status": status(raw.Status), "http_user_agent": raw.UserAgent, "target_fqdn": raw.Host,
		"body_bytes_sent": scaled(raw.RespBytes, 1), "bytes": scaled(raw.RespBytes, 1), "bytes_sent": scaled(raw.RespBytes, 1),
		"bytes_received": scaled(raw.ReqBytes, 1), "remote_user": raw.Principal, "auth": raw.Principal,
		"http_referer": raw.Referer, "referrer": raw.Referer, "http_version": raw.HTTPVersion, "httpversion": raw.HTTPVersion,
		"http_args": raw.Query, "request": raw.Path, "duration": ms, "upstream_service_time": scaled(raw.UpstreamLatencyUS, 1000),
		"request_id": raw.RequestID, "traefik_router_name": raw.RouteID, "request_duration_in_ms": ms,
		"traefik_server_url": raw.Upstream,
	}
	if name == "clf" {
		v["request"] = target // not split there
	}
	if _, isJSON := want.Parsed["dest_addr"]; isJSON {
		delete(v, "request_duration_in_ms") // holds nanoseconds there, which µs cannot
	}
	if want.Fields != nil {
		istioValues(v, raw, target, ms)
	}
	return v
}

func istioValues(v map[string]string, raw *event.Raw, target, ms string) {
	v["START_TIME"] = time.UnixMicro(raw.TS).UTC().Format("2006-01-02T15:04:05.000Z")
	v["REQ(:METHOD)"], v["REQ(X-ENVOY-ORIGINAL-PATH?:PATH)"] = raw.Method, target
	v["PROTOCOL"], v["RESPONSE_CODE"] = "HTTP/"+raw.HTTPVersion, status(raw.Status)
	v["BYTES_RECEIVED"], v["BYTES_SENT"] = scaled(raw.ReqBytes, 1), scaled(raw.RespBytes, 1)
	v["DURATION"], v["RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)"] = ms, scaled(raw.UpstreamLatencyUS, 1000)
	v["REQ(X-FORWARDED-FOR)"], v["REQ(USER-AGENT)"] = strings.Join(raw.XFF, ","), raw.UserAgent
	v["REQ(X-REQUEST-ID)"], v["REQ(:AUTHORITY)"] = raw.RequestID, raw.Host
	v["UPSTREAM_HOST"], v["ROUTE_NAME"] = raw.Upstream, raw.RouteID
}

func scaled(n, unit int64) string {
	if n == event.Absent {
		return ""
	}
	return strconv.FormatInt(n/unit, 10)
}

func status(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}
