package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"

	"gatehouse/ingest/event"
)

// Ledger is where events go: audit.events, with audit.dead_letters beside it.
//
// Append writes a batch as exactly one native block per table, under a token
// made of the batch's exact range of offsets. A batch whose range was stored
// before is not stored again, whatever happened in between: a retry in this
// process, a takeover by another, a restart of ClickHouse.
type Ledger struct {
	db *DB
	// free are blocks to use again: their memory has grown to what batches need.
	// Not a sync.Pool, which gives them up at every second garbage collection.
	free chan *block
}

// maxFree is how many blocks are kept: the memory of more would lie idle.
const maxFree = 2

// Ledger returns the ledger of db.
func (db *DB) Ledger() *Ledger { return &Ledger{db: db, free: make(chan *block, maxFree)} }

// quoteName quotes a column name; a nested one has a dot in it.
func quoteName(name string) string { return "`" + name + "`" }

// Open gives an empty block to fill and to append.
func (l *Ledger) Open() event.Block {
	select {
	case b := <-l.free:
		return b
	default:
		return newBlock()
	}
}

// Append makes the batch durable; its block is one that Open gave. On return
// without an error every event and every rejection of it is stored, exactly once,
// and the block belongs to the ledger again. On an error the outcome is unknown:
// append the same range with the same contents again.
func (l *Ledger) Append(ctx context.Context, b event.Batch) error {
	block, ok := b.Block.(*block)
	if !ok {
		return fmt.Errorf("append events of %s: BUG: a block of %T", b.Range, b.Block)
	}
	start := l.db.now()
	if b.At.IsZero() {
		b.At = start
	}
	if err := l.appendEvents(ctx, block, b); err != nil {
		return fmt.Errorf("append events of %s: %w", b.Range, err)
	}
	if err := l.appendRejected(ctx, b); err != nil {
		return fmt.Errorf("append dead letters of %s: %w", b.Range, err)
	}
	l.db.metrics.inserted(block.rows, len(b.Rejected), l.db.now().Sub(start))
	l.release(block)
	return nil
}

func (l *Ledger) appendEvents(ctx context.Context, b *block, batch event.Batch) error {
	if b.rows == 0 {
		return nil
	}
	b.ingestedAt, b.topicID = batch.At, batch.Range.TopicID
	in := b.inputs()
	return l.db.insertBlock(ctx, insertEvents(in), batch.Range.Token(), newBlockReader(in, b.rows))
}

// release keeps the block for the next batch, unless it holds more memory than
// batches should: one with huge records would keep that for good.
func (l *Ledger) release(b *block) {
	if b.Size() > maxKept {
		return
	}
	b.reset()
	select {
	case l.free <- b:
	default:
	}
}

// maxKept is the size of a block that is used again.
const maxKept = 64 << 20

const insertRejected = `INSERT INTO audit.dead_letters
(kafka_topic, kafka_topic_id, kafka_partition, kafka_offset, kafka_index, at, gateway, reason, size, ingested_at)`

func (l *Ledger) appendRejected(ctx context.Context, batch event.Batch) error {
	if len(batch.Rejected) == 0 {
		return nil
	}
	var buf proto.Buffer
	if err := encodeRejected(&buf, batch); err != nil {
		return fmt.Errorf("encode block: %w", err)
	}
	return l.db.insertBlock(ctx, insertRejected, batch.Range.Token()+":d", buf.Reader())
}

func encodeRejected(buf *proto.Buffer, batch event.Batch) error {
	var (
		topicID                = new(proto.ColStr).LowCardinality()
		topic, gateway, reason = new(proto.ColStr).LowCardinality(), new(proto.ColStr).LowCardinality(), new(proto.ColStr).LowCardinality()
		partition, index       proto.ColInt32
		offset, at, ingested   proto.ColInt64
		size                   proto.ColUInt64
	)
	for _, r := range batch.Rejected {
		topic.Append(r.Origin.Topic)
		topicID.Append(batch.Range.TopicID)
		partition.Append(r.Origin.Partition)
		offset.Append(r.Origin.Offset)
		index.Append(r.Origin.Index)
		at.Append(r.At)
		gateway.Append(r.Gateway)
		reason.Append(string(r.Reason))
		size.Append(uint64(r.Size))
		ingested.Append(batch.At.UnixMilli())
	}
	input := []proto.InputColumn{
		{Name: "kafka_topic", Data: topic},
		{Name: "kafka_topic_id", Data: topicID},
		{Name: "kafka_partition", Data: &partition},
		{Name: "kafka_offset", Data: &offset},
		{Name: "kafka_index", Data: &index},
		{Name: "at", Data: typed{at, "DateTime64(6, 'UTC')"}},
		{Name: "gateway", Data: gateway},
		{Name: "reason", Data: reason},
		{Name: "size", Data: &size},
		{Name: "ingested_at", Data: typed{ingested, "DateTime64(3, 'UTC')"}},
	}
	return proto.Block{Columns: len(input), Rows: len(batch.Rejected)}.EncodeRawBlock(buf, blockRevision, input)
}

