package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse/deploy/kafka"
	"gatehouse/ingest"
)

// runChaos runs the command in a process of its own, as a person does.
func runChaos(t *testing.T, args ...string) chaosReport {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "gatehouse", append([]string{"chaos", "--json", "--rate", "1000", "--keep", t.TempDir()}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, out.String(), errs.String())
	}
	r := chaosReport{verdict: &verdict{}}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	return r
}

// happened wants each phase to have done what it is for.
func (r *chaosReport) happened(t *testing.T, kills map[string]int) {
	t.Helper()
	got := map[string]int{}
	for _, p := range r.Phases {
		got[p.Phase] = p.Kills
		if p.Kills+p.Faults == 0 || p.Events == 0 {
			t.Errorf("phase %s: %d kills, %d faults, %d events: want some", p.Phase, p.Kills, p.Faults, p.Events)
		}
	}
	if d := cmp.Diff(kills, got); d != "" {
		t.Errorf("kills by phase (-want +got):\n%s", d)
	}
	if !r.ok() || r.Events == 0 {
		t.Errorf("%+v", r.verdict)
	}
}

// The fault suite, short, on the embedded broker.
func TestChaosEmbedded(t *testing.T) {
	t.Parallel() // most of it is waiting
	r := runChaos(t, "--only", "kills,failpoints,zombie,database,duplicates,poison", "--kills", "6", "--failpoints", "1", "--rounds", "1")
	r.happened(t, map[string]int{"kills": 6, "failpoints": len(failpointSteps()), "zombie": 2, "database": 0, "duplicates": 0, "poison": 1})
	if r.Poisoned != len(poisons()) {
		t.Errorf("%d poisoned records: want %d", r.Poisoned, len(poisons()))
	}
}

// The same on Apache Kafka, where groups are real.
func TestChaosApache(t *testing.T) {
	kafka.Require(t)
	t.Parallel()
	r := runChaos(t, "--broker", "apache", "--only", "kills,zombie,broker", "--kills", "4", "--rounds", "1")
	r.happened(t, map[string]int{"kills": 4, "zombie": 2, "broker": 0})
}

// stored is what a fake ClickHouse has, by table: lines of TSV for partition 0.
type stored map[string][]string

func (s stored) serve(t *testing.T) *engine {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sql, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if strings.Contains(string(sql), "count()") { // of rows of other topics and partitions
			fmt.Fprintln(w, len(s["elsewhere"]))
			return
		}
		for table, lines := range s {
			if strings.Contains(string(sql), table+" ") && strings.Contains(string(sql), "kafka_partition = 0 ") {
				fmt.Fprint(w, strings.Join(lines, "\n"))
			}
		}
	}))
	t.Cleanup(web.Close)
	return &engine{engineAddresses: engineAddresses{URL: web.URL}}
}

