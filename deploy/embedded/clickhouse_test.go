package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/go-cmp/cmp"
)

// compressions are the ways clickhouse-go can talk HTTP to the front.
var compressions = map[string]clickhouse.CompressionMethod{
	"none": clickhouse.CompressionNone, "lz4": clickhouse.CompressionLZ4, "zstd": clickhouse.CompressionZSTD,
	"gzip": clickhouse.CompressionGZIP, "deflate": clickhouse.CompressionDeflate,
}

// row has a column of each kind that has its own wire form.
type row struct {
	ID     uint64            `ch:"id"`
	S      string            `ch:"s"`
	LC     string            `ch:"lc"`
	N      *int32            `ch:"n"`
	TS     time.Time         `ch:"ts"`
	IP     net.IP            `ch:"ip"`
	Arr    []string          `ch:"arr"`
	M      map[string]uint32 `ch:"m"`
	NName  []string          `ch:"nest.name"`
	NValue []uint8           `ch:"nest.value"`
	FS     string            `ch:"fs"`
	LCN    *string           `ch:"lcn"`
	F      float64           `ch:"f"`
	B      bool              `ch:"b"`
	E      string            `ch:"e"`
}

const rowTable = `(id UInt64, s String, lc LowCardinality(String), n Nullable(Int32), ts DateTime64(6, 'UTC'), ip IPv6, arr Array(String),
	m Map(LowCardinality(String), UInt32), nest Nested(name String, value UInt8), fs FixedString(4), lcn LowCardinality(Nullable(String)),
	f Float64, b Bool, e Enum8('a' = 1, 'b' = 2)) ENGINE = MergeTree ORDER BY id`

func sampleRows() []row {
	seven, text := int32(-7), "x\x00y"
	base := time.Date(2026, 11, 24, 10, 0, 0, 123456000, time.UTC)
	return []row{
		{ID: 0, S: "plain", LC: "a", TS: base, IP: net.ParseIP("::1"), FS: "abcd", E: "a", Arr: []string{}, M: map[string]uint32{}, NName: []string{}, NValue: []uint8{}},
		{ID: 1, S: "line\nbreak\r\n\t'quote' \\ back", LC: "b\nc", N: &seven, TS: base.Add(time.Microsecond), IP: net.ParseIP("2001:db8::7"),
			Arr: []string{"", "\n", "\x00"}, M: map[string]uint32{"k\n": 1, "": 2}, NName: []string{"n\x00"}, NValue: []uint8{255}, FS: "\x00\n\xff ", LCN: &text, F: -0.5, B: true, E: "b"},
		{ID: 2, S: "\x00\x01\xff\xfe FORMAT Native\n\x00", LC: "", TS: base.Add(-time.Hour * 24 * 400), IP: net.ParseIP("::ffff:10.0.0.1"),
			Arr: []string{strings.Repeat("long", 10_000)}, M: map[string]uint32{}, NName: []string{}, NValue: []uint8{}, FS: "wxyz", E: "a"},
	}
}

func TestTypesSurvive(t *testing.T) {
	ctx := t.Context()
	for name, method := range compressions {
		t.Run(name, func(t *testing.T) {
			w := writer(t, method)
			table := newTable(t, rowTable)
			batch, err := w.PrepareBatch(ctx, "INSERT INTO "+table)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range sampleRows() {
				if err := batch.AppendStruct(&r); err != nil {
					t.Fatal(err)
				}
			}
			if err := batch.Send(); err != nil {
				t.Fatal(err)
			}
			var got []row
			if err := reader(t, method).Select(ctx, &got, "SELECT * FROM "+table+" ORDER BY id"); err != nil {
				t.Fatal(err)
			}
			sameIP := cmp.Comparer(func(a, b net.IP) bool { return a.Equal(b) })
			if diff := cmp.Diff(sampleRows(), got, sameIP); diff != "" {
				t.Errorf("rows changed (-sent +read):\n%s", diff)
			}
		})
	}
}

