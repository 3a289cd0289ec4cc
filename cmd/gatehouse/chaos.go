package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gatehouse/deploy/kafka"
	"gatehouse/ingest/stream"
	"gatehouse/store"
)

// chaosCmd is the fault suite.
type chaosCmd struct {
	Kills      int      `help:"Random kills of the ingester." default:"100"`
	Failpoints int      `help:"Kills at each step of a batch." default:"3"`
	Rounds     int      `help:"How often each of the other faults comes." default:"2"`
	Seed       uint64   `help:"Seed of every random choice; 0 takes a new one."`
	Broker     string   `help:"embedded, or apache: a real one, started with java." enum:"embedded,apache" default:"embedded"`
	Only       []string `help:"Phases to run: kills, failpoints, zombie, storm, broker, database, disk, duplicates, poison." placeholder:"PHASE"`
	Rate       int      `help:"Events per second." default:"2000"`
	JSON       bool     `help:"One JSON object." name:"json"`
	Keep       string   `help:"Keep data, logs and the journal in this directory, which must be empty. Without it, they are kept only when something is wrong." type:"path" placeholder:"DIR"`
}

// Help is printed below the flags.
func (chaosCmd) Help() string {
	return `A producer sends numbered calls to Kafka and keeps a journal of what Kafka has
acknowledged; real ingesters store them in a real ClickHouse, and are killed, frozen,
replaced and cut off in every way that this program knows. In the end the tables are
compared with the journal, record by record. Everything runs on this machine, in
processes and directories of its own.

The bound in the last line is that of the random kills alone: with 95 % confidence,
no larger share of kills loses or doubles anything (3 divided by the number of kills
that came after the ingester had stored something in its life).

Exit code 0 means that every acknowledged record is stored once, as it was sent, and
nothing else is; 1 that it is not so; 2 a wrong argument.

Examples:
  gatehouse chaos
  gatehouse chaos --broker apache --kills 1000 --failpoints 20
  gatehouse chaos --only zombie,database --rounds 10 --keep ./chaos
  gatehouse chaos --seed 42 --json`
}

// Names of one run.
const (
	chaosTopic      = "gateway-logs"
	chaosGroup      = "chaos"
	chaosPartitions = 4 // of each topic
)

// chaosBroker is a Kafka that can be killed.
type chaosBroker interface {
	Addr() string
	Kill() error
	Restart(ctx context.Context) error
	Stop() error
}

// chaos is one run.
type chaos struct {
	cmd      *chaosCmd
	progress *progress
	rng      *rand.Rand
	dir      string
	keep     bool // what is in dir, in the end
	ends     []func() error

	broker chaosBroker
	stage
	beside []*stage // other databases, with topics of their own
}

// Run is the command.
func (c *chaosCmd) Run(ctx context.Context, con *console) error {
	if err := c.validate(); err != nil {
		return usageError{err}
	}
	if c.Seed == 0 {
		c.Seed = rand.Uint64()>>33 | 1 // short enough to type
	}
	run := &chaos{
		cmd: c, keep: c.Keep != "", progress: con.progress(), rng: rand.New(rand.NewPCG(c.Seed, 0)), stage: stage{topic: chaosTopic, group: chaosGroup},
	}
	started := time.Now()
	err := run.run(ctx)
	run.progress.done()
	if ctx.Err() != nil {
		return errors.Join(errors.New("interrupted: nothing was compared"), run.end())
	}
	if err != nil {
		return run.explain(err)
	}
	report := run.report(time.Since(started))
	if c.JSON {
		err = con.json(report)
	} else {
		report.print(con)
	}
	return run.explain(errors.Join(err, report.err()))
}

// explain ends the run. What an error was found in is kept, and the error says
// where it is and how to try again.
func (c *chaos) explain(err error) error {
	found := err != nil && c.load != nil // else nothing had begun
	c.keep = c.keep || found
	err = errors.Join(err, c.end())
	if !found {
		return err
	}
	return fmt.Errorf("%w\nthe data, the logs and the journal are kept in %s: remove it when you are done\nto try the same choices again: %s chaos %s",
		err, c.dir, self(), c.cmd.arguments())
}

func (c *chaosCmd) arguments() string {
	args := fmt.Sprintf("--broker %s --kills %d --failpoints %d --rounds %d --rate %d --seed %d", c.Broker, c.Kills, c.Failpoints, c.Rounds, c.Rate, c.Seed)
	if len(c.Only) > 0 {
		args += " --only " + strings.Join(c.Only, ",")
	}
	return args
}

func (c *chaosCmd) validate() error {
	for _, f := range []struct {
		name       string
		value, max int
	}{{"kills", c.Kills, 1_000_000}, {"failpoints", c.Failpoints, 100_000}, {"rounds", c.Rounds, 100_000}, {"rate", c.Rate, 50_000}} {
		if f.value < 1 || f.value > f.max {
			return fmt.Errorf("--%s %d: want 1 to %d", f.name, f.value, f.max)
		}
	}
	for _, name := range c.Only {
		if !slices.Contains(phaseNames(), name) {
			return fmt.Errorf("--only %s: want some of %s, with commas between them", name, strings.Join(phaseNames(), ", "))
		}
	}
	if c.Keep == "" {
		return nil
	}
	if files, err := os.ReadDir(c.Keep); err == nil && len(files) > 0 {
		return fmt.Errorf("--keep %s: the directory is not empty: name another one", c.Keep)
	}
	return nil
}

