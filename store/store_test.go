package store

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"gatehouse/deploy/embedded"
	"gatehouse/ingest/event"
)

// backend is a ClickHouse to run the cases against: the embedded engine always,
// a server as well when GATEHOUSE_TEST_CLICKHOUSE_URL names one.
type backend struct {
	name string
	cfg  Config
}

var backends = map[string]*backend{"embedded": {name: "embedded"}}

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(withEngine(m))
}

func withEngine(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gatehouse-store-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	engines, err := embedded.Start(context.Background(), embedded.Config{
		Dir: dir, ClickHouseAddr: "127.0.0.1:0", NoKafka: true, Progress: os.Stderr,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "start the embedded engine:", err)
		return 1
	}
	ch := engines.ClickHouse()
	backends["embedded"].cfg = Config{URL: ch.URL, User: ch.WriteUser, Password: ch.WritePassword}
	if url := os.Getenv("GATEHOUSE_TEST_CLICKHOUSE_URL"); url != "" {
		backends["server"] = &backend{"server", Config{
			URL: url, User: os.Getenv("GATEHOUSE_TEST_CLICKHOUSE_USER"), Password: os.Getenv("GATEHOUSE_TEST_CLICKHOUSE_PASSWORD"),
		}}
	}
	code := m.Run()
	if err := engines.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "close the embedded engine:", err)
		return 1
	}
	return code
}

// onEach runs a case against every backend, with the schema in place.
func onEach(t *testing.T, run func(t *testing.T, db *DB)) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			db := open(t, b.cfg)
			if _, err := db.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			run(t, db)
		})
	}
}

func open(t *testing.T, cfg Config) *DB {
	t.Helper()
	db, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// rows are a batch that was not put into a block yet.
type rows struct {
	Range    event.Range
	Events   []event.Event
	Rejected []event.Rejection
}

func (r rows) append(ctx context.Context, l *Ledger) error {
	block := l.Open()
	for i := range r.Events {
		block.Add(&r.Events[i])
	}
	return l.Append(ctx, event.Batch{Range: r.Range, Block: block, Rejected: r.Rejected})
}

// A batch of events in which every field has a value of its own, at offsets
// first to last of a topic that no other case uses.
func batchOf(t *testing.T, first, last int64) rows {
	b := rows{Range: event.Range{Cluster: "c", Topic: t.Name(), TopicID: t.Name(), Partition: 3, First: first, Last: last}}
	for offset := first; offset <= last; offset++ {
		var e event.Event
		n := int(offset)
		fill(t, reflect.ValueOf(&e).Elem(), &n)
		e.Origin = event.Origin{Topic: t.Name(), Partition: 3, Offset: offset, Index: 1}
		e.TS = baseTime.Add(time.Duration(offset) * time.Second).UnixMicro()
		e.Status, e.UpstreamStatus = 200, 502
		b.Events = append(b.Events, e)
	}
	return b
}

var baseTime = time.Date(2026, 3, 4, 5, 6, 7, 891_234_000, time.UTC)

func fill(t *testing.T, v reflect.Value, n *int) {
	*n++
	if ip, ok := v.Addr().Interface().(*netip.Addr); ok {
		*ip = netip.AddrFrom4([4]byte{10, 1, byte(*n >> 8), byte(*n)})
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(t, v.Index(0), n)
		fill(t, v.Index(1), n)
	case reflect.String:
		v.SetString(fmt.Sprintf("value\n\x00é-%05d", *n))
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint32:
		v.SetUint(uint64(*n))
	default:
		t.Fatalf("cannot fill %s", v.Type())
	}
}

func count(t *testing.T, db *DB, sql string, args ...any) uint64 {
	t.Helper()
	var n uint64
	if err := db.conn.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func replayed(t *testing.T, db *DB, topic string) []event.Event {
	t.Helper()
	var got []event.Event
	for e, err := range db.Replay(t.Context(), baseTime.Add(-time.Hour), baseTime.Add(time.Hour)) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Origin.Topic == topic {
			got = append(got, e)
		}
	}
	return got
}

var sameEvent = cmp.Options{cmpopts.EquateComparable(netip.Addr{})}

func TestWhatIsAppendedIsReplayedFieldByField(t *testing.T) {
	onEach(t, func(t *testing.T, db *DB) {
		b := batchOf(t, 10, 14)
		b.Events[1].ReqBytes, b.Events[1].LatencyUS = event.Absent, event.Absent
		b.Events[2].Objects, b.Events[2].Headers, b.Events[2].XFF = nil, nil, nil
		b.Events[3].ClientIP = netip.MustParseAddr("2001:db8::7")
		b.Events[4].ClientIP = netip.Addr{}
		if err := b.append(t.Context(), db.Ledger()); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(b.Events, replayed(t, db, t.Name()), sameEvent); d != "" {
			t.Errorf("stored events differ (-appended +replayed):\n%s", d)
		}
	})
}

// What was stored lately is read in pieces, whole batches, and the oldest give
// way to the limit.
func TestRecentReadsTheNewestBatches(t *testing.T) {
	onEach(t, func(t *testing.T, db *DB) {
		start := time.Now().Truncate(time.Millisecond)
		ledger := db.Ledger()
		for i := range int64(4) {
			db.now = func() time.Time { return start.Add(time.Duration(i) * time.Second) }
			if err := batchOf(t, i*10, i*10+9).append(t.Context(), ledger); err != nil {
				t.Fatal(err)
			}
		}
		var got []int64
		for e, err := range db.Recent(t.Context(), Span{start.Add(time.Second), start.Add(time.Minute)}, 20) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Origin.Topic == t.Name() {
				got = append(got, e.Origin.Offset)
			}
		}
		if len(got) != 20 || got[0] != 20 || got[19] != 39 {
			t.Errorf("offsets %v: want 20 to 39, the newest two batches", got)
		}
	})
}

