// Package ingest turns Kafka messages into durable, redacted events: it decodes
// and redacts each record, gathers batches by partition, stores every batch exactly
// once in its first sink and hands it on to the others, at least once.
//
// Exactly once rests on one idea: a batch's exact range of offsets is declared in
// the metadata of the group's offset commit before the batch is stored, and the
// store recognises a range that it has. Whoever owns the partition next, after a
// crash or a rebalance, reads the declaration and replays exactly that range
// before it goes on, so that a batch never comes back with other boundaries.
//
//	fill batch k+1 ──▶ commit(offset = first of k+1, metadata = intent k+1) ──▶ append k+1 ──▶ …
//	                   acknowledges k, declares k+1: one commit per batch
package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/semaphore"

	"gatehouse/ingest/event"
	"gatehouse/ingest/redact"
	"gatehouse/ingest/stream"
)

// Defaults of Config.
const (
	DefaultFlushInterval = 500 * time.Millisecond
	DefaultBatchEvents   = 200_000
	DefaultBatchBytes    = 24 << 20
	DefaultMemory        = 72 << 20
	retryFirst           = 100 * time.Millisecond
	retryMax             = 10 * time.Second
)

// Bounds of Config. One batch must be one block of ClickHouse, which ends at
// 1,048,449 rows; the last record of a batch may have event.MaxElements.
const (
	maxBatchEvents = 1_000_000
	minMemory      = 4 << 20
)

// Source is one owned partition, for as long as it is owned. *stream.Partition
// is one.
type Source interface {
	// Next blocks until there are records behind the current position and
	// returns them with the offset to go on from. It must return a
	// *stream.GapError when the records at the position are gone for good.
	Next(ctx context.Context) ([]stream.Record, int64, error)
	// Position is the group's committed offset and its metadata, read after
	// every commit that an earlier owner could have made.
	Position() (offset int64, metadata string)
	// Seek sets where Next goes on.
	Seek(to stream.Offset)
	// Commit stores the offset and metadata, or fails when the partition is no
	// longer owned.
	Commit(ctx context.Context, next int64, metadata string) error
	// Range names a span of this partition in its present incarnation.
	Range(first, last int64) event.Range
	// Behind is how many offsets wait behind what Next has returned, as far as is
	// known. It decides only how long a batch may grow.
	Behind() int64
	// Owned ends when the partition is no longer this process's: later than the
	// context of Run, so that what is under way can be finished.
	Owned() context.Context
}

// Sink takes batches.
type Sink interface {
	// Open gives an empty block, to be filled with the events of a batch.
	Open() event.Block
	// Append makes a batch durable whose block is one that Open gave. When it
	// returns nil the batch is durable and the block the sink's again; on an error
	// the same batch may be given once more. A batch with a Range that was appended
	// before must have no further effect.
	Append(ctx context.Context, b event.Batch) error
}

// GapRecorder keeps offsets that were lost before they could be read.
type GapRecorder interface {
	Append(ctx context.Context, gaps ...Gap) error
}

// Config says how batches are cut and where they go.
type Config struct {
	// Redactor makes events of raw records. Required.
	Redactor *redact.Redactor
	// Sinks take each batch in this order; the next is tried only when the one
	// before has acknowledged. At least one.
	Sinks []Sink
	// Gaps records lost offsets. Required.
	Gaps GapRecorder
	// Gateways maps a topic to the source type of its records, for records
	// without the header that says so. A topic that is not in it is sniffed.
	Gateways map[string]string
	// FlushInterval is the age at which a batch is stored even if small; with a
	// backlog it may grow for up to eight times as long.
	FlushInterval time.Duration
	// BatchEvents and BatchBytes (of memory) bound one batch.
	BatchEvents, BatchBytes int
	// Memory bounds the batches of all partitions together, in bytes. A partition
	// whose next batch finds no room waits, and reads nothing meanwhile.
	Memory int
	// Permanent says of a sink's error that no retry will mend it; then the
	// ingester stops with that error. nil retries everything.
	Permanent func(error) bool
	// Stored counts the rows of a range that the first sink has. It is asked
	// before a declared batch is replayed and before a late retry, when the sink
	// may have forgotten the range's token. nil trusts the token alone.
	Stored func(context.Context, event.Range) (events, rejected uint64, err error)
	// Clock gives the time of rejections and gaps. nil is time.Now.
	Clock func() time.Time
	// Failpoint is called at each step of a batch, on the goroutine that is there,
	// so that a fault suite can end the process at it. nil in production.
	Failpoint func(Step)
	Log       *slog.Logger
	Metrics   Registerer
}

