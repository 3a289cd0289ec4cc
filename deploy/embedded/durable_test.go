package embedded

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"
)

func localConfig(dir string) Config {
	return Config{Dir: dir, ClickHouseAddr: "127.0.0.1:0", KafkaAddr: "127.0.0.1:0", Topics: map[string]int32{"logs": 2}}
}

// TestKillNine kills a process that runs both engines, several times, and
// checks that nothing acknowledged is lost and nothing retried is doubled.
func TestKillNine(t *testing.T) {
	dir := t.TempDir()
	const rounds, perRound = 3, 50
	for round := range rounds {
		p := spawn(t, localConfig(dir))
		if p.Err != "" {
			t.Fatal(p.Err)
		}
		w := childWriter(t, p)
		for _, sql := range []string{"CREATE DATABASE IF NOT EXISTS audit",
			"CREATE TABLE IF NOT EXISTS audit.k (id UInt64) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 1000"} {
			if err := w.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
		// Each round sends all tokens so far again, as a retry after a crash does.
		for i := range (round + 1) * perRound {
			insertIDs(t, w, "audit.k", fmt.Sprint(i), 1)
		}
		produce(t, p.Kafka, "logs", round, fmt.Sprintf("value %d", round))
		commit(t, p.Kafka, "group", int64(round+1), fmt.Sprintf("intent %d", round))
		p.kill(t)
	}
	p := spawn(t, localConfig(dir))
	var rows uint64
	if err := childWriter(t, p).QueryRow(t.Context(), "SELECT count() FROM audit.k").Scan(&rows); err != nil || rows != rounds*perRound {
		t.Errorf("%d rows after the kills, want %d (%v)", rows, rounds*perRound, err)
	}
	if diff := cmp.Diff([]string{"value 0", "value 1", "value 2"}, consume(t, p.Kafka, "logs")); diff != "" {
		t.Error(diff)
	}
	if offset, meta := committed(t, p.Kafka, "group"); offset != rounds || meta != "intent 2" {
		t.Errorf("group is at %d with %q, want %d with intent 2", offset, meta, rounds)
	}
	p.end(t)
}

func childWriter(t testing.TB, p *process) clickhouse.Conn {
	return connect(t, p.ClickHouse, clickhouse.Auth{Username: p.ClickHouse.WriteUser, Password: p.ClickHouse.WritePassword}, clickhouse.CompressionLZ4)
}

// TestReopen closes engines cleanly and opens them again, with another topic.
func TestReopen(t *testing.T) {
	dir := t.TempDir()
	p := spawn(t, localConfig(dir))
	w := childWriter(t, p)
	if err := w.Exec(t.Context(), "CREATE DATABASE audit"); err != nil {
		t.Fatal(err)
	}
	if err := w.Exec(t.Context(), "CREATE TABLE audit.r (id UInt64) ENGINE = MergeTree ORDER BY id"); err != nil {
		t.Fatal(err)
	}
	insertIDs(t, w, "audit.r", "a", 5)
	produce(t, p.Kafka, "logs", 0, "kept")
	id, password := clusterOf(t, p.Kafka), p.ClickHouse.WritePassword
	p.end(t)

	cfg := localConfig(dir)
	cfg.Topics["more"] = 3
	p = spawn(t, cfg)
	var rows uint64
	if err := childWriter(t, p).QueryRow(t.Context(), "SELECT count() FROM audit.r").Scan(&rows); err != nil || rows != 5 {
		t.Errorf("%d rows after reopening, want 5 (%v)", rows, err)
	}
	if diff := cmp.Diff([]string{"kept"}, consume(t, p.Kafka, "logs")); diff != "" {
		t.Error(diff)
	}
	if p.ClickHouse.WritePassword != password || clusterOf(t, p.Kafka) != id {
		t.Error("password or cluster id changed on reopening")
	}
	produce(t, p.Kafka, "more", 2, "new")
	p.end(t)
}

// TestCloseCancels closes engines under a statement that does not end by
// itself.
func TestCloseCancels(t *testing.T) {
	p := spawn(t, localConfig(t.TempDir()))
	w := childWriter(t, p)
	ended := make(chan error, 1)
	go func() {
		ended <- readAll(context.Background(), w, "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1")
	}()
	eventually(t, "the statement runs", func() bool {
		var n uint64
		err := w.QueryRow(t.Context(), "SELECT count() FROM system.processes WHERE query LIKE '%sipHash64%'").Scan(&n)
		return err == nil && n == 2 // itself and the other
	})
	p.end(t)
	if err := <-ended; err == nil {
		t.Error("a cancelled statement gave a result")
	}
}

func TestNoTopicByItself(t *testing.T) {
	client := kafka.Client{Addr: kafka.TCP(engines.Kafka())}
	_, err := client.Produce(t.Context(), &kafka.ProduceRequest{Topic: "nobody-made-this", RequiredAcks: kafka.RequireAll,
		Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte("x"))})})
	if err == nil {
		t.Error("a record for an unknown topic was accepted")
	}
	meta := metadata(t, engines.Kafka())
	if len(meta.Topics) != 1 || meta.Topics[0].Name != "one" {
		t.Errorf("topics are %+v, want one", meta.Topics)
	}
	if got := fmt.Sprintf("%s:%d", meta.Brokers[0].Host, meta.Brokers[0].Port); len(meta.Brokers) != 1 || got != engines.Kafka() {
		t.Errorf("the broker advertises %s, want %s", got, engines.Kafka())
	}
}

