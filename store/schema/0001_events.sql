-- One row per redacted event: the columns of the JSON form (`gatehouse schema`),
-- with the origin split into four and the time of insertion added. Absent
-- numbers are NULL, so that avg() and quantile() skip them.
--
-- Order: what one principal of one tenant did lies together, hour by hour.
-- kafka_topic_id tells a topic from its re-created namesake, whose offsets start
-- again at 0.
-- Deduplication window: 100,000 blocks, counted per day of ts that an insert
-- touches; a takeover and a late retry look for the rows themselves besides.
-- Parts below 256 MiB are compact, one file for all columns: with a file or two
-- for each of 76 columns, and all of them synced, an insert took twice as long.
-- fresh: an insert that was in flight for longer than 10 minutes, from a process
-- that was stopped and came back, is refused.
CREATE TABLE audit.events
(
    kind LowCardinality(String),
    ts DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    ts_src LowCardinality(String),
    kafka_topic LowCardinality(String),
    kafka_topic_id LowCardinality(String),
    kafka_partition Int32 CODEC(T64, ZSTD(1)),
    kafka_offset Int64 CODEC(Delta(8), ZSTD(1)),
    kafka_index Int32 CODEC(T64, ZSTD(1)),
    ingested_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),

    gateway LowCardinality(String),
    gateway_id LowCardinality(String),
    tenant LowCardinality(String),
    request_id String CODEC(ZSTD(1)),
    trace_id String CODEC(ZSTD(1)),

    method LowCardinality(String),
    scheme LowCardinality(String),
    http_version LowCardinality(String),
    host LowCardinality(String),
    path String CODEC(ZSTD(1)),
    query String CODEC(ZSTD(1)),
    route LowCardinality(String),
    route_src LowCardinality(String),
    route_id LowCardinality(String),
    service LowCardinality(String),
    api_version LowCardinality(String),
    data_class LowCardinality(String),
    objects Nested(name LowCardinality(String), ref String),

    status UInt16 CODEC(T64, ZSTD(1)),
    upstream_status UInt16 CODEC(T64, ZSTD(1)),
    outcome LowCardinality(String),
    error_reason LowCardinality(String),
    req_bytes Nullable(Int64) CODEC(T64, ZSTD(1)),
    resp_bytes Nullable(Int64) CODEC(T64, ZSTD(1)),
    bytes_scope LowCardinality(String),
    latency_us Nullable(Int64) CODEC(T64, ZSTD(1)),
    upstream_latency_us Nullable(Int64) CODEC(T64, ZSTD(1)),

    client_ip String CODEC(ZSTD(1)),
    client_host String CODEC(ZSTD(1)),
    client_net LowCardinality(String),
    client_asn UInt32 CODEC(T64, ZSTD(1)),
    client_as_org LowCardinality(String),
    client_country LowCardinality(String),
    peer_ip String CODEC(ZSTD(1)),
    xff Array(String) CODEC(ZSTD(1)),
    user_agent String CODEC(ZSTD(1)),
    ua_family LowCardinality(String),
    referer String CODEC(ZSTD(1)),

    auth_type LowCardinality(String),
    principal String CODEC(ZSTD(1)),
    client_id LowCardinality(String),
    credential_id String CODEC(ZSTD(1)),
    token_fp String CODEC(ZSTD(1)),
    session_fp String CODEC(ZSTD(1)),
    fp_key_id LowCardinality(String),
    token_alg LowCardinality(String),
    token_kid LowCardinality(String),
    token_iss LowCardinality(String),
    token_aud LowCardinality(String),
    token_exp_state LowCardinality(String),
    token_bound LowCardinality(String),

    tls_version LowCardinality(String),
    tls_fp String CODEC(ZSTD(1)),
    mtls_subject LowCardinality(String),
    upstream LowCardinality(String),

    headers Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    labels Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    redactions Array(LowCardinality(String)),
    quality Array(LowCardinality(String)),
    actor String CODEC(ZSTD(1)),
    credential String CODEC(ZSTD(1)),

    INDEX by_actor actor TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_credential credential TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_client_ip client_ip TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_offset kafka_offset TYPE minmax GRANULARITY 1,
    INDEX by_insert ingested_at TYPE minmax GRANULARITY 1,

    CONSTRAINT fresh CHECK ingested_at > now64(3) - INTERVAL 10 MINUTE AND ingested_at < now64(3) + INTERVAL 5 MINUTE
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(ts)
ORDER BY (tenant, toStartOfHour(ts), principal, ts)
SETTINGS non_replicated_deduplication_window = 100000, ttl_only_drop_parts = 1, min_bytes_for_wide_part = 268435456;

-- One row per record, or element of a record, that could not become an event:
-- where and why, never what. Not partitioned: a batch that is replayed in another
-- month must meet the token of its first attempt.
CREATE TABLE audit.dead_letters
(
    kafka_topic LowCardinality(String),
    kafka_topic_id LowCardinality(String),
    kafka_partition Int32,
    kafka_offset Int64 CODEC(Delta(8), ZSTD(1)),
    kafka_index Int32,
    at DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    gateway LowCardinality(String),
    reason LowCardinality(String),
    size UInt64 CODEC(T64, ZSTD(1)),
    ingested_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    CONSTRAINT fresh CHECK ingested_at > now64(3) - INTERVAL 10 MINUTE AND ingested_at < now64(3) + INTERVAL 5 MINUTE
)
ENGINE = MergeTree
ORDER BY (kafka_topic, kafka_partition, kafka_offset, kafka_index)
SETTINGS non_replicated_deduplication_window = 100000, ttl_only_drop_parts = 1;

-- Offsets that retention removed before they could be read: a recorded gap,
-- never a silent jump.
CREATE TABLE audit.ingest_gaps
(
    kafka_topic LowCardinality(String),
    topic_id String,
    kafka_partition Int32,
    first_offset Int64,
    last_offset Int64,
    reason LowCardinality(String),
    at DateTime64(6, 'UTC')
)
ENGINE = MergeTree
ORDER BY (kafka_topic, kafka_partition, first_offset)
SETTINGS non_replicated_deduplication_window = 10000;