// Ingester runs the loop of one partition at a time; one Ingester serves all
// partitions of a process.
type Ingester struct {
	cfg     Config
	memory  *semaphore.Weighted
	metrics *metrics
}

// New checks the configuration and fills in its defaults.
func New(cfg Config) (*Ingester, error) {
	switch {
	case cfg.Redactor == nil:
		return nil, errors.New("new ingester: no redactor")
	case len(cfg.Sinks) == 0:
		return nil, errors.New("new ingester: no sink")
	case cfg.Gaps == nil:
		return nil, errors.New("new ingester: no recorder of gaps")
	case cfg.BatchEvents < 0 || cfg.BatchEvents > maxBatchEvents:
		return nil, fmt.Errorf("new ingester: ingest.batch_events %d: want at most %d, so that a batch is one block of ClickHouse", cfg.BatchEvents, maxBatchEvents)
	case cfg.Memory != 0 && cfg.Memory < minMemory:
		return nil, fmt.Errorf("new ingester: ingest.memory_bytes %d: want at least %d", cfg.Memory, minMemory)
	case cfg.BatchBytes != 0 && cfg.BatchBytes < minMemory/3:
		return nil, fmt.Errorf("new ingester: ingest.batch_bytes %d: want at least %d", cfg.BatchBytes, minMemory/3)
	}
	if cfg.FlushInterval == 0 {
		cfg.FlushInterval = DefaultFlushInterval
	}
	if cfg.BatchEvents == 0 {
		cfg.BatchEvents = DefaultBatchEvents
	}
	if cfg.BatchBytes == 0 {
		cfg.BatchBytes = DefaultBatchBytes
	}
	if cfg.Memory == 0 {
		cfg.Memory = DefaultMemory
	}
	if cfg.Permanent == nil {
		cfg.Permanent = func(error) bool { return false }
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	// Three at least are on their way at once: one that is stored, two that fill.
	cfg.BatchBytes = min(cfg.BatchBytes, cfg.Memory/3)
	return &Ingester{cfg: cfg, memory: semaphore.NewWeighted(int64(cfg.Memory)), metrics: newMetrics(cfg.Metrics)}, nil
}

// Run ingests one partition until ctx ends, which is not an error, or until the
// partition is lost or a sink refuses for good.
func (in *Ingester) Run(ctx context.Context, src Source) error {
	err := in.run(ctx, src)
	if ctx.Err() != nil && (err == nil || errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx))) {
		return nil
	}
	return err
}

func (in *Ingester) run(ctx context.Context, src Source) error {
	if err := in.resume(ctx, src); err != nil {
		return err
	}
	filling, cancel := context.WithCancel(ctx)
	filler := in.newFiller(src)
	done := make(chan error, 1)
	go func() { done <- filler.run(filling) }()
	err := in.storeAll(ctx, src, filler)
	cancel()
	if fillErr := <-done; err == nil {
		err = fillErr
	}
	return err
}

