package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse/cmd/gatehouse/peer"
)

func TestDelaysOf(t *testing.T) {
	start := time.UnixMicro(1_000_000)
	seen := []sighting{
		{start.Add(1 * time.Second), map[string]uint64{"0": 1}},
		{start.Add(2 * time.Second), map[string]uint64{"0": 1, "1": 1}},
		{start.Add(3 * time.Second), map[string]uint64{"0": 2, "1": 1}},
	}
	for _, tt := range []struct {
		name, calls string
		want        []float64
		err         string
	}{
		{"each at its first sighting", "0\t1000000\n0\t1500000\n1\t1500000\n", []float64{1, 1.5, 2.5}, ""},
		{"one that nobody saw", "0\t1000000\n1\t1500000\n1\t1600000\n", nil, "more calls are stored than were seen"},
		{"none", "", nil, "no call was stored"},
		{"no time", "0\tnow\n", nil, `read time "0\tnow\n"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := delaysOf(tt.calls, seen)
			if !errorHas(err, tt.err) {
				t.Fatalf("error %v, want %q", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// errorHas says that err mentions want, or that there is none when want is "".
func errorHas(err error, want string) bool {
	if want == "" || err == nil {
		return (want == "") == (err == nil)
	}
	return strings.Contains(err.Error(), want)
}

func TestQuantile(t *testing.T) {
	values := make([]float64, 100)
	for i := range values {
		values[i] = float64(i)
	}
	if p50, p99, all := quantile(values, 0.5), quantile(values, 0.99), quantile(values, 1); p50 != 50 || p99 != 99 || all != 99 {
		t.Errorf("p50 %v, p99 %v, p100 %v: want 50, 99, 99", p50, p99, all)
	}
}

// Figures of work that was not the same are refused, and the error says how it
// was not.
func TestCompareRefuses(t *testing.T) {
	ours := wayResult{Title: "ours", ours: true, Content: content{10, "1", "2"}}
	peer1 := wayResult{Title: "peer 1", Content: content{10, "1", "3"}}
	peer2 := wayResult{Title: "peer 2", Content: content{10, "1", "3"}}
	for _, tt := range []struct {
		name   string
		change func(*wayResult)
		want   string
	}{
		{"same", func(*wayResult) {}, ""},
		{"a row less", func(r *wayResult) { r.Content.Rows = 9 }, "peer 2 stored 9 rows of 10 events"},
		{"another common value", func(r *wayResult) { r.Content.Common = "7" }, "peer 2 and ours differ in columns that redaction leaves alone: hashes 7 and 1"},
		{"another value", func(r *wayResult) { r.Content.All = "7" }, "peer 2 and peer 1 differ: hashes 7 and 3 over all columns"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			changed := peer2
			tt.change(&changed)
			if err := compare([]wayResult{ours, peer1, changed}, 10); !errorHas(err, tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestBacklogIsDividedAmongClientEngineAndMerges(t *testing.T) {
	var got wayResult
	before, drained, merged := usage{cpu: 1, merges: 0.5}, usage{cpu: 7, merges: 2.5}, usage{cpu: 10, merges: 5.5, peak: 300}
	client := usage{cpu: 3, peak: 100}
	got.setBacklog(2e6, 4*time.Second, [3]snapshot{
		{engine: before, broker: usage{cpu: 1}},
		{client: usage{cpu: 2}, engine: drained, broker: usage{cpu: 2}},
		{client: client, engine: merged, broker: usage{cpu: 2}},
	})
	want := wayResult{EventsPerSec: 5e5, ClientCPU: 1.5, EngineCPU: 2, MergeCPU: 2.5, TotalCPU: 6, ClientMemory: 100, EngineMemory: 300, BrokerCPU: 0.5}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(wayResult{})); diff != "" {
		t.Error(diff)
	}
}

// What the machine did besides is told from what the parts did.
func TestOtherCores(t *testing.T) {
	then := snapshot{at: time.Unix(100, 0), engine: usage{cpu: 1}, broker: usage{cpu: 5}, self: 2, machine: 50}
	now := snapshot{at: time.Unix(110, 0), client: usage{cpu: 4}, engine: usage{cpu: 7}, broker: usage{cpu: 6}, self: 3, machine: 77}
	if got, want := now.others(then), 1.5; got != want {
		t.Errorf("%v cores, want %v: (27 − 4 − 6 − 1 − 1) s in 10 s", got, want)
	}
}

func TestThreadCPU(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stat")
	for _, tt := range []struct {
		name, text, thread string
		seconds            float64
		err                string
	}{
		{"a name with spaces and parentheses", "17 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0", "a (b) c", 2, ""},
		{"no name", "17 S 1", "", 0, "no name in it"},
		{"cut", "17 (x) S 1 2", "", 0, "3 fields"},
		{"no number", "17 (x) S 1 2 3 4 5 6 7 8 9 10 a b", "", 0, "no CPU time in it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			thread, seconds, err := threadCPU(path)
			if !errorHas(err, tt.err) || thread != tt.thread || seconds != tt.seconds {
				t.Errorf("got %q, %v s, %v: want %q, %v s, %q", thread, seconds, err, tt.thread, tt.seconds, tt.err)
			}
		})
	}
}

func TestCallsRepeat(t *testing.T) {
	one, two, other := newCaller(1), newCaller(1), newCaller(2)
	differ := false
	for i := range int64(100) {
		a, _, err1 := one.call(i)
		b, _, err2 := two.call(i)
		c, _, err3 := other.call(i)
		if err1 != nil || err2 != nil || err3 != nil {
			t.Fatal(err1, err2, err3)
		}
		if string(a) != string(b) {
			t.Fatalf("call %d differs with the same seed:\n%s\n%s", i, a, b)
		}
		differ = differ || string(a) != string(c)
	}
	if !differ {
		t.Error("another seed makes the same calls")
	}
}

// The peers' table is Gatehouse's, but for the memory of tokens that nobody sends,
// or only the columns of it that they fill.
func TestPeersTable(t *testing.T) {
	const create = `CREATE TABLE audit.events
(
    ` + "`ts`" + ` DateTime64(6) CODEC(ZSTD(1)),
    ` + "`actor`" + ` String,
    ` + "`kafka_offset`" + ` Int64,
    INDEX by_actor actor TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_offset kafka_offset TYPE minmax GRANULARITY 1,
    CONSTRAINT fresh CHECK ts > 0
)
ENGINE = MergeTree
ORDER BY ts
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 100000, index_granularity = 8192`
	whole := strings.NewReplacer("audit.events", "peer.events", "window = 100000", "window = 0")
	narrow := strings.NewReplacer("    `actor` String,\n", "", "    INDEX by_actor actor TYPE bloom_filter(0.01) GRANULARITY 1,\n", "")
	for _, tt := range []struct {
		narrow bool
		want   string
	}{{false, whole.Replace(create)}, {true, narrow.Replace(whole.Replace(create))}} {
		got, err := peer.Define(create, tt.narrow)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"CREATE DATABASE peer", tt.want}, got); diff != "" {
			t.Errorf("narrow %v: %s", tt.narrow, diff)
		}
	}
	if _, err := peer.Define("nothing", false); err == nil {
		t.Error("text that is no definition was accepted")
	}
}
