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
-- LowCardinality only where most sources give a value: an empty column of it costs
-- 0.1 CPU s per million rows at every merge, an empty String is sparse and costs
-- nothing. No statistics (the default since 25.10), which every merge would build
-- for every column, and no separate stream for the sizes of strings, which took
-- 10 % more room.
-- merge_selector_base: up to sixty parts of a size before they are merged, instead
-- of five; each row is then written less often.
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
    gateway_id String CODEC(ZSTD(1)),
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
    route_id String CODEC(ZSTD(1)),
    service LowCardinality(String),
    api_version String CODEC(ZSTD(1)),
    data_class String CODEC(ZSTD(1)),
    objects Nested(name String, ref String),

    status UInt16 CODEC(T64, ZSTD(1)),
    upstream_status UInt16 CODEC(T64, ZSTD(1)),
    outcome LowCardinality(String),
    error_reason String CODEC(ZSTD(1)),
    req_bytes Nullable(Int64) CODEC(T64, ZSTD(1)),
    resp_bytes Nullable(Int64) CODEC(T64, ZSTD(1)),
    bytes_scope String CODEC(ZSTD(1)),
    latency_us Nullable(Int64) CODEC(T64, ZSTD(1)),
    upstream_latency_us Nullable(Int64) CODEC(T64, ZSTD(1)),

    client_ip String CODEC(ZSTD(1)),
    client_host String CODEC(ZSTD(1)),
    client_net LowCardinality(String),
    client_asn UInt32 CODEC(T64, ZSTD(1)),
    client_as_org String CODEC(ZSTD(1)),
    client_country String CODEC(ZSTD(1)),
    peer_ip String CODEC(ZSTD(1)),
    xff Array(String) CODEC(ZSTD(1)),
    user_agent LowCardinality(String),
    ua_family LowCardinality(String),
    referer String CODEC(ZSTD(1)),

    auth_type LowCardinality(String),
    principal String CODEC(ZSTD(1)),
    client_id String CODEC(ZSTD(1)),
    credential_id String CODEC(ZSTD(1)),
    token_fp String CODEC(ZSTD(1)),
    session_fp String CODEC(ZSTD(1)),
    fp_key_id LowCardinality(String),
    token_alg String CODEC(ZSTD(1)),
    token_kid String CODEC(ZSTD(1)),
    token_iss String CODEC(ZSTD(1)),
    token_aud String CODEC(ZSTD(1)),
    token_exp_state String CODEC(ZSTD(1)),
    token_bound String CODEC(ZSTD(1)),

    tls_version String CODEC(ZSTD(1)),
    tls_fp String CODEC(ZSTD(1)),
    mtls_subject String CODEC(ZSTD(1)),
    upstream String CODEC(ZSTD(1)),

    headers Map(String, String) CODEC(ZSTD(1)),
    labels Map(String, String) CODEC(ZSTD(1)),
    redactions Array(String) CODEC(ZSTD(1)),
    quality Array(String) CODEC(ZSTD(1)),
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
SETTINGS non_replicated_deduplication_window = 100000, ttl_only_drop_parts = 1, min_bytes_for_wide_part = 268435456,
    merge_selector_base = 60, auto_statistics_types = '', string_serialization_version = 'single_stream';

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
