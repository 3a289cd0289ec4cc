-- The standing audit: what is stored against the offsets it came from.

-- Every row that stands for an offset. slot tells the rows of one offset apart in
-- one number: the offset, with its index above it.
CREATE VIEW audit.v_ledger_rows AS
SELECT kafka_topic, kafka_topic_id, kafka_partition, kafka_offset,
    bitOr(bitShiftLeft(toUInt64(kafka_index), 48), toUInt64(kafka_offset)) AS slot, ingested_at, 0 AS rejected
FROM audit.events
UNION ALL
SELECT kafka_topic, kafka_topic_id, kafka_partition, kafka_offset,
    bitOr(bitShiftLeft(toUInt64(kafka_index), 48), toUInt64(kafka_offset)) AS slot, ingested_at, 1 AS rejected
FROM audit.dead_letters;

-- The recorded gaps, cut so that no two overlap.
CREATE VIEW audit.v_ledger_gaps AS
SELECT kafka_topic, kafka_topic_id, kafka_partition, greatest(first_offset, seen) AS first_offset, last_offset, reason, at
FROM
(
    SELECT kafka_topic, toLowCardinality(topic_id) AS kafka_topic_id, kafka_partition, first_offset, last_offset, reason, at,
        max(last_offset + 1) OVER (PARTITION BY kafka_topic, topic_id, kafka_partition ORDER BY first_offset, last_offset
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS seen
    FROM audit.ingest_gaps
)
WHERE last_offset >= seen;

-- Rows against offsets, by partition and hour of insertion, of what was stored
-- from since on and before until: audit.v_ledger(since = …, until = …).
-- Hours of insertion cut the offsets of a partition into spans that follow one
-- another, because one batch of it is stored at a time; hours of ts do not, and a
-- late log would look like a loss. The columns of an hour are what it adds to the
-- hours before: a hole that is filled later gives a missing below zero there, and
-- the sum over a partition is right.
-- missing are offsets between the lowest and the highest without a row or a
-- recorded gap: lost, or never a record (a marker of a transaction). The view
-- cannot tell; gatehouse doctor ledger asks Kafka. duplicated are rows too many.
CREATE VIEW audit.v_ledger AS
WITH
    hours AS
    (
        SELECT kafka_topic, kafka_topic_id, kafka_partition, toStartOfHour(ingested_at) AS hour,
            countIf(rejected = 0) AS events, countIf(rejected = 1) AS dead_letters,
            min(kafka_offset) AS first_offset, max(kafka_offset) AS last_offset,
            groupBitmapState(toUInt64(kafka_offset)) AS offsets, groupBitmapState(slot) AS slots
        FROM audit.v_ledger_rows
        WHERE ingested_at >= {since:DateTime64(3, 'UTC')} AND ingested_at < {until:DateTime64(3, 'UTC')}
        GROUP BY kafka_topic, kafka_topic_id, kafka_partition, hour
    ),
    gaps AS
    (
        SELECT kafka_topic, kafka_topic_id, kafka_partition, groupArray((toInt64(first_offset), last_offset)) AS spans
        FROM audit.v_ledger_gaps
        GROUP BY kafka_topic, kafka_topic_id, kafka_partition
    ),
    sums AS
    (
        SELECT kafka_topic, kafka_topic_id, kafka_partition, hour, events, dead_letters, first_offset, last_offset, spans,
            arraySum(s -> bitmapCardinality(bitmapSubsetInRange(offsets, toUInt64(s.1), toUInt64(s.2 + 1))), spans) AS in_gaps,
            groupBitmapMerge(offsets) OVER upto AS offsets_upto,
            groupBitmapMerge(slots) OVER upto AS slots_upto,
            sum(in_gaps) OVER upto AS in_gaps_upto,
            min(first_offset) OVER upto AS low,
            max(last_offset) OVER upto AS high
        FROM hours LEFT JOIN gaps USING (kafka_topic, kafka_topic_id, kafka_partition)
        WINDOW upto AS (PARTITION BY kafka_topic, kafka_topic_id, kafka_partition ORDER BY hour ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    ),
    totals AS
    (
        SELECT *, toInt64(arraySum(s -> greatest(0, least(s.2, high) - greatest(s.1, low) + 1), spans)) - toInt64(in_gaps_upto) AS gaps_upto,
            high - low + 1 - toInt64(offsets_upto) - gaps_upto AS missing_upto
        FROM sums
    )
SELECT kafka_topic, kafka_topic_id, kafka_partition, hour, first_offset, last_offset, events, dead_letters,
    toInt64(offsets_upto) - lagInFrame(toInt64(offsets_upto)) OVER w AS offsets,
    gaps_upto - lagInFrame(gaps_upto) OVER w AS gap_offsets,
    missing_upto - lagInFrame(missing_upto) OVER w AS missing,
    toInt64(events + dead_letters) - (toInt64(slots_upto) - lagInFrame(toInt64(slots_upto)) OVER w) AS duplicated
FROM totals
WINDOW w AS (PARTITION BY kafka_topic, kafka_topic_id, kafka_partition ORDER BY hour ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
ORDER BY kafka_topic, kafka_topic_id, kafka_partition, hour;
