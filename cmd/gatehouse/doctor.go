package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gatehouse/alert/slack"
	"gatehouse/ingest/redact"
	"gatehouse/ingest/stream"
)

// doctorCmd asks whether everything is well; without a subcommand, whether the
// configuration and what it points at are.
type doctorCmd struct {
	Check  checkCmd  `cmd:"" default:"withargs" help:"Check the configuration and everything it points at (default)."`
	Ledger ledgerCmd `cmd:"" help:"Check that every offset of Kafka is stored, once."`
}

// checkCmd checks everything a configuration points at.
type checkCmd struct {
	Config string `help:"Configuration file." short:"c" type:"existingfile"`
	JSON   bool   `help:"One JSON object per check." name:"json"`
}

// Help is printed below the flags.
func (doctorCmd) Help() string {
	return `Checks configuration, data directory, keys, rules, Kafka, ClickHouse and Slack, and
says for each problem what to do. Changes nothing. Exits 1 when a check fails.

Examples:
  gatehouse doctor
  gatehouse doctor -c gatehouse.yaml --json
  gatehouse doctor ledger --since 24h`
}

// check is the outcome of one of doctor's questions.
type check struct {
	Status string `json:"status"` // ok, note, fail
	What   string `json:"what"`
	Detail string `json:"detail"`
	Next   string `json:"next,omitempty"`
}

// Statuses of a check. A note is nothing wrong, but something a person should
// know.
const (
	checkOK   = "ok"
	checkNote = "note"
	checkFail = "fail"
)

func okay(detail string, args ...any) check {
	return check{Status: checkOK, Detail: fmt.Sprintf(detail, args...)}
}

func failed(err error, next string) check {
	return check{Status: checkFail, Detail: err.Error(), Next: next}
}

// doctorTimeout bounds each question.
const doctorTimeout = 10 * time.Second

// Run is the command.
func (c *checkCmd) Run(ctx context.Context, con *console) error {
	cfg, err := loadConfig(c.Config)
	if err != nil {
		return err
	}
	questions := []struct {
		what string
		ask  func(context.Context, config) check
	}{
		{"data directory", checkDataDir},
		{"fingerprint keys", checkKeys},
		{"rules", checkRules},
		{"kafka", checkKafka},
		{"clickhouse", checkClickHouse},
		{"slack", checkSlack},
	}
	var checks []check
	for _, q := range questions {
		asked, cancel := context.WithTimeoutCause(ctx, doctorTimeout, errors.New("no answer in 10 s"))
		answer := q.ask(asked, cfg)
		cancel()
		answer.What = q.what
		checks = append(checks, answer)
	}
	if err := con.checks(checks, c.JSON); err != nil {
		return err
	}
	if n := countFailed(checks); n > 0 {
		return fmt.Errorf("%d of %d checks failed", n, len(checks))
	}
	return nil
}

func countFailed(checks []check) int {
	n := 0
	for _, c := range checks {
		if c.Status == checkFail {
			n++
		}
	}
	return n
}

func (con *console) checks(checks []check, asJSON bool) error {
	if asJSON {
		for _, c := range checks {
			if err := con.json(c); err != nil {
				return err
			}
		}
		return nil
	}
	mark := map[string]string{checkOK: con.style(green, "ok  "), checkNote: "note", checkFail: con.style(red, "FAIL")}
	for _, c := range checks {
		con.printf("%s  %-16s  %s\n", mark[c.Status], c.What, safeText(c.Detail))
		if c.Next != "" {
			con.printf("%24s→ %s\n", "", c.Next)
		}
	}
	return nil
}

func checkDataDir(_ context.Context, cfg config) check {
	info, err := os.Stat(cfg.DataDir)
	if errors.Is(err, os.ErrNotExist) {
		return check{Status: checkNote, Detail: cfg.DataDir + " does not exist yet; the first run creates it"}
	}
	if err != nil {
		return failed(err, "set data_dir to a folder that this user may use")
	}
	if !info.IsDir() {
		return failed(fmt.Errorf("%s is a file", cfg.DataDir), "set data_dir to a folder")
	}
	probe, err := os.CreateTemp(cfg.DataDir, ".doctor-*")
	if err != nil {
		return failed(err, "make "+cfg.DataDir+" writable for this user, or set another data_dir")
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return failed(err, "check the disk of "+cfg.DataDir)
	}
	return okay("%s is there and writable", cfg.DataDir)
}

