package ingest

import (
	"errors"
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
// as both: a bad element does not lose its siblings.
type Decoded struct {
	Events   []event.Event
	Rejected []event.Rejection
}

// Decode adds what one record is to out. The gateway is its source type, "" to go
// by its look; origin is that of the record's first event.
func (d Decoder) Decode(name string, origin event.Origin, value []byte, out *Decoded) {
	reject := func(index int32, err *event.DecodeError, size int) {
		origin.Index = index
		out.Rejected = append(out.Rejected, event.Rejection{
			Origin: origin, At: d.Clock().UnixMicro(), Gateway: known(name), Reason: err.Reason, Size: size,
		})
	}
	emit := func(index int32, raw event.Raw) {
		origin.Index = index
		e, err := d.Redactor.Redact(&raw, origin)
		if err != nil {
			reject(index, asDecodeError(err), len(value))
			return
		}
		out.Events = append(out.Events, e)
	}
	gateway.Decode(name, value, emit, reject)
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
