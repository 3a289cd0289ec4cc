-- One row per transition of an incident; (incident_id, seq) names it. The state
-- of an incident is what its rows add up to.
CREATE TABLE audit.incident_log
(
    incident_id String,
    seq UInt32,
    at DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    kind LowCardinality(String),
    actor String,
    source LowCardinality(String),
    from LowCardinality(String),
    to LowCardinality(String),
    reason LowCardinality(String),
    note String,
    payload String CODEC(ZSTD(1)),
    stored_at DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta(8), ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (incident_id, seq)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

-- One row per step of bringing one message to one channel: the intent before it
-- is tried, then the outcome of each try.
CREATE TABLE audit.deliveries
(
    delivery_id String,
    incident_id String,
    seq UInt32,
    at DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    kind LowCardinality(String),
    status LowCardinality(String),
    channel LowCardinality(String),
    ts String,
    attempt UInt32,
    level UInt8,
    content_hash String,
    error String CODEC(ZSTD(1)),
    stored_at DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta(8), ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (incident_id, delivery_id, at)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;
