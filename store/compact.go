package store

import (
	"context"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Compact merges audit.events to one part per day and returns its size in bytes
// on disk and its rows. It is for measuring: ClickHouse merges by itself.
func (db *DB) Compact(ctx context.Context) (size, rows uint64, err error) {
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"optimize_throw_if_noop": 0}))
	if err := db.conn.Exec(ctx, "OPTIMIZE TABLE audit.events FINAL"); err != nil {
		return 0, 0, fmt.Errorf("merge events: %w", describe(ctx, err))
	}
	const sql = "SELECT sum(bytes_on_disk), sum(rows) FROM system.parts WHERE database = 'audit' AND table = 'events' AND active"
	if err := db.conn.QueryRow(ctx, sql).Scan(&size, &rows); err != nil {
		return 0, 0, fmt.Errorf("measure events: %w", describe(ctx, err))
	}
	return size, rows, nil
}
