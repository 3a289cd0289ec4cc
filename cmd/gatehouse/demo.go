package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gatehouse/alert/slack/slackfake"
	"gatehouse/deploy/embedded"
	"gatehouse/ingest"
	"gatehouse/ingest/stream"
	"gatehouse/ingest/traffic"
)

// demoCmd shows the whole path.
type demoCmd struct {
	Keep    bool   `help:"Stay up afterwards, with Slack's stand-in to look at."`
	DataDir string `help:"Where the demo keeps its data; emptied at the start." type:"path"`
	Seed    uint64 `help:"Seed of the traffic." default:"7"`
}

// Help is printed below the flags.
func (demoCmd) Help() string {
	return `Starts the embedded ClickHouse and Kafka and a stand-in for Slack, sends twenty
minutes of calls of a fleet of gateways with attacks inside, and shows the incidents as
Slack would. Downloads the SQL engine (180 MB) on the first run; needs npm for that.

Examples:
  gatehouse demo
  gatehouse demo --keep`
}

// The demo's traffic.
const (
	demoDuration = 20 * time.Minute
	demoRate     = 40.0 // benign calls per second
	demoWait     = 90 * time.Second
)

// demoAttacks are three attacks in the second half, when the first has given the
// baselines something to learn from.
func demoAttacks() []traffic.Attack {
	return []traffic.Attack{
		{Name: traffic.TokenReuse, At: 11 * time.Minute},
		{Name: traffic.ObjectEnumeration, At: 13 * time.Minute},
		{Name: traffic.EndpointProbing, At: 15 * time.Minute},
	}
}

// Run is the command.
func (c *demoCmd) Run(ctx context.Context, con *console) error {
	d := &demo{con: con, keep: c.Keep, seed: c.Seed}
	err := d.prepare(c.DataDir)
	if err == nil {
		err = d.run(ctx)
	}
	return errors.Join(err, d.close())
}

// demo is one run of the demo.
type demo struct {
	con   *console
	keep  bool
	seed  uint64
	app   *app
	slack *slackfake.Server
	web   *http.Server

	logFile *os.File
	sent    int
	started time.Time
	end     time.Time // event time of the newest call
}

// prepare empties the data directory and configures the app for it.
func (d *demo) prepare(dir string) error {
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("find a place for the demo: %w: name one with --data-dir", err)
		}
		dir = filepath.Join(cache, "gatehouse", "demo")
	}
	if err := emptyDemoDir(dir); err != nil {
		return err
	}
	cfg, err := (config{DataDir: dir}).withDefaults()
	if err != nil {
		return err
	}
	if !d.keep {
		cfg.Listen, cfg.Kafka.Listen, cfg.ClickHouse.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	}
	if err := d.startSlack(&cfg); err != nil {
		return err
	}
	if d.logFile, err = os.OpenFile(filepath.Join(dir, "gatehouse.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return fmt.Errorf("open the demo's log: %w", err)
	}
	d.app = &app{cfg: cfg, role: roleAll, con: d.con, log: slog.New(slog.NewTextHandler(d.logFile, nil)), printTo: d.logFile}
	return nil
}

// demoMark is a file in a directory that the demo made, and may empty.
const demoMark = "gatehouse-demo"

// emptyDemoDir makes dir, or empties it if an earlier demo made it.
func emptyDemoDir(dir string) error {
	if err := freeDir(dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return usageError{fmt.Errorf("look at the demo's directory: %w", err)}
	}
	if len(entries) > 0 {
		if _, err := os.Stat(filepath.Join(dir, demoMark)); err != nil {
			return usageError{fmt.Errorf("%s is not empty and no demo made it: name another directory with --data-dir", dir)}
		}
		for _, keep := range []string{"clickhouse", "kafka", "keys.yaml", "gatehouse.log"} {
			if err := os.RemoveAll(filepath.Join(dir, keep)); err != nil {
				return fmt.Errorf("empty the demo's directory: %w", err)
			}
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the demo's directory: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, demoMark), []byte("made by gatehouse demo, which may empty this directory\n"), 0o600); err != nil {
		return fmt.Errorf("mark the demo's directory: %w", err)
	}
	return nil
}

// freeDir refuses a directory that another process has: emptying it would take a
// database away under that one.
func freeDir(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, demoMark)); err != nil {
		return nil // not ours; who it belongs to is looked at next
	}
	lock, err := embedded.Start(context.Background(), embedded.Config{Dir: dir, NoClickHouse: true, NoKafka: true})
	if err != nil {
		return err
	}
	return lock.Close()
}

