package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/deploy/embedded"
	"gatehouse/ingest/stream"
	"gatehouse/ingest/traffic"
	"gatehouse/store"
)

// checkLedger holds what the demo stored against its Kafka, as the standing audit
// does; then a row is stored again, and the audit says so, once, and goes on
// showing it.
func checkLedger(t *testing.T, d *demo) {
	audit, err := newAudit(d.app.db, d.app.cfg.Kafka.stream(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer audit.close()
	var log bytes.Buffer
	reg := prometheus.NewRegistry()
	s := &standingAudit{audit: audit, metrics: newLedgerMetrics(reg), log: slog.New(slog.NewTextHandler(&log, nil))}
	pass := func(duplicated float64, lines int) {
		t.Helper()
		if err := s.pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]float64{"missing_offsets": 0, "duplicated_rows": duplicated, "gap_offsets": 0} {
			if got := gaugeOf(t, reg, "gatehouse_store_ledger_"+name); got != want {
				t.Errorf("%s is %g, want %g", name, got, want)
			}
		}
		if got := strings.Count(log.String(), "level=ERROR"); got != lines {
			t.Errorf("%d lines of errors, want %d: %s", got, lines, log.String())
		}
		if gaugeOf(t, reg, "gatehouse_store_ledger_last_success_timestamp_seconds") == 0 {
			t.Error("no time of the last audit")
		}
	}
	pass(0, 0)
	report, err := audit.run(t.Context(), s.scope(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	if v := report.verdict(); v.Verdict != ledgerComplete || v.Offsets == 0 {
		t.Fatalf("%+v: want a complete ledger of more than nothing", v)
	}
	p := report.Partitions[0]
	again := store.NewTable[deadLetter](d.app.db, "dead_letters", nil)
	if err := again.Append(t.Context(), deadLetter{p.Topic, p.TopicID, p.Partition, p.First, time.Now().UTC()}); err != nil {
		t.Fatal(err)
	}
	pass(1, 2)
	pass(1, 2)
	if want := fmt.Sprintf("%d rows are stored again", 1); !strings.Contains(log.String(), want) || !strings.Contains(log.String(), "offsets="+fmt.Sprint(p.First)) {
		t.Errorf("the log says %s: want %q and offset %d", log.String(), want, p.First)
	}
}

// deadLetter is a row of audit.dead_letters, as far as it counts.
type deadLetter struct {
	Topic     string    `ch:"kafka_topic"`
	TopicID   string    `ch:"kafka_topic_id"`
	Partition int32     `ch:"kafka_partition"`
	Offset    int64     `ch:"kafka_offset"`
	At        time.Time `ch:"ingested_at"`
}

// A pass looks at what is new; at hours, and at what is older, the first time,
// every twelfth, and while there is trouble.
func TestScopeOfTheStandingAudit(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	var got []string
	for _, s := range []standingAudit{{}, {passes: 1}, {passes: 11}, {passes: 12}, {passes: 1, trouble: "x"}} {
		scope := s.scope(now)
		got = append(got, fmt.Sprint(now.Sub(scope.Since), scope.History))
	}
	want := []string{"6h0m0s true", "15m0s false", "15m0s false", "6h0m0s true", "6h0m0s true"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func gaugeOf(t *testing.T, reg prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// doctor runs gatehouse doctor ledger and returns its exit code and all that it
// printed.
func (c *child) doctor(args ...string) (int, string) {
	c.t.Helper()
	out, err := exec.Command("gatehouse", append([]string{"doctor", "ledger", "-c", c.config}, args...)...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.t.Fatal(err)
	}
	if exit != nil {
		return exit.ExitCode(), string(out)
	}
	return 0, string(out)
}

// expect runs the doctor and looks at what it says.
func (c *child) expect(code int, want ...string) {
	c.t.Helper()
	got, out := c.doctor()
	if got != code {
		c.t.Errorf("exit code %d, want %d", got, code)
	}
	for _, w := range want {
		if !strings.Contains(out, w) {
			c.t.Errorf("want %q in it", w)
		}
	}
	if c.t.Failed() {
		c.t.Fatalf("doctor ledger printed:\n%s\n%s", out, c.stderr.String())
	}
}

// insert plants rows with the rights of the program itself.
func (c *child) insert(sql string) {
	c.t.Helper()
	password, err := os.ReadFile(filepath.Join(c.dir, "data", "clickhouse.password"))
	if err != nil {
		c.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, "http://"+c.sql+"/", strings.NewReader(sql))
	if err != nil {
		c.t.Fatal(err)
	}
	req.SetBasicAuth(embedded.WriteUser, strings.TrimSpace(string(password)))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		var text bytes.Buffer
		_, _ = text.ReadFrom(res.Body)
		c.t.Fatalf("%s: %s", sql, text.String())
	}
}

// sendAndStore produces calls and waits until they are stored and acknowledged.
func (c *child) sendAndStore(addr string, seed uint64) int {
	c.t.Helper()
	before, _ := c.query("SELECT count() FROM audit.events")
	sent := produce(c.t, addr, traffic.Config{Seed: seed, Start: time.Now().Add(-time.Minute), Duration: time.Minute, Rate: 20}, func(int) {})
	c.wait("events", func() bool {
		now, ok := c.query("SELECT count() - " + before + " FROM audit.events")
		return ok && now == fmt.Sprint(sent)
	})
	admin, err := stream.NewAdmin(stream.Config{Brokers: []string{addr}, Topics: []string{defaultTopic}, Group: defaultGroup})
	if err != nil {
		c.t.Fatal(err)
	}
	defer admin.Close()
	c.wait("acknowledgement", func() bool {
		d, err := admin.Describe(c.t.Context())
		if err != nil || d.Topics[0].Err != nil {
			return false
		}
		lag := int64(0)
		for _, p := range d.Topics[0].Partitions {
			lag += p.Lag
		}
		return lag == 0
	})
	return sent
}

// The story of a ledger: whole, with a gap, with rows that are stored again.
func TestDoctorLedger(t *testing.T) {
	addr := startFake(t)
	c := newChild(t, addr)
	c.start()
	c.ready()
	sent := c.sendAndStore(addr, 1)
	c.expect(0, fmt.Sprintf("complete: %d offsets are stored, each once; none is missing", sent))

	if code, out := c.doctor("--json"); code != 0 || !strings.Contains(out, `{"verdict":"complete",`) || strings.Count(out, "\n") != 5 {
		t.Errorf("exit code %d, printed %q: want 4 partitions and the verdict", code, out)
	}
	if code, out := c.doctor("--from", "2020-01-01", "--to", "2020-01-02"); code != 0 || !strings.Contains(out, "complete: 0 offsets") {
		t.Errorf("exit code %d, printed %q: want nothing stored in 2020", code, out)
	}
	if code, out := c.doctor("--topic", "no-such-topic"); code != 1 || !strings.Contains(out, "no-such-topic") {
		t.Errorf("exit code %d, printed %q: want the topic named", code, out)
	}

	// An earlier incarnation of the topic, of which ten offsets were never read.
	c.insert("INSERT INTO audit.ingest_gaps (kafka_topic, topic_id, kafka_partition, first_offset, last_offset, reason, at) VALUES ('" + defaultTopic +
		"', '0123456789abcdef', 0, 5, 14, 'retention', now64(6))")
	c.expect(3, "complete but for recorded gaps", "10 were lost before they could be read", defaultTopic+"/0 (was 01234567): recorded gaps: offsets 5-14")

	c.insert("INSERT INTO audit.dead_letters (kafka_topic, kafka_topic_id, kafka_partition, kafka_offset, kafka_index, ingested_at) " +
		"SELECT kafka_topic, kafka_topic_id, kafka_partition, kafka_offset, kafka_index, now64(3) FROM audit.events WHERE kafka_offset IN (3, 4) AND kafka_partition = 1")
	c.expect(1, "NOT COMPLETE: 0 offsets are missing, 2 rows are stored again", defaultTopic+"/1: stored again: offsets 3-4", "HAVING count() > 1")
	c.stop()
	c.expect(1, "2 rows are stored again") // by an engine of its own
}

// A ClickHouse that is empty although the group has acknowledged records, and one
// from a backup: nothing is ingested behind what is missing, and what Kafka still
// has can be stored again.
func TestNothingIsIngestedBehindAnEmptiedStore(t *testing.T) {
	addr := startFake(t)
	c := newChild(t, addr)
	c.start()
	c.ready()
	first := c.sendAndStore(addr, 1)
	c.stop()
	data := filepath.Join(c.dir, "data", "clickhouse")
	backup := filepath.Join(c.dir, "backup")
	if err := os.CopyFS(backup, os.DirFS(data)); err != nil {
		t.Fatal(err)
	}

	empty(t, data)
	refused(c, "has nothing of it", "--missing=reread", "--missing=accept", "from offset 0 on")
	c.again("--missing=reread")
	c.wait("all events again", func() bool { return c.stored() == fmt.Sprint(first) })
	c.expect(0, fmt.Sprintf("complete: %d offsets", first))

	second := c.sendAndStore(addr, 2)
	c.stop()
	empty(t, data)
	if err := os.CopyFS(data, os.DirFS(backup)); err != nil {
		t.Fatal(err)
	}
	refused(c, "ends at offset")
	c.again("--missing=reread")
	c.wait("the rest of the events", func() bool { return c.stored() == fmt.Sprint(first+second) })
	c.expect(0, fmt.Sprintf("complete: %d offsets", first+second))
	c.stop()

	empty(t, data)
	c.again("--missing=accept")
	c.wait("the record of what is lost", func() bool {
		lost, _ := c.query("SELECT sum(last_offset - first_offset + 1) FROM audit.ingest_gaps WHERE reason = 'not_stored'")
		return lost == fmt.Sprint(first+second)
	})
	c.expect(3, fmt.Sprintf("%d were lost before they could be read", first+second))
	c.stop()
	c.start() // the record is remembered: nothing is refused
	c.ready()
	c.sendAndStore(addr, 3)
}

// A group that was set back, and one that is new, find records stored that they
// have not acknowledged: nothing is stored again unless it is wanted.
func TestNothingIsStoredAgainByAGroupWithoutItsOffset(t *testing.T) {
	addr := startFake(t)
	c := newChild(t, addr)
	c.start()
	c.ready()
	sent := c.sendAndStore(addr, 1)
	c.stop()

	setBack(t, addr, 5)
	refused(c, "stands at offset 5 of", "--stored=skip", "--stored=again")
	c.again("--stored=skip")
	sent += c.sendAndStore(addr, 2)
	c.expect(0, fmt.Sprintf("complete: %d offsets", sent))
	c.stop()
	c.start() // the offset is right again: nothing is refused
	c.ready()
	sent += c.sendAndStore(addr, 3)
	c.stop()

	c.inGroup("another")
	refused(c, "group another has no offset of", "--stored=skip")
	c.again("--stored=skip")
	sent += produce(t, addr, traffic.Config{Seed: 4, Start: time.Now().Add(-time.Minute), Duration: time.Minute, Rate: 20}, func(int) {})
	c.wait("the new events", func() bool { return c.stored() == fmt.Sprint(sent) })
	checkOnce(t, c, sent)
	c.stop()

	c.inGroup("a-third")
	c.again("--stored=again")
	c.wait("everything twice", func() bool { return c.stored() == fmt.Sprint(2*sent) })
}

// inGroup makes the child a member of another consumer group.
func (c *child) inGroup(name string) {
	text := c.text
	c.text = strings.Replace(text, "kafka: {", "kafka: {group: "+name+", ", 1)
	c.configure(fmt.Sprintf("clickhouse: {listen: %q}\n", c.sql))
	c.text = text
}

// setBack moves the group's offsets, as an operator does with Kafka's own tools.
func setBack(t *testing.T, addr string, to int64) {
	t.Helper()
	consumer, err := stream.NewConsumer(stream.Config{
		Brokers: []string{addr}, Topics: []string{defaultTopic}, Group: defaultGroup, InstanceID: "one", SessionTimeout: 6 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var left atomic.Int32
	left.Store(4)
	err = consumer.Run(ctx, func(ctx context.Context, p *stream.Partition) error {
		if err := p.Commit(ctx, to, ""); err != nil {
			return err
		}
		if left.Add(-1) == 0 {
			cancel()
		}
		<-ctx.Done()
		return nil
	})
	if err != nil || left.Load() > 0 {
		t.Fatalf("%v, %d partitions are left", err, left.Load())
	}
}

func empty(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
}

func (c *child) stored() string {
	n, _ := c.query("SELECT count() FROM audit.events")
	return n
}

// refused starts the program and wants it to end with an error that says so.
func refused(c *child, want ...string) {
	c.t.Helper()
	c.stderr.Reset()
	c.start()
	select {
	case err := <-c.exited:
		if err == nil {
			c.t.Error("the program ended well")
		}
	case <-time.After(patience):
		c.t.Fatal("the program ingests behind an emptied store")
	}
	c.cmd = nil
	for _, w := range want {
		if !strings.Contains(c.stderr.String(), w) {
			c.t.Errorf("want %q in it", w)
		}
	}
	if c.t.Failed() {
		c.t.Fatalf("it said:\n%s", c.stderr.String())
	}
}

// again starts the program with a flag, until it is ready.
func (c *child) again(flag string) {
	c.t.Helper()
	c.start(flag)
	c.ready()
}

// memoryLog is a partition in memory: its records, the first offset that is still
// there, and the one at which it ends.
type memoryLog struct {
	records    map[int64]bool
	first, end int64
	at         int64
}

func (l *memoryLog) Seek(to stream.Offset) { l.at = to }

// Next gives what lies within the next four offsets.
func (l *memoryLog) Next(context.Context) ([]stream.Record, int64, error) {
	switch {
	case l.at < l.first:
		return nil, l.at, &stream.GapError{From: l.at, To: l.first}
	case l.at > l.end:
		return nil, l.at, &stream.BeyondEndError{Position: l.at, End: l.end}
	}
	var out []stream.Record
	next := min(l.at+4, l.end)
	for ; l.at < next; l.at++ {
		if l.records[l.at] {
			out = append(out, stream.Record{Offset: l.at})
		}
	}
	return out, next, nil
}

// Of the offsets that are missing, some hold a record, some never did, and some
// are gone.
func TestHoldings(t *testing.T) {
	l := &memoryLog{first: 10, end: 40, records: map[int64]bool{12: true, 13: true, 19: true, 25: true}}
	var h holdings
	for _, span := range []store.Offsets{{First: 5, Last: 13}, {First: 18, Last: 24}, {First: 30, Last: 33}} {
		if err := h.read(t.Context(), l, span); err != nil {
			t.Fatal(err)
		}
	}
	want := holdings{records: []store.Offsets{{First: 12, Last: 13}, {First: 19, Last: 19}}, gone: []store.Offsets{{First: 5, Last: 9}}}
	if d := cmp.Diff(want, h, cmp.AllowUnexported(holdings{})); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// What Kafka says sorts the missing offsets; what it has said is not asked again,
// and what it was not asked is not explained.
func TestSettle(t *testing.T) {
	missing := store.PartitionAudit{Missing: 30, MissingAt: []store.Offsets{{First: 10, Last: 19}, {First: 30, Last: 39}, {First: 50, Last: 59}}}
	for _, c := range []struct {
		known []store.Offsets
		held  holdings
		want  partitionReport
	}{
		{nil, holdings{}, partitionReport{GoneAt: missing.MissingAt}},
		{missing.MissingAt, holdings{}, partitionReport{NoRecord: 30, NoRecordAt: missing.MissingAt}},
		{
			nil, holdings{looked: true, records: []store.Offsets{{First: 12, Last: 13}}, gone: []store.Offsets{{First: 30, Last: 39}}},
			partitionReport{
				LostAt: []store.Offsets{{First: 12, Last: 13}}, GoneAt: []store.Offsets{{First: 30, Last: 39}},
				NoRecord: 18, NoRecordAt: []store.Offsets{{First: 10, Last: 11}, {First: 14, Last: 19}, {First: 50, Last: 59}},
			},
		},
	} {
		p := partitionReport{PartitionAudit: missing}
		p.settle(c.known, c.held)
		c.want.PartitionAudit = missing
		if d := cmp.Diff(c.want, p, cmp.AllowUnexported(store.PartitionAudit{})); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
	}
}
