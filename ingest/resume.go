package ingest

import (
	"context"
	"errors"
	"fmt"

	"gatehouse/ingest/event"
	"gatehouse/ingest/stream"
)

// resume settles what the owner before left: a declared batch is replayed with
// exactly its range, unless it is found stored.
func (in *Ingester) resume(ctx context.Context, src Source) error {
	offset, metadata := src.Position()
	declared, found, err := parseIntent(metadata)
	if err != nil {
		return fmt.Errorf("resume at offset %d: %w", offset, err)
	}
	if !found {
		return nil
	}
	r := src.Range(declared.first, declared.last)
	if declared.topicID != r.TopicID {
		// The topic was deleted and made again. What was declared belongs to the
		// one that is gone; where to go on is for the source to say.
		in.cfg.Log.ErrorContext(ctx, "the declared batch belongs to a topic that was deleted", "batch", r.String())
		r.TopicID = declared.topicID
		return in.recordGap(ctx, r, GapRecreated)
	}
	if declared.token != r.Token() {
		return fmt.Errorf("resume batch %s: it was declared under another token: another version of gatehouse, or another cluster, left it; "+
			"start that one once more to finish it", r)
	}
	if declared.normalizer != Normalizer {
		in.cfg.Log.WarnContext(ctx, "a batch of another version of gatehouse is replayed, its events may differ from what that one would have made",
			"batch", r.String(), "normalizer", declared.normalizer, "now", Normalizer)
	}
	return in.replay(ctx, src, r)
}

// replay reads a declared range again and stores it, or finds that it is stored.
// It takes the memory of the largest batch, since the one who declared it may have
// had other limits.
func (in *Ingester) replay(ctx context.Context, src Source, r event.Range) error {
	if err := in.memory.Acquire(ctx, int64(in.cfg.BatchBytes)); err != nil {
		return err
	}
	defer in.memory.Release(int64(in.cfg.BatchBytes))
	stored, err := in.storedRows(ctx, r)
	if err != nil {
		return err
	}
	in.cfg.Log.InfoContext(ctx, "declared batch replayed", "batch", r.String(), "rows_stored", stored)
	b, lost, err := in.reread(ctx, src, r)
	if err != nil {
		return fmt.Errorf("replay batch %s: %w", r, err)
	}
	switch rows := uint64(b.count + len(b.rejected)); {
	case stored > 0 && (stored == rows || len(lost) > 0 && stored > rows):
		b.blocks[0] = nil // it is stored; of records that are gone by now, too
	default:
		for _, gone := range lost {
			if err := in.recordGap(ctx, gone, GapRetention); err != nil {
				return err
			}
		}
		if err := in.declare(ctx, src, b, r); err != nil {
			return err
		}
	}
	if err := in.append(ctx, src, b, r); err != nil {
		return err
	}
	src.Seek(r.Last + 1)
	if err := src.Commit(ctx, r.Last+1, ""); err != nil {
		return fmt.Errorf("acknowledge batch %s: %w", r, err)
	}
	in.metrics.replays.Inc()
	return nil
}

// reread decodes the records of a range, and says which offsets of it retention
// has removed since.
func (in *Ingester) reread(ctx context.Context, src Source, r event.Range) (b *filling, lost []event.Range, err error) {
	src.Seek(r.First)
	b, decoder := in.newFilling(0), NewDecoder(in.cfg.Redactor, in.cfg.Clock)
	b.next = r.First
	for b.next <= r.Last {
		records, next, err := src.Next(ctx)
		var gap *stream.GapError
		switch {
		case errors.As(err, &gap):
			lost = append(lost, src.Range(gap.From, min(gap.To-1, r.Last)))
			src.Seek(gap.To)
			next = gap.To
		case err != nil:
			if next, err = in.stepOver(ctx, src, err); err != nil {
				return nil, nil, err
			}
		}
		for i := range records {
			if records[i].Offset <= r.Last {
				in.fill(decoder, b, r, &records[i])
			}
		}
		b.next = next
	}
	return b, lost, nil
}

// storedRows counts the rows of a range that are stored, when the store can say.
func (in *Ingester) storedRows(ctx context.Context, r event.Range) (n uint64, err error) {
	if in.cfg.Stored == nil {
		return 0, nil
	}
	err = in.retry(ctx, "look for stored rows", func() error {
		events, rejected, err := in.cfg.Stored(ctx, r)
		n = events + rejected
		return err
	})
	return n, err
}