// run starts everything, goes through the phases, lets the ingester catch up and
// compares.
func (c *chaos) run(ctx context.Context) error {
	if err := c.begin(ctx); err != nil {
		return err
	}
	for _, p := range chaosPhases() {
		if len(c.cmd.Only) > 0 && !slices.Contains(c.cmd.Only, p.name) {
			continue
		}
		if err := c.phase(ctx, p); err != nil {
			return fmt.Errorf("phase %s: %w", p.name, err)
		}
	}
	return c.finish(ctx, &c.stage)
}

// finish ends a stage: nothing is sent any more, the ingester catches up, and what
// it has stored is compared with what was acknowledged.
func (c *chaos) finish(ctx context.Context, s *stage) error {
	if err := s.load.finish(ctx); err != nil {
		return err
	}
	if err := c.settle(ctx, s); err != nil {
		return err
	}
	c.progress.show(time.Now(), "comparing %d events with the journal", s.load.journal.count())
	var err error
	s.verdict, err = s.judge(ctx, c.broker.Addr())
	return err
}

// phase runs one phase and takes down what it did.
func (c *chaos) phase(ctx context.Context, p phase) error {
	run := &phaseRun{name: p.name, first: c.load.sent()}
	c.phases = append(c.phases, run)
	started := time.Now()
	err := p.run(c, ctx, run)
	run.took = time.Since(started)
	return err
}

// begin starts the broker, ClickHouse and the load.
func (c *chaos) begin(ctx context.Context) error {
	if err := c.makeDir(); err != nil {
		return err
	}
	c.progress.show(time.Now(), "starting ClickHouse and Kafka")
	var err error
	if c.db, err = c.startDatabase(ctx, "clickhouse", 0); err != nil {
		return err
	}
	if err := c.startBroker(ctx); err != nil {
		return err
	}
	return c.open(ctx, &c.stage)
}

// open gives a stage, which has its database, the rest of what it needs, and
// begins to send.
func (c *chaos) open(ctx context.Context, s *stage) (err error) {
	s.admin, err = stream.NewAdmin(stream.Config{Brokers: []string{c.broker.Addr()}, Topics: []string{s.topic}, Group: s.group})
	if err != nil {
		return err
	}
	c.onEnd(func() error { s.admin.Close(); return nil })
	if err := s.admin.EnsureTopic(ctx, s.topic, chaosPartitions, nil); err != nil {
		return err
	}
	if s.one, err = c.newIngester(s, s.name+"one", "one"); err != nil {
		return err
	}
	if s.load, err = newLoad(c.broker.Addr(), s.topic, call{start: time.Now(), seed: c.cmd.Seed}, c.cmd.Rate); err != nil {
		return err
	}
	c.onEnd(s.load.close)
	s.load.start(ctx)
	return nil
}

func (c *chaos) makeDir() (err error) {
	if c.cmd.Keep != "" {
		c.dir, err = filepath.Abs(c.cmd.Keep)
		if err == nil {
			err = os.MkdirAll(c.dir, 0o700)
		}
		if err != nil {
			return usageError{fmt.Errorf("make --keep: %w", err)}
		}
		return nil
	}
	if c.dir, err = os.MkdirTemp("", "gatehouse-chaos-"); err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	c.onEnd(func() error {
		if c.keep {
			return nil
		}
		return os.RemoveAll(c.dir)
	})
	return nil
}

// startDatabase starts a ClickHouse in a process of its own and gives it the
// schema. disk > 0 is the size of the disk that it has.
func (c *chaos) startDatabase(ctx context.Context, name string, disk int64) (*engine, error) {
	e := &engine{
		args: []string{"--dir=" + filepath.Join(c.dir, name), "--click-house=127.0.0.1:0"},
		logs: filepath.Join(c.dir, name+".log"),
	}
	if disk > 0 {
		var err error
		if e.attr, err = smallDiskAttributes(); err != nil {
			return nil, err
		}
		e.args = append(e.args, fmt.Sprintf("--disk=%d", disk))
	}
	if err := e.start(ctx); err != nil {
		return nil, err
	}
	c.onEnd(e.Stop)
	db, err := store.Open(ctx, store.Config{URL: e.URL, User: e.User, Password: e.Password})
	if err != nil {
		return nil, err
	}
	if _, err := db.Migrate(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return e, db.Close()
}

func (c *chaos) startBroker(ctx context.Context) error {
	if c.cmd.Broker == "apache" {
		dir := filepath.Join(c.dir, "kafka")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make a directory: %w", err)
		}
		b, err := kafka.Start(ctx, kafka.Options{Dir: dir})
		if err != nil {
			return err
		}
		c.broker = b
		c.onEnd(b.Stop)
		return nil
	}
	e := &engine{
		args: []string{"--dir=" + filepath.Join(c.dir, "kafka"), "--kafka=127.0.0.1:0", "--topic=" + chaosTopic, fmt.Sprintf("--partitions=%d", chaosPartitions)},
		logs: filepath.Join(c.dir, "kafka.log"),
	}
	if err := e.start(ctx); err != nil {
		return err
	}
	c.broker = e
	c.onEnd(e.Stop)
	return nil
}

// onEnd has something undone at the end; last in, first out.
func (c *chaos) onEnd(undo func() error) { c.ends = append(c.ends, undo) }

// stages are all of the run.
func (c *chaos) stages() []*stage { return append([]*stage{&c.stage}, c.beside...) }

func (c *chaos) end() error {
	var errs []error
	for _, s := range c.stages() {
		if s.load != nil && c.keep {
			errs = append(errs, s.writeJournal(filepath.Join(c.dir, s.name+"journal.tsv")))
		}
	}
	for _, undo := range slices.Backward(c.ends) {
		errs = append(errs, undo())
	}
	return errors.Join(errs...)
}
