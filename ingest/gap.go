package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gatehouse/ingest/event"
	"gatehouse/ingest/stream"
)

// Gap is a span of offsets that no event came from and none ever will.
type Gap struct {
	Topic     string    `ch:"kafka_topic"`
	TopicID   string    `ch:"topic_id"`
	Partition int32     `ch:"kafka_partition"`
	First     int64     `ch:"first_offset"`
	Last      int64     `ch:"last_offset"`
	Reason    string    `ch:"reason"`
	At        time.Time `ch:"at"`
}

// Reasons of a Gap.
const (
	GapRetention = "retention"       // Kafka removed the records before they were read
	GapRecreated = "topic_recreated" // the topic was deleted and made again
	GapTooLarge  = "batch_too_large" // a compressed batch unpacks to more than the cap
	GapCorrupt   = "batch_corrupt"   // a batch whose checksum is wrong
)

// GapReasons lists the reasons of a Gap.
func GapReasons() []string { return []string{GapRetention, GapRecreated, GapTooLarge, GapCorrupt} }

// stepOver deals with a reading error that is a fact about the log and not a
// fault: it records what is lost, moves the source behind it and returns the
// offset to go on from. Any other error comes back.
func (in *Ingester) stepOver(ctx context.Context, src Source, err error) (next int64, _ error) {
	var (
		gap       *stream.GapError
		batch     *stream.BatchError
		recreated *stream.RecreatedError
		lost      *stream.PositionLostError
	)
	switch {
	case errors.As(err, &gap):
		return in.skip(ctx, src, lostSpan{gap.From, gap.To, GapRetention}, gap.To)
	case errors.As(err, &batch) && batch.Reason == stream.BatchCorrupt:
		return in.skip(ctx, src, lostSpan{batch.From, batch.To, GapCorrupt}, batch.To)
	case errors.As(err, &batch):
		return in.skip(ctx, src, lostSpan{batch.From, batch.To, GapTooLarge}, batch.To)
	case errors.As(err, &recreated):
		return in.skip(ctx, src, lostSpan{recreated.Committed, recreated.Committed + 1, GapRecreated}, recreated.First)
	case errors.As(err, &lost):
		in.cfg.Log.ErrorContext(ctx, "the group lost its offset, going on from the last one committed", "offset", lost.Committed)
		src.Seek(lost.Committed)
		return lost.Committed, nil
	}
	return 0, err
}

// lostSpan is offsets [from, to).
type lostSpan struct {
	from, to int64
	reason   string
}

func (in *Ingester) skip(ctx context.Context, src Source, lost lostSpan, next int64) (int64, error) {
	r := src.Range(lost.from, lost.to-1)
	in.cfg.Log.ErrorContext(ctx, "offsets lost", "range", r.String(), "reason", lost.reason, "next", next)
	if err := in.cfg.Gaps.Append(ctx, in.gapOf(r, lost.reason)); err != nil {
		return 0, fmt.Errorf("record lost offsets %s: %w", r, err)
	}
	in.metrics.gaps.WithLabelValues(lost.reason).Add(float64(lost.to - lost.from))
	src.Seek(next)
	return next, nil
}

func (in *Ingester) gapOf(r event.Range, reason string) Gap {
	return Gap{
		Topic: r.Topic, TopicID: r.TopicID, Partition: r.Partition, First: r.First, Last: r.Last,
		Reason: reason, At: in.cfg.Clock().UTC(),
	}
}
