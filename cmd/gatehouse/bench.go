package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"gatehouse/ingest"
	"gatehouse/ingest/event"
	"gatehouse/ingest/stream"
	"gatehouse/ingest/traffic"
)

// benchCmd measures; without a further word, the whole path.
type benchCmd struct {
	Path   benchPathCmd   `cmd:"" default:"withargs" help:"Measure the whole path, alerts included (default)."`
	Ingest benchIngestCmd `cmd:"" help:"Measure Kafka to ClickHouse, beside other ways there."`
	Part   benchPartCmd   `cmd:"" hidden:""`
}

// benchPathCmd measures the whole path.
type benchPathCmd struct {
	Events  int           `help:"Events of the backlog." default:"500000"`
	Rate    int           `help:"Events per second while latency is measured." default:"2000"`
	For     time.Duration `help:"How long latency is measured." default:"80s"`
	DataDir string        `help:"Where the measurement keeps its data; emptied at the start." type:"path"`
	Profile string        `help:"Write a CPU profile of the backlog to this file." type:"path"`
	JSON    bool          `help:"One JSON object." name:"json"`
}

// Help is printed below the flags.
func (benchPathCmd) Help() string {
	return `Everything runs in this one process: broker, ingester, detector, ClickHouse and
Slack's stand-in; its CPU time is the sum of theirs. First a backlog is worked off,
then calls come in at a steady rate with short scans in between, one every four
seconds, each of which must become a message in Slack.

Examples:
  gatehouse bench
  gatehouse bench --events 2000000 --json`
}

// measured is what the benchmark found out.
type measured struct {
	Machine       string  `json:"machine"`
	Events        int     `json:"events"`
	RawBytes      float64 `json:"raw_bytes_per_event"`
	EventsPerSec  float64 `json:"events_per_second"`
	CPUPerMillion float64 `json:"cpu_seconds_per_million_events"`
	MergeCPU      float64 `json:"merge_cpu_seconds_per_million_events"`
	StoredBytes   float64 `json:"stored_bytes_per_event"`
	PeakMemory    float64 `json:"peak_memory_mib"`
	IdleMemory    float64 `json:"memory_before_mib"`
	Rate          int     `json:"latency_rate"`
	StoredP50     float64 `json:"event_to_insert_p50_seconds"`
	StoredP99     float64 `json:"event_to_insert_p99_seconds"`
	Alerts        int     `json:"alerts"`
	SlackP50      float64 `json:"event_to_slack_p50_seconds"`
	SlackP99      float64 `json:"event_to_slack_p99_seconds"`
}

// Run is the command.
func (c *benchPathCmd) Run(ctx context.Context, con *console) error {
	if c.Events < 1 || c.Rate < 1 || c.For < scanEvery {
		return usageError{fmt.Errorf("--events %d, --rate %d, --for %s: want at least 1, 1 and %s, the time until the first scan", c.Events, c.Rate, c.For, scanEvery)}
	}
	quiet := &console{in: con.in, out: io.Discard, err: con.err, errIsTerm: con.errIsTerm}
	d := &demo{con: quiet, seed: 11}
	b := &bench{cmd: c, demo: d, progress: con.progress()}
	err := d.prepare(c.DataDir)
	if err == nil {
		err = b.run(ctx)
	}
	if err = errors.Join(err, d.close()); err != nil {
		return err
	}
	return b.print(con)
}

// bench is one measurement.
type bench struct {
	cmd      *benchPathCmd
	demo     *demo
	progress *progress
	result   measured
}

func (b *bench) run(ctx context.Context) error {
	b.result.Machine = machine()
	a := b.demo.app
	if err := a.start(ctx); err != nil {
		return err
	}
	b.result.IdleMemory = memoryMiB()
	sent, err := b.fill(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	before, start, done := cpuSeconds(), time.Now(), make(chan error, 1)
	go func() {
		err := a.run(ctx)
		cancel(err)
		done <- err
	}()
	stopProfile, err := startProfile(b.cmd.Profile)
	if err == nil {
		err = b.drain(ctx, sent)
	}
	took := time.Since(start).Seconds()
	stopProfile()
	b.result.Events, b.result.EventsPerSec = sent, float64(sent)/took
	b.result.CPUPerMillion = (cpuSeconds() - before) / float64(sent) * 1e6
	if err == nil {
		err = b.merge(ctx, sent)
	}
	if err == nil {
		err = b.latency(ctx)
	}
	b.result.PeakMemory = peakMiB()
	b.progress.done()
	cancel(nil)
	return errors.Join(err, <-done)
}

// startProfile profiles this process into a file until the function it returns
// is called; "" profiles nothing.
func startProfile(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return func() {}, usageError{err}
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return func() {}, fmt.Errorf("start profile: %w", err)
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close() // a profile that is cut short says so when it is read
	}, nil
}

