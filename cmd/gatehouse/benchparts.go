package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

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
	name   string
	cmd    *exec.Cmd
	stdin  io.Closer
	log    string
	exited chan struct{} // closed when it has ended
	err    error         // why, once it has
}

// partPatience is how long a part may take to start or to stop.
const partPatience = 60 * time.Second

// startPart starts a part and waits until it is ready. Its log goes to a file in dir.
func startPart(ctx context.Context, dir string, spec partSpec) (*part, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Part, err)
	}
	p := &part{name: spec.Part, log: filepath.Join(dir, spec.Part+".log"), exited: make(chan struct{})}
	logFile, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Part, err)
	}
	defer logFile.Close()
	p.cmd = exec.Command(exe, "bench", "part")
	p.cmd.Args[0] = os.Args[0] // a test binary knows by it what to be
	p.cmd.Stderr = logFile
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the benchmark alone, which then stops its parts in order
	stdin, err1 := p.cmd.StdinPipe()
	stdout, err2 := p.cmd.StdoutPipe()
	if err := errors.Join(err1, err2, p.cmd.Start()); err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Part, err)
	}
	p.stdin = stdin
	answer := make(chan []byte, 1)
	go p.watch(stdout, answer)
	if err := json.NewEncoder(stdin).Encode(spec); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", spec.Part, err), p.stop())
	}
	if err := p.await(ctx, answer); err != nil {
		return nil, err
	}
	return p, nil
}

// watch hands on the part's first line and then waits for its end.
func (p *part) watch(stdout io.Reader, answer chan<- []byte) {
	r := bufio.NewReader(stdout)
	line, _ := r.ReadBytes('\n') // without an answer the process has ended, which says why
	answer <- line
	_, _ = io.Copy(io.Discard, r)
	p.err = p.cmd.Wait()
	close(p.exited)
}

func (p *part) await(ctx context.Context, answer <-chan []byte) error {
	limit := time.NewTimer(partPatience)
	defer limit.Stop()
	var err error
	select {
	case line := <-answer:
		if err = json.Unmarshal(line, &p.partReady); err == nil {
			return nil
		}
		err = errors.New("it ended at once")
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-limit.C:
		err = fmt.Errorf("no answer in %v", partPatience)
	}
	return errors.Join(fmt.Errorf("start %s: %w: its log is %s", p.name, err, p.log), p.stop())
}

// failed is the error of a part that has ended by itself; nil while it runs.
func (p *part) failed() error {
	select {
	case <-p.exited:
		return fmt.Errorf("%s ended early: %w: its log is %s", p.name, errors.Join(p.err, errors.New("it was not asked to")), p.log)
	default:
		return nil
	}
}

// stop ends the part and waits for it.
func (p *part) stop() error {
	err := p.stdin.Close()
	limit := time.NewTimer(partPatience)
	defer limit.Stop()
	select {
	case <-p.exited:
	case <-limit.C:
		err = errors.Join(err, fmt.Errorf("stop %s: it did not end in %v and was killed", p.name, partPatience), p.cmd.Process.Kill())
		<-p.exited
	}
	return err
}
