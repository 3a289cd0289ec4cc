// Package event is the one record everything in Gatehouse speaks about: one
// call through an API gateway.
//
// Two types carry it. [Raw] is what a decoder read: it may hold a bearer token,
// a cookie, a password in a query. [Event] is what redaction made of it: the
// only form that can be stored, detected on, printed or sent. They are distinct
// structs with no conversion between them, so a Raw does not compile into any
// sink; and a Raw prints as a placeholder wherever it is printed.
//
// Conventions of both types:
//   - absent is not zero. Numbers that can be absent hold [Absent] (-1) then;
//     strings are empty. Gateways' own spellings of absence (-1, "-", "", null)
//     never survive decoding.
//   - TS is the start of the request in microseconds since the Unix epoch, UTC.
//     It never comes from the Kafka record's timestamp.
//   - durations are microseconds, sizes are bytes.
//
// The field list, the mapping to OCSF 1.8, ECS and OTel semantic conventions and
// the JSON Schema (draft 2020-12) are printed by `gatehouse schema`.
package event
