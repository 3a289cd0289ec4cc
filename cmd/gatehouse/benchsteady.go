package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Measuring latency.
const (
	steadyTick     = 10 * time.Millisecond // between produce requests
	seenTick       = 20 * time.Millisecond // between looks at the table
	steadyPatience = time.Minute           // for the last call to be seen
)

// sighting is what could be seen of the steady calls at one time: how many of
// each partition, which arrive in order.
type sighting struct {
	at   time.Time
	rows map[string]uint64
}

// latency sends calls at a steady rate, looks at the table all the time, and
// tells from both how long each call took until a query saw it.
func (t *trial) latency(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, t.bench.cmd.For+steadyPatience, errors.New("the last of the steady calls was not seen in time"))
	defer cancel()
	topic := t.bench.steadyTopic(t.way)
	sent := make(chan error, 1)
	total := t.bench.cmd.steadyCalls()
	go func() { sent <- t.bench.steady(ctx, topic, total) }()
	seen, err := t.watch(ctx, topic, uint64(total))
	if err != nil {
		cancel()
		return errors.Join(err, <-sent)
	}
	if err := <-sent; err != nil {
		return err
	}
	delays, err := t.delays(ctx, topic, seen)
	if err != nil {
		return err
	}
	t.result.SeenP50, t.result.SeenP99 = quantile(delays, 0.5), quantile(delays, 0.99)
	return nil
}

// steady sends total calls, each made at the time it is sent.
func (b *ingestBench) steady(ctx context.Context, topic string, total int) error {
	start := time.Now()
	tick := time.NewTicker(steadyTick)
	defer tick.Stop()
	for sent := 0; sent < total; {
		now := time.Now()
		due := min(int(now.Sub(start).Seconds()*float64(b.cmd.Rate)), total)
		if _, err := b.send(ctx, topic, due-sent, func(int) int64 { return now.UnixMicro() }); err != nil {
			return err
		}
		sent = due
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// watch looks until total calls were seen.
func (t *trial) watch(ctx context.Context, topic string, total uint64) ([]sighting, error) {
	var seen []sighting
	tick := time.NewTicker(seenTick)
	defer tick.Stop()
	for {
		s, sum, err := t.look(ctx, topic)
		if err != nil {
			return nil, err
		}
		if seen = append(seen, s); sum >= total {
			return seen, nil
		}
		t.bench.progress.show(s.at, "%s: measuring latency, %d of %d calls seen", t.title, sum, total)
		if err := t.alive(); err != nil {
			return nil, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// look counts the topic's rows by partition. The time is that of the answer.
func (t *trial) look(ctx context.Context, topic string) (s sighting, sum uint64, err error) {
	text, err := t.db.exec(ctx, fmt.Sprintf("SELECT kafka_partition, count() FROM %s WHERE kafka_topic = '%s' AND ingested_at > now64(3) - INTERVAL %d SECOND GROUP BY kafka_partition",
		t.table(), topic, int((t.bench.cmd.For+steadyPatience).Seconds())))
	s = sighting{at: time.Now(), rows: map[string]uint64{}}
	for line := range strings.Lines(text) {
		partition, count, _ := strings.Cut(strings.TrimSpace(line), "\t")
		n, err := strconv.ParseUint(count, 10, 64)
		if err != nil {
			return s, 0, fmt.Errorf("read count %q: %w", line, err)
		}
		s.rows[partition] = n
		sum += n
	}
	return s, sum, err
}

// delays asks for the time of every steady call, and compares.
func (t *trial) delays(ctx context.Context, topic string, seen []sighting) ([]float64, error) {
	text, err := t.db.exec(ctx, fmt.Sprintf("SELECT kafka_partition, toUnixTimestamp64Micro(ts) FROM %s WHERE kafka_topic = '%s' ORDER BY kafka_partition, kafka_offset", t.table(), topic))
	if err != nil {
		return nil, err
	}
	return delaysOf(text, seen)
}

// delaysOf are the seconds from each call's time until the first sighting that has
// it, sorted. calls are lines of partition and time in µs, in the order of
// partition and offset.
func delaysOf(calls string, seen []sighting) ([]float64, error) {
	var out []float64
	next := map[string]int{} // by partition: the first sighting that may have the next call
	read := map[string]uint64{}
	for line := range strings.Lines(calls) {
		partition, stamp, _ := strings.Cut(strings.TrimSpace(line), "\t")
		us, err := strconv.ParseInt(stamp, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read time %q: %w", line, err)
		}
		for read[partition] >= seen[next[partition]].rows[partition] {
			if next[partition]++; next[partition] == len(seen) {
				return nil, errors.New("more calls are stored than were seen")
			}
		}
		read[partition]++
		out = append(out, seen[next[partition]].at.Sub(time.UnixMicro(us)).Seconds())
	}
	if len(out) == 0 {
		return nil, errors.New("no call was stored")
	}
	slices.Sort(out)
	return out, nil
}

// quantile of sorted values, which must not be empty.
func quantile(sorted []float64, q float64) float64 {
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
