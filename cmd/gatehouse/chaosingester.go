package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gatehouse/deploy/fault"
)

// ingester is a place for one real ingester at a time: a configuration, a proxy
// to ClickHouse of its own, and the process, if one runs.
type ingester struct {
	name  string
	proxy *fault.Proxy
	conf  string
	logs  string

	cmd    *exec.Cmd
	up     chan struct{} // closed when it says that it is up
	exited chan struct{} // closed when it has ended
	err    error         // how, once it has
}

// Session timeouts of the ingesters: how long a frozen one must be silent until
// others take over. The embedded broker allows no shorter one.
const (
	sessionApache   = 3 * time.Second
	sessionEmbedded = 6 * time.Second
)

func (c *chaos) session() time.Duration {
	if c.cmd.Broker == "apache" {
		return sessionApache
	}
	return sessionEmbedded
}

// newIngester prepares an ingester. instance makes it a static member of the
// group; two with the same instance replace one another.
func (c *chaos) newIngester(s *stage, name, instance string) (*ingester, error) {
	proxy, err := fault.New(s.db.URL)
	if err != nil {
		return nil, err
	}
	c.onEnd(proxy.Close)
	in := &ingester{
		name: name, proxy: proxy,
		conf: filepath.Join(c.dir, name+".yaml"), logs: filepath.Join(c.dir, name+".log"),
	}
	password := filepath.Join(c.dir, name+".password")
	if err := os.WriteFile(password, []byte(s.db.Password), 0o600); err != nil {
		return nil, fmt.Errorf("write password: %w", err)
	}
	text := fmt.Sprintf(`data_dir: %q
listen: 127.0.0.1:0
kafka: {brokers: [%q], topics: {%s: ""}, group: %s, instance_id: %q, session_timeout: %s}
clickhouse: {url: %q, user: %s, password_file: %q}
redaction: {key_file: %q}
ingest: {batch_events: %d, flush_interval: %s}
`, filepath.Join(c.dir, name), c.broker.Addr(), s.topic, s.group, instance, c.session(),
		proxy.URL(), s.db.User, password, filepath.Join(c.dir, "keys.yaml"), chaosBatch, chaosFlush)
	if err := os.WriteFile(in.conf, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	c.onEnd(func() error { in.kill(); return nil })
	return in, nil
}

// Batches of the ingesters: small and often, so that a kill falls into one.
const (
	chaosBatch = 3000
	chaosFlush = 100 * time.Millisecond
)

// launch starts the process. env is added to its environment.
func (in *ingester) launch(env ...string) error {
	cmd, err := selfCommand("run", "-c", in.conf, "--role", roleIngest)
	if err != nil {
		return err
	}
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = childAttributes()
	log, err := os.OpenFile(in.logs, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open log of ingester: %w", err)
	}
	defer log.Close()
	cmd.Stderr = log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start ingester: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start ingester: %w", err)
	}
	in.cmd, in.up, in.exited = cmd, make(chan struct{}), make(chan struct{})
	go in.watch(cmd, stdout, in.up, in.exited)
	return nil
}

// watch sees the process come up and end.
func (in *ingester) watch(cmd *exec.Cmd, stdout io.Reader, up, exited chan struct{}) {
	lines := bufio.NewScanner(stdout)
	for said := false; lines.Scan(); {
		if !said && strings.Contains(lines.Text(), "gatehouse is up") {
			said = true
			close(up)
		}
	}
	in.err = cmd.Wait()
	close(exited)
}

// start starts the process and waits until it is up.
func (in *ingester) start(ctx context.Context, env ...string) error {
	if err := in.launch(env...); err != nil {
		return err
	}
	select {
	case <-in.up:
		return nil
	case <-in.exited:
		return in.ended()
	case <-time.After(chaosPatience):
		return fmt.Errorf("ingester %s did not come up in %s:\n%s", in.name, chaosPatience, tailOf(in.logs))
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ended is the error of a process that ended by itself.
func (in *ingester) ended() error {
	return fmt.Errorf("ingester %s ended by itself: %w:\n%s", in.name, orClean(in.err), tailOf(in.logs))
}

func orClean(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// running says whether a process is there.
func (in *ingester) running() bool {
	if in.cmd == nil {
		return false
	}
	select {
	case <-in.exited:
		return false
	default:
		return true
	}
}

// kill ends the process with SIGKILL, frozen or not.
func (in *ingester) kill() {
	if in.cmd == nil {
		return
	}
	_ = in.cmd.Process.Kill()
	<-in.exited
	in.cmd = nil
}

// stop ends the process as an operator would.
func (in *ingester) stop() error {
	if in.cmd == nil {
		return nil
	}
	if err := in.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop ingester %s: %w", in.name, err)
	}
	select {
	case <-in.exited:
	case <-time.After(chaosPatience):
		in.kill()
		return fmt.Errorf("ingester %s did not stop in %s:\n%s", in.name, chaosPatience, tailOf(in.logs))
	}
	in.cmd = nil
	if in.err != nil {
		return in.ended()
	}
	return nil
}

// freeze and thaw are SIGSTOP and SIGCONT.
func (in *ingester) freeze() error { return in.signal(syscall.SIGSTOP) }
func (in *ingester) thaw() error   { return in.signal(syscall.SIGCONT) }

func (in *ingester) signal(s syscall.Signal) error {
	if err := in.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("send %s to ingester %s: %w", s, in.name, err)
	}
	return nil
}

// exceptions is how many exceptions its ClickHouse has thrown by itself.
func (in *ingester) exceptions() (n int) {
	for _, count := range in.proxy.Exceptions() {
		n += count
	}
	return n
}

// logged waits until the log has a line with a word in it, behind an offset, and
// returns that line.
func (in *ingester) logged(ctx context.Context, after int64, word string) (string, error) {
	var line string
	err := poll(ctx, fmt.Sprintf("ingester %s to log %q", in.name, word), func() bool {
		text, err := os.ReadFile(in.logs)
		if err != nil || int64(len(text)) < after {
			return false
		}
		for l := range strings.Lines(string(text[after:])) {
			if strings.Contains(l, word) {
				line = strings.TrimSpace(l)
				return true
			}
		}
		return false
	})
	return line, err
}

// logSize is where the log ends now.
func (in *ingester) logSize() int64 {
	info, err := os.Stat(in.logs)
	if err != nil {
		return 0
	}
	return info.Size()
}

// chaosPatience bounds what must happen soon.
const chaosPatience = 60 * time.Second

// poll looks until a condition holds, for as long as chaosPatience.
func poll(ctx context.Context, what string, holds func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, chaosPatience, fmt.Errorf("waited %s for %s", chaosPatience, what))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// pause waits for a time, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
