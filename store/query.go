package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Limits of a query that a person sends.
const (
	MaxQueryTime   = 30 * time.Second
	MaxResultRows  = 1_000_000
	MaxQueryMemory = 1 << 30 // bytes
)

// readSettings bound what a person's query may cost. readonly=2 refuses writes
// and DDL but lets the driver set these themselves.
func readSettings() clickhouse.Settings {
	return clickhouse.Settings{
		"readonly":             2,
		"max_execution_time":   int(MaxQueryTime.Seconds()),
		"max_result_rows":      MaxResultRows,
		"result_overflow_mode": "throw",
		"max_memory_usage":     MaxQueryMemory,

		"output_format_json_escape_forward_slashes": 0,
	}
}

// Result is a query's answer as a person reads it: names, ClickHouse types, and
// rows of Go values (nil for NULL).
type Result struct {
	Columns []string
	Types   []string
	Rows    [][]any
}

// Query runs one read-only statement with the limits above and reads up to limit
// rows of its answer.
func (db *DB) Query(ctx context.Context, sql string, limit int) (*Result, error) {
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(readSettings()))
	rows, err := db.conn.Query(ctx, sql)
	if err != nil {
		return nil, queryError(ctx, err)
	}
	defer rows.Close()
	res := &Result{Columns: rows.Columns()}
	types := rows.ColumnTypes()
	for _, t := range types {
		res.Types = append(res.Types, t.DatabaseTypeName())
	}
	for rows.Next() && len(res.Rows) < limit {
		dest := make([]any, len(types))
		for i, t := range types {
			dest[i] = reflect.New(t.ScanType()).Interface()
		}
		if err := rows.Scan(dest...); err != nil {
			return nil, fmt.Errorf("read answer: %w", err)
		}
		for i := range dest {
			dest[i] = deref(dest[i])
		}
		res.Rows = append(res.Rows, dest)
	}
	if err := rows.Err(); err != nil {
		return nil, queryError(ctx, err)
	}
	return res, nil
}

func deref(v any) any {
	r := reflect.ValueOf(v).Elem()
	if r.Kind() == reflect.Pointer {
		if r.IsNil() {
			return nil
		}
		r = r.Elem()
	}
	return r.Interface()
}

// Export runs one read-only statement and copies its answer to w in a ClickHouse
// format such as JSON, CSVWithNames or Parquet, as the server encodes it.
func (db *DB) Export(ctx context.Context, w io.Writer, sql, format string) error {
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(readSettings()))
	r, err := db.conn.QueryFormat(ctx, format, sql)
	if err != nil {
		return queryError(ctx, err)
	}
	if _, err := io.Copy(w, r); err != nil {
		return errors.Join(queryError(ctx, err), r.Close())
	}
	if err := r.Close(); err != nil {
		return queryError(ctx, err)
	}
	return nil
}

// queryError keeps ClickHouse's own text, which says where in the statement the
// mistake is: the person who reads it wrote the statement.
func queryError(ctx context.Context, err error) error {
	var ex *clickhouse.Exception
	if errors.As(err, &ex) {
		return fmt.Errorf("ClickHouse refused the query (code %d): %s", ex.Code, ex.Message)
	}
	return fmt.Errorf("query ClickHouse: %w", describe(ctx, err))
}
