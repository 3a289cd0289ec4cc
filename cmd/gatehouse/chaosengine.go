package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"gatehouse/deploy/embedded"
)

// chaosEngineCmd runs one embedded engine in a process of its own, so that it can
// be killed, and so that it survives the ingesters that are.
type chaosEngineCmd struct {
	Dir        string `help:"Data directory." required:""`
	ClickHouse string `help:"Address of the SQL engine; empty leaves it out."`
	Kafka      string `help:"Address of the broker; empty leaves it out."`
	Topic      string `help:"Topic that the broker has."`
	Partitions int32  `help:"Partitions of it."`
	Disk       int64  `help:"Put the data on a disk of so many bytes, which the words full and free on standard input fill and clear."`
}

// engineAddresses is what the engine says on standard output once it runs.
type engineAddresses struct {
	Kafka    string `json:"kafka"`
	URL      string `json:"url"`
	User     string `json:"user"`
	Password string `json:"password"` // of an engine that nobody else can reach
}

// Run is the command: it ends when standard input does.
func (c *chaosEngineCmd) Run(ctx context.Context, con *console) error {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	if c.Disk > 0 {
		if err := mountSmallDisk(c.Dir, c.Disk); err != nil {
			return err
		}
	}
	cfg := embedded.Config{
		Dir: c.Dir, ClickHouseAddr: c.ClickHouse, NoClickHouse: c.ClickHouse == "", KafkaAddr: c.Kafka, NoKafka: c.Kafka == "",
		Progress: con.err,
	}
	if c.Topic != "" {
		cfg.Topics = map[string]int32{c.Topic: c.Partitions}
	}
	engines, err := embedded.Start(ctx, cfg)
	if err != nil {
		return err
	}
	ch := engines.ClickHouse()
	err = con.json(engineAddresses{engines.Kafka(), ch.URL, ch.WriteUser, ch.WritePassword})
	if err == nil {
		err = c.obey(con)
	}
	return errors.Join(err, engines.Close())
}

// obey does what standard input says until that ends.
func (c *chaosEngineCmd) obey(con *console) error {
	balloon := filepath.Join(c.Dir, "balloon")
	words := bufio.NewScanner(con.in)
	for words.Scan() {
		var err error
		switch words.Text() {
		case "full":
			err = fill(balloon)
		case "free":
			err = os.Remove(balloon)
		}
		if err != nil {
			return err
		}
	}
	return words.Err()
}

// diskSpare is what fill leaves: the engine takes the rest itself. A disk that
// another program fills in an instant, while the engine is merging, is another
// matter: ClickHouse 26.7 then puts merged parts in place whose files are empty,
// which no client can make good.
const diskSpare = 16 << 20

// fill writes a file until the disk has no more than diskSpare left.
func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	free, err := freeBytes(filepath.Dir(path))
	if err != nil {
		return err
	}
	if _, err := io.CopyN(f, zeros{}, free-diskSpare); err != nil && !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("fill the disk: %w", err)
	}
	return nil
}

// zeros is an endless file of them.
type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// engine is a chaos-engine process.
type engine struct {
	args []string
	attr *syscall.SysProcAttr
	logs string // file that its standard error goes to

	engineAddresses
	process *process // nil while there is none
}

// start starts the process and waits until the engine in it answers. Started
// again, it has the addresses that it had.
func (e *engine) start(ctx context.Context) (err error) {
	e.process, err = processSpec{
		name: "engine", args: append([]string{"chaos-engine"}, e.args...), attr: e.attr, log: e.logs,
		ready: func(line string) bool { return json.Unmarshal([]byte(line), &e.engineAddresses) == nil },
	}.start()
	if err != nil {
		return err
	}
	return e.process.await(ctx, enginePatience)
}

// Addr is the broker's address.
func (e *engine) Addr() string { return e.engineAddresses.Kafka }

// Kill ends the process with SIGKILL.
func (e *engine) Kill() error {
	if e.process != nil {
		e.process.kill()
		e.process = nil
	}
	return nil
}

// Restart starts the engine again, on the same addresses and data.
func (e *engine) Restart(ctx context.Context) error {
	for i, arg := range e.args {
		switch {
		case strings.HasPrefix(arg, "--kafka="):
			e.args[i] = "--kafka=" + e.engineAddresses.Kafka
		case strings.HasPrefix(arg, "--click-house="):
			e.args[i] = "--click-house=" + strings.TrimPrefix(e.URL, "http://")
		}
	}
	return e.start(ctx)
}

// Stop ends the engine in good order.
func (e *engine) Stop() error {
	p := e.process
	if e.process = nil; p == nil {
		return nil
	}
	return p.stop(p.hangUp)
}

// say sends a word to the engine's standard input.
func (e *engine) say(word string) error {
	if _, err := io.WriteString(e.process.stdin, word+"\n"); err != nil {
		return fmt.Errorf("tell engine %q: %w", word, err)
	}
	return nil
}
