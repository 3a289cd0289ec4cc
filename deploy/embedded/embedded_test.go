package embedded

import (
	"context"
	"flag"
	"fmt"
	"github.com/google/go-cmp/cmp"
	"os"
	"path/filepath"
	"testing"
	"time"

	clickhouse "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

var engines *Engines

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "embedded")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	engines, err = Start(context.Background(), Config{Dir: dir, ClickHouseAddr: "127.0.0.1:0", KafkaAddr: "127.0.0.1:0", Topics: map[string]int32{"t": 2}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := engines.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

func connect(t testing.TB, user, password string, comp clickhouse.CompressionMethod) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{
		Protocol:    clickhouse.HTTP,
		Addr:        []string{engines.ClickHouse().URL[len("http://"):]},
		Auth:        clickhouse.Auth{Username: user, Password: password},
		Compression: &clickhouse.Compression{Method: comp},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestThin(t *testing.T) {
	ctx := context.Background()
	ch := engines.ClickHouse()
	for _, comp := range []clickhouse.CompressionMethod{clickhouse.CompressionNone, clickhouse.CompressionLZ4, clickhouse.CompressionZSTD, clickhouse.CompressionGZIP} {
		w := connect(t, ch.WriteUser, ch.WritePassword, comp)
		for _, q := range []string{"CREATE DATABASE IF NOT EXISTS audit", "CREATE TABLE IF NOT EXISTS audit.x (a UInt64, s String, ts DateTime64(6,'UTC'), l LowCardinality(String), n Nullable(Int32)) ENGINE=MergeTree ORDER BY a"} {
			if err := w.Exec(ctx, q); err != nil {
				t.Fatal(q, err)
			}
		}
		b, err := w.PrepareBatch(ctx, "INSERT INTO audit.x")
		if err != nil {
			t.Fatal(err)
		}
		for i := range 1000 {
			if err := b.Append(uint64(i), "a\nb\x00c", time.Now(), "lc", nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Send(); err != nil {
			t.Fatal(err)
		}
		r := connect(t, "", "", comp)
		var n uint64
		if err := r.QueryRow(ctx, "SELECT count() FROM audit.x WHERE s = {v:String} AND l='lc'", clickhouse.Named("v", "a\nb\x00c")).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			t.Fatal("no rows found")
		}
	}
}

var rewrite = flag.Bool("rewrite", false, "rewrite golden files")

// golden compares got with a file, or rewrites the file.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *rewrite {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; rewrite with -rewrite):\n%s", path, diff)
	}
}