func TestAbsentNumbersAreNull(t *testing.T) {
	onEach(t, func(t *testing.T, db *DB) {
		b := batchOf(t, 0, 1)
		b.Events[0].LatencyUS, b.Events[1].LatencyUS = event.Absent, 500
		if err := b.append(t.Context(), db.Ledger()); err != nil {
			t.Fatal(err)
		}
		var avg float64
		if err := db.conn.QueryRow(t.Context(), "SELECT avg(latency_us) FROM audit.events WHERE kafka_topic = ?", t.Name()).Scan(&avg); err != nil {
			t.Fatal(err)
		}
		if avg != 500 {
			t.Errorf("avg(latency_us) = %v: want 500, the absent one left out", avg)
		}
	})
}

// The same range again is not stored again: as a retry, under another ledger as
// after a restart, and with other contents as after an upgrade of the decoder.
func TestARangeIsStoredOnce(t *testing.T) {
	onEach(t, func(t *testing.T, db *DB) {
		b := batchOf(t, 100, 119)
		b.Rejected = []event.Rejection{{Origin: event.Origin{Topic: t.Name(), Partition: 3, Offset: 105}, At: b.Events[0].TS, Reason: event.ReasonSyntax, Size: 9}}
		for range 3 {
			if err := b.append(t.Context(), db.Ledger()); err != nil {
				t.Fatal(err)
			}
		}
		b.Events[0].Path = "/decoded/otherwise"
		if err := b.append(t.Context(), db.Ledger()); err != nil {
			t.Fatal(err)
		}
		events, rejected, err := db.Ledger().Stored(t.Context(), b.Range)
		if err != nil || events != 20 || rejected != 1 {
			t.Errorf("stored %d events and %d dead letters, %v: want 20 and 1", events, rejected, err)
		}
	})
}

// The next range is stored even if every row in it equals one before.
func TestEqualRowsOfAnotherRangeAreStored(t *testing.T) {
	onEach(t, func(t *testing.T, db *DB) {
		b := batchOf(t, 0, 9)
		for range 4 {
			if err := b.append(t.Context(), db.Ledger()); err != nil {
				t.Fatal(err)
			}
			b.Range.First, b.Range.Last = b.Range.First+10, b.Range.Last+10
		}
		if n := count(t, db, "SELECT count() FROM audit.events WHERE kafka_topic = ?", t.Name()); n != 40 {
			t.Errorf("stored %d rows: want 40", n)
		}
	})
}

