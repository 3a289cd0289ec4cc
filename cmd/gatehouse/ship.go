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
	"gatehouse/ingest/event"
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
kafka.brokers in the configuration it sends to a gatehouse run on this machine. It keeps
no position: started again, it sends a file from its beginning again.

Examples:
  gatehouse ship --gateway clf /var/log/nginx/access.log
  gatehouse ship --gateway traefik --follow /var/log/traefik/access.log
  kubectl logs deploy/kong | gatehouse ship --gateway kong`
}

// positionHeader says where a line came from: file and line number.
const positionHeader = "gatehouse-position"

// Limits of one batch to Kafka.
const (
	shipLines = 1000
	shipBytes = 1 << 20
	// shipLineBytes is what a broker takes by default, less room for headers. A
	// longer line is cut, and ends as a dead letter with its place.
	shipLineBytes = 1_000_000
	followEvery   = 200 * time.Millisecond
	lastFlush     = 10 * time.Second
	// rotateQuiet is how long a rotated file is read on: its writer has it open
	// until it learns of the rotation.
	rotateQuiet  = 5 * time.Second
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
	if len(cfg.Kafka.Brokers) == 0 && !listening(cfg.Kafka.Listen) {
		return fmt.Errorf("no gatehouse listens at %s: start gatehouse run, or set kafka.brokers in a configuration", cfg.Kafka.Listen)
	}
	producer, err := stream.NewProducer(cfg.Kafka.stream())
	if err != nil {
		return err
	}
	s := &shipper{con: con, producer: producer, topic: c.Topic, gateway: c.Gateway, progress: con.progress()}
	defer producer.Close()
	err = c.ship(ctx, s)
	if errors.Is(err, context.Canceled) {
		// What was read goes out before the end that was asked for.
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastFlush)
		err = s.flush(last)
		cancel()
	}
	s.progress.done()
	fmt.Fprintf(con.err, "ship: %d lines, %s acknowledged\n", s.lines, byteText(s.bytes))
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
		if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
			fmt.Fprintf(s.con.err, "ship: waiting for %s\n", safeText(file))
		}
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

// readLine is one line of a file, or the end of reading it.
type readLine struct {
	text   []byte
	number int64
	err    error
}

// file sends a file's lines. A batch goes out when it is full or a moment old: a
// pipe may bring a line now and the next one in an hour.
func (s *shipper) file(ctx context.Context, name string) error {
	lines, closer, err := openLines(s.con, name)
	if err != nil {
		return err
	}
	defer closer.Close() //nolint:errcheck // read only
	read := make(chan readLine)
	go readLines(ctx, lines, read)
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case l := <-read:
			switch {
			case errors.Is(l.err, io.EOF):
				return s.flush(ctx)
			case l.err != nil:
				return fmt.Errorf("read %s line %d: %w", name, l.number, l.err)
			}
			if err := s.line(ctx, name, l.number, l.text); err != nil {
				return err
			}
		case <-tick.C:
			if err := s.flush(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func readLines(ctx context.Context, lines *lineReader, out chan<- readLine) {
	for number := int64(1); ; number++ {
		text, _, err := lines.next()
		select {
		case out <- readLine{text, number, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// line adds one line and sends the batch when it is full. Lines of one file go
// to one partition, so that they stay in order.
func (s *shipper) line(ctx context.Context, name string, number int64, line []byte) error {
	if len(bytes.TrimSpace(line)) == 0 {
		return nil
	}
	line = line[:min(len(line), shipLineBytes)]
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
	head   []byte // the file's first bytes, to see that it was emptied and filled anew
	number int64
	rest   []byte
	last   time.Time // when something was read
}

// headLen is how many bytes tell a file from what it was before.
const headLen = 64

func (f *follower) read(ctx context.Context, s *shipper) error {
	if f.file == nil {
		if err := f.open(); err != nil || f.file == nil {
			return err
		}
	}
	if f.emptied() { // by copytruncate: begin again
		if _, err := f.file.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("follow %s: %w", f.path, err)
		}
		f.number, f.rest, f.head = 0, nil, nil
	}
	if err := f.drain(ctx, s); err != nil {
		return err
	}
	if !f.replaced() || time.Since(f.last) < rotateQuiet {
		return nil
	}
	return f.finish(ctx, s)
}

// finish sends the last line of a rotated file, which has no end, and lets the
// file go.
func (f *follower) finish(ctx context.Context, s *shipper) error {
	if err := s.line(ctx, f.path, f.number+1, f.rest); err != nil {
		return err
	}
	if err := f.file.Close(); err != nil {
		return fmt.Errorf("follow %s: %w", f.path, err)
	}
	*f = follower{path: f.path}
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
	f.file, f.last = file, time.Now()
	return nil
}

func (f *follower) drain(ctx context.Context, s *shipper) error {
	chunk := make([]byte, 64<<10)
	for {
		n, err := f.file.Read(chunk)
		if n > 0 {
			f.last = time.Now()
			f.head = append(f.head, chunk[:min(n, headLen-len(f.head))]...)
			if err := f.lines(ctx, s, chunk[:n]); err != nil {
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

// lines sends the lines that are whole by now. One that never ends is sent cut,
// as one record over the limit, which the ingester rejects with its place.
func (f *follower) lines(ctx context.Context, s *shipper, more []byte) error {
	f.rest = append(f.rest, more...)
	for {
		line, rest, whole := bytes.Cut(f.rest, []byte("\n"))
		if !whole && len(line) <= event.MaxRecordBytes {
			return nil
		}
		f.number, f.rest = f.number+1, rest
		if err := s.line(ctx, f.path, f.number, bytes.TrimRight(line, "\r")); err != nil {
			return err
		}
	}
}

// emptied says whether the file was cut, or has other first bytes than it had.
func (f *follower) emptied() bool {
	at, err := f.file.Seek(0, io.SeekCurrent)
	info, errStat := f.file.Stat()
	if err != nil || errStat != nil {
		return false
	}
	if info.Size() < at {
		return true
	}
	now := make([]byte, len(f.head))
	_, err = f.file.ReadAt(now, 0)
	return err == nil && !bytes.Equal(now, f.head)
}

// replaced says whether the path names another file by now.
func (f *follower) replaced() bool {
	have, err := f.file.Stat()
	if err != nil {
		return true
	}
	now, err := os.Stat(f.path)
	return err == nil && !os.SameFile(have, now)
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
