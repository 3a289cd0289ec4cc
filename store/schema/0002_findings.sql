-- One row per finding: what a rule saw of one entity, with the origins of its
-- evidence and the query that re-selects it. The id is a hash of rule, entity
-- and window, so a replay finds the same id; each insert carries it as token.
CREATE TABLE audit.findings
(
    id String,
    rule LowCardinality(String),
    title LowCardinality(String),
    severity LowCardinality(String),
    owasp Array(LowCardinality(String)),
    attack Array(LowCardinality(String)),
    tenant LowCardinality(String),
    entity Nested(name LowCardinality(String), value String),
    first DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    last DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    at DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    events UInt64,
    evidence Array(String) CODEC(ZSTD(1)),
    measures Nested(name LowCardinality(String), value Float64),
    reason String CODEC(ZSTD(1)),
    sql String CODEC(ZSTD(1)),
    stored_at DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta(8), ZSTD(1)),
    INDEX by_stored stored_at TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (tenant, rule, at, id)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

-- Up to which time of insertion the detector has looked at what is stored: a
-- detector that starts stores what it finds behind the newest mark.
CREATE TABLE audit.detector_marks
(
    looked_at DateTime64(3, 'UTC'),
    at DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY at
SETTINGS non_replicated_deduplication_window = 10000;

-- Who detects and who tells: one process each. A process that begins finds the
-- signs of life of another one here, and refuses.
CREATE TABLE audit.duties
(
    role LowCardinality(String),
    holder String,
    released Bool,
    at DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY (role, at)
SETTINGS non_replicated_deduplication_window = 10000;
