package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"gatehouse/alert/slack/slackfake"
	"gatehouse/dashboards"
	"gatehouse/detect"
	"gatehouse/ingest/traffic"
)

// The demo, in this process, so that everything it leaves can be looked at: what
// it prints, what it stores, what it told Slack, its log and its metrics. One run
// serves all the cases, because a process has one engine.
func TestDemo(t *testing.T) {
	var out bytes.Buffer
	d := &demo{con: &console{out: &out, err: &out}, seed: 7}
	t.Cleanup(func() {
		if err := d.close(); err != nil {
			t.Error(err)
		}
	})
	if err := d.prepare(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if err := d.run(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	t.Run("prints three incidents as Slack shows them", func(t *testing.T) { checkPrinted(t, out.String()) })
	t.Run("its queries return the evidence", func(t *testing.T) { checkQueries(t, d) })
	t.Run("every finding's SQL selects its evidence", func(t *testing.T) { checkFindingSQL(t, d) })
	t.Run("every runbook query runs", func(t *testing.T) { checkRunbooks(t, d) })
	t.Run("every dashboard query runs", func(t *testing.T) { checkDashboards(t, d) })
	t.Run("every metric of the dashboards is registered", func(t *testing.T) { checkMetrics(t, d.app.registry) })
	t.Run("its ledger adds up", func(t *testing.T) { checkLedger(t, d) })
	t.Run("no planted secret is anywhere", func(t *testing.T) { checkSecrets(t, d, out.Bytes()) })
}

func checkPrinted(t *testing.T, out string) {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	last := lines[len(lines)-1]
	if !regexp.MustCompile(`^demo: \d{5} events, 0 rejected, 3 findings, 3 incidents, 9 messages$`).MatchString(last) {
		t.Errorf("last line %q", last)
	}
	for _, want := range []string{
		"One credential used from several networks", "walks through many objects", "asks for many endpoints that refuse it",
		"Do first", "INC-", "SQL: all calls of this entity in that time", " query --data-dir ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the output does not say %q", want)
		}
	}
}

func checkQueries(t *testing.T, d *demo) {
	for _, q := range d.demoQueries() {
		res, err := d.app.db.Query(t.Context(), q[1], 1000)
		if err != nil {
			t.Errorf("%s: %v", q[0], err)
			continue
		}
		if len(res.Rows) < 3 {
			t.Errorf("%s: %d rows: want at least 3", q[0], len(res.Rows))
		}
	}
}

func checkFindingSQL(t *testing.T, d *demo) {
	rows, err := newFindingTable(d.app.db).All(t.Context(), "1 ORDER BY at")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if len(r.Evidence) == 0 {
			t.Errorf("%s: no evidence", r.Rule)
		}
		const sql = "SELECT concat(kafka_topic, '/', toString(kafka_partition), '/', toString(kafka_offset)) AS origin FROM (%s)"
		res, err := d.app.db.Query(t.Context(), fmt.Sprintf(sql, r.SQL), 100_000)
		if err != nil {
			t.Errorf("%s: %v", r.Rule, err)
			continue
		}
		selected := map[any]bool{}
		for _, row := range res.Rows {
			selected[row[0]] = true
		}
		for _, origin := range r.Evidence {
			if !selected[origin] {
				t.Errorf("%s: evidence %s is not among the %d events that its SQL selects", r.Rule, origin, len(res.Rows))
			}
		}
	}
}

var placeholder = regexp.MustCompile(`\{\{(\w+)\}\}`)

// checkRunbooks runs what a responder would run, with values that an entity could
// have.
func checkRunbooks(t *testing.T, d *demo) {
	for _, r := range d.app.rules.Rules() {
		for _, q := range r.Runbook.Queries {
			sql := placeholder.ReplaceAllStringFunc(q.SQL, func(name string) string {
				if name == "{{from}}" || name == "{{to}}" {
					return "toDateTime64('2026-03-04 05:06:07', 6, 'UTC')"
				}
				return detect.Quote("it's me")
			})
			if _, err := d.app.db.Query(t.Context(), sql, 10); err != nil {
				t.Errorf("%s, %s: %v\n%s", r.ID, q.ID, err, sql)
			}
		}
	}
}

