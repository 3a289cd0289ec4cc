package peer

import (
	"fmt"
	"strings"
)

// KafkaEngine is ClickHouse's own way: a table of the Kafka engine and a
// materialized view that parses.
type KafkaEngine struct {
	Brokers, Topics []string
	Group           string
	// Consumers above 1 read in a thread each.
	Consumers int
}

// Settings of the Kafka engine, the best of those tried: a message is taken as it
// is and parsed in the view, once, because the engine's own JSONEachRow pays for
// every message anew; blocks are as large as a backlog fills in the engine's
// default interval of 7.5 s.
const (
	engineBlockRows = 1 << 20
	enginePollRows  = 1 << 16
)

// Start are the statements that begin to read.
func (k KafkaEngine) Start() []string {
	threads := 0
	if k.Consumers > 1 {
		threads = 1
	}
	queue := fmt.Sprintf(`CREATE TABLE %s.queue (message String) ENGINE = Kafka SETTINGS
kafka_broker_list = '%s', kafka_topic_list = '%s', kafka_group_name = '%s', kafka_format = 'RawBLOB',
kafka_num_consumers = %d, kafka_thread_per_consumer = %d, kafka_max_block_size = %d, kafka_poll_max_batch_size = %d`,
		Database, strings.Join(k.Brokers, ","), strings.Join(k.Topics, ","), k.Group, k.Consumers, threads, engineBlockRows, enginePollRows)
	return []string{queue, fmt.Sprintf("CREATE MATERIALIZED VIEW %s.pull TO %s AS %s", Database, Table, parse())}
}

// Stop are the statements that end it.
func (k KafkaEngine) Stop() []string {
	return []string{"DROP TABLE " + Database + ".pull SYNC", "DROP TABLE " + Database + ".queue SYNC"}
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
