package embedded

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/go-cmp/cmp"
)

// engines is what all tests share: a process holds one SQL engine.
var engines *Engines

// TestMain starts the engines, or acts as the child process of a test.
func TestMain(m *testing.M) {
	if role := os.Getenv(childEnv); role != "" {
		child(role)
	}
	os.Exit(withEngines(m))
}

func withEngines(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gatehouse-embedded-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	engines, err = Start(context.Background(), Config{
		Dir: dir, ClickHouseAddr: "127.0.0.1:0", KafkaAddr: "127.0.0.1:0", Progress: os.Stderr, Topics: map[string]int32{"one": 1},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := engines.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func connect(t testing.TB, ch ClickHouse, auth clickhouse.Auth, method clickhouse.CompressionMethod) clickhouse.Conn {
	t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{
		Protocol: clickhouse.HTTP, Addr: []string{strings.TrimPrefix(ch.URL, "http://")}, Auth: auth,
		Compression: &clickhouse.Compression{Method: method},
		Settings:    clickhouse.Settings{"enable_http_compression": 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func writer(t testing.TB, method clickhouse.CompressionMethod) clickhouse.Conn {
	t.Helper()
	ch := engines.ClickHouse()
	return connect(t, ch, clickhouse.Auth{Username: ch.WriteUser, Password: ch.WritePassword}, method)
}

func reader(t testing.TB, method clickhouse.CompressionMethod) clickhouse.Conn {
	t.Helper()
	return connect(t, engines.ClickHouse(), clickhouse.Auth{}, method)
}

var tables atomic.Int64

// newTable creates a table of its own for a test; the engine's grants let
// nobody drop it.
func newTable(t testing.TB, definition string) string {
	t.Helper()
	w := writer(t, clickhouse.CompressionNone)
	name := fmt.Sprintf("audit.t%d", tables.Add(1))
	for _, sql := range []string{"CREATE DATABASE IF NOT EXISTS audit", "CREATE TABLE " + name + " " + definition} {
		if err := w.Exec(context.Background(), sql); err != nil {
			t.Fatal(err)
		}
	}
	return name
}

func count(t testing.TB, from string) uint64 {
	t.Helper()
	var n uint64
	if err := reader(t, clickhouse.CompressionNone).QueryRow(context.Background(), "SELECT count() FROM "+from).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

var rewrite = flag.Bool("rewrite", false, "rewrite golden files")

// golden compares got with a file, or rewrites the file.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *rewrite {
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
