// Package gateway turns what API gateways log into [event.Raw], one page per
// foreign format.
//
// [Decode] is the whole path for one Kafka record value: it caps the size, peels
// the envelopes that shippers put around log lines, and hands each element to
// the decoder of its source type. Every element ends in exactly one emit or one
// reject, and a bad element never loses its siblings.
//
// A decoder knows its source's units, which end of the request its clock reads,
// and how it spells absence; none of that leaves this package. Strings of a Raw
// share the memory of the record, which must therefore never change; see
// [Reader]. The package reads no clock and does no I/O.
package gateway