// A batch of old lines may touch more days than ClickHouse takes by default.
func TestABatchMaySpanManyDays(t *testing.T) {
	onEach(t, func(t *testing.T, db *DB) {
		b := batchOf(t, 0, 149)
		for i := range b.Events {
			b.Events[i].TS = time.Date(2020, 1, 1+i, 0, 0, 0, 0, time.UTC).UnixMicro()
		}
		for range 2 {
			if err := b.append(t.Context(), db.Ledger()); err != nil {
				t.Fatal(err)
			}
		}
		if n := count(t, db, "SELECT count() FROM audit.events WHERE kafka_topic = ?", t.Name()); n != 150 {
			t.Errorf("stored %d rows: want 150", n)
		}
	})
}

// A block that was too long on its way is refused by the table; the next attempt
// has a stamp of its own, so it is worth making.
func TestAStaleBlockIsRefused(t *testing.T) {
	onEach(t, func(t *testing.T, db *DB) {
		db.now = func() time.Time { return time.Now().Add(-time.Hour) }
		err := batchOf(t, 0, 1).append(t.Context(), db.Ledger())
		if err == nil || Permanent(err) || !strings.Contains(err.Error(), "clocks") {
			t.Fatalf("a block stamped an hour ago: got %v, want a refusal that is worth another try", err)
		}
		if n := count(t, db, "SELECT count() FROM audit.events WHERE kafka_topic = ?", t.Name()); n != 0 {
			t.Errorf("%d rows of the refused block are stored", n)
		}
	})
}

type note struct {
	ID string    `ch:"kafka_topic"`
	By string    `ch:"topic_id"`
	P  int32     `ch:"kafka_partition"`
	A  int64     `ch:"first_offset"`
	B  int64     `ch:"last_offset"`
	R  string    `ch:"reason"`
	At time.Time `ch:"at"`
}

func TestATableKeepsOneRowPerKey(t *testing.T) {
	onEach(t, func(t *testing.T, db *DB) {
		table := NewTable(db, "ingest_gaps", func(n note) string { return n.ID + n.By })
		rows := []note{{ID: t.Name(), By: "a", A: 1, At: baseTime}, {ID: t.Name(), By: "b", A: 2, At: baseTime}}
		for range 3 {
			if err := table.Append(t.Context(), rows...); err != nil {
				t.Fatal(err)
			}
		}
		got, err := table.All(t.Context(), "kafka_topic = ? ORDER BY first_offset", t.Name())
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(rows, got); d != "" {
			t.Errorf("rows differ (-appended +read):\n%s", d)
		}
	})
}

func TestQueryReadsAndCannotWrite(t *testing.T) {
	onEach(t, func(t *testing.T, db *DB) {
		res, err := db.Query(t.Context(), "SELECT 1 AS one, 'a' AS a, NULL AS nothing, [1, 2] AS list", 10)
		if err != nil {
			t.Fatal(err)
		}
		want := &Result{Columns: []string{"one", "a", "nothing", "list"}, Types: []string{"UInt8", "String", "Nullable(Nothing)", "Array(UInt8)"}}
		if d := cmp.Diff(want.Columns, res.Columns); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(want.Types, res.Types); d != "" {
			t.Error(d)
		}
		for _, sql := range []string{"DROP TABLE audit.events", "INSERT INTO audit.ingest_gaps (reason) VALUES ('x')", "ALTER TABLE audit.events DELETE WHERE 1", "TRUNCATE TABLE audit.events"} {
			if _, err := db.Query(t.Context(), sql, 10); err == nil {
				t.Errorf("%s: no error", sql)
			}
		}
		if _, err := db.Query(t.Context(), "SELECT nonsense FROM audit.events", 10); err == nil || !strings.Contains(err.Error(), "nonsense") {
			t.Errorf("got %v: want ClickHouse's own words about nonsense", err)
		}
	})
}