// startSlack starts Slack's stand-in and points the configuration at it.
func (d *demo) startSlack(cfg *config) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start Slack's stand-in: %w", err)
	}
	d.slack = slackfake.New(slackfake.Config{Burst: 5})
	d.web = &http.Server{Handler: d.slack, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = d.web.Serve(l) }() // ends with ErrServerClosed when the demo closes it
	cfg.Slack.APIURL, cfg.Slack.Channel = slackfake.APIURL(l.Addr().String()), slackfake.DefaultChannel
	cfg.Slack.fixed = slackfake.DefaultToken
	return nil
}

func (d *demo) close() error {
	var errs []error
	if d.app != nil {
		errs = append(errs, d.app.close())
	}
	if d.web != nil {
		errs = append(errs, d.web.Close())
	}
	if d.logFile != nil {
		errs = append(errs, d.logFile.Close())
	}
	return errors.Join(errs...)
}

// run plays the demo: the pipeline in the background, the story in front.
func (d *demo) run(ctx context.Context) error {
	d.say("Starting the embedded ClickHouse and Kafka in %s", d.app.cfg.DataDir)
	if err := d.app.start(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan error, 1)
	go func() {
		err := d.app.run(ctx)
		cancel(err) // whoever waits below learns why
		done <- err
	}()
	err := d.story(ctx)
	if err == nil && d.keep {
		d.app.greet()
		d.con.printf("Slack's stand-in:  http://%s/\n", strings.TrimSuffix(strings.TrimPrefix(d.app.cfg.Slack.APIURL, "http://"), "/api/"))
		<-ctx.Done()
	}
	cancel(nil)
	if runErr := <-done; runErr != nil {
		return runErr
	}
	if errors.Is(err, context.Canceled) && d.keep {
		return nil
	}
	return err
}

func (d *demo) say(format string, args ...any) {
	d.con.printf("%s %s\n", d.con.style(dim, "•"), fmt.Sprintf(format, args...))
}

func (d *demo) story(ctx context.Context) error {
	d.started = time.Now()
	if err := d.send(ctx); err != nil {
		return err
	}
	if err := d.settle(ctx); err != nil {
		return err
	}
	d.showMessages()
	if err := d.showQueries(ctx); err != nil {
		return err
	}
	return d.summary(ctx)
}

// send produces the traffic. Calls of one gateway go to one partition, as a
// shipper beside that gateway would send them.
func (d *demo) send(ctx context.Context) error {
	producer, err := stream.NewProducer(d.app.cfg.Kafka.stream())
	if err != nil {
		return err
	}
	d.end = time.Now().UTC()
	scenario := d.scenario()
	d.say("Sending %s of calls through %s, with %s inside", demoDuration, strings.Join(traffic.Gateways(), ", "), attackNames(scenario.Attacks))
	progress := d.con.progress()
	send := func(batch []stream.Message) error {
		if err := producer.Append(ctx, defaultTopic, batch...); err != nil {
			return err
		}
		d.sent += len(batch)
		progress.show(time.Now(), "  %d calls sent, %d stored", d.sent, d.app.detection.observed.Load())
		return nil
	}
	err = sendScenario(scenario, send)
	progress.done()
	producer.Close()
	return err
}

// scenario is the traffic that ends now.
func (d *demo) scenario() traffic.Config {
	return traffic.Config{
		Seed: d.seed, Start: d.end.Add(-demoDuration), Duration: demoDuration, Rate: demoRate, Attacks: demoAttacks(),
	}
}

// sendBatch is how many calls are produced at once.
const sendBatch = 500

