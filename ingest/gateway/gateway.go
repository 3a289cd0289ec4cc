package gateway

import "gatehouse/ingest/event"

// Decoder decodes one unwrapped record, a log line or a JSON object. On success
// it calls emit exactly once; otherwise it does not call emit and returns an
// *[event.DecodeError]. What [Reader] says of memory holds here too.
type Decoder func(record []byte, emit func(*event.Raw)) error

// decode is a decoder as this package uses it. It gets a raw that was reset; the
// error is nil, or raw is to be reset before it is used again.
type decode func(m *memory, record []byte, raw *event.Raw) *event.DecodeError

// formats are the source types, sorted by name.
var formats = []struct {
	name   string
	decode decode
}{
	{"canonical", decodeCanonical},
	{"clf", decodeCLF},
	{"envoy", decodeEnvoy},
	{"kong", decodeKong},
	{"nginx", decodeNGINX},
	{"traefik", decodeTraefik},
}

// Lookup finds the decoder of a source type.
func Lookup(name string) (Decoder, bool) {
	d := find(name)
	if d == nil {
		return nil, false
	}
	return func(record []byte, emit func(*event.Raw)) error {
		var r Reader
		r.Raw.Reset("")
		if err := d(&r.memory, record, &r.Raw); err != nil {
			return err
		}
		emit(&r.Raw)
		return nil
	}, true
}

func find(name string) decode {
	for i := range formats {
		if formats[i].name == name {
			return formats[i].decode
		}
	}
	return nil
}

// Names lists the source types, sorted.
func Names() []string {
	names := make([]string, len(formats))
	for i := range formats {
		names[i] = formats[i].name
	}
	return names
}

// Reader decodes records one after the other, in memory that it uses again. The
// zero value is ready. A Reader is not safe for concurrent use.
//
// A record is never copied: strings of what is emitted share its memory, so it
// must never be modified once it was handed to Decode, and stays in memory as
// long as a string of it does. The Raw that emit gets, and its lists, are valid
// during that call only; its strings stay.
type Reader struct {
	// Raw is the event at hand. It is exported so that it prints as a placeholder.
	Raw event.Raw

	memory memory
}

// Decode is [Reader.Decode] of a new Reader, for who decodes only a few records.
func Decode(name string, record []byte, emit func(i int32, raw *event.Raw), reject func(i int32, err *event.DecodeError, size int)) {
	new(Reader).Decode(name, record, emit, reject)
}

// Decode decodes the value of one Kafka record, or one line of a file: it peels
// envelopes, then decodes each element with the decoder that name selects. With
// name "" the source type is recognised by the look of each element.
//
// Elements are counted from 0 in i across all envelopes of the record; each ends
// in exactly one call of emit or reject, in order. size is the number of bytes
// of the rejected element. A record over [event.MaxRecordBytes] is one rejected
// element; so is all that follows the first [event.MaxElements] elements, and a
// record in which there is nothing.
func (r *Reader) Decode(name string, record []byte, emit func(i int32, raw *event.Raw), reject func(i int32, err *event.DecodeError, size int)) {
	if r.Raw.Kind == "" { // never used
		r.Raw.Reset("")
	}
	p := peeler{Raw: &r.Raw, memory: &r.memory, emit: emit, reject: reject}
	switch {
	case len(record) > event.MaxRecordBytes:
		p.refuse(event.Reject(event.ReasonTooLarge, "", "at most 1048576 bytes"), len(record))
		return
	case name != "":
		if p.decode = find(name); p.decode == nil {
			p.refuse(event.Reject(event.ReasonUnknownGateway, "", "one of the names that Names lists"), len(record))
			return
		}
	}
	p.peel(record, 0)
}
