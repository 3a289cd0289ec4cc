package peer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/segmentio/kafka-go"
)

// Batches of Reader.
const (
	batchRows = 50_000
	batchAge  = time.Second
)

// Reader is the Go program that most teams would write.
type Reader struct {
	Brokers, Topics []string
	Group           string
	// URL, User and Password reach ClickHouse by HTTP.
	URL, User, Password string
}

// call is one line of the log.
type call struct {
	TS        time.Time `json:"ts"`
	Tenant    string    `json:"tenant"`
	RequestID string    `json:"request_id"`
	Method    string    `json:"method"`
	Scheme    string    `json:"scheme"`
	Host      string    `json:"host"`
	Path      string    `json:"path"`
	Route     string    `json:"route"`
	Service   string    `json:"service"`
	Status    uint16    `json:"status"`
	ReqBytes  *int64    `json:"req_bytes"`
	RespBytes *int64    `json:"resp_bytes"`
	LatencyUS *int64    `json:"latency_us"`
	ClientIP  string    `json:"client_ip"`
	UserAgent string    `json:"user_agent"`
	AuthType  string    `json:"auth_type"`
	Principal string    `json:"principal"`
	Token     string    `json:"authorization"`
}

// Run reads, inserts and commits until ctx ends, which is not an error.
func (r Reader) Run(ctx context.Context) error {
	conn, err := clickhouse.Open(&clickhouse.Options{
		Protocol: clickhouse.HTTP, Addr: []string{strings.TrimPrefix(r.URL, "http://")},
		Auth: clickhouse.Auth{Username: r.User, Password: r.Password}, // not compressed: to the same machine that costs more than it saves
	})
	if err != nil {
		return fmt.Errorf("open ClickHouse: %w", err)
	}
	defer conn.Close()
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: r.Brokers, GroupID: r.Group, GroupTopics: r.Topics, StartOffset: kafka.FirstOffset,
		MinBytes: 1, MaxBytes: 10 << 20, MaxWait: 500 * time.Millisecond, QueueCapacity: 1000,
	})
	defer reader.Close()
	for ctx.Err() == nil {
		if err := move(ctx, reader, conn); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// move takes one batch from Kafka to ClickHouse.
func move(ctx context.Context, reader *kafka.Reader, conn driver.Conn) error {
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO "+Table+" ("+columnList()+")")
	if err != nil {
		return fmt.Errorf("prepare batch: %w", err)
	}
	last, err := fill(ctx, reader, batch)
	if err != nil || len(last) == 0 {
		return errors.Join(err, batch.Abort())
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("insert batch: %w", err)
	}
	if err := reader.CommitMessages(ctx, last...); err != nil {
		return fmt.Errorf("commit offsets: %w", err)
	}
	return nil
}

// fill appends rows until the batch is full or old, and returns the last message
// of each partition in it.
func fill(ctx context.Context, reader *kafka.Reader, batch driver.Batch) ([]kafka.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, batchAge)
	defer cancel()
	type source struct {
		topic     string
		partition int
	}
	last, now := map[source]kafka.Message{}, time.Now()
	for batch.Rows() < batchRows {
		m, err := reader.FetchMessage(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("fetch message: %w", err)
		}
		if err := appendRow(batch, m, now); err != nil {
			return nil, fmt.Errorf("append %s/%d/%d: %w", m.Topic, m.Partition, m.Offset, err)
		}
		last[source{m.Topic, m.Partition}] = m
	}
	var out []kafka.Message
	for _, m := range last {
		out = append(out, m)
	}
	return out, nil
}

func appendRow(batch driver.Batch, m kafka.Message, now time.Time) error {
	var c call
	if err := json.Unmarshal(m.Value, &c); err != nil {
		return err
	}
	return batch.Append(m.Topic, int32(m.Partition), m.Offset, now,
		c.TS, c.Tenant, c.RequestID, c.Method, c.Scheme, c.Host, c.Path, c.Route, c.Service, c.Status,
		c.ReqBytes, c.RespBytes, c.LatencyUS, c.ClientIP, c.UserAgent, c.AuthType, c.Principal, c.Token)
}
