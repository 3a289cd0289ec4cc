package main

import (
	"context"
	"fmt"
	"os"
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

	process *process // nil when there is none, or it was ended
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
func (in *ingester) launch(env ...string) (err error) {
	in.process, err = processSpec{
		name: "ingester " + in.name, args: []string{"run", "-c", in.conf, "--role", roleIngest}, env: env, log: in.logs,
		ready: func(line string) bool { return strings.Contains(line, "gatehouse is up") },
	}.start()
	return err
}

// start starts the process and waits until it is up.
func (in *ingester) start(ctx context.Context, env ...string) error {
	if err := in.launch(env...); err != nil {
		return err
	}
	return in.process.await(ctx, processPatience)
}

// running says whether a process is there.
func (in *ingester) running() bool { return in.process.running() }

// kill ends the process with SIGKILL, frozen or not.
func (in *ingester) kill() {
	if in.process != nil {
		in.process.kill()
		in.process = nil
	}
}

// stop ends the process as an operator would.
func (in *ingester) stop() error {
	p := in.process
	if in.process = nil; p == nil {
		return nil
	}
	return p.stop(p.terminate)
}

// freeze and thaw are SIGSTOP and SIGCONT.
func (in *ingester) freeze() error { return in.process.signal(syscall.SIGSTOP) }
func (in *ingester) thaw() error   { return in.process.signal(syscall.SIGCONT) }

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