func TestExportFormats(t *testing.T) {
	onEach(t, func(t *testing.T, db *DB) {
		for format, want := range map[string]string{
			"JSONEachRow": "{\"a\":1,\"b\":\"x\"}\n", "CSVWithNames": "\"a\",\"b\"\n1,\"x\"\n",
		} {
			var out strings.Builder
			if err := db.Export(t.Context(), &out, "SELECT 1 AS a, 'x' AS b", format); err != nil || out.String() != want {
				t.Errorf("%s: got %q, %v: want %q", format, out.String(), err, want)
			}
		}
		var out strings.Builder
		if err := db.Export(t.Context(), &out, "SELECT number FROM numbers(1000)", "Parquet"); err != nil || !strings.HasPrefix(out.String(), "PAR1") {
			t.Errorf("Parquet: %d bytes, %v", out.Len(), err)
		}
	})
}

func TestMigrateTwiceAndCheck(t *testing.T) {
	onEach(t, func(t *testing.T, db *DB) {
		applied, err := db.Migrate(t.Context())
		if err != nil || len(applied) != 0 {
			t.Errorf("second migration applied %v, %v: want nothing", applied, err)
		}
		if err := db.Check(t.Context()); err != nil {
			t.Error(err)
		}
		pending, err := db.Pending(t.Context())
		if err != nil || len(pending) != 0 {
			t.Errorf("pending %v, %v: want nothing", pending, err)
		}
	})
}

func TestMigrationsRefuseAnotherLine(t *testing.T) {
	all, err := loadMigrations(fstest.MapFS{"schema/0001_a.sql": {Data: []byte("SELECT 1;\n")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := mark(all, map[string]string{"0001_a": all[0].Checksum}); err != nil || !all[0].Applied {
		t.Errorf("known migration: %v, applied %v", err, all[0].Applied)
	}
	if err := mark(all, map[string]string{"0001_a": "other"}); err == nil || !strings.Contains(err.Error(), "0001_a differs") {
		t.Errorf("changed migration: got %v", err)
	}
	if err := mark(all, map[string]string{"0009_z": "x"}); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("unknown migration: got %v", err)
	}
}

// A column without any value is left out of the insert and reads back as empty.
func TestEmptyColumnsAreLeftOut(t *testing.T) {
	onEach(t, func(t *testing.T, db *DB) {
		b := batchOf(t, 0, 0)
		b.Events[0] = event.Event{
			Origin: b.Events[0].Origin, Kind: event.KindAccess, TS: b.Events[0].TS, Status: 200,
			ReqBytes: event.Absent, RespBytes: 0, LatencyUS: event.Absent, UpstreamLatencyUS: event.Absent,
		}
		blk := newBlock()
		blk.Add(&b.Events[0])
		insert := insertEvents(blk.inputs())
		if strings.Contains(insert, "`trace_id`") || !strings.Contains(insert, "`resp_bytes`") {
			t.Errorf("%s: want no column without a value, and resp_bytes, which is 0 and not absent", insert)
		}
		if err := b.append(t.Context(), db.Ledger()); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(b.Events, replayed(t, db, t.Name()), sameEvent); d != "" {
			t.Errorf("stored event differs (-appended +replayed):\n%s", d)
		}
	})
}

// The columns of the block are those of the table, with its types, and every
// field of an event is one.
func TestBlockMatchesTheTable(t *testing.T) {
	onEach(t, func(t *testing.T, db *DB) {
		rows, err := db.conn.Query(t.Context(), "SELECT name, type FROM system.columns WHERE database = 'audit' AND table = 'events' ORDER BY position")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var want, got []string
		for rows.Next() {
			var name, typ string
			if err := rows.Scan(&name, &typ); err != nil {
				t.Fatal(err)
			}
			want = append(want, name+" "+typ)
		}
		b := newBlock()
		full := batchOf(t, 1, 1) // every column begins with its first value
		b.Add(&full.Events[0])
		for _, in := range b.inputs() {
			got = append(got, in.Name+" "+string(in.Data.Type()))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("table and block differ (-table +block):\n%s", d)
		}
		columns := strings.Join(got, "\n") + "\n"
		for _, f := range event.Fields() {
			if f.Name == "v" || f.Name == "origin" || f.Name == "objects" {
				continue // the version is the table's; origin and objects are split
			}
			if !strings.Contains(columns, f.Name+" ") {
				t.Errorf("field %s has no column", f.Name)
			}
		}
	})
}

func TestOpenRefusesClearly(t *testing.T) {
	good := backends["embedded"].cfg
	for _, c := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"no url", Config{}, "want http://host:port"},
		{"native port scheme", Config{URL: "clickhouse://h:9000"}, "want http://host:port"},
		{"password in the url", Config{URL: "http://u:secret@127.0.0.1:1"}, "give them as user and password_file"},
		{"nobody listens", Config{URL: "http://127.0.0.1:1"}, "reach ClickHouse at http://127.0.0.1:1"},
		{"wrong password", Config{URL: good.URL, User: good.User, Password: "wrong"}, "wrong user or password"},
		{"no such compression", Config{URL: good.URL, Compression: "zip"}, `compression "zip": want lz4 or none`},
		{"no such CA", Config{URL: "https://127.0.0.1:1", CAFile: "/nonexistent.pem"}, "ca_file"},
	} {
		_, err := Open(t.Context(), c.cfg)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v: want it to say %q", c.name, err, c.want)
		}
	}
}

