package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"gatehouse/ingest"
	"gatehouse/ingest/event"
	"gatehouse/ingest/stream"
	"gatehouse/store"
)

// guard looks, before a partition is ingested, whether what the group has
// acknowledged of it and what the store has of it fit together.
//
// A ClickHouse that was emptied, restored from a backup, or belongs to another
// installation lacks records that are acknowledged, and going on behind them would
// lose them without a word. It is sure before it refuses: Kafka itself must still
// have a record among the acknowledged offsets behind the last one that is
// accounted for. What retention has removed on either side, what a transaction
// left, and a partition without any traffic are no reason.
//
// A group that has lost its offset, that is new, or that was set back would store
// again what is stored: see repeat.go.
type guard struct {
	db *store.DB
	// missing says what to do: missingRefuse, missingReread or missingAccept.
	missing string
	// stored says what to do: storedRefuse, storedSkip or storedAgain.
	stored string
	gaps   ingest.GapRecorder
	group  string
	// patience is how long a replica of ClickHouse may lag behind.
	patience time.Duration
	log      *slog.Logger
}

// What to do when acknowledged records are not stored.
const (
	missingRefuse = "refuse"
	missingReread = "reread" // go back to the first of them
	missingAccept = "accept" // record them as a gap and go on
)

const (
	guardPatience = 10 * time.Second
	guardPause    = time.Second
)

func newGuard(a *app, gaps ingest.GapRecorder) *guard {
	g := &guard{db: a.db, missing: a.missing, stored: a.stored, gaps: gaps, group: a.cfg.Kafka.Group, log: a.log.With("component", "guard")}
	if a.cfg.ClickHouse.URL != "" {
		g.patience = guardPatience
	}
	return g
}

// source is the partition as the ingester may read it.
func (g *guard) source(ctx context.Context, p *stream.Partition) (ingest.Source, error) {
	committed, metadata := p.Position()
	if committed <= 0 && metadata == "" {
		return g.unacknowledged(ctx, p), nil
	}
	bound := committed - 1
	if last, declared := ingest.DeclaredLast(metadata); declared {
		bound = max(bound, last)
	}
	last, err := g.accounted(ctx, p.Range(0, max(committed-1, 0)), committed-1)
	if err != nil || last >= committed-1 && last <= bound {
		return p, err
	}
	if inDoubt(ctx, p) {
		return p, nil // the offset is another topic's, or lost: the ingester settles that
	}
	if last > bound {
		return g.repeated(ctx, p, bound)
	}
	behind := store.Offsets{First: last + 1, Last: committed - 1}
	first, err := g.firstRecord(ctx, p, behind)
	p.Seek(committed)
	if err != nil || first < 0 {
		return p, err
	}
	return g.decide(ctx, p, behind, first)
}

// inDoubt says that the partition will not be read before something is settled.
func inDoubt(ctx context.Context, p *stream.Partition) bool {
	done, cancel := context.WithCancel(ctx)
	cancel() // nothing is to be fetched
	_, _, err := p.Next(done)
	return !errors.Is(err, context.Canceled)
}

// accounted is the highest offset of a partition that is accounted for. Before it
// is less than enough, a replica that lags gets time.
func (g *guard) accounted(ctx context.Context, r event.Range, enough int64) (last int64, err error) {
	deadline := time.Now().Add(g.patience)
	for {
		err := g.ask(ctx, r, func() (err error) { last, err = g.db.Accounted(ctx, r); return err })
		if err != nil || last >= enough || !time.Now().Before(deadline) {
			return last, err
		}
		if err := sleep(ctx, guardPause); err != nil {
			return 0, err
		}
	}
}

// ask waits for a store that cannot be reached, as the ingester would.
func (g *guard) ask(ctx context.Context, r event.Range, do func() error) error {
	for {
		err := do()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case store.Permanent(err):
			return err
		}
		g.log.WarnContext(ctx, "what is stored cannot be read, trying again", "partition", r.Partition, "error", err)
		if err := sleep(ctx, guardPause); err != nil {
			return err
		}
	}
}

// firstRecord is the first offset of a span that holds a record in Kafka, or -1.
func (g *guard) firstRecord(ctx context.Context, p *stream.Partition, span store.Offsets) (int64, error) {
	first, gone := int64(-1), int64(0)
	err := walk(ctx, p, span, func(at store.Offsets, there bool) bool {
		if there {
			first = at.First
		} else {
			gone += at.Count()
		}
		return !there
	})
	if err != nil {
		return -1, fmt.Errorf("look for acknowledged records of %s/%d: %w", p.Topic(), p.ID(), err)
	}
	if first < 0 && gone > 0 {
		g.log.WarnContext(ctx, "acknowledged offsets are neither stored nor in kafka any more", "topic", p.Topic(), "partition", p.ID(), "offsets", span.String())
	}
	return first, nil
}

// decide does what the person wants.
func (g *guard) decide(ctx context.Context, p *stream.Partition, behind store.Offsets, first int64) (ingest.Source, error) {
	r := p.Range(behind.First, behind.Last)
	switch g.missing {
	case missingReread:
		g.log.WarnContext(ctx, "acknowledged records are not stored, reading them again", "range", r.String())
		p.Seek(first)
		return rewound{p, first}, nil
	case missingAccept:
		g.log.ErrorContext(ctx, "acknowledged records are not stored, recorded as a gap", "range", r.String())
		return p, g.gaps.Append(ctx, ingest.Gap{
			Topic: r.Topic, TopicID: r.TopicID, Partition: r.Partition, First: r.First, Last: r.Last, Reason: ingest.GapNotStored, At: time.Now().UTC(),
		})
	}
	has := fmt.Sprintf("ends at offset %d of it", behind.First-1)
	if behind.First == 0 {
		has = "has nothing of it"
	}
	return nil, fmt.Errorf(`group %s has acknowledged everything up to offset %d, but ClickHouse %s (topic id %s): it was emptied, restored from a backup, or belongs to another Kafka. Kafka still has the records, from offset %d on. Restore ClickHouse, or point clickhouse.url or data_dir at the one that belongs to this group; or start once with
  gatehouse run --missing=reread   to store again what Kafka still has
  gatehouse run --missing=accept   to record the offsets as lost in audit.ingest_gaps`,
		g.group, behind.Last, has, r.TopicID, first)
}

// rewound is a partition that is read from an offset before the group's. What the
// group's commit declared lies behind that and is read with the rest.
type rewound struct {
	*stream.Partition
	from int64
}

// Position is where reading starts, with nothing declared.
func (r rewound) Position() (offset int64, metadata string) { return r.from, "" }

// ingest is what runs for each owned partition.
func (a *app) ingest(ctx context.Context, p *stream.Partition) error {
	src, err := a.guard.source(ctx, p)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	return a.ingester.Run(ctx, src)
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