func checkKeys(_ context.Context, cfg config) check {
	path := cfg.Redaction.KeyFile
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return check{Status: checkNote, Detail: path + " does not exist yet; the first run creates it"}
	}
	if _, err := redact.LoadOrCreateKey(path); err != nil {
		return failed(err, "")
	}
	return okay("%s is there, readable by its owner only", path)
}

func checkRules(_ context.Context, cfg config) check {
	set, err := loadRules(cfg.Rules.Dir)
	if err != nil {
		return failed(err, "gatehouse rules lint says more")
	}
	return okay("%d rules", set.Len())
}

func checkKafka(ctx context.Context, cfg config) check {
	if len(cfg.Kafka.Brokers) == 0 && !listening(cfg.Kafka.Listen) {
		return check{Status: checkNote, Detail: "no brokers configured: gatehouse run starts the embedded one at " + cfg.Kafka.Listen}
	}
	admin, err := stream.NewAdmin(cfg.Kafka.stream())
	if err != nil {
		return failed(err, "")
	}
	defer admin.Close()
	d, err := admin.Describe(ctx)
	if err != nil {
		return failed(err, "")
	}
	partitions, lag := 0, int64(0)
	for _, topic := range d.Topics {
		if topic.Err != nil {
			return failed(fmt.Errorf("topic %s: %w", topic.Name, topic.Err), "create it, or name the right one in kafka.topics")
		}
		partitions += len(topic.Partitions)
		for _, p := range topic.Partitions {
			lag += p.Lag
		}
	}
	return okay("%d brokers, %d partitions, %d records to read", len(d.Brokers), partitions, lag)
}

func checkClickHouse(ctx context.Context, cfg config) check {
	if cfg.ClickHouse.URL == "" {
		if listening(cfg.ClickHouse.Listen) {
			return okay("embedded engine of a running gatehouse at %s", cfg.ClickHouse.Listen)
		}
		where := filepath.Join(cfg.DataDir, "clickhouse")
		return check{Status: checkNote, Detail: "no server configured: gatehouse run starts the embedded engine in " + where}
	}
	db, err := openServer(ctx, cfg)
	if err != nil {
		return failed(err, "")
	}
	defer db.Close() //nolint:errcheck // read only
	if err := db.Check(ctx); err != nil {
		return failed(err, "")
	}
	return okay("%s answers, schema up to date", cfg.ClickHouse.URL)
}

func checkSlack(ctx context.Context, cfg config) check {
	token, err := cfg.Slack.token()
	if err != nil {
		return failed(err, "")
	}
	if token.IsZero() {
		return check{
			Status: checkNote, Detail: "no token: incidents are stored and printed, nobody is told in Slack",
			Next: "put the bot token into a 0600 file and set slack.token_file and slack.channel; alert/README.md has the app's manifest",
		}
	}
	if cfg.Slack.Channel == "" {
		return failed(errors.New("slack.channel is empty"), "set it to the id of the channel for incidents, such as C0123456789")
	}
	client, err := slack.New(slack.Config{Token: token, APIURL: cfg.Slack.APIURL})
	if err != nil {
		return failed(err, "")
	}
	report, err := client.Check(ctx, cfg.Slack.Channel)
	if err != nil {
		return failed(err, "")
	}
	if len(report.Missing) > 0 {
		return failed(fmt.Errorf("the app lacks the scopes %s", strings.Join(report.Missing, ", ")), "add them on the app's page and install it again")
	}
	for _, ch := range report.Channels {
		if ch.Problem != "" {
			return failed(fmt.Errorf("channel %s: %s", ch.ID, ch.Problem), "")
		}
	}
	return okay("workspace %s, as %s", report.Team, report.User)
}
