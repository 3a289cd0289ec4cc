package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"gatehouse/cmd/gatehouse/peer"
	"gatehouse/deploy/embedded"
)

// benchPartCmd is one process of `gatehouse bench ingest`, which starts it: each
// part has a process of its own, so that its CPU time and memory can be told from
// the others'. It reads what to be from standard input, answers with one line, and
// ends when its standard input does, so no part outlives the benchmark.
type benchPartCmd struct{}

// Parts of a measurement.
const (
	partBroker = "broker" // Kafka
	partEngine = "engine" // ClickHouse
	partIngest = "ingest" // Gatehouse
	partReader = "reader" // the usual Go program
)

// partSpec is what a part is to be.
type partSpec struct {
	Part            string
	Dir             string // of broker and engine
	Config          string // gatehouse.yaml of ingest
	Profile         string // file for a CPU profile of ingest; "" for none
	Brokers, Topics []string
	Group           string
	ClickHouse      embedded.ClickHouse
}

// partReady is a part's answer.
type partReady struct {
	Kafka      string
	ClickHouse embedded.ClickHouse
}

// Run is the command.
func (benchPartCmd) Run(ctx context.Context, con *console) error {
	in := bufio.NewReader(con.in)
	text, err := in.ReadBytes('\n')
	if err != nil {
		return usageError{errors.New("bench part is started by gatehouse bench ingest: run that")}
	}
	var spec partSpec
	if err := json.Unmarshal(text, &spec); err != nil {
		return usageError{fmt.Errorf("read part: %w", err)}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, in) // its end is the sign to stop
		cancel()
	}()
	return spec.run(ctx, con)
}

func (s partSpec) run(ctx context.Context, con *console) error {
	switch s.Part {
	case partIngest:
		if err := con.json(partReady{}); err != nil {
			return err
		}
		stop, err := startProfile(s.Profile)
		if err != nil {
			return err
		}
		defer stop()
		con.out = io.Discard
		return (&runCmd{Config: s.Config, Role: roleIngest}).Run(ctx, con)
	case partReader:
		if err := con.json(partReady{}); err != nil {
			return err
		}
		return peer.Reader{
			Brokers: s.Brokers, Topics: s.Topics, Group: s.Group,
			URL: s.ClickHouse.URL, User: s.ClickHouse.WriteUser, Password: s.ClickHouse.WritePassword,
		}.Run(ctx)
	}
	engines, err := embedded.Start(ctx, embedded.Config{
		Dir: s.Dir, KafkaAddr: "127.0.0.1:0", ClickHouseAddr: "127.0.0.1:0",
		NoKafka: s.Part != partBroker, NoClickHouse: s.Part != partEngine, Measuring: true, Progress: con.err,
	})
	if err != nil {
		return err
	}
	err = con.json(partReady{engines.Kafka(), engines.ClickHouse()})
	if err == nil {
		<-ctx.Done()
	}
	return errors.Join(err, engines.Close())
}

// part is a running part.
type part struct {
	partReady
	*process
}

// startPart starts a part and waits until it is ready. Its log goes to a file in dir.
func startPart(ctx context.Context, dir string, spec partSpec) (p *part, err error) {
	p = &part{}
	p.process, err = processSpec{
		name: spec.Part, args: []string{"bench", "part"}, log: filepath.Join(dir, spec.Part+".log"),
		ready: func(line string) bool { return json.Unmarshal([]byte(line), &p.partReady) == nil },
	}.start()
	if err != nil {
		return nil, err
	}
	if err := json.NewEncoder(p.stdin).Encode(spec); err != nil {
		p.kill()
		return nil, fmt.Errorf("start %s: %w: %s", spec.Part, err, p.lastWords())
	}
	if err := p.await(ctx, enginePatience); err != nil {
		return nil, err
	}
	return p, nil
}

// failed is the error of a part that has ended by itself; nil while it runs.
func (p *part) failed() error {
	if p.running() {
		return nil
	}
	return p.ended()
}

// stop ends the part and waits for it.
func (p *part) stop() error { return p.process.stop(p.hangUp) }