func checkDashboards(t *testing.T, d *demo) {
	queries, err := dashboards.Queries(dashboards.View{From: d.end.Add(-time.Hour), To: d.end.Add(time.Hour), Interval: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	empty := 0
	for _, q := range queries {
		res, err := d.app.db.Query(t.Context(), q.SQL, 10_000)
		if err != nil {
			t.Errorf("%s, %s: %v\n%s", q.Dashboard, q.Place, err, q.SQL)
			continue
		}
		if len(res.Rows) == 0 {
			empty++
			t.Logf("%s, %s: no rows", q.Dashboard, q.Place)
		}
	}
	if len(queries) < 10 || empty > len(queries)/4 {
		t.Errorf("%d queries, %d of them without rows on the demo's data", len(queries), empty)
	}
}

func checkMetrics(t *testing.T, reg *prometheus.Registry) {
	registered := map[string]bool{}
	descs := make(chan *prometheus.Desc)
	go func() { reg.Describe(descs); close(descs) }()
	name := regexp.MustCompile(`fqName: "([^"]+)"`)
	for desc := range descs {
		registered[name.FindStringSubmatch(desc.String())[1]] = true
	}
	used, err := dashboards.Metrics()
	if err != nil {
		t.Fatal(err)
	}
	for _, metric := range used {
		base := metric
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			base = strings.TrimSuffix(base, suffix)
		}
		if strings.HasPrefix(metric, "gatehouse_") && !registered[metric] && !registered[base] {
			t.Errorf("metric %s is not registered", metric)
		}
	}
}

// secretSearch looks for many strings at once: an index of their first eight
// bytes, walked over the text.
type secretSearch struct{ byPrefix map[uint64][]string }

const prefixLen = 8

func newSecretSearch(secrets map[string]bool) *secretSearch {
	s := &secretSearch{byPrefix: map[uint64][]string{}}
	for secret := range secrets {
		if len(secret) >= prefixLen {
			p := binary.LittleEndian.Uint64([]byte(secret))
			s.byPrefix[p] = append(s.byPrefix[p], secret)
		}
	}
	return s
}

// in returns the secrets that occur in text.
func (s *secretSearch) in(text []byte) map[string]bool {
	found := map[string]bool{}
	for i := 0; i+prefixLen <= len(text); i++ {
		for _, secret := range s.byPrefix[binary.LittleEndian.Uint64(text[i:])] {
			if bytes.HasPrefix(text[i:], []byte(secret)) {
				found[secret] = true
			}
		}
	}
	return found
}

// checkSecrets searches everything that lasts for every secret of the traffic,
// and, as the positive control, the lines that were sent: a search that does not
// find them there proves nothing.
func checkSecrets(t *testing.T, d *demo, printed []byte) {
	secrets := map[string]bool{}
	var sent bytes.Buffer
	for call := range traffic.Scenario(d.scenario()) {
		for _, s := range traffic.Secrets(&call.Raw) {
			secrets[s] = true
		}
		line, err := traffic.Encode(call.Raw.Gateway, &call.Raw, traffic.WithCredential)
		if err != nil {
			t.Fatal(err)
		}
		sent.Write(line)
		sent.WriteByte('\n')
	}
	search := newSecretSearch(secrets)
	control := search.in(sent.Bytes())
	if len(secrets) < 500 || len(control) < len(secrets)/2 {
		t.Fatalf("positive control: %d of %d secrets found in the lines that were sent", len(control), len(secrets))
	}
	t.Logf("%d secrets planted, %d of them in the lines that were sent", len(secrets), len(control))
	for place, text := range lasting(t, d) {
		for secret := range search.in(text) {
			if strings.HasPrefix(place, "file ") && monotonous(secret) {
				continue
			}
			t.Errorf("%s holds a secret: %.6s… (%d bytes)", place, secret, len(secret))
		}
	}
	for secret := range search.in(printed) {
		t.Errorf("the output holds a secret: %.6s…", secret)
	}
}

// monotonous says that a secret, such as the card number 4111111111111111, is
// mostly one byte over and over: a column's file holds such runs by chance, of
// dictionary indexes for one. What the tables give back is searched for it too.
func monotonous(secret string) bool {
	distinct := map[rune]bool{}
	for _, r := range secret {
		distinct[r] = true
	}
	const few = 4
	return len(distinct) <= few
}

// lasting is everything that outlives the demo, by place: tables as ClickHouse
// gives them back, its files, the log, the metrics and what Slack has. The raw
// topic is left out: it holds what the gateways wrote.
func lasting(t *testing.T, d *demo) map[string][]byte {
	places := map[string][]byte{}
	res, err := d.app.db.Query(t.Context(), `SELECT concat(database, '.', name) FROM system.tables
WHERE (database = 'audit' AND engine != 'View') OR (database = 'system' AND (name LIKE '%log%' OR name IN ('processes', 'errors', 'events')))`, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range res.Rows {
		var text bytes.Buffer
		if err := d.app.db.Export(t.Context(), &text, "SELECT * FROM "+row[0].(string)+" LIMIT 1000000", "TSVRaw"); err != nil {
			t.Errorf("export %v: %v", row[0], err)
		}
		places["table "+row[0].(string)] = text.Bytes()
	}
	if len(places["table audit.events"]) < 1<<20 {
		t.Fatalf("audit.events exports to %d bytes", len(places["table audit.events"]))
	}
	err = filepath.WalkDir(d.app.cfg.DataDir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "kafka":
			return fs.SkipDir
		case !entry.Type().IsRegular(): // a directory, or one of the engine's links to one
			return nil
		}
		text, err := os.ReadFile(path)
		places["file "+path] = text
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range d.slack.Messages() {
		places[fmt.Sprintf("Slack message %d", i)] = slackText(m)
	}
	var metrics bytes.Buffer
	families, err := d.app.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&metrics, f); err != nil {
			t.Fatal(err)
		}
	}
	places["metrics"] = metrics.Bytes()
	return places
}

func slackText(m slackfake.Message) []byte {
	return fmt.Appendf(nil, "%s\n%s\n%s", m.Text, m.Blocks, m.Metadata)
}