// fill produces the backlog while nothing reads it.
func (b *bench) fill(ctx context.Context) (int, error) {
	producer, err := stream.NewProducer(b.demo.app.cfg.Kafka.stream())
	if err != nil {
		return 0, err
	}
	defer producer.Close()
	const span = time.Hour
	sent, size := 0, 0
	err = sendScenario(traffic.Config{
		Seed: b.demo.seed, Start: time.Now().Add(-span), Duration: span, Rate: float64(b.cmd.Events) / span.Seconds(),
	}, func(batch []stream.Message) error {
		for i := range batch {
			size += len(batch[i].Value)
		}
		sent += len(batch)
		b.progress.show(time.Now(), "producing the backlog: %d events", sent)
		return producer.Append(ctx, defaultTopic, batch...)
	})
	b.result.RawBytes = float64(size) / float64(max(sent, 1))
	return sent, err
}

func (b *bench) drain(ctx context.Context, want int) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for b.demo.app.detection.observed.Load() < int64(want) {
		b.progress.show(time.Now(), "working it off: %d of %d events", b.demo.app.detection.observed.Load(), want)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// merge waits for ClickHouse to make one part of each day, because big inserts
// only move that work to later.
func (b *bench) merge(ctx context.Context, events int) error {
	before := cpuSeconds()
	size, rows, err := b.demo.app.db.Compact(ctx)
	if err != nil {
		return err
	}
	b.result.MergeCPU = (cpuSeconds() - before) / float64(events) * 1e6
	b.result.StoredBytes = float64(size) / float64(max(rows, 1))
	return nil
}

// Steady traffic with scans in it.
const (
	// scanEvery leaves room for the three messages of an incident at the one a
	// second that Slack takes.
	scanEvery = 4 * time.Second
	scanPaths = 14
	paceTick  = 50 * time.Millisecond
)

// latency sends calls as they would happen now, and asks the tables how long
// each took to be stored, and each scan to be told.
func (b *bench) latency(ctx context.Context) error {
	producer, err := stream.NewProducer(b.demo.app.cfg.Kafka.stream())
	if err != nil {
		return err
	}
	defer producer.Close()
	start := time.Now()
	tick := time.NewTicker(paceTick)
	defer tick.Stop()
	sent, scans := 0, 0
	for now := start; now.Sub(start) < b.cmd.For; {
		due := int(now.Sub(start).Seconds() * float64(b.cmd.Rate))
		batch, err := benignCalls(now, sent, due)
		if err != nil {
			return err
		}
		sent = due
		if now.Sub(start) > time.Duration(scans+1)*scanEvery {
			scan, err := scanCalls(now, scans)
			if err != nil {
				return err
			}
			batch, scans = append(batch, scan...), scans+1
		}
		if err := producer.Append(ctx, defaultTopic, batch...); err != nil {
			return err
		}
		b.progress.show(now, "measuring latency: %d calls, %d scans", sent, scans)
		select {
		case now = <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return b.latencies(ctx, start, scans)
}

func (b *bench) latencies(ctx context.Context, start time.Time, scans int) error {
	a := b.demo.app
	settle, cancel := context.WithTimeoutCause(ctx, demoWait, errors.New("the scans were not all told in time"))
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for len(a.manager.Incidents()) < scans {
		select {
		case <-tick.C:
		case <-settle.Done():
			return context.Cause(settle)
		}
	}
	if err := a.manager.Drain(settle); err != nil {
		return err
	}
	res, err := a.db.Query(ctx, fmt.Sprintf(`SELECT quantileExact(0.5)(d) / 1e3, quantileExact(0.99)(d) / 1e3 FROM
(SELECT dateDiff('millisecond', ts, ingested_at) AS d FROM audit.events WHERE ts >= fromUnixTimestamp64Micro(%d))`, start.UnixMicro()), 1)
	if err != nil {
		return err
	}
	b.result.Rate, b.result.StoredP50, b.result.StoredP99 = b.cmd.Rate, number(res.Rows[0][0]), number(res.Rows[0][1])
	res, err = a.db.Query(ctx, fmt.Sprintf(`SELECT count(), quantileExact(0.5)(d) / 1e3, quantileExact(0.99)(d) / 1e3 FROM
(SELECT dateDiff('millisecond', o.at, s.at) AS d FROM audit.incident_log AS o INNER JOIN audit.deliveries AS s ON s.incident_id = o.incident_id
 WHERE o.kind = 'opened' AND s.kind = 'root' AND s.status = 'accepted' AND o.at >= fromUnixTimestamp64Micro(%d))`, start.UnixMicro()), 1)
	if err != nil {
		return err
	}
	row := res.Rows[0]
	b.result.Alerts, b.result.SlackP50, b.result.SlackP99 = int(number(row[0])), number(row[1]), number(row[2])
	return nil
}

// number is a query's number as a float64.
func number(v any) float64 {
	switch v := v.(type) {
	case float64:
		return v
	case uint64:
		return float64(v)
	case int64:
		return float64(v)
	}
	return math.NaN()
}

// benignCalls are calls from (from, to], made now by a thousand users.
func benignCalls(now time.Time, from, to int) ([]stream.Message, error) {
	var out []stream.Message
	for n := from; n < to; n++ {
		user := n * 7919 % 1000
		raw := benchCall(now, fmt.Sprintf("100.64.%d.%d", user/250, user%250+1), fmt.Sprintf("/v1/orders/%d", 100_000+n%977))
		raw.Principal = fmt.Sprintf("user%d", user)
		msg, err := canonicalMessage(&raw)
		if err != nil {
			return nil, err
		}
		out = append(out, msg)
	}
	return out, nil
}

// scanCalls are one scanner's refused calls, all made now.
func scanCalls(now time.Time, scan int) ([]stream.Message, error) {
	var out []stream.Message
	for n := range scanPaths {
		raw := benchCall(now, fmt.Sprintf("198.18.%d.%d", scan/250, scan%250+1), fmt.Sprintf("/%c%c-admin", 'a'+n, 'a'+n))
		raw.Status = 404
		msg, err := canonicalMessage(&raw)
		if err != nil {
			return nil, err
		}
		out = append(out, msg)
	}
	return out, nil
}

func benchCall(now time.Time, client, path string) event.Raw {
	raw := event.NewRaw("canonical")
	raw.TS, raw.Client, raw.Path, raw.Method, raw.Status = now.UnixMicro(), client, path, "GET", 200
	raw.HTTPVersion, raw.RespBytes, raw.UserAgent = "1.1", 512, "curl/8.5"
	return raw
}

// canonicalMessage is a call in the canonical form, whose time has microseconds: a
// combined line has only seconds, and would hide what is measured.
func canonicalMessage(raw *event.Raw) (stream.Message, error) {
	line, err := traffic.Encode(raw.Gateway, raw)
	if err != nil {
		return stream.Message{}, fmt.Errorf("write a call: %w", err)
	}
	return stream.Message{
		Key: []byte(raw.Client), Value: line,
		Headers: []stream.Header{{Key: ingest.GatewayHeader, Value: []byte(raw.Gateway)}},
	}, nil
}

func (b *bench) print(con *console) error {
	r := b.result
	if b.cmd.JSON {
		return con.json(r)
	}
	con.printf("| measured on %s | |\n|---|---|\n", r.Machine)
	for _, row := range [][2]string{
		{"backlog", fmt.Sprintf("%d events of %.0f B", r.Events, r.RawBytes)},
		{"events/s, Kafka → redacted → ClickHouse → detector", fmt.Sprintf("%.0f", r.EventsPerSec)},
		{"CPU seconds per million events, everything in one process", fmt.Sprintf("%.1f", r.CPUPerMillion)},
		{"of merging to one part per day afterwards", fmt.Sprintf("%.1f", r.MergeCPU)},
		{"stored bytes per event", fmt.Sprintf("%.1f", r.StoredBytes)},
		{"memory before, and at its peak", fmt.Sprintf("%.0f MiB, %.0f MiB", r.IdleMemory, r.PeakMemory)},
		{fmt.Sprintf("event → insert at %d events/s, p50 · p99", r.Rate), fmt.Sprintf("%.2f s · %.2f s", r.StoredP50, r.StoredP99)},
		{fmt.Sprintf("event → Slack, %d alerts, p50 · p99", r.Alerts), fmt.Sprintf("%.2f s · %.2f s", r.SlackP50, r.SlackP99)},
	} {
		con.printf("| %s | %s |\n", row[0], row[1])
	}
	return nil
}

func cpuSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return math.NaN()
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// memoryMiB is the resident memory now, where /proc tells; else NaN.
func memoryMiB() float64 { return procStatus("VmRSS") }

func peakMiB() float64 { return procStatus("VmHWM") }

func procStatus(key string) float64 { return statusMiB("/proc/self/status", key) }

// statusMiB reads a size from a status file of /proc, where there is one; else NaN.
func statusMiB(path, key string) float64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return math.NaN()
	}
	var kib float64
	for line := range strings.Lines(string(text)) {
		if _, err := fmt.Sscanf(line, key+": %f kB", &kib); err == nil {
			return kib / 1024
		}
	}
	return math.NaN()
}
