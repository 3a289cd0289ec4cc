// Package redact makes stored events of raw ones: it is the only place where an
// [event.Raw] becomes an [event.Event].
//
// It is constructive and default-deny. A field of the Event is never "the raw
// value with secrets cut out"; it is a typed value that passed its validator, a
// word of a known vocabulary, a placeholder such as {token}, or a keyed
// fingerprint. Names of headers and parameters that the policy does not know are
// dropped and counted. Only a few fields hold text that others wrote (user
// agent, error reason, labels, identities); a linear scan for secrets runs over
// those.
//
// Fingerprints keep equal things comparable without keeping the things: see
// [Redactor.Redact] and the README, which has the table of all fields.
//
// The package has no clock, disk or network but for [LoadOrCreateKey].
package redact