// The oracle finds each kind of mistake, and nothing where there is none.
func TestOracle(t *testing.T) {
	calls := call{start: time.Unix(1_800_000_000, 0), seed: 7}
	row := func(offset, n int) string { return fmt.Sprintf("%d\t0\t%s", offset, calls.stored(n)) }
	const letter, gap = "3\t0", "3\t3"
	for _, c := range []struct {
		name   string
		stored stored
		want   verdict
	}{
		{"right, dead letter", stored{"events": {row(0, 0), row(1, 4), row(2, 8)}, "dead_letters": {letter, "3\t1"}}, verdict{}},
		{"right, gap", stored{"events": {row(2, 8), row(1, 4), row(0, 0)}, "ingest_gaps": {gap}}, verdict{}},
		{"lost", stored{"events": {row(0, 0), row(2, 8)}, "dead_letters": {letter}}, verdict{Lost: 1}},
		{"twice", stored{"events": {row(0, 0), row(1, 4), row(1, 4), row(1, 4), row(2, 8)}, "dead_letters": {letter}}, verdict{Duplicated: 2}},
		{"257 times", stored{"events": slices.Concat([]string{row(0, 0), row(2, 8)}, slices.Repeat([]string{row(1, 4)}, 257)), "dead_letters": {letter}}, verdict{Duplicated: 256}},
		{"elsewhere", stored{"events": {row(0, 0), row(1, 4), row(2, 8)}, "elsewhere": {"", ""}, "dead_letters": {letter}}, verdict{Foreign: 2}},
		{"other content", stored{"events": {row(0, 0), row(1, 4), row(2, 8) + "1"}, "dead_letters": {letter}}, verdict{Differing: 1}},
		{"swapped", stored{"events": {row(0, 0), row(1, 8), row(2, 4)}, "dead_letters": {letter}}, verdict{Differing: 2}},
		{"foreign", stored{"events": {row(0, 0), row(1, 4), row(2, 8), "9\t0\tzombie\t/\t200\t0\t0"}, "dead_letters": {letter}}, verdict{Foreign: 1}},
		{"second element", stored{"events": {row(0, 0), row(1, 4), "2\t1\t" + calls.stored(8)}, "dead_letters": {letter}}, verdict{Foreign: 1, Lost: 1}},
		{"poison forgotten", stored{"events": {row(0, 0), row(1, 4), row(2, 8)}}, verdict{Unaccounted: 1}},
		{"dead letter twice", stored{"events": {row(0, 0), row(1, 4), row(2, 8)}, "dead_letters": {letter, letter}}, verdict{Unaccounted: 1}},
		{"both", stored{"events": {row(0, 0), row(1, 4), row(2, 8)}, "dead_letters": {letter}, "ingest_gaps": {gap}}, verdict{Unaccounted: 1}},
		{"event rejected", stored{"events": {row(0, 0), row(1, 4)}, "dead_letters": {letter, "2\t0"}}, verdict{Lost: 1, Unaccounted: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := &journal{}
			for offset, n := range []int{0, 4, 8} {
				j.record(n, 0, int64(offset))
			}
			j.recordPoison("poison", 0, 3)
			s := &stage{topic: "t", db: c.stored.serve(t), load: &load{call: calls, journal: j}, phases: []*phaseRun{{name: "first"}, {name: "second", first: 4}}}
			got, err := s.judge(t.Context(), "127.0.0.1:1")
			if err != nil {
				t.Fatal(err)
			}
			if wrong := got.Lost + got.Duplicated; got.lost[0]+got.duplicated[0] != 0 || got.lost[1]+got.duplicated[1] != wrong {
				t.Errorf("by phase: lost %v, duplicated %v: want all in the second", got.lost, got.duplicated)
			}
			c.want.Events, c.want.Poisoned = 3, 1
			have := *got
			have.lost, have.duplicated, have.examples = nil, nil, nil
			if d := cmp.Diff(c.want, have, cmp.AllowUnexported(verdict{})); d != "" {
				t.Errorf("(-want +got):\n%s%s", d, strings.Join(got.examples, "\n"))
			}
			if clean := c.want.Lost+c.want.Duplicated+c.want.Differing+c.want.Foreign+c.want.Unaccounted == 0; got.ok() != clean || (len(got.examples) == 0) != clean {
				t.Errorf("ok %v, examples %q: want clean %v", got.ok(), got.examples, clean)
			}
		})
	}
}

// An offset that Kafka acknowledges for one record and then for another is a record
// that Kafka has lost, whatever is stored.
func TestJournalKeepsWhatKafkaReplaces(t *testing.T) {
	calls := call{start: time.Unix(1_800_000_000, 0), seed: 7}
	j := &journal{}
	j.record(0, 0, 0)
	j.record(4, 0, 1)
	j.record(8, 0, 1)
	j.recordPoison("poison", 0, 0)
	fake := stored{"events": {fmt.Sprintf("1\t0\t%s", calls.stored(8))}, "dead_letters": {"0\t0"}}
	s := &stage{topic: "t", db: fake.serve(t), load: &load{call: calls, journal: j}, phases: []*phaseRun{{name: "all"}}}
	got, err := s.judge(t.Context(), "127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	if got.Events != 3 || got.Lost != 2 || got.Duplicated != 0 || got.ok() {
		t.Errorf("%+v: want 2 of 3 lost", got)
	}
}

