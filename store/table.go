package store

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Table is an append-only table of rows of one Go type, whose fields are mapped
// to columns by `ch:"column_name"` tags. It is for the low-volume tables:
// findings, incident log, deliveries.
type Table[T any] struct {
	db      *DB
	name    string
	columns string
	key     func(T) string
}

// NewTable is the table audit.name. When key is not nil it names each row:
// a row whose key was appended before is not stored again (within the table's
// deduplication window of the last 10,000 inserts). Every row is then an insert
// of its own, so key is for rows that come by the handful.
func NewTable[T any](db *DB, name string, key func(T) string) *Table[T] {
	return &Table[T]{db: db, name: Database + "." + name, columns: columnsOf[T](), key: key}
}

// columnsOf lists the tagged columns of T. Columns of the table that T does not
// have keep their defaults.
func columnsOf[T any]() string {
	var names []string
	t := reflect.TypeFor[T]()
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("ch"); name != "" {
			names = append(names, quoteName(name))
		}
	}
	return strings.Join(names, ", ")
}

// Append makes the rows durable, in order. On an error some may be stored.
func (t *Table[T]) Append(ctx context.Context, rows ...T) error {
	if len(rows) == 0 {
		return nil
	}
	if t.key == nil {
		return t.insert(ctx, "", rows)
	}
	for i := range rows {
		if err := t.insert(ctx, t.key(rows[i]), rows[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (t *Table[T]) insert(ctx context.Context, token string, rows []T) error {
	ctx, cancel := context.WithTimeoutCause(ctx, t.db.timeout, fmt.Errorf("ClickHouse did not acknowledge the insert in %s", t.db.timeout))
	defer cancel()
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(insertSettings(token)))
	batch, err := t.db.conn.PrepareBatch(ctx, fmt.Sprintf("INSERT INTO %s (%s)", t.name, t.columns))
	if err != nil {
		return fmt.Errorf("append to %s: %w", t.name, describe(ctx, err))
	}
	defer batch.Close() //nolint:errcheck // closing a sent batch cannot fail usefully
	for i := range rows {
		if err := batch.AppendStruct(&rows[i]); err != nil {
			return fmt.Errorf("append to %s: row %d: %w", t.name, i, err)
		}
	}
	if err := batch.Send(); err != nil {
		t.db.metrics.failed(errorCode(err))
		return fmt.Errorf("append to %s: %w", t.name, describe(ctx, err))
	}
	return nil
}

// All reads the table's rows that where selects, in the given order; where is
// SQL with ? for args, and is not for text from people.
func (t *Table[T]) All(ctx context.Context, where string, args ...any) ([]T, error) {
	var rows []T
	if err := t.db.conn.Select(ctx, &rows, fmt.Sprintf("SELECT %s FROM %s WHERE %s", t.columns, t.name, where), args...); err != nil {
		return nil, fmt.Errorf("read %s: %w", t.name, describe(ctx, err))
	}
	return rows, nil
}