// insertSettings pins what exactly-once and one block per insert rest on: the
// defaults of these moved between ClickHouse 25.9 and 26.2.
//
// max_partitions_per_insert_block is lifted because a batch of old log lines may
// span more days than the default of 100 allows; such an insert is several parts
// and not atomic, but the token repairs it on retry.
func insertSettings(token string) clickhouse.Settings {
	return clickhouse.Settings{
		"async_insert":               0,
		"insert_deduplicate":         1,
		"insert_deduplication_token": token,
		"deduplicate_blocks_in_dependent_materialized_views": 1,
		"max_insert_block_size":                              strconv.Itoa(maxBlockRows),
		"min_insert_block_size_rows":                         strconv.Itoa(maxBlockRows),
		"min_insert_block_size_bytes":                        strconv.Itoa(maxBlockBytes),
		"max_partitions_per_insert_block":                    0,
	}
}

// Limits of one insert: below them ClickHouse makes one block of it. A batch is
// kept far smaller (see ingest).
const (
	maxBlockRows  = 1 << 20
	maxBlockBytes = 256 << 20
)

// insertBlock sends one native block under a token and waits until it is stored.
func (db *DB) insertBlock(ctx context.Context, sql, token string, body io.Reader) error {
	ctx, cancel := context.WithTimeoutCause(ctx, db.timeout, fmt.Errorf("ClickHouse did not acknowledge the insert in %s", db.timeout))
	defer cancel()
	settings := insertSettings(token)
	if db.lz4 {
		settings["decompress"], body = 1, newFrameReader(body)
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(settings))
	if err := db.conn.InsertFormat(ctx, "Native", sql, body); err != nil {
		db.metrics.failed(errorCode(err))
		return describe(ctx, err)
	}
	return nil
}

// errorCode is the ClickHouse code of an error, or 0 for one of the transport.
func errorCode(err error) int32 {
	var ex *clickhouse.Exception
	if errors.As(err, &ex) {
		return ex.Code
	}
	return 0
}

// Permanent says whether an error of Append will repeat however often the same
// batch is tried: the statement itself is refused. Everything else (timeouts,
// connections, memory, too many parts, a block that became too old on its way) is
// worth retrying.
func Permanent(err error) bool {
	switch errorCode(err) {
	case codeUnknownTable, codeUnknownDatabase, codeWrongPassword, codeRequiredPassword,
		codeAuthenticationFailed, codeTypeMismatch, codeNoSuchColumn, codeAccessDenied:
		return true
	}
	return false
}

// Codes of refusals that no retry changes.
const (
	codeNoSuchColumn = 16
	codeTypeMismatch = 53
	codeAccessDenied = 497
)

// Stored counts the events and dead letters of a range that are stored: what a
// takeover compares with what it is about to replay.
func (l *Ledger) Stored(ctx context.Context, r event.Range) (events, rejected uint64, err error) {
	const of = "kafka_topic = ? AND kafka_topic_id = ? AND kafka_partition = ? AND kafka_offset BETWEEN ? AND ?"
	const sql = "SELECT (SELECT count() FROM audit.events WHERE " + of + "), (SELECT count() FROM audit.dead_letters WHERE " + of + ")"
	args := []any{r.Topic, r.TopicID, r.Partition, r.First, r.Last}
	row := l.db.conn.QueryRow(ctx, sql, append(args, args...)...)
	if err := row.Scan(&events, &rejected); err != nil {
		return 0, 0, fmt.Errorf("count stored rows of %s: %w", r, describe(ctx, err))
	}
	return events, rejected, nil
}
