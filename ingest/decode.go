package ingest

import (
	"errors"
	"time"

	"gatehouse/ingest/event"
	"gatehouse/ingest/gateway"
	"gatehouse/ingest/redact"
)

// Receiver takes what records become. Every record ends as events, as rejections,
// or as both: a bad element does not lose its siblings.
type Receiver interface {
	// Take takes an event. The event is used again for the next one and shares
	// memory with its record: what is to stay must be copied (event.Event.Clone).
	Take(e *event.Event)
	Reject(r event.Rejection)
}

// Decoder turns records into redacted events: the one way in for Kafka and for
// files. It has memory that it uses again, so each goroutine needs its own.
type Decoder struct {
	redactor *redact.Redactor
	clock    func() time.Time // stamps rejections
	reader   gateway.Reader
	emit     func(int32, *event.Raw)
	reject   func(int32, *event.DecodeError, int)
	event    event.Event

	// Of the record on its way.
	name   string
	origin event.Origin
	size   int
	out    Receiver
}

// NewDecoder makes a Decoder whose rejections have the clock's time.
func NewDecoder(redactor *redact.Redactor, clock func() time.Time) *Decoder {
	d := &Decoder{redactor: redactor, clock: clock}
	d.emit, d.reject = d.redact, d.refuse // a function value costs an allocation
	return d
}

// Decode gives out what one record is. The gateway is its source type, "" to go
// by its look; origin is that of the record's first event. The memory of value
// must never be modified afterwards: events share it.
func (d *Decoder) Decode(name string, origin event.Origin, value []byte, out Receiver) {
	d.name, d.origin, d.size, d.out = name, origin, len(value), out
	d.reader.Decode(name, value, d.emit, d.reject)
	d.out = nil
}

func (d *Decoder) redact(index int32, raw *event.Raw) {
	d.origin.Index = index
	if err := d.redactor.Redact(raw, d.origin, &d.event); err != nil {
		d.refuse(index, asDecodeError(err), d.size)
		return
	}
	d.out.Take(&d.event)
}

func (d *Decoder) refuse(index int32, err *event.DecodeError, size int) {
	d.origin.Index = index
	d.out.Reject(event.Rejection{
		Origin: d.origin, At: d.clock().UnixMicro(), Gateway: known(d.name), Reason: err.Reason, Size: size,
	})
}

// Decoded is a Receiver that keeps everything.
type Decoded struct {
	Events   event.Events
	Rejected []event.Rejection
}

// Take implements Receiver.
func (d *Decoded) Take(e *event.Event) { d.Events.Add(e) }

// Reject implements Receiver.
func (d *Decoded) Reject(r event.Rejection) { d.Rejected = append(d.Rejected, r) }

// known keeps a source type only if it is one of ours: the header is the
// sender's text and dead letters hold none of that.
func known(name string) string {
	if _, ok := gateway.Lookup(name); ok {
		return name
	}
	return ""
}

func asDecodeError(err error) *event.DecodeError {
	var d *event.DecodeError
	if errors.As(err, &d) {
		return d
	}
	return event.Reject(event.ReasonRedaction, "", "")
}
