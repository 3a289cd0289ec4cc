package peer

import (
	"fmt"
	"strings"
	"time"
)

// KafkaEngine is ClickHouse's own way: a table of the Kafka engine and a
// materialized view that parses.
type KafkaEngine struct {
	Brokers, Topics []string
	Group           string
	// Consumers above 1 read in a thread each.
	Consumers int
	// Flush is how long a block is gathered at most: more of it costs latency and
	// saves merges.
	Flush time.Duration
}

// Settings of the Kafka engine, the best of those tried: a message is taken as it
// is and parsed in the view, once, because the engine's own JSONEachRow pays for
// every message anew; blocks are as large as a backlog fills in the flush interval;
// and a topic that has no more is noticed after ten polls of 50 ms, not of 500.
const (
	engineBlockRows = 1 << 20
	enginePollRows  = 1 << 16
	enginePollMS    = 50
)

// Start are the statements that begin to read.
func (k KafkaEngine) Start() []string {
	threads := 0
	if k.Consumers > 1 {
		threads = 1
	}
	queue := fmt.Sprintf(`CREATE TABLE %s.queue (message String) ENGINE = Kafka SETTINGS
kafka_broker_list = '%s', kafka_topic_list = '%s', kafka_group_name = '%s', kafka_format = 'RawBLOB',
kafka_num_consumers = %d, kafka_thread_per_consumer = %d, kafka_max_block_size = %d, kafka_poll_max_batch_size = %d,
kafka_poll_timeout_ms = %d, kafka_flush_interval_ms = %d`,
		Database, strings.Join(k.Brokers, ","), strings.Join(k.Topics, ","), k.Group, k.Consumers, threads, engineBlockRows, enginePollRows, enginePollMS, k.Flush.Milliseconds())
	return []string{queue, fmt.Sprintf("CREATE MATERIALIZED VIEW %s.pull TO %s AS %s", Database, Table, parse())}
}

// Stop are the statements that end it.
func (k KafkaEngine) Stop() []string {
	return []string{"DROP TABLE IF EXISTS " + Database + ".pull SYNC", "DROP TABLE IF EXISTS " + Database + ".queue SYNC"}
}

// parse is the view: the message is parsed once, into a tuple, and not once for
// each column.
func parse() string {
	var members, columns []string
	for _, f := range fields() {
		members = append(members, f.member+" "+f.kind)
		value := "call." + f.member
		if f.column == "ts" {
			value = "parseDateTime64BestEffort(" + value + ", 6, 'UTC')"
		}
		columns = append(columns, value+" AS "+f.column)
	}
	return fmt.Sprintf(`SELECT _topic AS kafka_topic, toInt32(_partition) AS kafka_partition, toInt64(_offset) AS kafka_offset, now64(3) AS ingested_at, %s
FROM (SELECT _topic, _partition, _offset, JSONExtract(message, 'Tuple(%s)') AS call FROM %s.queue)`,
		strings.Join(columns, ", "), strings.Join(members, ", "), Database)
}
