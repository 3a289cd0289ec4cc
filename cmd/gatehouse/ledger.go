package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gatehouse/deploy/embedded"
	"gatehouse/store"
)

// ledgerCmd holds what is stored against what Kafka has.
type ledgerCmd struct {
	Config string        `help:"Configuration file." short:"c" type:"existingfile"`
	Since  time.Duration `help:"Look at what was stored in this time before now." default:"24h"`
	From   string        `help:"Look at what was stored from this time on: 2026-03-04 or 2026-03-04T05:06:07Z."`
	To     string        `help:"… and before this time. Default now."`
	Topic  string        `help:"Look at this topic only."`
	JSON   bool          `help:"One JSON object per partition, then the verdict." name:"json"`
}

// exitGaps says that nothing is missing but what is recorded as lost.
const exitGaps = 3

// Help is printed below the flags.
func (ledgerCmd) Help() string {
	return `Compares rows with offsets, partition by partition: every offset that the consumer
group has acknowledged must be an event, a dead letter or a recorded gap, and be stored
once. Offsets without a row are looked up in Kafka: markers of transactions and aborted
records are no loss. --since, --from and --to are times of insertion. Changes nothing.

Exit codes: 0 complete, 1 something is missing or stored twice (or the check failed),
2 wrong usage, 3 complete but for gaps that are recorded in audit.ingest_gaps.

Examples:
  gatehouse doctor ledger
  gatehouse doctor ledger -c gatehouse.yaml --since 1h --topic gateway-logs
  gatehouse doctor ledger --from 2026-03-01 --to 2026-03-08 --json
  gatehouse query "SELECT * FROM audit.v_ledger(since = now() - INTERVAL 1 DAY, until = now())"`
}

// Run is the command.
func (c *ledgerCmd) Run(ctx context.Context, con *console) error {
	scope, err := c.scope(time.Now())
	if err != nil {
		return usageError{err}
	}
	cfg, err := loadConfig(c.Config)
	if err != nil {
		return err
	}
	reader, err := openLedger(ctx, &cfg, con)
	if err != nil {
		return err
	}
	defer reader.stop(ctx)
	audit, err := newAudit(reader.db, cfg.Kafka.stream(), c.Topic)
	if err != nil {
		return err
	}
	defer audit.close()
	report, err := audit.run(ctx, scope)
	if err != nil {
		return err
	}
	if c.JSON {
		return con.ledgerJSON(report)
	}
	con.ledger(report)
	return report.verdict().err()
}

func (c *ledgerCmd) scope(now time.Time) (store.AuditScope, error) {
	scope := store.AuditScope{Since: now.Add(-c.Since), Until: now.Add(clockSlack), Topic: c.Topic, History: true}
	var err error
	if c.From != "" {
		if scope.Since, err = parseTime("--from", c.From); err != nil {
			return scope, err
		}
	}
	if c.To != "" {
		if scope.Until, err = parseTime("--to", c.To); err != nil {
			return scope, err
		}
	}
	if c.Since <= 0 {
		return scope, fmt.Errorf("--since %s: want a time such as 24h", c.Since)
	}
	if !scope.Since.Before(scope.Until) {
		return scope, fmt.Errorf("nothing lies between %s and %s: want --from before --to", scope.Since.UTC().Format(time.RFC3339), scope.Until.UTC().Format(time.RFC3339))
	}
	return scope, nil
}

// clockSlack is how far the clock of a process that stores may be ahead.
const clockSlack = 5 * time.Minute

func parseTime(flag, text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04", time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%s %q: want a time in UTC such as 2026-03-04 or 2026-03-04T05:06:07Z", flag, text)
}

// openLedger opens ClickHouse, and sees to it that Kafka answers at the address
// that cfg then has: of embedded engines that do not run, both are started here.
func openLedger(ctx context.Context, cfg *config, con *console) (*database, error) {
	kafka := len(cfg.Kafka.Brokers) > 0 || listening(cfg.Kafka.Listen)
	if kafka || cfg.ClickHouse.URL != "" || listening(cfg.ClickHouse.Listen) {
		return openReader(ctx, *cfg, con)
	}
	if _, err := os.Stat(filepath.Join(cfg.DataDir, "clickhouse")); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("no data in %s yet: start gatehouse run first, or set clickhouse.url", cfg.DataDir)
	}
	engines, err := embedded.Start(ctx, embedded.Config{
		Dir: cfg.DataDir, ClickHouseAddr: "127.0.0.1:0", KafkaAddr: "127.0.0.1:0", Progress: con.err,
	})
	if err != nil {
		return nil, err
	}
	cfg.Kafka.Brokers = []string{engines.Kafka()}
	db, err := store.Open(ctx, store.Config{URL: engines.ClickHouse().URL})
	if err != nil {
		return nil, errors.Join(err, engines.Close())
	}
	return &database{db: db, engines: engines}, nil
}

// ledger prints a report as a table, what is wrong in it, and the verdict.
func (con *console) ledger(r ledgerReport) {
	header := []string{"partition", "log", "committed", "lag", "looked at", "events", "dead letters", "gaps", "no record", "missing", "duplicated"}
	right := []bool{false, false, true, true, false, true, true, true, true, true, true}
	var rows [][]string
	for i := range r.Partitions {
		p := &r.Partitions[i]
		looked := "–"
		if p.Last >= p.First {
			looked = store.Offsets{First: p.First, Last: p.Last}.String()
		}
		row := []string{p.name(), "gone", "–", "–", looked}
		if p.Kafka != nil {
			row = []string{p.name(), fmt.Sprintf("%d-%d", p.Kafka.First, p.Kafka.End-1), strconv.FormatInt(p.Kafka.Committed, 10), strconv.FormatInt(p.Kafka.Lag, 10), looked}
			if p.Kafka.End == p.Kafka.First {
				row[1] = "empty"
			}
		}
		for _, n := range []int64{int64(p.Events), int64(p.Rejected), p.GapOffsets, p.NoRecord, p.missing(), p.Duplicated} {
			row = append(row, strconv.FormatInt(n, 10))
		}
		rows = append(rows, row)
	}
	con.table(header, right, rows)
	for i := range r.Partitions {
		con.ledgerDetails(&r.Partitions[i])
	}
	v := r.verdict()
	con.printf("\n%s\n", con.style(v.colour(), v.Text))
}

// shownSpans is how many spans of one kind are named.
const shownSpans = 20

// ledgerDetails names the offsets of a partition that are not well, and how to
// see for oneself.
func (con *console) ledgerDetails(p *partitionReport) {
	for _, d := range p.details() {
		if len(d.spans) == 0 {
			continue
		}
		con.printf("\n%s: %s: offsets %s\n", safeText(p.name()), d.what, spanList(d.spans))
		con.printf("  %s query \"%s\"\n", self(), safeText(d.sql))
	}
}

func spanList(spans []store.Offsets) string {
	var parts []string
	for _, s := range spans[:min(len(spans), shownSpans)] {
		parts = append(parts, s.String())
	}
	if more := len(spans) - shownSpans; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d spans more (--json lists them)", more))
	}
	return strings.Join(parts, ", ")
}

func (con *console) ledgerJSON(r ledgerReport) error {
	for i := range r.Partitions {
		if err := con.json(&r.Partitions[i]); err != nil {
			return err
		}
	}
	v := r.verdict()
	if err := con.json(v); err != nil {
		return err
	}
	return v.err()
}
