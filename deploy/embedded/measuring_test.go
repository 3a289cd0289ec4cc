package embedded

import (
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// An engine for measurements lets the writer do what a benchmark needs, and
// readers still read only. The next start without it is append-only again.
func TestMeasuring(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), ClickHouseAddr: "127.0.0.1:0", NoKafka: true, Measuring: true}
	p := spawn(t, cfg)
	if p.Err != "" {
		t.Fatal(p.Err)
	}
	writer := connect(t, p.ClickHouse, clickhouse.Auth{Username: p.ClickHouse.WriteUser, Password: p.ClickHouse.WritePassword}, clickhouse.CompressionNone)
	for _, sql := range []string{
		"CREATE DATABASE m",
		"CREATE TABLE m.gone (a UInt8) ENGINE = MergeTree ORDER BY a",
		"DROP TABLE m.gone SYNC",
		"CREATE TABLE m.queue (a UInt8) ENGINE = Kafka SETTINGS kafka_broker_list = '127.0.0.1:1', kafka_topic_list = 't', kafka_group_name = 'g', kafka_format = 'CSV'",
		"DROP TABLE m.queue SYNC",
		"CREATE TABLE m.kept (a UInt8) ENGINE = MergeTree ORDER BY a",
	} {
		if err := writer.Exec(t.Context(), sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	reader := connect(t, p.ClickHouse, clickhouse.Auth{}, clickhouse.CompressionNone)
	if err := reader.Exec(t.Context(), "DROP TABLE m.kept"); err == nil {
		t.Error("a reader dropped a table")
	}
	p.end(t)

	cfg.Measuring = false
	p = spawn(t, cfg)
	writer = connect(t, p.ClickHouse, clickhouse.Auth{Username: p.ClickHouse.WriteUser, Password: p.ClickHouse.WritePassword}, clickhouse.CompressionNone)
	if err := writer.Exec(t.Context(), "DROP TABLE m.kept"); err == nil || !strings.Contains(err.Error(), "ACCESS_DENIED") {
		t.Errorf("drop without Measuring: error %v, want ACCESS_DENIED", err)
	}
	p.end(t)
}

// The configuration for measurements is the usual one but for its bounds and
// grants: a setting that is added there holds here too.
func TestMeasuringConfigDiffersInBoundsAndGrants(t *testing.T) {
	if got := strings.Count(configXML, "\n") - strings.Count(unbounded(configXML), "\n"); got != 1 {
		t.Errorf("%d lines of the configuration are bounds on memory, want 1", got)
	}
	users := unbounded(usersXML)
	if got := strings.Count(usersXML, "\n") - strings.Count(users, "\n"); got != 1 {
		t.Errorf("%d lines of the users are bounds on memory, want 1", got)
	}
	before, _, found := strings.Cut(users, "<grants>")
	if !found || !strings.HasPrefix(allGranted(users), before) || strings.Count(allGranted(users), "GRANT ") != 1 {
		t.Errorf("grants: got\n%s", allGranted(users))
	}
}