// TestSecondProcess checks that a data directory has one holder and that the
// error tells who it is.
func TestSecondProcess(t *testing.T) {
	dir := t.TempDir()
	cfg := localConfig(dir)
	cfg.NoClickHouse = true
	first := spawn(t, cfg)
	for range 2 { // the refused one must not harm the lock
		_, err := Start(t.Context(), cfg)
		want := fmt.Sprintf("open data directory %s: held by pid %d, started ", dir, first.cmd.Process.Pid)
		if err == nil || !strings.HasPrefix(err.Error(), want) || !strings.HasSuffix(err.Error(), "stop that process, or choose another data_dir") {
			t.Fatalf("got %v, want %s…", err, want)
		}
	}
	first.kill(t) // leaves its lock file
	if _, err := os.Stat(filepath.Join(dir, lockName)); err != nil {
		t.Fatal(err)
	}
	e, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatalf("the lock of a killed process still holds: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

func TestStartRefuses(t *testing.T) {
	taken := strings.TrimPrefix(engines.ClickHouse().URL, "http://")
	for want, cfg := range map[string]Config{
		"Dir is empty": {},
		"ClickHouseAddr \"0.0.0.0:1\" is not a loopback address": {Dir: t.TempDir(), ClickHouseAddr: "0.0.0.0:1"},
		"KafkaAddr \":9092\" is not a loopback address":          {Dir: t.TempDir(), KafkaAddr: ":9092"},
		"KafkaAddr \"192.0.2.1:1\" is not a loopback address":    {Dir: t.TempDir(), KafkaAddr: "192.0.2.1:1"},
		"ClickHouseAddr \"[::]:1\" is not a loopback address":    {Dir: t.TempDir(), ClickHouseAddr: "[::]:1"},
		"KafkaAddr \"localhost\": want host:port":                {Dir: t.TempDir(), KafkaAddr: "localhost"},
		"topic \"t\" has 0 partitions: want at least 1":          {Dir: t.TempDir(), Topics: map[string]int32{"t": 0}},
		"stop what listens there or choose another port":         {Dir: t.TempDir(), KafkaAddr: taken, NoClickHouse: true},
		"one SQL engine": {Dir: t.TempDir(), ClickHouseAddr: "127.0.0.1:0", NoKafka: true},
		"create data directory: mkdir /dev/null: not a directory": {Dir: "/dev/null/x", NoClickHouse: true},
	} {
		if _, err := Start(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

func TestPasswordFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), passwordName)
	password, err := loadPassword(path)
	if err != nil || len(password) < 30 {
		t.Fatalf("password of length %d (%v)", len(password), err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v)", info.Mode(), err)
	}
	if again, err := loadPassword(path); again != password || err != nil {
		t.Errorf("password changed (%v)", err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := loadPassword(path); err == nil || !strings.Contains(err.Error(), "want 0600") {
		t.Errorf("a password file others can read gave %v", err)
	}
}

func produce(t testing.TB, addr, topic string, offset int, value string) {
	t.Helper()
	partition := 0
	if topic == "more" {
		partition, offset = offset, 0
	}
	client := kafka.Client{Addr: kafka.TCP(addr)}
	resp, err := client.Produce(context.Background(), &kafka.ProduceRequest{Topic: topic, Partition: partition, RequiredAcks: kafka.RequireAll,
		Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte(value)), Time: time.UnixMilli(1)})})
	if err != nil || resp.Error != nil || resp.BaseOffset != int64(offset) {
		t.Fatalf("produce: %v %+v, want offset %d", err, resp, offset)
	}
}

func consume(t testing.TB, addr, topic string) []string {
	t.Helper()
	client := kafka.Client{Addr: kafka.TCP(addr)}
	resp, err := client.Fetch(context.Background(), &kafka.FetchRequest{Topic: topic, Partition: 0, MinBytes: 1, MaxBytes: 1 << 20, MaxWait: time.Second})
	if err != nil || resp.Error != nil {
		t.Fatalf("fetch: %v %+v", err, resp)
	}
	var values []string
	for int64(len(values)) < resp.HighWatermark {
		rec, err := resp.Records.ReadRecord()
		if err != nil {
			t.Fatal(err)
		}
		value, err := kafka.ReadAll(rec.Value)
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, string(value))
	}
	return values
}

func commit(t testing.TB, addr, group string, offset int64, metadata string) {
	t.Helper()
	client := kafka.Client{Addr: kafka.TCP(addr)}
	resp, err := client.OffsetCommit(context.Background(), &kafka.OffsetCommitRequest{GroupID: group, GenerationID: -1,
		Topics: map[string][]kafka.OffsetCommit{"logs": {{Partition: 0, Offset: offset, Metadata: metadata}}}})
	if err != nil || resp.Topics["logs"][0].Error != nil {
		t.Fatalf("commit: %v %+v", err, resp)
	}
}

func committed(t testing.TB, addr, group string) (int64, string) {
	t.Helper()
	client := kafka.Client{Addr: kafka.TCP(addr)}
	resp, err := client.OffsetFetch(context.Background(), &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{"logs": {0}}})
	if err != nil {
		t.Fatal(err)
	}
	return resp.Topics["logs"][0].CommittedOffset, resp.Topics["logs"][0].Metadata
}

func metadata(t testing.TB, addr string) *kafka.MetadataResponse {
	t.Helper()
	client := kafka.Client{Addr: kafka.TCP(addr)}
	resp, err := client.Metadata(context.Background(), &kafka.MetadataRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func clusterOf(t testing.TB, addr string) string { return metadata(t, addr).ClusterID }
