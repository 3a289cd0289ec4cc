// Package kafka runs a real Apache Kafka broker for tests: one KRaft node of the
// version in pom.xml, started with java on loopback, its data in a directory of
// the caller. It is test support; no command imports it.
//
// The in-process broker of deploy/embedded is no evidence for how groups,
// transactions and failing brokers behave; this one is.
package kafka
