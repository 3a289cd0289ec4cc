package ingest

import (
	"errors"
	"slices"
	"time"

	"gatehouse/ingest/event"
	"gatehouse/ingest/gateway"
	"gatehouse/ingest/redact"
)

// Decoder turns records into redacted events: the one way in for Kafka and for
// files.
type Decoder struct {
	Redactor *redact.Redactor
	Clock    func() time.Time // stamps rejections
}

// Decoded is what records became. Every record ends as events, as rejections, or
// as both: a bad element does not lose its siblings. One Decoded is filled by one
// goroutine.
type Decoded struct {
	Events   []event.Event
	Rejected []event.Rejection

	work *decoding // what decoding into it works with
}

// Decode adds what one record is to out. The gateway is its source type, "" to go
// by its look; origin is that of the record's first event.
//
// Events share the memory of value, which must never be modified afterwards; see
// [event.Event] on keeping them.
func (d Decoder) Decode(name string, origin event.Origin, value []byte, out *Decoded) {
	w := out.work
	if w == nil {
		w = newDecoding()
		out.work = w
	}
	w.Decoder, w.out = d, out
	w.name, w.origin, w.size = name, origin, len(value)
	w.reader.Decode(name, value, w.emit, w.reject)
	w.out = nil
}

// decoding is one record on its way. It is used for many, because the reader has
// memory of its own and a function value costs an allocation.
type decoding struct {
	Decoder
	reader gateway.Reader
	emit   func(int32, *event.Raw)
	reject func(int32, *event.DecodeError, int)

	name   string
	origin event.Origin
	size   int
	out    *Decoded
}

func newDecoding() *decoding {
	w := &decoding{}
	w.emit, w.reject = w.redact, w.refuse
	return w
}

// redact makes the event where it is to stay: an event is a kilobyte.
func (w *decoding) redact(index int32, raw *event.Raw) {
	w.origin.Index = index
	n := len(w.out.Events)
	w.out.Events = slices.Grow(w.out.Events, 1)[:n+1] // not cleared: Redact sets every field
	if err := w.Redactor.Redact(raw, w.origin, &w.out.Events[n]); err != nil {
		w.out.Events = w.out.Events[:n]
		w.refuse(index, asDecodeError(err), w.size)
	}
}

func (w *decoding) refuse(index int32, err *event.DecodeError, size int) {
	w.origin.Index = index
	w.out.Rejected = append(w.out.Rejected, event.Rejection{
		Origin: w.origin, At: w.Clock().UnixMicro(), Gateway: known(w.name), Reason: err.Reason, Size: size,
	})
}

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
