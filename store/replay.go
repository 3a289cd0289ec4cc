package store

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"gatehouse/ingest/event"
)

// Replay reads stored events whose request time lies in [from, to), in the order
// in which they were stored: the order in which a live detector saw them. Batches
// that were stored in the same millisecond are ordered by topic and partition;
// within a partition the order is always that of the offsets.
func (db *DB) Replay(ctx context.Context, from, to time.Time) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		b := newBlock()
		names, scan := make([]string, len(b.columns)), make([]any, len(b.columns))
		for i, c := range b.columns {
			names[i], scan[i] = quoteName(c.name), c.scan
		}
		rows, err := db.conn.Query(ctx, "SELECT "+strings.Join(names, ", ")+` FROM audit.events
WHERE ts >= fromUnixTimestamp64Micro(?) AND ts < fromUnixTimestamp64Micro(?)
ORDER BY ingested_at, kafka_topic, kafka_partition, kafka_offset, kafka_index`, from.UnixMicro(), to.UnixMicro())
		if err != nil {
			yield(event.Event{}, fmt.Errorf("replay events: %w", describe(ctx, err)))
			return
		}
		defer rows.Close()
		for rows.Next() {
			if err := rows.Scan(scan...); err != nil {
				yield(event.Event{}, fmt.Errorf("replay events: %w", err))
				return
			}
			var e event.Event
			for i := range b.columns {
				b.columns[i].get(&e)
			}
			if !yield(e, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(event.Event{}, fmt.Errorf("replay events: %w", describe(ctx, err)))
		}
	}
}
