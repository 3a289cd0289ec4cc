// Package fault stands between a ClickHouse client and its server and breaks what
// passes, in one chosen way at a time: slow, refused, an exception, a connection
// that ends in the middle, an answer that is lost after the insert was stored, a
// request that arrives after its sender was given up.
//
// It is what the fault suite (gatehouse chaos) is made with; nothing in production
// uses it. It speaks ClickHouse's HTTP protocol, which is the only one that
// Gatehouse speaks.
package fault