// Compressed and plain inserts are the same to ClickHouse: also a retry of one by
// the other.
func TestInsertsMayBeCompressed(t *testing.T) {
	onEach(t, func(t *testing.T, plain *DB) {
		cfg := backends[path.Base(t.Name())].cfg
		cfg.Compression = CompressionLZ4
		db := open(t, cfg)
		b := batchOf(t, 0, 2_999) // several frames
		for _, db := range []*DB{db, plain, db} {
			if err := b.append(t.Context(), db.Ledger()); err != nil {
				t.Fatal(err)
			}
		}
		if d := cmp.Diff(b.Events, replayed(t, db, t.Name()), sameEvent); d != "" {
			t.Errorf("stored events differ (-appended +replayed):\n%.2000s", d)
		}
	})
}

func TestCompressionIsForOtherMachines(t *testing.T) {
	for _, c := range []struct {
		url, compression string
		want             bool
	}{
		{"http://127.0.0.1:8123", "", false}, {"http://localhost:8123", "", false}, {"http://[::1]:8123", "", false},
		{"https://clickhouse.internal:8443", "", true}, {"http://10.0.0.7:8123", "", true},
		{"http://127.0.0.1:8123", "lz4", true}, {"http://10.0.0.7:8123", "none", false},
	} {
		u, err := Config{URL: c.url}.address()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := (Config{Compression: c.compression}).compresses(u); got != c.want || err != nil {
			t.Errorf("%s with compression %q: %v, %v: want %v", c.url, c.compression, got, err, c.want)
		}
	}
}

func TestOlder(t *testing.T) {
	for _, c := range []struct {
		version string
		old     bool
	}{{"26.1.9", true}, {"25.12", true}, {"26.2.1.1", false}, {"26.10", false}, {"27.1", false}, {"head", false}} {
		if older(c.version, MinVersion) != c.old {
			t.Errorf("older(%s) = %v", c.version, !c.old)
		}
	}
}

func TestStatementsSplitsAtLineEnds(t *testing.T) {
	got := statements("-- a; comment;\nCREATE TABLE a\n(\n  x Int\n);\n\nSELECT ';' AS s;\nSELECT 2")
	want := []string{"CREATE TABLE a\n(\nx Int\n)", "SELECT ';' AS s", "SELECT 2"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestCancelledAppendSaysSo(t *testing.T) {
	onEach(t, func(t *testing.T, db *DB) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := batchOf(t, 0, 1).append(ctx, db.Ledger()); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v: want context canceled", err)
		}
	})
}

// What a retry cannot mend is told from what it can, through the words that say
// what to do.
func TestPermanentKnowsRefusals(t *testing.T) {
	for code, permanent := range map[int32]bool{
		codeUnknownTable: true, codeUnknownDatabase: true, codeWrongPassword: true, codeRequiredPassword: true, codeAuthenticationFailed: true,
		codeNoSuchColumn: true, codeTypeMismatch: true, codeAccessDenied: true, codeViolatedConstraint: false, 241: false, 252: false,
	} {
		err := fmt.Errorf("append: %w", describe(t.Context(), &clickhouse.Exception{Code: code}))
		if Permanent(err) != permanent {
			t.Errorf("Permanent(%v) = %v", err, !permanent)
		}
	}
	if Permanent(errors.New("connection refused")) {
		t.Error("a connection that was refused once is refused for good")
	}
}
