package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/goccy/go-yaml"

	"gatehouse/cmd/gatehouse/peer"
	"gatehouse/deploy/embedded"
	"gatehouse/store"
)

// way is one way from Kafka into ClickHouse.
type way struct {
	key, title string
	ours       bool
	consumers  int // of the Kafka engine; 0 for a client of its own
}

func (c *benchIngestCmd) ways() []way {
	return []way{
		{key: "a", title: "(a) Gatehouse", ours: true},
		{key: "b1", title: "(b) ClickHouse Kafka engine, 1 consumer", consumers: 1},
		{key: "bn", title: fmt.Sprintf("(b) ClickHouse Kafka engine, %d consumers", c.Consumers), consumers: c.Consumers},
		{key: "c", title: "(c) kafka-go Reader, encoding/json, row appends"},
	}
}

func (w way) table() string {
	if w.ours {
		return "audit.events"
	}
	return peer.Table
}

// trial is a way under measurement.
type trial struct {
	way
	bench  *ingestBench
	dir    string
	engine *part
	db     benchEngine
	client *part // nil for the Kafka engine
	result wayResult
}

// measure runs one way from an empty engine to its latency.
func (b *ingestBench) measure(ctx context.Context, w way) (wayResult, error) {
	t := &trial{way: w, bench: b, dir: filepath.Join(b.dir, w.key), result: wayResult{Key: w.key, Title: w.title, ours: w.ours}}
	err := t.prepare(ctx)
	if err == nil {
		err = t.backlog(ctx)
	}
	if err == nil && b.cmd.For > 0 {
		err = t.latency(ctx)
	}
	return t.result, errors.Join(err, t.stop())
}

// prepare starts an engine and makes the tables.
func (t *trial) prepare(ctx context.Context) (err error) {
	t.bench.progress.show(time.Now(), "%s: starting", t.title)
	if err := os.Mkdir(t.dir, 0o700); err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	if t.engine, err = startPart(ctx, t.dir, partSpec{Part: partEngine, Dir: filepath.Join(t.dir, partEngine)}); err != nil {
		return err
	}
	access := t.engine.ClickHouse
	t.db = benchEngine{access}
	db, err := store.Open(ctx, store.Config{URL: access.URL, User: access.WriteUser, Password: access.WritePassword})
	if err != nil {
		return err
	}
	_, err = db.Migrate(ctx)
	if err = errors.Join(err, db.Close()); err != nil || t.ours {
		return err
	}
	create, err := t.db.exec(ctx, "SHOW CREATE TABLE audit.events")
	if err != nil {
		return err
	}
	statements, err := peer.Define(create, t.bench.cmd.Columns == columnsCarried)
	if err != nil {
		return err
	}
	return t.db.execAll(ctx, statements)
}

func (t *trial) topics() []string { return []string{t.bench.topic, t.bench.steadyTopic(t.way)} }

func (t *trial) group() string { return t.bench.topic + "-" + t.key }

func (t *trial) kafkaEngine() peer.KafkaEngine {
	return peer.KafkaEngine{Brokers: t.bench.brokers, Topics: t.topics(), Group: t.group(), Consumers: t.consumers, Flush: t.bench.cmd.Flush}
}

// begin lets the way start to read.
func (t *trial) begin(ctx context.Context) error {
	if t.consumers > 0 {
		return t.db.execAll(ctx, t.kafkaEngine().Start())
	}
	spec := partSpec{Part: partReader, Brokers: t.bench.brokers, Topics: t.topics(), Group: t.group(), ClickHouse: t.engine.ClickHouse}
	if t.ours {
		spec.Part, spec.Config, spec.Profile = partIngest, filepath.Join(t.dir, configFileName), t.bench.cmd.Profile
		if err := t.writeConfig(spec.Config); err != nil {
			return err
		}
	}
	var err error
	t.client, err = startPart(ctx, t.dir, spec)
	return err
}

