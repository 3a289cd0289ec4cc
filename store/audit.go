package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"gatehouse/ingest/event"
)

// AuditScope says what an audit looks at: the offsets between the lowest and the
// highest that were stored in a time of insertion, and what the consumer group
// has acknowledged beyond.
type AuditScope struct {
	Since, Until time.Time
	// History looks for rows of the same offsets that were stored before Since: what
	// was read from Kafka again. It reads the offsets of all rows.
	History bool
	// Acknowledged are the partitions as the group's commits have them, read
	// before the audit: whatever lies below Last must be stored. Range.First is not
	// looked at. A partition that is not here is audited up to its highest row.
	Acknowledged []event.Range
	// Topic restricts the audit to one topic; empty is all.
	Topic string
}

// PartitionAudit is what an audit found of one partition of one incarnation of a
// topic.
type PartitionAudit struct {
	Topic     string `json:"topic"`
	TopicID   string `json:"topic_id"`
	Partition int32  `json:"partition"`
	// First and Last are the offsets looked at; Last is First-1 when there were
	// none.
	First int64 `json:"first"`
	Last  int64 `json:"last"`

	Events   uint64 `json:"events"`       // rows of audit.events
	Rejected uint64 `json:"dead_letters"` // rows of audit.dead_letters
	Stored   int64  `json:"offsets"`      // offsets that have rows

	// GapOffsets are offsets without rows that lie in recorded gaps.
	GapOffsets int64     `json:"gap_offsets"`
	Gaps       []Offsets `json:"gaps,omitempty"`
	// Missing are offsets without rows that no gap explains, exactly; MissingAt are
	// the first of their spans, at most MaxSpans. Kafka may explain them: markers of
	// transactions, aborted records and compaction leave offsets without a record.
	Missing   int64     `json:"missing"`
	MissingAt []Offsets `json:"missing_at,omitempty"`
	// Duplicated are rows of an offset and index that has another row;
	// DuplicatedAt are the first of their offsets, at most MaxSpans.
	Duplicated   int64     `json:"duplicated"`
	DuplicatedAt []Offsets `json:"duplicated_at,omitempty"`

	odd bool // to be looked at closer
}

// MaxSpans bounds the spans that an audit lists of one partition.
const MaxSpans = 1000

// Range names the offsets that were looked at.
func (p *PartitionAudit) Range() event.Range {
	return event.Range{Topic: p.Topic, TopicID: p.TopicID, Partition: p.Partition, First: p.First, Last: p.Last}
}

func (p *PartitionAudit) is(r event.Range) bool {
	return p.Topic == r.Topic && p.TopicID == r.TopicID && p.Partition == r.Partition
}