func sendScenario(cfg traffic.Config, send func([]stream.Message) error) error {
	var batch []stream.Message
	for call := range traffic.Scenario(cfg) {
		line, err := traffic.Encode(call.Raw.Gateway, &call.Raw, traffic.WithCredential)
		if err != nil {
			return fmt.Errorf("write a call as %s: %w", call.Raw.Gateway, err)
		}
		batch = append(batch, stream.Message{
			Key: []byte(call.Raw.Gateway), Value: line,
			Headers: []stream.Header{{Key: ingest.GatewayHeader, Value: []byte(call.Raw.Gateway)}},
		})
		if len(batch) == sendBatch {
			if err := send(batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	return send(batch)
}

func attackNames(attacks []traffic.Attack) string {
	names := make([]string, len(attacks))
	for i, a := range attacks {
		names[i] = strings.ReplaceAll(a.Name, "_", " ")
	}
	return strings.Join(names, ", ")
}

// settle waits until everything that was sent is stored, looked at and told.
func (d *demo) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, demoWait, fmt.Errorf("the pipeline did not finish within %s: see %s", demoWait, d.logFile.Name()))
	defer cancel()
	progress := d.con.progress()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for d.app.detection.observed.Load() < int64(d.sent) {
		progress.show(time.Now(), "  %d calls sent, %d stored and looked at", d.sent, d.app.detection.observed.Load())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	progress.done()
	d.say("%d calls redacted, stored and looked at in %s", d.sent, time.Since(d.started).Round(100*time.Millisecond))
	if err := d.app.alerting.settle(ctx); err != nil {
		return err
	}
	return d.app.manager.Drain(ctx)
}

// showMessages prints what Slack shows.
func (d *demo) showMessages() {
	d.con.printf("\n%s\n", d.con.style(bold, "In Slack, #alerts:"))
	for _, m := range d.slack.Messages() {
		indent := "  "
		if m.Thread != "" {
			indent = "    ↳ "
		}
		d.con.printf("\n")
		for i, line := range m.Lines() {
			if i > 0 && m.Thread != "" {
				indent = "      "
			}
			if i == 0 && m.Thread == "" {
				line = d.con.style(bold, line)
			}
			d.con.printf("%s%s\n", indent, line)
		}
	}
}

// demoQueries are three questions to try, with what they ask.
func (d *demo) demoQueries() [][2]string {
	queries := [][2]string{
		{"What was found, and why?", "SELECT at, severity, rule, reason FROM audit.findings ORDER BY at"},
		{"Which calls are the evidence of the first finding?", `SELECT ts, actor, method, path, status, client_ip, ua_family FROM audit.events
WHERE concat(kafka_topic, '/', toString(kafka_partition), '/', toString(kafka_offset)) IN (
  SELECT arrayJoin(evidence) FROM audit.findings WHERE id = (SELECT argMin(id, at) FROM audit.findings)) ORDER BY ts, kafka_offset LIMIT 10`},
		{"Who was refused most often?", `SELECT actor, count() AS refused, uniqExact(path) AS paths, uniqExact(client_ip) AS addresses FROM audit.events
WHERE outcome IN ('auth_failed', 'forbidden', 'client_error') GROUP BY actor ORDER BY refused DESC LIMIT 5`},
	}
	return queries
}

func (d *demo) showQueries(ctx context.Context) error {
	d.con.printf("\n%s\n", d.con.style(bold, "Ask the audit log:"))
	for _, q := range d.demoQueries() {
		d.con.printf("\n%s\n  %s query --data-dir %s \"%s\"\n\n", q[0], self(), d.app.cfg.DataDir, q[1])
		res, err := d.app.db.Query(ctx, q[1], 10)
		if err != nil {
			return fmt.Errorf("run a query of the demo: %w", err)
		}
		d.con.result(res)
	}
	return nil
}

func (d *demo) summary(ctx context.Context) error {
	res, err := d.app.db.Query(ctx, `SELECT (SELECT count() FROM audit.events), (SELECT count() FROM audit.dead_letters), (SELECT count() FROM audit.findings)`, 1)
	if err != nil {
		return fmt.Errorf("count: %w", err)
	}
	row := res.Rows[0]
	d.con.printf("\ndemo: %v events, %v rejected, %v findings, %d incidents, %d messages\n",
		row[0], row[1], row[2], len(d.app.manager.Incidents()), len(d.slack.Messages()))
	return nil
}
