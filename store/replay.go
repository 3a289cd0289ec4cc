package store

import (
	"context"
	"fmt"
	"iter"
	"slices"
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
		event := func(s Stored, err error) bool { return yield(s.Event, err) }
		db.read(ctx, event, "ts >= fromUnixTimestamp64Micro(?) AND ts < fromUnixTimestamp64Micro(?)", from.UnixMicro(), to.UnixMicro())
	}
}

// Stored is an event as it was stored: in which incarnation of its topic, and
// when.
type Stored struct {
	event.Event
	TopicID string
	At      time.Time
}

// Span is a time of insertion: from Since on, before Until.
type Span struct{ Since, Until time.Time }

// Recent reads the events that were stored in a span of time, in the same order,
// but no more than about limit of the newest: whole batches, from the first one
// that still fits. It reads in pieces, so its memory does not grow with what it
// reads.
func (db *DB) Recent(ctx context.Context, span Span, limit uint64) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		pieces, err := db.pieces(ctx, span, limit)
		if err != nil {
			yield(Stored{}, err)
			return
		}
		for _, p := range pieces {
			more := db.read(ctx, yield, "ingested_at >= fromUnixTimestamp64Milli(?) AND ingested_at <= fromUnixTimestamp64Milli(?)", p.from, p.to)
			if !more {
				return
			}
		}
	}
}

// piece is a span of insertion times, in ms, both ends included.
type piece struct{ from, to int64 }

// pieceRows is how many rows Recent asks for at once.
const pieceRows = 100_000

// pieces cuts the newest limit rows into spans of about pieceRows, oldest first.
func (db *DB) pieces(ctx context.Context, span Span, limit uint64) ([]piece, error) {
	rows, err := db.conn.Query(ctx, `SELECT toUnixTimestamp64Milli(ingested_at) AS at, count() FROM audit.events
WHERE ingested_at >= fromUnixTimestamp64Milli(?) AND ingested_at < fromUnixTimestamp64Milli(?)
GROUP BY at ORDER BY at DESC`, max(span.Since.UnixMilli(), 0), span.Until.UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("look for recent events: %w", describe(ctx, err))
	}
	defer rows.Close()
	var out []piece
	var total, inPiece uint64
	for rows.Next() {
		var at int64
		var n uint64
		if err := rows.Scan(&at, &n); err != nil {
			return nil, fmt.Errorf("look for recent events: %w", err)
		}
		if total += n; total > limit && len(out) > 0 {
			break
		}
		if len(out) == 0 || inPiece+n > pieceRows {
			out, inPiece = append(out, piece{at, at}), 0
		}
		out[len(out)-1].from, inPiece = at, inPiece+n
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("look for recent events: %w", err)
	}
	slices.Reverse(out)
	return out, nil
}

// read yields the events that a condition selects and says whether to go on.
func (db *DB) read(ctx context.Context, yield func(Stored, error) bool, where string, args ...any) bool {
	fail := func(err error) bool {
		yield(Stored{}, fmt.Errorf("replay events: %w", describe(ctx, err)))
		return false
	}
	b := newBlock()
	names, scan := make([]string, len(b.columns)), make([]any, len(b.columns))
	for i, c := range b.columns {
		names[i], scan[i] = quoteName(c.name), c.scan
	}
	rows, err := db.conn.Query(ctx, "SELECT "+strings.Join(names, ", ")+" FROM audit.events WHERE "+where+
		" ORDER BY ingested_at, kafka_topic, kafka_partition, kafka_offset, kafka_index", args...)
	if err != nil {
		return fail(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(scan...); err != nil {
			return fail(err)
		}
		var e event.Event
		for i := range b.columns {
			b.columns[i].get(&e)
		}
		if !yield(Stored{e, b.scannedTopicID, b.scannedAt}, nil) {
			return false
		}
	}
	if err := rows.Err(); err != nil {
		return fail(err)
	}
	return true
}