// Audit compares rows with offsets. One pass over audit.v_ledger adds up, by
// partition and hour, what was stored in the time; only partitions that do not add
// up are looked at closer, in pieces, so that memory does not grow with the rows.
func (db *DB) Audit(ctx context.Context, scope AuditScope) ([]PartitionAudit, error) {
	found, err := db.auditSums(ctx, scope)
	if err != nil {
		return nil, err
	}
	if found, err = db.auditGaps(ctx, scope, found); err != nil {
		return nil, err
	}
	if scope.History {
		if err := db.auditHistory(ctx, scope, found); err != nil {
			return nil, err
		}
	}
	for _, r := range scope.Acknowledged {
		if found, err = db.auditTail(ctx, found, r); err != nil {
			return nil, err
		}
	}
	for i := range found {
		if err := db.auditHead(ctx, &found[i]); err != nil {
			return nil, err
		}
		if err := db.examine(ctx, &found[i]); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// auditSums reads the view: one entry for each partition with rows in the time
// of insertion.
func (db *DB) auditSums(ctx context.Context, scope AuditScope) ([]PartitionAudit, error) {
	rows, err := db.conn.Query(ctx, `SELECT kafka_topic, kafka_topic_id, kafka_partition, min(first_offset), max(last_offset),
sum(events), sum(dead_letters), sum(offsets), sum(gap_offsets), sum(missing), sum(duplicated)
FROM audit.v_ledger(since = fromUnixTimestamp64Milli(toInt64(?)), until = fromUnixTimestamp64Milli(toInt64(?))) WHERE ? IN ('', kafka_topic)
GROUP BY kafka_topic, kafka_topic_id, kafka_partition ORDER BY kafka_topic, kafka_topic_id, kafka_partition`,
		max(scope.Since.UnixMilli(), 0), scope.Until.UnixMilli(), scope.Topic)
	if errorCode(err) == codeUnknownFunction {
		return nil, errors.New("audit ledger: the database has no audit.v_ledger yet: run `gatehouse migrate`")
	}
	if err != nil {
		return nil, fmt.Errorf("audit ledger: %w", describe(ctx, err))
	}
	defer rows.Close()
	var out []PartitionAudit
	for rows.Next() {
		var p PartitionAudit
		if err := rows.Scan(&p.Topic, &p.TopicID, &p.Partition, &p.First, &p.Last,
			&p.Events, &p.Rejected, &p.Stored, &p.GapOffsets, &p.Missing, &p.Duplicated); err != nil {
			return nil, fmt.Errorf("audit ledger: %w", err)
		}
		out = append(out, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("audit ledger: %w", describe(ctx, err))
	}
	return out, nil
}

// codeUnknownFunction is what ClickHouse says of a view with parameters that is
// not there.
const codeUnknownFunction = 46

// auditGaps stretches what is looked at over the gaps that were recorded in the
// time.
func (db *DB) auditGaps(ctx context.Context, scope AuditScope, found []PartitionAudit) ([]PartitionAudit, error) {
	rows, err := db.conn.Query(ctx, `SELECT kafka_topic, topic_id, kafka_partition, min(first_offset), max(last_offset) FROM audit.ingest_gaps
WHERE at >= fromUnixTimestamp64Milli(toInt64(?)) AND at < fromUnixTimestamp64Milli(toInt64(?)) AND ? IN ('', kafka_topic)
GROUP BY kafka_topic, topic_id, kafka_partition`, max(scope.Since.UnixMilli(), 0), scope.Until.UnixMilli(), scope.Topic)
	if err != nil {
		return nil, fmt.Errorf("audit gaps: %w", describe(ctx, err))
	}
	defer rows.Close()
	for rows.Next() {
		var r event.Range
		if err := rows.Scan(&r.Topic, &r.TopicID, &r.Partition, &r.First, &r.Last); err != nil {
			return nil, fmt.Errorf("audit gaps: %w", err)
		}
		i := slices.IndexFunc(found, func(p PartitionAudit) bool { return p.is(r) })
		if i < 0 {
			i, found = len(found), append(found, PartitionAudit{Topic: r.Topic, TopicID: r.TopicID, Partition: r.Partition, First: r.First, Last: r.Last})
		}
		p := &found[i]
		p.First, p.Last = min(p.First, r.First), max(p.Last, r.Last)
		p.odd = true
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("audit gaps: %w", describe(ctx, err))
	}
	return found, nil
}

// auditTail stretches, or cuts, what is looked at to what was acknowledged.
// Offsets behind that may still be on their way.
func (db *DB) auditTail(ctx context.Context, found []PartitionAudit, r event.Range) ([]PartitionAudit, error) {
	for i := range found {
		p := &found[i]
		if !p.is(r) {
			continue
		}
		if p.odd || p.Missing != 0 || p.Last < r.Last {
			p.Last, p.odd = r.Last, true
		}
		return found, nil
	}
	last, err := db.Accounted(ctx, r)
	if err != nil || r.Last < 0 {
		return found, err
	}
	return append(found, PartitionAudit{
		Topic: r.Topic, TopicID: r.TopicID, Partition: r.Partition, First: min(last, r.Last) + 1, Last: r.Last, odd: last < r.Last,
	}), nil
}

// auditHead stretches what is looked at down to the offset before it that is
// accounted for: what is missing at the edge of the time would never lie between
// two rows of it. Where there is none, the ledger begins here.
func (db *DB) auditHead(ctx context.Context, p *PartitionAudit) error {
	for _, from := range []int64{p.First - 1, max(p.First-nearby, 0), 0} {
		if p.First <= 0 {
			return nil
		}
		r := p.Range()
		r.First, r.Last = from, p.First-1
		last, err := db.accountedIn(ctx, r)
		if err != nil {
			return err
		}
		if last >= 0 {
			p.odd = p.odd || last < p.First-1
			p.First = last + 1
			return nil
		}
	}
	return nil
}

// Accounted is the highest offset of a partition for which there is an event, a
// dead letter or a recorded gap, or -1; r.Last is where it is expected, and
// r.First is not looked at.
func (db *DB) Accounted(ctx context.Context, r event.Range) (int64, error) {
	// Usually it is there, or behind a few markers, and the index by_offset finds it.
	for _, from := range []int64{r.Last, max(r.Last-nearby, 0), 0} {
		r.First, r.Last = from, math.MaxInt64
		last, err := db.accountedIn(ctx, r)
		if err != nil || last >= 0 {
			return last, err
		}
	}
	return -1, nil
}

// nearby is how far away the next offset that is accounted for may be without all
// rows being read for it.
const nearby = 1000

// accountedIn is the highest offset in a range that is accounted for, or -1.
func (db *DB) accountedIn(ctx context.Context, r event.Range) (last int64, err error) {
	const of = "kafka_topic = ? AND kafka_topic_id = ? AND kafka_partition = ? AND kafka_offset BETWEEN ? AND ?"
	const sql = `SELECT greatest(
(SELECT maxOrDefault(kafka_offset + 1) FROM audit.events WHERE ` + of + `),
(SELECT maxOrDefault(kafka_offset + 1) FROM audit.dead_letters WHERE ` + of + `),
(SELECT maxOrDefault(least(last_offset, toInt64(?)) + 1) FROM audit.ingest_gaps
 WHERE kafka_topic = ? AND topic_id = ? AND kafka_partition = ? AND last_offset >= ? AND first_offset <= ?)) - 1`
	args := append(ofRange(r), ofRange(r)...)
	args = append(append(args, r.Last), ofRange(r)...)
	if err := db.conn.QueryRow(ctx, sql, args...).Scan(&last); err != nil {
		return 0, fmt.Errorf("look for the last stored offset of %s/%d: %w", r.Topic, r.Partition, describe(ctx, err))
	}
	return last, nil
}

// auditHistory marks partitions that have older rows at the offsets that were
// stored in the time.
func (db *DB) auditHistory(ctx context.Context, scope AuditScope, found []PartitionAudit) error {
	for part := range slices.Chunk(found, historyPartitions) {
		var where []string
		args := []any{max(scope.Since.UnixMilli(), 0)}
		for i := range part {
			where = append(where, "kafka_topic = ? AND kafka_topic_id = ? AND kafka_partition = ? AND kafka_offset BETWEEN ? AND ?")
			args = append(args, ofRange(part[i].Range())...)
		}
		sql := "SELECT DISTINCT kafka_topic, kafka_topic_id, kafka_partition FROM audit.v_ledger_rows WHERE ingested_at < fromUnixTimestamp64Milli(toInt64(?)) AND ((" +
			strings.Join(where, ") OR (") + "))"
		if err := db.markSeen(ctx, part, sql, args); err != nil {
			return fmt.Errorf("look for older rows: %w", err)
		}
	}
	return nil
}

// historyPartitions is for how many partitions one query looks.
const historyPartitions = 64

func (db *DB) markSeen(ctx context.Context, part []PartitionAudit, sql string, args []any) error {
	rows, err := db.conn.Query(ctx, sql, args...)
	if err != nil {
		return describe(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		var r event.Range
		if err := rows.Scan(&r.Topic, &r.TopicID, &r.Partition); err != nil {
			return err
		}
		for i := range part {
			part[i].odd = part[i].odd || part[i].is(r)
		}
	}
	return rows.Err()
}

// examine counts a partition that does not add up exactly, whenever its rows were
// stored, and finds the spans.
func (db *DB) examine(ctx context.Context, p *PartitionAudit) error {
	if !p.odd && p.Missing == 0 && p.GapOffsets == 0 && p.Duplicated == 0 {
		return nil
	}
	r := p.Range()
	gaps, err := db.gapsOf(ctx, r)
	if err != nil {
		return err
	}
	chunks, err := db.chunks(ctx, r)
	if err != nil {
		return fmt.Errorf("audit %s: %w", r, err)
	}
	p.Events, p.Rejected, p.Stored, p.GapOffsets, p.Missing, p.Duplicated = 0, 0, 0, 0, 0, 0
	for _, c := range chunks {
		p.Events, p.Rejected, p.Stored = p.Events+c.events, p.Rejected+c.rejected, p.Stored+c.stored
		p.Duplicated += int64(c.events+c.rejected) - c.slots
	}
	if err := db.findMissing(ctx, p, chunks, gaps); err != nil {
		return fmt.Errorf("audit %s: %w", r, err)
	}
	if err := db.findDuplicated(ctx, p, chunks); err != nil {
		return fmt.Errorf("audit %s: %w", r, err)
	}
	return nil
}

func (db *DB) gapsOf(ctx context.Context, r event.Range) ([]Offsets, error) {
	const sql = `SELECT greatest(first_offset, toInt64(?)), least(last_offset, toInt64(?)) FROM audit.v_ledger_gaps
WHERE kafka_topic = ? AND kafka_topic_id = ? AND kafka_partition = ? AND first_offset <= ? AND last_offset >= ? ORDER BY first_offset`
	spans, err := db.spans(ctx, sql, r.First, r.Last, r.Topic, r.TopicID, r.Partition, r.Last, r.First)
	if err != nil {
		return nil, fmt.Errorf("read gaps of %s: %w", r, err)
	}
	return JoinOffsets(spans), nil
}

// spans reads pairs of offsets.
func (db *DB) spans(ctx context.Context, sql string, args ...any) ([]Offsets, error) {
	rows, err := db.conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, describe(ctx, err)
	}
	defer rows.Close()
	var out []Offsets
	for rows.Next() {
		var s Offsets
		if err := rows.Scan(&s.First, &s.Last); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// auditChunk is how many offsets are looked at one by one.
const auditChunk = 1 << 16

// ofPartition selects the rows of a partition between two offsets.
const ofPartition = " FROM audit.v_ledger_rows WHERE kafka_topic = ? AND kafka_topic_id = ? AND kafka_partition = ? AND kafka_offset BETWEEN ? AND ?"

func ofRange(r event.Range) []any {
	return []any{r.Topic, r.TopicID, r.Partition, r.First, r.Last}
}

// findMissing counts the offsets of a partition that have no row, and lists the
// first spans of them, reading offsets only of chunks that are not full.
func (db *DB) findMissing(ctx context.Context, p *PartitionAudit, chunks []chunk, gaps []Offsets) error {
	next := p.First
	for _, c := range append(chunks, chunk{span: Offsets{p.Last + 1, p.Last}}) {
		var holes []Offsets
		if c.span.First > next {
			holes = []Offsets{{next, c.span.First - 1}}
		}
		next = c.span.Last + 1
		switch {
		case c.stored == c.span.Count():
		case len(p.MissingAt) < MaxSpans:
			in, err := db.holes(ctx, p.Range(), c.span)
			if err != nil {
				return err
			}
			holes = append(holes, in...)
		default:
			p.Missing += c.span.Count() - c.stored // counted, not listed
		}
		p.count(JoinOffsets(holes), gaps)
	}
	p.MissingAt, p.Gaps = JoinOffsets(p.MissingAt), JoinOffsets(p.Gaps)
	p.MissingAt = p.MissingAt[:min(len(p.MissingAt), MaxSpans)]
	return nil
}

// count adds holes to what is missing, or to the gaps that they lie in.
func (p *PartitionAudit) count(holes, gaps []Offsets) {
	missing := WithoutOffsets(holes, gaps)
	p.Missing += CountOffsets(missing)
	p.GapOffsets += CountOffsets(holes) - CountOffsets(missing)
	p.MissingAt = append(p.MissingAt, missing...)
	p.Gaps = append(p.Gaps, WithoutOffsets(holes, missing)...)
}

// chunk is a span of offsets: how many of them have rows, how many rows there
// are, and how many there should be.
type chunk struct {
	span             Offsets
	stored           int64
	events, rejected uint64
	slots            int64
}

func (db *DB) chunks(ctx context.Context, r event.Range) ([]chunk, error) {
	rows, err := db.conn.Query(ctx, "SELECT intDiv(kafka_offset, toInt64(?)) AS n, toInt64(groupBitmap(toUInt64(kafka_offset))), "+
		"countIf(rejected = 0), countIf(rejected = 1), toInt64(groupBitmap(slot))"+ofPartition+" GROUP BY n ORDER BY n",
		append([]any{auditChunk}, ofRange(r)...)...)
	if err != nil {
		return nil, describe(ctx, err)
	}
	defer rows.Close()
	var out []chunk
	for rows.Next() {
		var c chunk
		var n int64
		if err := rows.Scan(&n, &c.stored, &c.events, &c.rejected, &c.slots); err != nil {
			return nil, err
		}
		c.span = Offsets{max(n*auditChunk, r.First), min((n+1)*auditChunk-1, r.Last)}
		out = append(out, c)
	}
	return out, rows.Err()
}

// holes are the offsets of a chunk that have no row.
func (db *DB) holes(ctx context.Context, r event.Range, span Offsets) ([]Offsets, error) {
	r.First, r.Last = span.First, span.Last
	rows, err := db.conn.Query(ctx, "SELECT DISTINCT kafka_offset"+ofPartition+" ORDER BY kafka_offset", ofRange(r)...)
	if err != nil {
		return nil, describe(ctx, err)
	}
	defer rows.Close()
	var out []Offsets
	next := span.First
	for rows.Next() {
		var offset int64
		if err := rows.Scan(&offset); err != nil {
			return nil, err
		}
		if offset > next {
			out = append(out, Offsets{next, offset - 1})
		}
		next = offset + 1
	}
	if next <= span.Last {
		out = append(out, Offsets{next, span.Last})
	}
	return out, rows.Err()
}

// findDuplicated lists the first offsets that have a row too many, reading row by
// row only chunks that have.
func (db *DB) findDuplicated(ctx context.Context, p *PartitionAudit, chunks []chunk) error {
	sql := fmt.Sprintf("SELECT kafka_offset, kafka_offset%s GROUP BY kafka_offset, slot HAVING count() > 1 ORDER BY kafka_offset LIMIT %d", ofPartition, MaxSpans)
	for _, c := range chunks {
		if int64(c.events+c.rejected) == c.slots || len(p.DuplicatedAt) >= MaxSpans {
			continue
		}
		r := p.Range()
		r.First, r.Last = c.span.First, c.span.Last
		found, err := db.spans(ctx, sql, ofRange(r)...)
		if err != nil {
			return err
		}
		p.DuplicatedAt = JoinOffsets(append(p.DuplicatedAt, found...))
	}
	p.DuplicatedAt = p.DuplicatedAt[:min(len(p.DuplicatedAt), MaxSpans)]
	return nil
}
