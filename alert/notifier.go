package alert

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Notifier puts messages into channels. Errors are a *[SendError] that says what
// became of the message; any other error is taken as [Unknown]. A Notifier never
// retries by itself: the Manager does, since only it knows what is journaled.
type Notifier interface {
	// Post puts a new message into a channel, or into the thread of p.Thread,
	// and returns the reference by which it is updated and replied to. It
	// stores p.DeliveryID with the message where readers do not see it, so
	// that [Finder] finds it.
	Post(ctx context.Context, p Post) (ref string, err error)
	// Update replaces the message ref by p. Doing it twice is doing it once.
	Update(ctx context.Context, ref string, p Post) error
}

// Finder is a Notifier that can say whether a message arrived.
type Finder interface {
	// Find returns the reference of the message that was posted with p's
	// delivery id to its channel and thread at or after since, "" when there is
	// none. p holds no message. An error with the outcome [Permanent] says that
	// the channel does not let us look: the Manager then posts again, and the
	// message says that it may be a repeat.
	Find(ctx context.Context, p Post, since time.Time) (ref string, err error)
}

// Post is one message on its way to a channel.
type Post struct {
	Channel    string
	Thread     string // reference of the root message, "" for a root message
	Broadcast  bool   // show a reply in the channel too
	DeliveryID string
	Level      Level
	Message    Message
}

// Level is how much of a message is left out because the channel refused it.
type Level uint8

// The ladder of levels.
const (
	LevelFull    Level = iota
	LevelNoTable       // tables as fixed-width text
	LevelShort         // header, reason, and where to look
	LevelText          // no blocks at all
)

var levelNames = [...]string{"full", "no_table", "short", "text"}

func (l Level) String() string { return levelNames[min(l, LevelText)] }

// Outcome says what became of a message that was not accepted.
type Outcome string

// The outcomes of a failed send.
const (
	// Unknown: it may have arrived. The answer was lost, or was of a kind that
	// does not tell. The Manager looks for it before it posts again.
	Unknown Outcome = "unknown"
	// RetryAfter: the channel asked to wait. It may still have arrived.
	RetryAfter Outcome = "retry_after"
	// Unsent: it certainly never left; no look is needed.
	Unsent Outcome = "unsent"
	// TooRich: this form of the message is refused; a plainer one may do.
	TooRich Outcome = "too_rich"
	// Gone: the message to update or reply to is no longer there.
	Gone Outcome = "gone"
	// Denied: no message will be accepted until somebody changes the token, its
	// scopes or the channel.
	Denied Outcome = "denied"
	// Permanent: this message will never be accepted.
	Permanent Outcome = "permanent"
)

// SendError is a send that was not accepted.
type SendError struct {
	Outcome Outcome
	After   time.Duration // for RetryAfter: how long to wait
	Err     error         // never holds a token
}

func (e *SendError) Error() string {
	if e.After > 0 {
		return fmt.Sprintf("%s %s: %v", e.Outcome, e.After, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Outcome, e.Err)
}

// Unwrap returns what the Notifier met.
func (e *SendError) Unwrap() error { return e.Err }

// outcomeOf reads an error of a Notifier.
func outcomeOf(err error) (Outcome, time.Duration) {
	if e, ok := errors.AsType[*SendError](err); ok {
		return e.Outcome, e.After
	}
	return Unknown, 0
}