// TestFormatInsert sends bytes in the engine's own formats, as the ledger does.
func TestFormatInsert(t *testing.T) {
	ctx := t.Context()
	for name, method := range compressions {
		t.Run(name, func(t *testing.T) {
			table := newTable(t, "(id UInt64, s String) ENGINE = MergeTree ORDER BY id")
			var body []byte // two blocks
			for i := range 2 {
				body = append(body, nativeBlock([]nativeColumn{
					{"id", "UInt64", []byte{byte(i), 0, 0, 0, 0, 0, 0, 0}}, {"s", "String", appendNativeString(nil, "a\n\x00")},
				}, 0)...)
			}
			w := writer(t, method)
			if err := w.InsertFormat(ctx, "Native", "INSERT INTO "+table+" (id, s)", strings.NewReader(string(body))); err != nil {
				t.Fatal(err)
			}
			if err := w.InsertFormat(ctx, "CSV", "INSERT INTO "+table+" (id, s)", strings.NewReader("2,\"a\n\x00\"\n")); err != nil {
				t.Fatal(err)
			}
			if got := count(t, table+" WHERE s = 'a\\n\\0'"); got != 3 {
				t.Errorf("%d rows arrived, want 3", got)
			}
			err := w.InsertFormat(ctx, "Native", "INSERT INTO "+table, strings.NewReader("\x02\x01\x02id"))
			if !isException(err, 0) {
				t.Errorf("a cut block gave %v, want an exception", err)
			}
			if got := count(t, table); got != 3 {
				t.Errorf("a cut block left %d rows, want 3", got)
			}
		})
	}
}

func TestDeduplicationToken(t *testing.T) {
	table := newTable(t, "(id UInt64) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 1000")
	w := writer(t, clickhouse.CompressionLZ4)
	for _, token := range []string{"one", "one", "two", "one"} {
		insertIDs(t, w, table, token, 10)
	}
	if got := count(t, table); got != 20 {
		t.Errorf("%d rows after the tokens one, one, two, one: want 20", got)
	}
}

// TestLargeInsertIsOneBlock sends a block that reaches the engine in several
// pieces, three times under one token.
func TestLargeInsertIsOneBlock(t *testing.T) {
	table := newTable(t, benchTable+" SETTINGS non_replicated_deduplication_window = 10")
	ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"insert_deduplication_token": "once"}))
	block := benchBlock()
	if len(block) < 4*insertChunkBytes {
		t.Fatalf("the block has only %d bytes", len(block))
	}
	for range 3 {
		if err := writer(t, clickhouse.CompressionNone).InsertFormat(ctx, "Native", "INSERT INTO "+table, bytes.NewReader(block)); err != nil {
			t.Fatal(err)
		}
	}
	if got := count(t, table); got != benchRows {
		t.Errorf("%d rows, want %d", got, benchRows)
	}
	if parts := count(t, "system.parts WHERE database || '.' || table = '"+table+"'"); parts != 1 {
		t.Errorf("%d parts, want 1", parts)
	}
}

// TestInsertNeedsTheEnd gives the engine data that ends in an error after
// complete rows.
func TestInsertNeedsTheEnd(t *testing.T) {
	table := newTable(t, "(a UInt64) ENGINE = MergeTree ORDER BY a")
	s, err := engines.clickhouse.lib.open(engines.clickhouse.args...)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	rows := strings.Repeat("1\n", insertChunkBytes)
	_, err = s.insert("INSERT INTO "+table, "CSV", io.MultiReader(strings.NewReader(rows), iotest.ErrReader(io.ErrUnexpectedEOF)))
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want %v", err, io.ErrUnexpectedEOF)
	}
	if got := count(t, table); got != 0 {
		t.Errorf("data that broke off left %d rows", got)
	}
}

