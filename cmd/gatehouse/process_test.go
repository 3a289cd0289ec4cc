package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse/alert/slack/slackfake"
	"gatehouse/deploy/embedded"
	"gatehouse/deploy/kafka"
	"gatehouse/ingest/event"
	"gatehouse/ingest/stream"
	"gatehouse/ingest/traffic"
)

// broker is a Kafka to run a case against.
type broker struct {
	name  string
	start func(t *testing.T) string // address of a fresh one
}

func brokers() []broker {
	return []broker{{"kfake", startFake}, {"apache", startApache}}
}

func startFake(t *testing.T) string {
	engines, err := embedded.Start(t.Context(), embedded.Config{
		Dir: t.TempDir(), KafkaAddr: "127.0.0.1:0", NoClickHouse: true, Topics: map[string]int32{defaultTopic: 4},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engines.Close(); err != nil {
			t.Error(err)
		}
	})
	return engines.Kafka()
}

// startApache starts a real broker.
func startApache(t *testing.T) string {
	kafka.Require(t)
	b, err := kafka.Start(t.Context(), kafka.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	})
	admin, err := stream.NewAdmin(stream.Config{Brokers: []string{b.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	if err := admin.EnsureTopic(t.Context(), defaultTopic, 4, nil); err != nil {
		t.Fatal(err)
	}
	return b.Addr()
}

// child is the real program in a process of its own.
type child struct {
	t      *testing.T
	config string
	text   string
	role   string
	dir    string
	listen string
	sql    string
	cmd    *exec.Cmd
	stderr bytes.Buffer
	exited chan error
}

// newChild prepares a gatehouse run with the embedded ClickHouse and the given
// broker.
func newChild(t *testing.T, kafkaAddr string) *child {
	return newChildWithKey(t, kafkaAddr, filepath.Join(t.TempDir(), "keys.yaml"))
}

// newChildWithKey is newChild with a key file that others use too: the ids of
// findings about tokens rest on the tokens' fingerprints.
func newChildWithKey(t *testing.T, kafkaAddr, keys string) *child {
	c := &child{t: t, role: roleAll, dir: t.TempDir(), listen: freeAddr(t), sql: freeAddr(t)}
	c.config = filepath.Join(c.dir, "gatehouse.yaml")
	c.text = fmt.Sprintf(`data_dir: %s
listen: %s
kafka: {brokers: [%q], instance_id: one, session_timeout: 6s}
redaction: {key_file: %s}
ingest: {batch_events: 3000, flush_interval: 100ms}
`, filepath.Join(c.dir, "data"), c.listen, kafkaAddr, keys)
	c.configure(fmt.Sprintf("clickhouse: {listen: %q}\n", c.sql))
	t.Cleanup(c.kill)
	return c
}

// configure writes the configuration with the given ClickHouse.
func (c *child) configure(clickhouse string) {
	if err := os.WriteFile(c.config, []byte(c.text+clickhouse), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

func freeAddr(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (c *child) start(flags ...string) {
	c.t.Helper()
	c.cmd = exec.Command("gatehouse", append([]string{"run", "-c", c.config, "--role", c.role}, flags...)...)
	c.cmd.Stdout, c.cmd.Stderr = io.Discard, &c.stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.exited = make(chan error, 1)
	go func(cmd *exec.Cmd, exited chan<- error) { exited <- cmd.Wait() }(c.cmd, c.exited)
}

// kill ends the process with SIGKILL, if it runs.
func (c *child) kill() {
	if c.cmd == nil {
		return
	}
	_ = c.cmd.Process.Kill()
	<-c.exited
	c.cmd = nil
}

// stop ends the process as an operator would, and wants it to end well.
func (c *child) stop() {
	c.t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		c.t.Fatal(err)
	}
	if err := <-c.exited; err != nil {
		c.t.Errorf("stopped process: %v\n%s", err, c.stderr.String())
	}
	c.cmd = nil
}

// ready waits until the process says that it is.
func (c *child) ready() {
	c.t.Helper()
	c.wait("readiness", func() bool {
		res, err := http.Get("http://" + c.listen + "/readyz")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

// patience is how long a test waits for something that must come.
const patience = 2 * time.Minute

// wait looks until a condition holds.
func (c *child) wait(what string, holds func() bool) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case err := <-c.exited:
			c.exited <- err
			c.t.Fatalf("waiting for %s: the process ended: %v\n%s", what, err, c.stderr.String())
		case <-ctx.Done():
			c.t.Fatalf("waiting for %s: not within %s\n%s", what, patience, c.stderr.String())
		}
	}
}

// query asks the child's ClickHouse, as anybody with curl can.
func (c *child) query(sql string) (string, bool) {
	res, err := http.Post("http://"+c.sql+"/", "text/plain", strings.NewReader(sql))
	if err != nil {
		return "", false
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return strings.TrimSpace(string(body)), err == nil && res.StatusCode == http.StatusOK
}

// produce sends a scenario and returns how many records were acknowledged.
func produce(t *testing.T, addr string, cfg traffic.Config, each func(sent int)) int {
	t.Helper()
	producer, err := stream.NewProducer(stream.Config{Brokers: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	sent := 0
	err = sendScenario(cfg, func(batch []stream.Message) error {
		err := producer.Append(t.Context(), defaultTopic, batch...)
		sent += len(batch)
		each(sent)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sent
}

// Twenty times during a run of 200,000 events with attacks in it the process is
// killed with -9, at random moments, and started again. Every event that Kafka
// acknowledged is stored once, and nothing else; every incident is told in Slack
// once.
func TestKilledTwentyTimesEveryEventIsStoredOnce(t *testing.T) {
	if testing.Short() {
		t.Log("a shorter run: 5 kills")
	}
	kills, events := 20, 200_000
	if testing.Short() {
		kills, events = 5, 40_000
	}
	for _, b := range brokers() {
		t.Run(b.name, func(t *testing.T) {
			addr := b.start(t)
			c := newChild(t, addr)
			slack := c.withSlack()
			c.start()
			c.ready()
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			killer := &killer{c: c, rng: rand.New(rand.NewPCG(seed, 1)), left: kills, every: events / (kills + 1)}
			duration := 10 * time.Minute
			sent := produce(t, addr, traffic.Config{
				Seed: 11, Start: time.Now().Add(-duration), Duration: duration, Rate: float64(events) / duration.Seconds(),
				Attacks: traffic.OneOfEach(duration),
			}, killer.sent)
			c.wait("every event to be stored", func() bool {
				got, ok := c.query("SELECT count() >= " + fmt.Sprint(sent) + " FROM audit.events")
				return ok && got == "1"
			})
			c.stop()
			c.start()
			c.ready()
			checkOnce(t, c, sent)
			checkTold(t, c, slack)
			if killer.left > 0 {
				t.Errorf("only %d of %d kills happened", kills-killer.left, kills)
			}
			t.Logf("%d kills, %d events", kills, sent)
		})
	}
}

// withSlack gives the child a Slack that outlives it.
func (c *child) withSlack() *slackfake.Server {
	fake := slackfake.New(slackfake.Config{Burst: 5})
	web := httptest.NewServer(fake)
	c.t.Cleanup(web.Close)
	c.t.Setenv("GATEHOUSE_SLACK_TOKEN", slackfake.DefaultToken)
	c.text += fmt.Sprintf("slack: {channel: %s, api_url: %q}\n", slackfake.DefaultChannel, slackfake.APIURL(strings.TrimPrefix(web.URL, "http://")))
	c.configure(fmt.Sprintf("clickhouse: {listen: %q}\n", c.sql))
	return fake
}

var incidentID = regexp.MustCompile(`INC-[0-9A-Z]{10}`)

// checkTold waits until every incident has its message and wants exactly one.
func checkTold(t *testing.T, c *child, slack *slackfake.Server) {
	t.Helper()
	c.wait("every incident to be told", func() bool {
		got, ok := c.query(`SELECT count() FROM (SELECT incident_id FROM audit.incident_log GROUP BY incident_id)
WHERE incident_id NOT IN (SELECT incident_id FROM audit.deliveries WHERE kind = 'root' AND status IN ('accepted', 'adopted'))`)
		return ok && got == "0"
	})
	roots := map[string]int{}
	for _, m := range slack.Messages() {
		if m.Thread == "" {
			roots[incidentID.FindString(string(m.Blocks))]++
		}
	}
	got, _ := c.query("SELECT DISTINCT incident_id FROM audit.incident_log ORDER BY incident_id FORMAT TSV")
	incidents := strings.Fields(got)
	if len(incidents) < 3 {
		t.Errorf("incidents %v: want the attacks' at least", incidents)
	}
	for _, id := range incidents {
		if roots[id] != 1 {
			t.Errorf("incident %s has %d messages: want 1", id, roots[id])
		}
		delete(roots, id)
	}
	if len(roots) > 0 {
		t.Errorf("messages about no incident: %v", roots)
	}
}

// killer kills the child as events are sent, at a random moment within each
// stretch of them, and starts it again.
type killer struct {
	c     *child
	rng   *rand.Rand
	left  int
	every int
	next  int
}

func (k *killer) sent(n int) {
	if n < k.next || k.left == 0 {
		return
	}
	k.left--
	k.next = n + k.every - k.rng.IntN(k.every/2)
	// Kill after some of what was sent has been stored since the start, so that
	// there is something in flight.
	before, _ := k.c.query("SELECT count() FROM audit.events")
	k.c.wait("progress", func() bool {
		now, ok := k.c.query("SELECT count() FROM audit.events")
		return ok && (now != before || now == fmt.Sprint(n))
	})
	k.c.kill()
	k.c.start()
}

func checkOnce(t *testing.T, c *child, sent int) {
	t.Helper()
	got, _ := c.query(`SELECT count(), uniqExact(kafka_partition, kafka_offset, kafka_index), (SELECT count() FROM audit.dead_letters), (SELECT count() FROM audit.ingest_gaps)
FROM audit.events FORMAT TSV`)
	want := fmt.Sprintf("%d\t%d\t0\t0", sent, sent)
	if got != want {
		t.Errorf("rows, distinct origins, dead letters, gaps = %q: want %q", got, want)
	}
}

// The same traffic through the in-process broker, through Apache Kafka and in a
// file gives the same findings and incidents, by id.
func TestTheSameTrafficGivesTheSameIncidents(t *testing.T) {
	duration := 20 * time.Minute
	scenario := traffic.Config{
		Seed: 7, Start: time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC), Duration: duration, Rate: demoRate, Attacks: demoAttacks(),
	}
	found, keys := map[string]string{}, filepath.Join(t.TempDir(), "keys.yaml")
	for _, b := range brokers() {
		t.Run(b.name, func(t *testing.T) {
			addr := b.start(t)
			c := newChildWithKey(t, addr, keys)
			c.start()
			c.ready()
			sent := produce(t, addr, scenario, func(int) {})
			c.wait("incidents", func() bool {
				got, ok := c.query(fmt.Sprintf(`SELECT (SELECT count() FROM audit.events) = %d
AND (SELECT uniqExact(incident_id) FROM audit.incident_log) >= 3`, sent))
				return ok && got == "1"
			})
			got, _ := c.query(`SELECT * FROM (SELECT 'finding' AS kind, rule, id FROM audit.findings UNION ALL
SELECT 'incident', '', incident_id FROM audit.incident_log GROUP BY incident_id) ORDER BY ALL FORMAT TSV`)
			found[b.name] = got
			c.stop()
		})
	}
	names := slices.Sorted(maps.Keys(found))
	for _, name := range names[1:] {
		if d := cmp.Diff(found[names[0]], found[name]); d != "" {
			t.Errorf("%s and %s differ:\n%s", names[0], name, d)
		}
	}
	if d := cmp.Diff(findingIDs(found[names[0]]), detectInFile(t, scenario, keys)); d != "" {
		t.Errorf("through Kafka and in a file differ (-Kafka +file):\n%s", d)
	}
	if n := strings.Count(found[names[0]], "incident"); n != 3 {
		t.Errorf("%d incidents: want 3\n%s", n, found[names[0]])
	}
}

// findingIDs are the ids of the lines that tell of findings, sorted.
func findingIDs(rows string) []string {
	var ids []string
	for line := range strings.Lines(rows) {
		if kind, rest, _ := strings.Cut(strings.TrimSpace(line), "\t"); kind == "finding" {
			_, id, _ := strings.Cut(rest, "\t")
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// detectInFile writes a scenario's lines to a file and has it looked at offline.
func detectInFile(t *testing.T, scenario traffic.Config, keys string) []string {
	t.Helper()
	dir := t.TempDir()
	file, config := filepath.Join(dir, "calls.log"), filepath.Join(dir, "gatehouse.yaml")
	var lines bytes.Buffer
	if err := sendScenario(scenario, func(batch []stream.Message) error {
		for _, m := range batch {
			lines.Write(m.Value)
			lines.WriteByte('\n')
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string][]byte{file: lines.Bytes(), config: fmt.Appendf(nil, "redaction: {key_file: %s}\n", keys)} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("gatehouse", "detect", "-c", config, file).Output()
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for line := range strings.Lines(string(out)) {
		var f struct{ ID string }
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, f.ID)
	}
	slices.Sort(ids)
	return ids
}

// Three processes, one per role, do together what one does: they meet at a
// ClickHouse and at the feed topic. The detector and the alerter come late, when
// everything is stored, an event with a clock of years ahead too; they find and
// tell all the same.
func TestRolesInProcessesOfTheirOwn(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys.yaml")
	engines, err := embedded.Start(t.Context(), embedded.Config{
		Dir: t.TempDir(), KafkaAddr: "127.0.0.1:0", ClickHouseAddr: "127.0.0.1:0", Topics: map[string]int32{defaultTopic: 4},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engines.Close(); err != nil {
			t.Error(err)
		}
	})
	ch := engines.ClickHouse()
	t.Setenv("TEST_PASSWORD", ch.WritePassword)
	start := func(role string) *child {
		c := newChildWithKey(t, engines.Kafka(), keys)
		c.role, c.sql = role, strings.TrimPrefix(ch.URL, "http://")
		c.configure(fmt.Sprintf("clickhouse: {url: %q, user: %s, password_env: TEST_PASSWORD}\n", ch.URL, ch.WriteUser))
		if role == roleIngest {
			if out, err := exec.Command("gatehouse", "migrate", "-c", c.config).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}
		c.start()
		c.ready()
		return c
	}
	ingester := start(roleIngest)
	produceOne(t, engines.Kafka(), benchCall(time.Now().AddDate(3, 0, 0), "100.64.0.1", "/v1/orders/1"))
	sent := 1 + produce(t, engines.Kafka(), traffic.Config{
		Seed: 7, Start: time.Now().Add(-2 * demoDuration), Duration: demoDuration, Rate: demoRate, Attacks: demoAttacks(),
	}, func(int) {})
	ingester.wait("every event to be stored", func() bool {
		got, ok := ingester.query("SELECT count() FROM audit.events")
		return ok && got == fmt.Sprint(sent)
	})
	all := []*child{ingester, start(roleDetect), start(roleAlert)}
	ingester.wait("three incidents, told", func() bool {
		got, ok := ingester.query("SELECT uniqExact(incident_id) FROM audit.deliveries WHERE status = 'printed'")
		return ok && got == "3"
	})
	second := newChildWithKey(t, engines.Kafka(), keys)
	second.configure(fmt.Sprintf("clickhouse: {url: %q, user: %s, password_env: TEST_PASSWORD}\n", ch.URL, ch.WriteUser))
	out, err := exec.Command("gatehouse", "run", "-c", second.config).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "another process does the work of role detect") {
		t.Errorf("a second detector: %v, said %q", err, out)
	}
	for _, c := range all {
		c.stop()
	}
	second.start() // the others have let go
	second.ready()
	second.stop()
}

func produceOne(t *testing.T, addr string, raw event.Raw) {
	t.Helper()
	msg, err := canonicalMessage(&raw)
	if err != nil {
		t.Fatal(err)
	}
	producer, err := stream.NewProducer(stream.Config{Brokers: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	if err := producer.Append(t.Context(), defaultTopic, msg); err != nil {
		t.Fatal(err)
	}
}

// A restart opens and resolves no incident, stores no finding twice and tells
// nothing twice.
func TestARestartChangesNothing(t *testing.T) {
	addr := startFake(t)
	c := newChild(t, addr)
	slack := c.withSlack()
	c.start()
	c.ready()
	produce(t, addr, traffic.Config{
		Seed: 7, Start: time.Now().Add(-demoDuration), Duration: demoDuration, Rate: demoRate, Attacks: demoAttacks(),
	}, func(int) {})
	c.wait("three incidents", func() bool {
		got, ok := c.query("SELECT uniqExact(incident_id) FROM audit.incident_log")
		return ok && got == "3"
	})
	checkTold(t, c, slack)
	for range 2 {
		c.stop()
		c.start()
		c.ready()
		marks, _ := c.query("SELECT count() FROM audit.detector_marks")
		c.wait("detection and alerting to be under way", func() bool {
			got, ok := c.query("SELECT count() FROM audit.detector_marks")
			return ok && got != marks
		})
	}
	// A detector that looks again may see partitions interleaved otherwise, and add
	// a finding to an incident; it must not open, resolve or reopen one.
	got, _ := c.query(`SELECT count() = uniqExact(id), (SELECT uniqExact(incident_id) FROM audit.incident_log),
(SELECT countIf(kind NOT IN ('opened', 'finding')) FROM audit.incident_log) FROM audit.findings FORMAT TSV`)
	if got != "1\t3\t0" {
		rows, _ := c.query("SELECT rule, id, at, entity.value, events, reason FROM audit.findings ORDER BY at FORMAT TSV")
		t.Errorf("each finding once, incidents, their other transitions = %q: want 1, 3, 0\n%s", got, rows)
	}
	checkTold(t, c, slack)
}

// A second process on one data directory is told which process has it and what
// to do.
func TestASecondProcessIsToldWhoHoldsTheData(t *testing.T) {
	c := newChild(t, startFake(t))
	c.start()
	c.ready()
	second := exec.Command("gatehouse", "run", "-c", c.config)
	var out bytes.Buffer
	second.Stdout, second.Stderr = io.Discard, &out
	err := second.Run()
	if err == nil {
		t.Fatal("the second process ran")
	}
	for _, want := range []string{fmt.Sprint(c.cmd.Process.Pid), "data_dir"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q: want it to say %q", out.String(), want)
		}
	}
}

// A question through the program reaches the engine of the running one.
func TestQueryReachesARunningProcess(t *testing.T) {
	c := newChild(t, startFake(t))
	c.start()
	c.ready()
	out, err := exec.Command("gatehouse", "query", "-c", c.config, "--json", "SELECT name FROM system.tables WHERE database = 'audit' ORDER BY name").Output()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		var row struct{ Name string }
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		names = append(names, row.Name)
	}
	want := []string{"dead_letters", "deliveries", "detector_marks", "duties", "events", "findings", "incident_log", "ingest_gaps", "schema_migrations", "v_ledger", "v_ledger_gaps", "v_ledger_rows"}
	if d := cmp.Diff(want, names); d != "" {
		t.Error(d)
	}
	for _, sql := range []string{"SELECT file('/etc/passwd')", "INSERT INTO audit.ingest_gaps (reason) VALUES ('x')", "SELECT 1 INTO OUTFILE '/tmp/x'", "SELECT 1; SELECT 2"} {
		if err := exec.Command("gatehouse", "query", "-c", c.config, sql).Run(); err == nil {
			t.Errorf("%s: no error", sql)
		}
	}
}

// A wrong password is said to be one, and is not repeated.
func TestAWrongPasswordIsSaidToBeOne(t *testing.T) {
	c := newChild(t, startFake(t))
	c.start()
	c.ready()
	t.Setenv("TEST_PASSWORD", "s3cr3t-guess")
	config := filepath.Join(t.TempDir(), "wrong.yaml")
	text := fmt.Sprintf("clickhouse: {url: \"http://%s\", user: gatehouse, password_env: TEST_PASSWORD}\n", c.sql)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"migrate", "-c", config}, {"run", "-c", config}, {"query", "-c", config, "SELECT 1"}} {
		out, err := exec.Command("gatehouse", args...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "wrong user or password: check clickhouse.user and clickhouse.password_file") ||
			strings.Contains(string(out), "s3cr3t") {
			t.Errorf("gatehouse %s: %v, said %q", args[0], err, out)
		}
	}
}

// ship --follow sends what is appended, over a rotation, each line once.
func TestShipFollowsOverRotation(t *testing.T) {
	c := newChild(t, startFake(t))
	c.start()
	c.ready()
	log := filepath.Join(t.TempDir(), "access.log")
	appendLine := func(path string, n int) {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		fmt.Fprintf(f, "203.0.113.9 - ana [%s] \"GET /v1/orders/%d HTTP/1.1\" 200 5 \"-\" \"curl/8.5\"\n", time.Now().Format("02/Jan/2006:15:04:05 -0700"), n)
	}
	stored := func(n int) {
		t.Helper()
		c.wait(fmt.Sprintf("%d lines", n), func() bool {
			got, ok := c.query("SELECT count() FROM audit.events")
			return ok && got == fmt.Sprint(n)
		})
	}
	appendLine(log, 1)
	var mu sync.Mutex
	var out bytes.Buffer
	ship := exec.Command("gatehouse", "ship", "-c", c.config, "--gateway", "clf", "--follow", log)
	ship.Stderr = &lockedWriter{mu: &mu, w: &out}
	if err := ship.Start(); err != nil {
		t.Fatal(err)
	}
	stored(1)
	appendLine(log, 2)
	stored(2)
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	appendLine(log, 3)      // the successor is there at once, as logrotate makes it …
	appendLine(log+".1", 4) // … and the gateway still has the old file open
	stored(3)
	stored(4)
	if err := os.Truncate(log, 0); err != nil { // copytruncate
		t.Fatal(err)
	}
	appendLine(log, 5)
	appendLine(log, 6)
	stored(6)
	if err := ship.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := ship.Wait(); err != nil {
		t.Errorf("ship: %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if !strings.Contains(out.String(), "ship: 6 lines") {
		t.Errorf("ship said %q", out.String())
	}
}

// A line that comes through a pipe is sent when it comes, not when there are a
// thousand; a signal ends ship with nothing left behind.
func TestShipSendsALineOfAPipeAtOnce(t *testing.T) {
	c := newChild(t, startFake(t))
	c.start()
	c.ready()
	ship := exec.Command("gatehouse", "ship", "-c", c.config, "--gateway", "clf")
	var out bytes.Buffer
	ship.Stderr = &out
	in, err := ship.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := ship.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(in, `203.0.113.9 - ana [04/Mar/2026:05:06:07 +0000] "GET /v1/orders/1 HTTP/1.1" 200 5 "-" "curl/8.5"`)
	c.wait("the line", func() bool {
		got, ok := c.query("SELECT count() FROM audit.events")
		return ok && got == "1"
	})
	if err := ship.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := ship.Wait(); err != nil || !strings.Contains(out.String(), "ship: 1 lines") {
		t.Errorf("%v, said %q", err, out.String())
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
