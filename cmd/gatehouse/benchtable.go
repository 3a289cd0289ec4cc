package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// wayResult is what was measured of one way. CPU is in seconds per million events.
type wayResult struct {
	Key          string  `json:"key"`
	Title        string  `json:"title"`
	EventsPerSec float64 `json:"events_per_second"`
	ClientCPU    float64 `json:"client_cpu_seconds_per_million"`
	EngineCPU    float64 `json:"engine_cpu_seconds_per_million"`
	// MergeCPU is of background merges while reading, and of merging to one part.
	MergeCPU     float64 `json:"merge_cpu_seconds_per_million"`
	TotalCPU     float64 `json:"total_cpu_seconds_per_million"`
	SeenP50      float64 `json:"event_to_queryable_p50_seconds"`
	SeenP99      float64 `json:"event_to_queryable_p99_seconds"`
	ClientMemory float64 `json:"client_peak_mib"`
	EngineMemory float64 `json:"engine_peak_mib"`
	StoredBytes  float64 `json:"stored_bytes_per_event"`
	// BrokerCPU is what the built-in broker used meanwhile, which is in no other
	// figure; 0 of another Kafka.
	BrokerCPU float64 `json:"broker_cpu_seconds_per_million"`
	// OtherCores is how many cores programs without a part in it kept busy while
	// the backlog was measured, a Kafka of the user's own among them.
	OtherCores float64 `json:"other_cores_busy"`
	Content    content `json:"content"`

	ours bool
}

// setBacklog takes what was used before, at the end of reading, and after merging.
// The client counts until then, as the engine does: a Kafka engine goes on asking
// for records meanwhile, and so does a client.
func (r *wayResult) setBacklog(events float64, took time.Duration, at [3]snapshot) {
	before, drained, merged := at[0].engine, at[1].engine, at[2].engine
	background := drained.merges - before.merges
	perMillion := 1e6 / events
	r.EventsPerSec = events / took.Seconds()
	r.ClientCPU = at[2].client.cpu * perMillion
	r.EngineCPU = (drained.cpu - before.cpu - background) * perMillion
	r.MergeCPU = (merged.cpu - drained.cpu + background) * perMillion
	r.TotalCPU = r.ClientCPU + r.EngineCPU + r.MergeCPU
	r.ClientMemory, r.EngineMemory = at[2].client.peak, merged.peak
	r.BrokerCPU = (at[2].broker.cpu - at[0].broker.cpu) * perMillion
}

// ingestReport is what the benchmark prints.
type ingestReport struct {
	Machine  string      `json:"machine"`
	Events   int         `json:"events"`
	RawBytes float64     `json:"raw_bytes_per_event"`
	Rate     int         `json:"latency_rate"`
	Columns  string      `json:"peer_columns"`
	Flush    float64     `json:"kafka_engine_flush_seconds"`
	Ways     []wayResult `json:"ways"`

	kafkaApart bool // a Kafka that the benchmark cannot tell from other programs
}

func (b *ingestBench) report() ingestReport {
	return ingestReport{
		Machine: machine(), Events: b.cmd.Events, RawBytes: float64(b.rawBytes) / float64(b.cmd.Events), Rate: b.cmd.Rate,
		Columns: b.cmd.Columns, Flush: b.cmd.Flush.Seconds(), Ways: b.results,
		kafkaApart: b.kafkaPID == 0,
	}
}

// machine says on what was measured.
func machine() string {
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%d cores, %s, %s/%s, %s", runtime.NumCPU(), model, runtime.GOOS, runtime.GOARCH, runtime.Version())
}

func (r ingestReport) print(con *console, asJSON bool) error {
	if asJSON {
		return con.json(r)
	}
	con.printf("%d events of %.0f B from Kafka into ClickHouse, on %s\n\n", r.Events, r.RawBytes, r.Machine)
	con.printf("| way | events/s | CPU s per million events: client | engine | merges | **all** | event → queryable at %d/s, p50 · p99 | peak MiB, client · engine | B stored per event |\n", r.Rate)
	con.printf("|---|---|---|---|---|---|---|---|---|\n")
	for _, w := range r.Ways {
		client, memory := "–", fmt.Sprintf("– · %.0f", w.EngineMemory)
		if w.ClientCPU > 0 {
			client, memory = fmt.Sprintf("%.2f", w.ClientCPU), fmt.Sprintf("%.0f · %.0f", w.ClientMemory, w.EngineMemory)
		}
		latency := "–"
		if w.SeenP99 > 0 {
			latency = fmt.Sprintf("%.2f s · %.2f s", w.SeenP50, w.SeenP99)
		}
		con.printf("| %s | %.0f | %s | %.2f | %.2f | **%.2f** | %s | %s | %.1f |\n",
			w.Title, w.EventsPerSec, client, w.EngineCPU, w.MergeCPU, w.TotalCPU, latency, memory, w.StoredBytes)
	}
	con.printf("\n%s\n", r.agreement())
	if busiest := r.otherCores(); busiest > quietCores && r.kafkaApart {
		con.printf("Other programs, Kafka among them, kept up to %.1f cores busy meanwhile.\n", busiest)
	} else if busiest > quietCores {
		con.printf("Other programs kept up to %.1f cores busy meanwhile: the figures are too high, and events/s too low.\n", busiest)
	}
	return nil
}

// agreement says what was compared, and with what the peers were measured.
func (r ingestReport) agreement() string {
	text := "Rows and hashes agree."
	if len(r.Ways) == 1 {
		text = "Every event is one row; with one way alone, hashes are compared with nothing."
	}
	if r.Columns == columnsCarried {
		text += " (b) and (c) write only the columns that the JSON carries."
	}
	if slices.ContainsFunc(r.Ways, func(w wayResult) bool { return strings.HasPrefix(w.Key, "b") }) {
		text += fmt.Sprintf("\n(b) gathers blocks for up to %g s: a shorter --flush gains latency and costs CPU.", r.Flush)
	}
	return text
}

// quietCores is what a machine that does nothing else may still do.
const quietCores = 0.2

func (r ingestReport) otherCores() float64 {
	var most float64
	for _, w := range r.Ways {
		most = max(most, w.OtherCores)
	}
	return most
}
