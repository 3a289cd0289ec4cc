// Package embedded runs Gatehouse's two engines inside the process, so that it
// needs no services: ClickHouse's engine (libchdb) behind ClickHouse's HTTP
// protocol, and a Kafka broker, both on loopback addresses and on durable
// files in one data directory. It hands out the two addresses and nothing
// else: the rest of the program reaches them as it would reach servers.
//
// libchdb is fetched on first use with the npm client, verified against a
// pinned checksum and kept in the user's cache; GATEHOUSE_LIBCHDB names a file
// to use instead. One process holds one data directory, and one SQL engine.
package embedded
