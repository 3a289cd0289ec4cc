// Package alert brings findings to people. It turns them into incidents (one per
// dedup key and episode), writes every transition and every delivery attempt to
// a journal, and keeps one message per incident up to date in a chat channel.
//
// [Tracker] is the pure part: findings and time in, transitions out. [Manager]
// is the loop around it: it journals, decides what each channel still lacks, and
// sends it through a [Notifier]. What is owed is always computed from the
// journal, so a restart owes exactly what was owed before.
//
// Times of findings are µs since the Unix epoch in event time; times of
// deliveries are wall clock.
package alert