// The bound is that of random kills at work, and there is none where anything is
// wrong; a run that tested nothing is not a good one.
func TestReport(t *testing.T) {
	for _, c := range []struct {
		name  string
		found verdict
		bound float64
		err   string
	}{
		{"well", verdict{Events: 10}, 0.25, ""},
		{"something lost", verdict{Events: 10, Lost: 1}, 0, "not what Kafka acknowledged"},
		{"nothing sent", verdict{}, 0.25, "nothing was tested"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.found.lost, c.found.duplicated = make([]int, 3), make([]int, 3)
			run := &chaos{cmd: &chaosCmd{}, stage: stage{
				load: &load{}, verdict: &c.found,
				phases: []*phaseRun{{name: "kills", kills: 20, atWork: 12}, {name: "failpoints", kills: 7}, {name: "disk", leftOut: "no"}},
			}}
			r := run.report(time.Second)
			if r.Bound != c.bound || r.Kills != 27 || !slices.Equal(r.LeftOut, []string{"disk: no"}) || !errorHas(r.err(), c.err) {
				t.Errorf("bound %v, %d kills, left out %q, error %v: want %v, 27, disk, %q", r.Bound, r.Kills, r.LeftOut, r.err(), c.bound, c.err)
			}
		})
	}
}

func TestCallSaysItsNumber(t *testing.T) {
	c := call{start: time.Unix(1_800_000_000, 0), seed: 42}
	for _, n := range []int{0, 1, 4711} {
		if got, ok := c.numberIn([]byte(`{"request_id":"` + c.id(n) + `","x":1}`)); !ok || got != n {
			t.Errorf("call %d is read as %d, %v", n, got, ok)
		}
	}
	for _, id := range []string{"", "chaos-42-", "chaos-43-1", "chaos-42-1x", "chaos-42-01"} {
		if n, ok := c.number(id); ok {
			t.Errorf("%q is call %d", id, n)
		}
	}
}

func TestFailpoint(t *testing.T) {
	step, times, err := parseFailpoint("acked:3:17", 17)
	if step != ingest.StepAcked || times != 3 || err != nil {
		t.Errorf("step %s, times %d, %v", step, times, err)
	}
	for _, bad := range []string{"acked", "acked:3", "landed:3:17", "acked:0:17", "acked:x:17", "acked:3:18", "acked:3:17:1"} {
		if _, _, err := parseFailpoint(bad, 17); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
	died := 0
	at := failAt(ingest.StepAcked, 2, func() { died++ })
	for _, s := range []ingest.Step{ingest.StepAcked, ingest.StepFetched, ingest.StepAcked, ingest.StepAcked} {
		at(s)
	}
	if died != 1 {
		t.Errorf("died %d times: want 1, at the second time", died)
	}
}

// The list in the help is the list of phases.
func TestChaosHelpNamesThePhases(t *testing.T) {
	out, err := exec.Command("gatehouse", "chaos", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range phaseNames() {
		if !strings.Contains(string(out), name) {
			t.Errorf("help says nothing of %s", name)
		}
	}
}

func TestGrouped(t *testing.T) {
	got := []string{grouped(0), grouped(999), grouped(1000), grouped(2345678), percent(1), percent(0.003), percent(0.061)}
	want := []string{"0", "999", "1,000", "2,345,678", "100 %", "0.3 %", "6.1 %"}
	if !slices.Equal(got, want) {
		t.Errorf("%q: want %q", got, want)
	}
}
