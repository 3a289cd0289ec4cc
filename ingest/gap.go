package ingest

import (
	"context"
	"errors"
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
	GapNotStored = "not_stored"      // acknowledged, not in the store, and given up by a person
)

// GapReasons lists the reasons of a Gap.
func GapReasons() []string {
	return []string{GapRetention, GapRecreated, GapTooLarge, GapCorrupt, GapNotStored}
}

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
		gone := src.Range(recreated.Committed, recreated.Committed)
		gone.TopicID = recreated.Was
		if err := in.recordGap(ctx, gone, GapRecreated); err != nil {
			return 0, err
		}
		src.Seek(recreated.First)
		return recreated.First, nil
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
	if err := in.recordGap(ctx, src.Range(lost.from, lost.to-1), lost.reason); err != nil {
		return 0, err
	}
	src.Seek(next)
	return next, nil
}

// recordGap makes a gap durable, as patiently as a batch.
func (in *Ingester) recordGap(ctx context.Context, r event.Range, reason string) error {
	in.cfg.Log.ErrorContext(ctx, "offsets lost", "range", r.String(), "reason", reason)
	gap := Gap{
		Topic: r.Topic, TopicID: r.TopicID, Partition: r.Partition, First: r.First, Last: r.Last, Reason: reason, At: in.cfg.Clock().UTC(),
	}
	err := in.retry(ctx, "record lost offsets "+r.String(), func() error { return in.cfg.Gaps.Append(ctx, gap) })
	if err != nil {
		return err
	}
	in.metrics.gaps.WithLabelValues(reason).Add(float64(r.Last - r.First + 1))
	return nil
}
