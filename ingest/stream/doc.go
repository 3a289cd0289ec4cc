// Package stream is Kafka and nothing else: a group consumer that owns its
// offsets, a producer whose Append is durable when it returns, and the few
// administrative questions that Gatehouse asks. It is the only package that
// knows kafka-go.
//
// The consumer is a group loop of its own on kafka-go's Client and Transport;
// kafka.Reader and kafka.ConsumerGroup are not used, because they deliver
// control and aborted records, jump over lost offsets in silence, decompress
// without a limit and drop commit metadata. What each of those costs, and which
// other traps of library and broker are handled where, is in README.md.
//
//	join ▸ sync ▸ read positions ▸ topic ids ▸ one handler per partition
//	  ▲                                             │ ctx ends when ownership does
//	  └────────── drain: wait for the handlers ◀────┘
package stream
