package main

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"gatehouse/detect"
	"gatehouse/ingest"
	"gatehouse/ingest/event"
	"gatehouse/ingest/gateway"
	"gatehouse/rules"
)

// detectCmd finds attacks in files.
type detectCmd struct {
	Gateway string   `help:"Source type of the lines; without it, by their look." short:"g"`
	Rules   string   `help:"Folder with rules of your own, beside the built-in ones." type:"existingdir"`
	Config  string   `help:"Configuration file, for redaction and rules." short:"c" type:"existingfile"`
	Files   []string `arg:"" optional:"" help:"Files to read, plain or gzip; - or none is standard input."`
	Table   bool     `help:"A table for people instead of JSON."`
}

// Help is printed below the flags.
func (detectCmd) Help() string {
	return `Decodes, redacts and runs every rule, in this process and in the time of the
log. Prints one finding as JSON per line (schema: gatehouse schema finding), and a
summary on standard error. Lines may be out of order, as far as 200,000 of them reach.

Examples:
  gatehouse detect --gateway clf access.log
  gatehouse detect --gateway clf --table access.log.2.gz access.log.1 access.log
  gatehouse detect --rules ./my-rules access.log | jq -r '.severity + " " + .reason'`
}

// Run is the command.
func (c *detectCmd) Run(ctx context.Context, con *console) error {
	if err := checkGateway(c.Gateway); err != nil {
		return err
	}
	cfg, err := loadConfig(c.Config)
	if err != nil {
		return err
	}
	if c.Rules != "" {
		cfg.Rules.Dir = c.Rules
	}
	set, err := loadRules(cfg.Rules.Dir)
	if err != nil {
		return err
	}
	redactor, err := openRedactor(cfg, con)
	if err != nil {
		return err
	}
	run := &offlineRun{con: con, engine: newEngine(set), started: time.Now(), progress: con.progress(), table: c.Table}
	if err := twice(c.Files); err != nil {
		return err
	}
	// What was read before a file broke off counts all the same.
	err = run.files(ctx, newLineDecoder(c.Gateway, redactor), c.Files)
	return errors.Join(err, run.finish())
}

// offlineRun is one detection over files.
type offlineRun struct {
	con      *console
	engine   *detect.Engine
	queue    byTime
	started  time.Time
	progress *progress
	table    bool

	events   int
	refused  rejections
	findings []detect.Finding
	newest   int64
}

// reorderEvents is how many events are held back to put them in order of time:
// a shorter file is sorted whole.
const reorderEvents = 200_000

func (r *offlineRun) files(ctx context.Context, d lineDecoder, files []string) error {
	if len(files) == 0 {
		files = []string{"-"}
	}
	files, err := oldestFirst(ctx, r.con, d, files)
	if err != nil {
		return err
	}
	var broken error
	for _, file := range files {
		if broken = d.each(ctx, r.con, file, r.take); broken != nil {
			break
		}
	}
	for r.queue.Len() > 0 {
		r.observe()
	}
	r.report(r.engine.Flush())
	r.progress.done()
	return broken
}

func (r *offlineRun) take(d ingest.Decoded) error {
	r.refused.add(d.Rejected)
	for i := range d.Events {
		r.queue.seq++
		heap.Push(&r.queue, queued{&d.Events[i], r.queue.seq})
		if r.queue.Len() > reorderEvents {
			r.observe()
		}
	}
	return nil
}

func (r *offlineRun) observe() {
	q := heap.Pop(&r.queue).(queued)
	r.events++
	r.newest = max(r.newest, q.event.TS)
	r.report(r.engine.Observe(q.event))
	if r.events%1024 == 0 {
		r.progress.show(time.Now(), "%d events, %d findings", r.events, len(r.findings))
	}
}

func (r *offlineRun) report(fs []detect.Finding) {
	r.findings = append(r.findings, fs...)
	if r.table {
		return
	}
	for i := range fs {
		if err := r.con.json(&fs[i]); err != nil {
			fmt.Fprintln(r.con.err, "write finding:", err)
		}
	}
}

func (r *offlineRun) finish() error {
	if r.table && len(r.findings) > 0 {
		r.con.findings(r.findings)
	}
	r.refused.print(r.con.err)
	fmt.Fprintf(r.con.err, "detect: %d events, %d rejected, %d findings, %.1f s\n",
		r.events, r.refused.count, len(r.findings), time.Since(r.started).Seconds())
	if r.events == 0 && r.refused.count > 0 {
		return fmt.Errorf("no line was recognised: is it one of the formats %s? Without --gateway each line's look decides", strings.Join(gateway.Names(), ", "))
	}
	return nil
}

// findings prints findings as a table.
func (con *console) findings(fs []detect.Finding) {
	rows := make([][]string, len(fs))
	for i, f := range fs {
		entity := ""
		for _, e := range f.Entity {
			if e.Value != "" {
				entity += e.Name + "=" + e.Value + " "
			}
		}
		rows[i] = []string{string(f.Severity), f.Rule, time.UnixMicro(f.At).UTC().Format(time.DateTime), entity, f.Reason}
	}
	con.table([]string{"severity", "rule", "at (UTC)", "entity", "reason"}, nil, rows)
}

type queued struct {
	event *event.Event
	seq   int // keeps the order of events with equal time
}

// byTime is a heap of events, oldest first.
type byTime struct {
	items []queued
	seq   int
}

func (h *byTime) Len() int { return len(h.items) }

func (h *byTime) Less(i, j int) bool {
	a, b := &h.items[i], &h.items[j]
	if a.event.TS != b.event.TS {
		return a.event.TS < b.event.TS
	}
	return a.seq < b.seq
}

func (h *byTime) Swap(i, j int) { h.items[i], h.items[j] = h.items[j], h.items[i] }

func (h *byTime) Push(x any) { h.items = append(h.items, x.(queued)) }

func (h *byTime) Pop() any {
	last := len(h.items) - 1
	q := h.items[last]
	h.items[last] = queued{}
	h.items = h.items[:last]
	return q
}

// oldestFirst orders files by the time of their first event, so that rotated
// logs can be named in any order.
func oldestFirst(ctx context.Context, con *console, d lineDecoder, files []string) ([]string, error) {
	if len(files) < 2 || slices.Contains(files, "-") {
		return files, nil
	}
	first := map[string]int64{}
	for _, file := range files {
		err := d.each(ctx, con, file, func(got ingest.Decoded) error {
			if len(got.Events) == 0 {
				return nil
			}
			first[file] = got.Events[0].TS
			return io.EOF
		})
		if err != nil && err != io.EOF { //nolint:errorlint // our own value, handed through
			return nil, err
		}
	}
	files = slices.Clone(files)
	slices.SortStableFunc(files, func(a, b string) int { return int(max(-1, min(1, first[a]-first[b]))) })
	return files, nil
}

// loadRules reads the built-in rules and a person's folder beside them.
func loadRules(dir string) (rules.Set, error) {
	set, err := rules.Catalog()
	if err != nil || dir == "" {
		return set, err
	}
	own, err := rules.Load(os.DirFS(dir))
	if err != nil {
		return rules.Set{}, usageError{fmt.Errorf("read rules in %s: %w", dir, err)}
	}
	merged, err := set.Merge(own)
	if err != nil {
		return rules.Set{}, usageError{fmt.Errorf("read rules in %s: %w", dir, err)}
	}
	return merged, nil
}

func newEngine(set rules.Set) *detect.Engine {
	return detect.NewEngine(detect.EngineConfig{Rules: set})
}