func TestParallelSessions(t *testing.T) {
	table := newTable(t, "(id UInt64) ENGINE = MergeTree ORDER BY id")
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			w, r := writer(t, clickhouse.CompressionNone), reader(t, clickhouse.CompressionLZ4)
			for i := range 25 {
				insertIDs(t, w, table, fmt.Sprintf("%d/%d", worker, i), 4)
				// Parameters and settings must not be seen by the others.
				var got string
				var block uint64
				ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"max_block_size": 1000 + worker}))
				ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"v": fmt.Sprintf("w%d-%d", worker, i)}))
				err := r.QueryRow(ctx, "SELECT {v:String}, toUInt64(getSetting('max_block_size')) FROM numbers(1)").Scan(&got, &block)
				if want := fmt.Sprintf("w%d-%d", worker, i); err != nil || got != want || block != uint64(1000+worker) {
					t.Errorf("worker %d: got %q and %d, want %q (%v)", worker, got, block, want, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if got := count(t, table); got != 400 {
		t.Errorf("%d rows after 4 × 25 inserts of 4: want 400", got)
	}
}

func TestParameters(t *testing.T) {
	ctx := t.Context()
	r := reader(t, clickhouse.CompressionNone)
	for _, v := range []string{"", "it's", `back\slash`, "line\nbreak", "tab\t", "'; DROP TABLE x; --", "{v:String}", "ünï"} {
		var got string
		if err := r.QueryRow(ctx, "SELECT {v:String}", clickhouse.Named("v", v)).Scan(&got); err != nil || got != v {
			t.Errorf("parameter %q came back as %q (%v)", v, got, err)
		}
	}
	var n uint64
	var day time.Time
	err := r.QueryRow(ctx, "SELECT {n:UInt64}, {d:DateTime64(3, 'UTC')}", clickhouse.Named("n", uint64(1)<<63), clickhouse.DateNamed("d", time.UnixMilli(1_700_000_000_123), clickhouse.MilliSeconds)).Scan(&n, &day)
	if err != nil || n != 1<<63 || day.UnixMilli() != 1_700_000_000_123 {
		t.Errorf("typed parameters came back as %d, %v (%v)", n, day, err)
	}
}

func TestExceptions(t *testing.T) {
	ctx := t.Context()
	for name, method := range compressions {
		t.Run(name, func(t *testing.T) {
			r := reader(t, method)
			for sql, code := range map[string]int32{
				"SELECT nope": 47, "SELEC 1": codeSyntaxError, "SELECT * FROM nope.nope": codeUnknownDatabase, "SELECT * FROM system.nope": codeUnknownTable,
				"SELECT file('/etc/hostname')": codeAccessDenied, "INSERT INTO system.one VALUES (1)": codeAccessDenied,
			} {
				if err := r.Exec(ctx, sql); !isException(err, code) {
					t.Errorf("%s: got %v, want an exception with code %d", sql, err, code)
				}
			}
			if err := readAll(ctx, r, "SELECT throwIf(number = 300000), number FROM numbers(2000000) SETTINGS max_threads = 1"); !isException(err, codeAccessDenied) {
				t.Errorf("a SETTINGS clause gave %v", err)
			}
			// After rows were sent: the exception travels in the body.
			if err := readAll(ctx, r, "SELECT throwIf(number = 600000), toString(number) FROM numbers(2000000)"); !isException(err, 395) {
				t.Errorf("an exception in the stream came out as %v", err)
			}
			var one uint8
			if err := r.QueryRow(ctx, "SELECT 1").Scan(&one); err != nil || one != 1 {
				t.Errorf("the connection is unusable after exceptions: %v", err)
			}
		})
	}
}

func TestEmptyResults(t *testing.T) {
	ctx := t.Context()
	table := newTable(t, rowTable)
	for name, method := range compressions {
		t.Run(name, func(t *testing.T) {
			for sql, want := range map[string][]string{
				"SELECT id, s AS x, lcn FROM " + table:                                   {"id", "x", "lcn"},
				"SELECT id FROM " + table + " WHERE s = {v:String} -- comment":           {"id"},
				"WITH 1 AS one SELECT one, count() AS n FROM " + table + " GROUP BY id;": {"one", "n"},
			} {
				ctx := clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"v": "none"}))
				rows, err := reader(t, method).Query(ctx, sql)
				if err != nil {
					t.Errorf("%s: %v", sql, err)
					continue
				}
				if diff := cmp.Diff(want, rows.Columns()); diff != "" || rows.Next() || rows.Err() != nil {
					t.Errorf("%s: columns %v, err %v: %s", sql, rows.Columns(), rows.Err(), diff)
				}
			}
		})
	}
}

