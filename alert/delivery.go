package alert

import (
	"encoding/hex"
	"strconv"
	"time"
)

// Statuses of deliveries. "intent" is written before a post is tried; every
// other status is an outcome.
const (
	StatusIntent   = "intent"
	StatusAccepted = "accepted" // the channel took it and gave its reference
	StatusAdopted  = "adopted"  // found in the channel after its outcome was unknown
	StatusPrinted  = "printed"  // no channel is configured: printed instead
	StatusUpdated  = "updated"  // the root message was edited
	StatusUnknown  = "unknown"  // it may have arrived; to be looked for
	StatusUnsent   = "unsent"   // it certainly did not arrive; to be sent again
	StatusTooRich  = "too_rich" // refused in this form; to be sent in a plainer one
	StatusGone     = "gone"     // the root message was deleted; a new one continues
	StatusDead     = "dead"     // given up: refused for good, or undeliverable for too long
)

// updateKind is the kind of the rows of root edits.
const updateKind = "update"

// Delivery is one row of the delivery log: one step of bringing one message to
// one channel.
type Delivery struct {
	DeliveryID  string    `ch:"delivery_id"` // hash of incident, kind, seq and channel
	IncidentID  string    `ch:"incident_id"`
	Seq         uint32    `ch:"seq"` // row of the incident log that made the message due
	At          time.Time `ch:"at"`  // wall clock
	Kind        string    `ch:"kind"`
	Status      string    `ch:"status"`
	Channel     string    `ch:"channel"`
	TS          string    `ch:"ts"` // reference of the message in the channel, "" while unknown
	Attempt     uint32    `ch:"attempt"`
	Level       uint8     `ch:"level"` // rung of the ladder, 0 = complete
	ContentHash string    `ch:"content_hash"`
	Error       string    `ch:"error"`
}

// deliveryID names a message: the same after a restart, so that it is found.
func deliveryID(incident, kind string, seq uint32, channel string) string {
	sum := digest("delivery/1", incident, kind, strconv.FormatUint(uint64(seq), 10), channel)
	return hex.EncodeToString(sum[:16])
}

// letter is one message that is owed to a channel, and how far it has got.
type letter struct {
	id       string
	kind     string
	seq      uint32
	ref      string    // set once it arrived
	dead     bool      // given up
	open     bool      // it may have arrived: look before posting
	first    time.Time // when it was first tried
	attempts uint32
	level    Level
	misses   int  // looks in a row that did not find it
	blind    bool // the channel did not let us look: it may be a repeat
	retry    backoff
}

func (l *letter) done() bool { return l.ref != "" || l.dead }

// apply is the state of l after a row of its own.
func (l *letter) apply(d *Delivery) {
	l.level = max(l.level, min(Level(d.Level), LevelText))
	switch d.Status {
	case StatusIntent:
		if l.first.IsZero() {
			l.first = d.At
		}
		l.attempts, l.open, l.misses = d.Attempt, true, 0
	case StatusAccepted, StatusAdopted, StatusPrinted:
		l.ref, l.open = d.TS, false
	case StatusUnknown:
		l.open = true
	case StatusUnsent, StatusTooRich:
		l.open = false
	case StatusDead:
		l.dead, l.open = true, false
	}
}
