package event

import (
	"fmt"
	"time"
)

// Batch is what one exact range of offsets became. Every offset of Range that
// held a record is accounted for: its events are in Block, or it is in
// Rejected. (A record that held several elements can be in both: a bad element
// never loses its siblings.) Offsets in neither held no record: control
// records, aborted transactions, compaction.
type Batch struct {
	Range Range
	// At is when this process last knew that it owns the partition. A store refuses
	// what is much older: it comes from a process that slept while another took
	// over.
	At       time.Time
	Block    Block
	Rejected []Rejection
}

// Block is the events of a batch in the form that one sink wants them in. It is
// filled by one goroutine.
type Block interface {
	// Add takes an event. It must keep neither e nor the memory of its strings,
	// which are somebody else's (see Event).
	Add(e *Event)
	// Len is the number of events.
	Len() int
	// Size is the memory in use, in bytes.
	Size() int
}

// Events is the plain Block: the events themselves, with memory of their own.
type Events []Event

// Add implements Block.
func (l *Events) Add(e *Event) { *l = append(*l, e.Clone()) }

// Len implements Block.
func (l *Events) Len() int { return len(*l) }

// Size implements Block: about, since strings are not counted one by one.
func (l *Events) Size() int { return len(*l) * eventBytes }

// eventBytes is an event of the usual size with its strings.
const eventBytes = 1536

// Rejection is one record, or one element of a record, that could not become an
// event: where and why, never what.
type Rejection struct {
	Origin  Origin
	At      int64 // µs since the Unix epoch: when it was rejected
	Gateway string
	Reason  Reason
	Size    int // bytes of the rejected record or element
}

// Reason is why input was rejected; a closed set, so that it can be a metric's
// label and a column.
type Reason string

// The reasons.
const (
	ReasonEmpty          Reason = "empty"           // nothing in it
	ReasonTooLarge       Reason = "too_large"       // over MaxRecordBytes
	ReasonTooMany        Reason = "too_many"        // over MaxElements in one record
	ReasonUnknownGateway Reason = "unknown_gateway" // no source type given and none recognised
	ReasonSyntax         Reason = "syntax"          // not JSON, or not a line of the format
	ReasonMissingField   Reason = "missing_field"   // a required field is absent
	ReasonBadTime        Reason = "bad_time"
	ReasonBadField       Reason = "bad_field"  // a field of the wrong type or out of range
	ReasonNotAccess      Reason = "not_access" // a record that is no access event: an error log, a start-of-stream record
	ReasonRedaction      Reason = "redaction"  // could not be redacted
)

// Reasons lists every Reason, for metrics that start at zero and for schemas.
func Reasons() []Reason {
	return []Reason{
		ReasonEmpty, ReasonTooLarge, ReasonTooMany, ReasonUnknownGateway, ReasonSyntax,
		ReasonMissingField, ReasonBadTime, ReasonBadField, ReasonNotAccess, ReasonRedaction,
	}
}

// DecodeError is a decoder's refusal of one element. Its text names the field
// and what was expected, and never quotes the input.
type DecodeError struct {
	Reason Reason
	Field  string // name of the field in the source format, "" if none
	Want   string // what was expected, such as "RFC 3339 time"
}

func (e *DecodeError) Error() string {
	switch {
	case e.Field != "" && e.Want != "":
		return fmt.Sprintf("%s: field %q: want %s", e.Reason, e.Field, e.Want)
	case e.Field != "":
		return fmt.Sprintf("%s: field %q", e.Reason, e.Field)
	case e.Want != "":
		return fmt.Sprintf("%s: want %s", e.Reason, e.Want)
	}
	return string(e.Reason)
}

// Reject makes a DecodeError.
func Reject(reason Reason, field, want string) *DecodeError {
	return &DecodeError{Reason: reason, Field: field, Want: want}
}
