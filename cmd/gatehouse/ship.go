package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"gatehouse/ingest"
	"gatehouse/ingest/stream"
)

// shipCmd sends log lines to Kafka.
type shipCmd struct {
	Gateway string   `help:"Source type of the lines; without it, the ingester goes by their look." short:"g"`
	Config  string   `help:"Configuration file, for its kafka section." short:"c" type:"existingfile"`
	Topic   string   `help:"Topic to send to." default:"gateway-logs"`
	Follow  bool     `help:"Keep reading as the files grow, also over rotation." short:"f"`
	Files   []string `arg:"" optional:"" help:"Files to read; - or none is standard input."`
}

// Help is printed below the flags.
func (shipCmd) Help() string {
	return `Each line becomes one Kafka record with its source type and position in headers. A
line is acknowledged by all replicas before the next batch is read. Without
kafka.brokers in the configuration it sends to a gatehouse run on this machine.

Examples:
  gatehouse ship --gateway clf /var/log/nginx/access.log
  gatehouse ship --gateway traefik --follow /var/log/traefik/access.log
  kubectl logs deploy/kong | gatehouse ship --gateway kong`
}

// positionHeader says where a line came from: file and line number.
const positionHeader = "gatehouse-position"

// Limits of one batch to Kafka.
const (
	shipLines    = 1000
	shipBytes    = 1 << 20
	followEvery  = 200 * time.Millisecond
	shipProgress = "shipped %d lines, %s"
)

// Run is the command.
func (c *shipCmd) Run(ctx context.Context, con *console) error {
	if err := checkGateway(c.Gateway); err != nil {
		return err
	}
	cfg, err := loadConfig(c.Config)
	if err != nil {
		return err
	}
	producer, err := stream.NewProducer(cfg.Kafka.stream())
	if err != nil {
		return err
	}
	s := &shipper{con: con, producer: producer, topic: c.Topic, gateway: c.Gateway, progress: con.progress()}
	err = c.ship(ctx, s)
	s.progress.done()
	if err == nil || errors.Is(err, context.Canceled) {
		fmt.Fprintf(con.err, "ship: %d lines, %s acknowledged\n", s.lines, byteText(s.bytes))
		err = nil
	}
	producer.Close()
	return err
}

func (c *shipCmd) ship(ctx context.Context, s *shipper) error {
	if len(c.Files) == 0 {
		c.Files = []string{"-"}
	}
	if !c.Follow {
		for _, file := range c.Files {
			if err := s.file(ctx, file); err != nil {
				return err
			}
		}
		return nil
	}
	followers := make([]*follower, len(c.Files))
	for i, file := range c.Files {
		if file == "-" {
			return usageError{errors.New("--follow needs files: standard input ends by itself")}
		}
		followers[i] = &follower{path: file}
	}
	return s.follow(ctx, followers)
}

// shipper batches lines and waits for each batch to be acknowledged.
type shipper struct {
	con      *console
	producer *stream.Producer
	topic    string
	gateway  string
	progress *progress

	pending []stream.Message
	size    int
	lines   int
	bytes   int
}

func (s *shipper) file(ctx context.Context, name string) error {
	lines, closer, err := openLines(s.con, name)
	if err != nil {
		return err
	}
	defer closer.Close() //nolint:errcheck // read only
	for number := int64(1); ; number++ {
		line, _, err := lines.next()
		if errors.Is(err, io.EOF) {
			return s.flush(ctx)
		}
		if err != nil {
			return fmt.Errorf("read %s line %d: %w", name, number, err)
		}
		if err := s.line(ctx, name, number, line); err != nil {
			return err
		}
	}
}

// line adds one line and sends the batch when it is full. Lines of one file go
// to one partition, so that they stay in order.
func (s *shipper) line(ctx context.Context, name string, number int64, line []byte) error {
	if len(bytes.TrimSpace(line)) == 0 {
		return nil
	}
	msg := stream.Message{
		Key: []byte(name), Value: bytes.Clone(line),
		Headers: []stream.Header{{Key: positionHeader, Value: []byte(name + ":" + strconv.FormatInt(number, 10))}},
	}
	if s.gateway != "" {
		msg.Headers = append(msg.Headers, stream.Header{Key: ingest.GatewayHeader, Value: []byte(s.gateway)})
	}
	s.pending, s.size = append(s.pending, msg), s.size+len(line)
	if len(s.pending) >= shipLines || s.size >= shipBytes {
		return s.flush(ctx)
	}
	return nil
}

func (s *shipper) flush(ctx context.Context) error {
	if len(s.pending) == 0 {
		return nil
	}
	if err := s.producer.Append(ctx, s.topic, s.pending...); err != nil {
		return err
	}
	s.lines, s.bytes = s.lines+len(s.pending), s.bytes+s.size
	s.pending, s.size = nil, 0
	s.progress.show(time.Now(), shipProgress, s.lines, byteText(s.bytes))
	return nil
}

// follow reads what the files have, sends it, and looks again.
func (s *shipper) follow(ctx context.Context, followers []*follower) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		for _, f := range followers {
			if err := f.read(ctx, s); err != nil {
				return err
			}
		}
		if err := s.flush(ctx); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// follower reads a growing file to its end, and its successor after rotation. A
// line counts once its end is written.
type follower struct {
	path   string
	file   *os.File
	number int64
	rest   []byte
}

func (f *follower) read(ctx context.Context, s *shipper) error {
	if f.file == nil {
		if err := f.open(); err != nil {
			return err
		}
	}
	if err := f.drain(ctx, s); err != nil {
		return err
	}
	if !f.rotated() {
		return nil
	}
	if err := f.file.Close(); err != nil {
		return fmt.Errorf("follow %s: %w", f.path, err)
	}
	f.file, f.number, f.rest = nil, 0, nil
	return nil
}

func (f *follower) open() error {
	file, err := os.Open(f.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // between rotation and the first line of the successor
	}
	if err != nil {
		return usageError{err}
	}
	f.file = file
	return nil
}

func (f *follower) drain(ctx context.Context, s *shipper) error {
	if f.file == nil {
		return nil
	}
	chunk := make([]byte, 64<<10)
	for {
		n, err := f.file.Read(chunk)
		f.rest = append(f.rest, chunk[:n]...)
		for {
			line, rest, ok := bytes.Cut(f.rest, []byte("\n"))
			if !ok {
				break
			}
			f.number, f.rest = f.number+1, rest
			if err := s.line(ctx, f.path, f.number, bytes.TrimRight(line, "\r")); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("follow %s: %w", f.path, err)
		}
	}
}

// rotated says whether the path names another file by now, or the file was cut.
func (f *follower) rotated() bool {
	if f.file == nil {
		return false
	}
	have, err := f.file.Stat()
	if err != nil {
		return true
	}
	now, err := os.Stat(f.path)
	if err != nil {
		return false // renamed, the successor is not there yet: keep reading this one
	}
	at, err := f.file.Seek(0, io.SeekCurrent)
	return !os.SameFile(have, now) || (err == nil && now.Size() < at)
}

func byteText(n int) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}
