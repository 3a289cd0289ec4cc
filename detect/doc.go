// Package detect runs rules over events: a pure state machine, and the loop
// that feeds it.
//
// [Engine] is the machine. It has no clock, no disk, no network and no
// goroutine: time is the time in the events, and the same events in the same
// order give the same findings with the same ids, in production and in replay.
// [Detector] is the loop: source, engine, sink, and metrics.
//
// Time, the guarantees about ids, and what is bounded are described in
// README.md.
package detect