// storeAll takes batches from the filler as they close. The declaration of a
// batch acknowledges the one before; only when nothing follows at once is the
// offset committed alone, so that a quiet partition shows no lag.
//
// When ctx ends, the batch that is being stored is finished and acknowledged, as
// long as the partition is owned; the one that fills is dropped and read again.
func (in *Ingester) storeAll(ctx context.Context, src Source, f *filler) error {
	b, ok := <-f.batches
	for ok {
		spare := max(b.reserved-b.size, 0)
		in.memory.Release(spare)
		err := in.store(ctx, src, b)
		in.memory.Release(b.reserved - spare)
		if err != nil {
			return err
		}
		next := b.next
		if ctx.Err() == nil {
			select {
			case b, ok = <-f.batches:
				continue
			default:
			}
		}
		if err := src.Commit(src.Owned(), next, ""); err != nil {
			return fmt.Errorf("acknowledge offset %d: %w", next, err)
		}
		in.at(StepCommitted)
		b, ok = <-f.batches
	}
	return nil // the filler stopped and says why
}

// store declares a batch and appends it: the whole protocol for one batch. A
// batch without records (control records, compacted offsets) needs neither.
func (in *Ingester) store(ctx context.Context, src Source, b *filling) error {
	if b.records == 0 {
		return nil
	}
	in.at(StepDecoded)
	r := src.Range(b.first, b.last)
	if err := in.declare(ctx, src, b, r); err != nil {
		return err
	}
	in.at(StepDeclared)
	return in.append(ctx, src, b, r)
}

// declare writes the batch's intent, which also proves that the partition is
// owned. The batch's time is taken before that: a process that sleeps after the
// proof must look old.
func (in *Ingester) declare(ctx context.Context, src Source, b *filling, r event.Range) error {
	at := in.cfg.Clock()
	if err := src.Commit(ctx, r.First, intentOf(r).String()); err != nil {
		return fmt.Errorf("declare batch %s: %w", r, err)
	}
	b.at = at
	return nil
}

// append gives the batch to every sink in order, trying each until it
// acknowledges. The batch stays the same from try to try, so that the sink can
// recognise it.
func (in *Ingester) append(ctx context.Context, src Source, b *filling, r event.Range) error {
	for i, sink := range in.cfg.Sinks {
		if b.blocks[i] == nil {
			continue // the sink has it
		}
		err := in.retry(ctx, "store batch "+r.String(), func() error {
			if i == 0 && in.late(b) {
				if done, err := in.settle(ctx, src, b, r); done || err != nil {
					return err
				}
			}
			return sink.Append(src.Owned(), event.Batch{Range: r, At: b.at, Block: b.blocks[i], Rejected: b.rejected})
		})
		if err != nil {
			return err
		}
		if b.blocks[i] = nil; i == 0 {
			in.at(StepAcked)
		}
	}
	in.metrics.stored(b, in.cfg.Clock())
	return nil
}

// lateRetry is when a retry no longer relies on the sink to remember the token,
// nor on the ownership of then.
const lateRetry = time.Minute

// late goes by the wall clock: the other one stands still while a machine sleeps.
func (in *Ingester) late(b *filling) bool {
	return in.cfg.Clock().Round(0).Sub(b.at.Round(0)) > lateRetry
}

// settle prepares a late retry: it says whether the batch is stored after all,
// and else declares it once more.
func (in *Ingester) settle(ctx context.Context, src Source, b *filling, r event.Range) (stored bool, err error) {
	if in.cfg.Stored != nil {
		events, rejected, err := in.cfg.Stored(ctx, r)
		if err != nil {
			return false, err
		}
		if events == uint64(b.count) && rejected == uint64(len(b.rejected)) {
			return true, nil
		}
	}
	return false, in.declare(ctx, src, b, r)
}

// retry does something until it works, ctx ends, or the error is permanent.
func (in *Ingester) retry(ctx context.Context, what string, do func() error) error {
	for wait := retryFirst; ; wait = min(2*wait, retryMax) {
		err := do()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if in.cfg.Permanent(err) || errors.Is(err, stream.ErrNotOwned) || errors.Is(err, stream.ErrUnknownOutcome) {
			return fmt.Errorf("%s: %w", what, err)
		}
		in.metrics.retries.Inc()
		in.cfg.Log.WarnContext(ctx, "failed, retrying", "what", what, "wait", wait, "error", err)
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
