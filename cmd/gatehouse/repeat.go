package main

import (
	"context"
	"fmt"
	"math"

	"gatehouse/ingest"
	"gatehouse/ingest/event"
	"gatehouse/ingest/stream"
	"gatehouse/store"
)

// What to do when records are stored that the group has not acknowledged. By the
// protocol nothing is stored behind the batch that a commit declares, so the
// group's offset is not the one that was left: it expired, it was set back, the
// group is another, or Kafka was restored from a backup. Going on from it would
// store the records again, in batches of other ranges, which the store cannot
// recognise.
const (
	storedRefuse = "refuse"
	storedSkip   = "skip"  // go on behind the last of them
	storedAgain  = "again" // store them again
)

// unacknowledged is a partition of which the group has acknowledged nothing.
// Whether anything of it is stored is asked when there is a record to store, so
// that idle partitions cost nothing.
func (g *guard) unacknowledged(ctx context.Context, p *stream.Partition) ingest.Source {
	if g.stored == storedAgain || inDoubt(ctx, p) {
		return p
	}
	return &unread{Partition: p, guard: g}
}

// unread is a partition until its first record.
type unread struct {
	*stream.Partition
	guard  *guard
	looked bool
}

// Next looks at what is stored before it returns the first records.
func (u *unread) Next(ctx context.Context) ([]stream.Record, int64, error) {
	records, next, err := u.Partition.Next(ctx)
	if u.looked || err != nil || len(records) == 0 {
		return records, next, err
	}
	// Where nothing is near the last offset the whole partition is looked for, once.
	last, err := u.guard.accounted(ctx, u.Range(0, math.MaxInt64), -1)
	if err != nil {
		return nil, 0, err
	}
	u.looked = true
	if last < 0 {
		return records, next, nil
	}
	to, err := u.guard.behindStored(ctx, u.Partition, -1)
	if err != nil || to < 0 {
		return records, next, err
	}
	u.Seek(to)
	return nil, to, nil // nothing to store, but an offset to acknowledge
}

// repeated is a partition whose commit lies before what is stored. Nothing above
// bound can be the doing of the one who committed.
func (g *guard) repeated(ctx context.Context, p *stream.Partition, bound int64) (ingest.Source, error) {
	to, err := g.behindStored(ctx, p, bound)
	if err != nil || to < 0 {
		return p, err
	}
	if err := p.Commit(p.Owned(), to, ""); err != nil {
		return nil, fmt.Errorf("go on behind what is stored: %w", err)
	}
	p.Seek(to)
	return rewound{p, to}, nil
}

// behindStored is the offset to go on from when rows above bound are stored and
// are to be skipped, or -1 to go on from the group's. A recorded gap alone is no
// reason: gaps are recorded as they are met, ahead of the batches before them.
func (g *guard) behindStored(ctx context.Context, p *stream.Partition, bound int64) (int64, error) {
	last, err := g.lastRow(ctx, p, bound)
	if err != nil || last <= bound || g.stored == storedAgain {
		return -1, err
	}
	if g.stored != storedSkip {
		return -1, g.refuseRepeat(p, last)
	}
	if err := sleep(ctx, g.patience); err != nil { // the replica may not have the last row yet
		return -1, err
	}
	if last, err = g.lastRow(ctx, p, bound); err != nil {
		return -1, err
	}
	g.log.WarnContext(ctx, "records are stored that the group has not acknowledged, going on behind them",
		"topic", p.Topic(), "partition", p.ID(), "offset", last+1)
	return last + 1, nil
}

func (g *guard) refuseRepeat(p *stream.Partition, last int64) error {
	committed, _ := p.Position()
	has := fmt.Sprintf("stands at offset %d", committed)
	if committed < 0 {
		has = "has no offset"
	}
	return fmt.Errorf(`group %s %s of %s/%d, but ClickHouse has its records up to offset %d (topic id %s): the offset expired or was set back, kafka.group is another than before, or Kafka was restored from a backup. Going on would store records again. Set kafka.group or the group's offset right; or start once with
  gatehouse run --stored=skip    to go on from offset %d (gatehouse doctor ledger finds what is missing before it)
  gatehouse run --stored=again   to store them again, until the group has passed them`,
		g.group, has, p.Topic(), p.ID(), last, p.Range(0, 0).TopicID, last+1)
}

// offsetRow is a row as far as its offset.
type offsetRow struct {
	Offset int64 `ch:"kafka_offset"`
}

// lastRow is the highest offset above bound of which a row is stored, or bound.
func (g *guard) lastRow(ctx context.Context, p *stream.Partition, bound int64) (int64, error) {
	last, r := bound, p.Range(bound+1, math.MaxInt64)
	for _, name := range []string{"events", "dead_letters"} {
		err := g.ask(ctx, r, func() error {
			rows, err := lastOf(ctx, store.NewTable[offsetRow](g.db, name, nil), r)
			for _, row := range rows {
				last = max(last, row.Offset)
			}
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	return last, nil
}

func lastOf(ctx context.Context, t *store.Table[offsetRow], r event.Range) ([]offsetRow, error) {
	return t.All(ctx, "kafka_topic = ? AND kafka_topic_id = ? AND kafka_partition = ? AND kafka_offset >= ? ORDER BY kafka_offset DESC LIMIT 1",
		r.Topic, r.TopicID, r.Partition, r.First)
}
