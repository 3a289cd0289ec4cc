package main

import (
	"context"
	"errors"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// runCmd runs the pipeline.
type runCmd struct {
	Config  string `help:"Configuration file." short:"c" type:"existingfile"`
	Role    string `help:"Which loops to run: all, ingest, detect or alert." enum:"all,ingest,detect,alert" default:"all"`
	Missing string `help:"What to do when the group has acknowledged records that ClickHouse does not have: refuse, reread (store again what Kafka has) or accept (record them as lost)." enum:"refuse,reread,accept" default:"refuse"`
	Stored  string `help:"What to do when ClickHouse has records that the group has not acknowledged, because its offset expired or was set back or kafka.group is new: refuse, skip (go on behind them) or again (store them again)." enum:"refuse,skip,again" default:"refuse"`
}

// Help is printed below the flags.
func (runCmd) Help() string {
	return `Without a configuration it starts the embedded engines on loopback and keeps
their data in ~/.local/share/gatehouse. With kafka.brokers and clickhouse.url it is a
member of the consumer group and writes to that server.

Examples:
  gatehouse run
  gatehouse run -c gatehouse.yaml
  gatehouse run -c gatehouse.yaml --role ingest
  gatehouse run -c gatehouse.yaml --missing reread   # ClickHouse was emptied
  gatehouse run -c gatehouse.yaml --stored skip      # the group lost its offset`
}

// Run is the command.
func (c *runCmd) Run(ctx context.Context, con *console) error {
	cfg, err := loadConfig(c.Config)
	if err != nil {
		return err
	}
	if c.Role == roleIngest && os.Getenv("GOGC") == "" {
		debug.SetGCPercent(ingestGCPercent)
	}
	a := &app{cfg: cfg, role: c.Role, missing: c.Missing, stored: c.Stored, con: con, log: cfg.Log.logger(con.err), printTo: con.out}
	if err := a.start(ctx); err != nil {
		return errors.Join(err, a.close())
	}
	a.greet()
	err = a.run(ctx)
	return errors.Join(err, a.close())
}

// ingestGCPercent lets garbage grow to half of what is in use before it is
// collected, not to as much again: an ingester's memory is a promise, and marking
// its few large blocks costs next to nothing.
const ingestGCPercent = 50

// greet says what runs where, and how to use it.
func (a *app) greet() {
	con := a.con
	con.printf("%s\n", con.style(bold, "gatehouse is up"))
	con.printf("  kafka       %s, topics %s\n", strings.Join(a.cfg.Kafka.Brokers, ", "), topicList(a.cfg.Kafka.Topics))
	con.printf("  clickhouse  %s\n", a.clickhouseURL())
	con.printf("  metrics     http://%s/metrics\n", a.ops.addr())
	con.printf("  rules       %d\n", a.rules.Len())
	con.printf("  data        %s\n", a.cfg.DataDir)
	if a.engines == nil {
		return
	}
	line := `203.0.113.9 - ana [` + time.Now().Format("02/Jan/2006:15:04:05 -0700") + `] "GET /v1/orders/17 HTTP/1.1" 200 512 "-" "curl/8.5"`
	con.printf("\nSend a line:  echo '%s' | %s ship --gateway clf\n", line, self())
	con.printf("Query:        %s query \"SELECT ts, actor, method, path, status FROM audit.events ORDER BY ts DESC LIMIT 10\"\n", self())
	con.printf("       or:    curl '%s' --data 'SELECT count() FROM audit.events'\n", a.clickhouseURL())
	con.printf("Watch:        %s query \"SELECT at, severity, rule, reason FROM audit.findings ORDER BY at DESC LIMIT 10\"\n", self())
	if token, err := a.cfg.Slack.token(); err == nil && token.IsZero() {
		con.printf("Incidents are stored and printed here: there is no Slack token (see gatehouse doctor).\n")
	}
	con.printf("Stop with Ctrl-C.\n\n")
}

func (a *app) clickhouseURL() string {
	if a.engines != nil && a.cfg.ClickHouse.URL == "" {
		return a.engines.ClickHouse().URL
	}
	return a.cfg.ClickHouse.URL
}

func topicList(topics map[string]string) string {
	names := make([]string, 0, len(topics))
	for name := range topics {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
