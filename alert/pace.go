package alert

import "time"

// Pace of one channel: Slack allows about one message per second and channel and
// tolerates short bursts.
const (
	paceEvery = time.Second
	paceBurst = 5
)

// bucket is a token bucket that holds time instead of tokens.
type bucket struct {
	full time.Time // when it is full again
}

// ready is when the next message may be sent, not before now.
func (b *bucket) ready(now time.Time) time.Time {
	earliest := b.full.Add(-(paceBurst - 1) * paceEvery)
	if earliest.Before(now) {
		return now
	}
	return earliest
}

func (b *bucket) take(now time.Time) {
	if b.full.Before(now) {
		b.full = now
	}
	b.full = b.full.Add(paceEvery)
}

// Bounds of the wait after failures.
const (
	backoffFirst = time.Second
	backoffMax   = time.Minute
)

// backoff says when something that failed may be tried again.
type backoff struct {
	failures int
	until    time.Time
}

// fail waits longer after each failure: 1, 2, 4 … 60 seconds, of which jitter
// (0 up to 1) takes away up to half; never less than atLeast.
func (b *backoff) fail(now time.Time, jitter float64, atLeast time.Duration) {
	wait := backoffMax
	if b.failures < 6 {
		wait = min(backoffMax, backoffFirst<<b.failures)
	}
	b.failures++
	wait -= time.Duration(jitter * float64(wait) / 2)
	b.until = now.Add(max(wait, atLeast))
}

func (b *backoff) reset() { *b = backoff{} }
