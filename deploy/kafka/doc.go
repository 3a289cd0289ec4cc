// Package kafka runs real Apache Kafka brokers for tests: one KRaft node or a
// cluster, of the version in pom.xml, started with java on loopback, the data in a
// directory of the caller. It is test support: of tests, and of the commands that
// measure and break Gatehouse.
//
// The in-process broker of deploy/embedded is no evidence for how groups,
// transactions and failing brokers behave; these are.
package kafka
