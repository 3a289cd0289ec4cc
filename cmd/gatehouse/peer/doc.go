// Package peer is what Gatehouse is measured against: two other ways from Kafka
// into the same ClickHouse table, each as a careful team would write it. One is
// ClickHouse's own Kafka table engine with a materialized view; the other is the
// usual Go program: kafka-go's Reader in a consumer group, encoding/json, and
// clickhouse-go's row appends.
//
// Neither redacts, and both are at least once. Nothing but `gatehouse bench
// ingest` uses this package, and it is the one place outside ingest/stream and
// store that may import their libraries, because it stands for programs that do.
package peer