// writeConfig writes the configuration that Gatehouse is measured with: its
// defaults, without the feed of a detector, which the other ways do not have.
func (t *trial) writeConfig(path string) error {
	password := filepath.Join(t.dir, "password")
	if err := os.WriteFile(password, []byte(t.engine.ClickHouse.WritePassword), 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	topics := map[string]string{}
	for _, topic := range t.topics() {
		topics[topic] = "canonical"
	}
	text, err := yaml.Marshal(config{
		DataDir: filepath.Join(t.dir, partIngest), Listen: "127.0.0.1:0", Log: logConfig{Level: "warn"},
		Kafka:      kafkaConfig{Brokers: t.bench.brokers, Topics: topics, Group: t.group(), FeedTopic: noFeed},
		ClickHouse: clickhouseConfig{URL: t.engine.ClickHouse.URL, User: embedded.WriteUser, PasswordFile: password},
	})
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}

// backlog measures working off what is in the topic, and merging it.
func (t *trial) backlog(ctx context.Context) error {
	before, err := t.snapshot()
	if err != nil {
		return err
	}
	start := time.Now()
	if err := t.begin(ctx); err != nil {
		return err
	}
	if err := t.drain(ctx, uint64(t.bench.cmd.Events)); err != nil {
		return err
	}
	took := time.Since(start)
	drained, err := t.snapshot()
	if err != nil {
		return err
	}
	t.bench.progress.show(time.Now(), "%s: merging", t.title)
	size, err := t.db.merge(ctx, t.table())
	if err != nil {
		return err
	}
	merged, err := t.snapshot()
	if err != nil {
		return err
	}
	if t.result.Content, err = t.db.content(ctx, t.table(), peer.CommonColumns()); err != nil {
		return err
	}
	if err := t.checkRedacted(ctx); err != nil {
		return err
	}
	t.result.setBacklog(float64(t.bench.cmd.Events), took, [3]snapshot{before, drained, merged})
	t.result.OtherCores = merged.others(before)
	t.result.StoredBytes = float64(size) / float64(max(t.result.Content.Rows, 1))
	return nil
}

// checkRedacted wants Gatehouse to have stored a fingerprint of each call's token,
// and no token: else it has done less than it is measured for.
func (t *trial) checkRedacted(ctx context.Context) error {
	if !t.ours {
		return nil
	}
	n, err := t.db.numbers(ctx, "SELECT countIf(token_fp = '' OR startsWith(token_fp, 'Bearer')) FROM "+t.table())
	if err == nil && n[0] > 0 {
		err = fmt.Errorf("no figures: %d rows have no fingerprint of their token, or the token itself", n[0])
	}
	return err
}

// snapshot is what everything has used at one time.
type snapshot struct {
	at             time.Time
	client, engine usage
	broker         usage   // zero where it is not a part of the benchmark
	self           float64 // CPU seconds of this process
	machine        float64 // CPU seconds of everything
}

func (t *trial) snapshot() (s snapshot, err error) {
	s.at, s.self = time.Now(), cpuSeconds()
	pids := map[*usage]int{&s.engine: t.engine.cmd.Process.Pid, &s.broker: t.bench.kafkaPID}
	if t.client != nil {
		pids[&s.client] = t.client.cmd.Process.Pid
	}
	for u, pid := range pids {
		if pid == 0 {
			continue
		}
		if *u, err = usageOf(pid); err != nil {
			return s, err
		}
	}
	s.machine, err = machineCPU()
	return s, err
}

// others is how many cores programs that have no part in it kept busy since then.
func (s snapshot) others(then snapshot) float64 {
	parts := func(s snapshot) float64 { return s.client.cpu + s.engine.cpu + s.broker.cpu + s.self }
	cpu := s.machine - then.machine - (parts(s) - parts(then))
	return max(cpu/s.at.Sub(then.at).Seconds(), 0)
}

// Asking for the count while a backlog is worked off costs the engine a
// millisecond each time.
const drainTick = 100 * time.Millisecond

// drain waits until want rows can be seen.
func (t *trial) drain(ctx context.Context, want uint64) error {
	tick := time.NewTicker(drainTick)
	defer tick.Stop()
	for {
		rows, err := t.db.rows(ctx, t.table())
		if err != nil || rows >= want {
			return err
		}
		t.bench.progress.show(time.Now(), "%s: %d of %d events", t.title, rows, want)
		if err := t.alive(); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (t *trial) alive() error {
	err := t.engine.failed()
	if t.client != nil {
		err = errors.Join(err, t.client.failed())
	}
	return err
}

func (t *trial) stop() error {
	var err error
	switch {
	case t.client != nil:
		err = t.client.stop()
	case t.consumers > 0 && t.engine != nil && t.engine.failed() == nil:
		ctx, cancel := context.WithTimeout(context.Background(), processPatience)
		defer cancel()
		err = t.db.execAll(ctx, t.kafkaEngine().Stop())
	}
	if t.engine != nil {
		err = errors.Join(err, t.engine.stop())
	}
	return err
}