func TestGrants(t *testing.T) {
	ctx := t.Context()
	table := newTable(t, "(id UInt64) ENGINE = MergeTree ORDER BY id")
	w := writer(t, clickhouse.CompressionNone)
	for _, sql := range []string{
		"DROP TABLE @", "TRUNCATE TABLE @", "ALTER TABLE @ DELETE WHERE 1", "DELETE FROM @ WHERE 1", "ALTER TABLE @ UPDATE id = 1 WHERE 1", "ALTER TABLE @ DROP PARTITION tuple()",
		"DETACH TABLE @", "RENAME TABLE @ TO audit.other", "DROP DATABASE audit", "CREATE OR REPLACE TABLE @ (a UInt8) ENGINE = Memory", "ALTER TABLE @ DROP COLUMN id",
		"CREATE TABLE audit.f (a String) ENGINE = File(TSV)", "CREATE TABLE audit.u (a String) ENGINE = URL('http://127.0.0.1:1/', TSV)", "CREATE USER u", "SYSTEM SHUTDOWN",
		"INSERT INTO FUNCTION file('/tmp/x', 'TSV', 'a UInt8') SELECT 1", "SELECT * FROM url('http://127.0.0.1:1/', 'TSV', 'a String')",
	} {
		if err := w.Exec(ctx, strings.ReplaceAll(sql, "@", table)); !isException(err, codeAccessDenied) {
			t.Errorf("%s as writer: got %v, want access denied", sql, err)
		}
	}
	for _, sql := range []string{"ALTER TABLE @ ADD COLUMN extra UInt8", "ALTER TABLE @ MODIFY SETTING merge_with_ttl_timeout = 60", "OPTIMIZE TABLE @ FINAL"} {
		if err := w.Exec(ctx, strings.ReplaceAll(sql, "@", table)); err != nil {
			t.Errorf("%s as writer: %v", sql, err)
		}
	}
}

func TestEngineIsPinned(t *testing.T) {
	var zone string
	var async, dedupe, fsync bool
	err := writer(t, clickhouse.CompressionNone).QueryRow(t.Context(), `SELECT timezone(), toBool(getSetting('async_insert')), toBool(getSetting('insert_deduplicate')),
		(SELECT countIf(value = '1') = 2 FROM system.merge_tree_settings WHERE name IN ('fsync_after_insert', 'fsync_part_directory'))`).Scan(&zone, &async, &dedupe, &fsync)
	if err != nil || !strings.HasSuffix(zone, "UTC") || async || !dedupe || !fsync {
		t.Errorf("timezone %s, async_insert %t, insert_deduplicate %t, fsync %t (%v)", zone, async, dedupe, fsync, err)
	}
}

// isException tells whether err is an engine exception, with that code unless
// it is 0.
func isException(err error, code int32) bool {
	var e *clickhouse.Exception
	return errors.As(err, &e) && (code == 0 || e.Code == code)
}

// insertIDs inserts n rows under a deduplication token.
func insertIDs(t testing.TB, w clickhouse.Conn, table, token string, n int) {
	t.Helper()
	ctx := clickhouse.Context(context.Background(), clickhouse.WithSettings(clickhouse.Settings{"insert_deduplication_token": token}))
	batch, err := w.PrepareBatch(ctx, "INSERT INTO "+table)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := batch.Append(uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
}

// readAll runs a query to its end.
func readAll(ctx context.Context, c clickhouse.Conn, sql string) error {
	rows, err := c.Query(ctx, sql)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
	}
	return rows.Err()
}
