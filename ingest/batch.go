package ingest

import (
	"context"
	"time"

	"gatehouse/ingest/event"
	"gatehouse/ingest/stream"
)

// GatewayHeader is the Kafka record header that names the source type.
const GatewayHeader = "gatehouse-gateway"

// filling is a batch in the making.
type filling struct {
	Decoded
	first, last int64 // offsets of its first and last record
	next        int64 // where to go on, past control records too
	records     int
	bytes       int
}

// filler reads, decodes and redacts, and offers batches. While the batch before
// is being stored the next one keeps growing up to its limits, so blocks grow
// under load and stay small without.
type filler struct {
	in      *Ingester
	src     Source
	batches chan *filling // unbuffered: one batch is stored while one fills
	fetched chan fetched
	rest    fetched // of the last fetch, what did not fit into the batch
	last    int     // events of the batch before: how much room the next one gets
}

// fetched is what one look at the partition brought.
type fetched struct {
	records []stream.Record
	next    int64
	err     error
}

func (in *Ingester) newFiller(src Source) *filler {
	return &filler{in: in, src: src, batches: make(chan *filling), fetched: make(chan fetched)}
}

// run fills batches until ctx ends or reading fails. It closes batches when it
// returns.
func (f *filler) run(ctx context.Context) error {
	defer close(f.batches)
	go f.read(ctx)
	age := time.NewTimer(f.in.cfg.FlushInterval)
	defer age.Stop()
	var b *filling
	due := false
	for {
		if b == nil && len(f.rest.records) > 0 {
			b, due = f.open(), false
			age.Reset(f.in.cfg.FlushInterval)
		}
		f.take(b)
		in, out := f.gates(b, due)
		select {
		case got := <-in:
			if got.err != nil {
				return got.err
			}
			if f.rest = got; b == nil && len(got.records) == 0 {
				b, due = &filling{}, true // nothing but an offset to go on from
			}
		case out <- b:
			if b.records > 0 {
				f.last = len(b.Events)
			}
			b = nil
		case <-age.C:
			due = b != nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// open begins a batch with room for as many events as the one before had: an
// event is over a kilobyte, and a list of them that grows is copied again and
// again.
func (f *filler) open() *filling {
	return &filling{Decoded: Decoded{Events: make([]event.Event, 0, f.last)}}
}

// take moves what was fetched into the batch, as far as there is room.
func (f *filler) take(b *filling) {
	if b == nil {
		return
	}
	where := f.src.Range(0, 0)
	for len(f.rest.records) > 0 && !f.full(b) {
		f.in.fill(b, where, &f.rest.records[0])
		f.rest.records = f.rest.records[1:]
	}
	if len(f.rest.records) == 0 {
		b.next = max(b.next, f.rest.next)
	}
}

// gates says what may happen next: reading stops while the batch is full, and a
// batch is offered once it is full or due.
func (f *filler) gates(b *filling, due bool) (in <-chan fetched, out chan<- *filling) {
	full := b != nil && f.full(b)
	if !full {
		in = f.fetched
	}
	if full || (b != nil && due) {
		out = f.batches
	}
	return in, out
}

func (f *filler) full(b *filling) bool {
	return len(b.Events)+len(b.Rejected) >= f.in.cfg.BatchEvents || b.bytes >= f.in.cfg.BatchBytes
}

// read passes on what the partition holds, stepping over offsets that are gone.
func (f *filler) read(ctx context.Context) {
	for {
		records, next, err := f.src.Next(ctx)
		if err != nil {
			next, err = f.in.stepOver(ctx, f.src, err)
		}
		if len(records) > 0 {
			f.in.at(StepFetched)
		}
		select {
		case f.fetched <- fetched{records, next, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// fill decodes and redacts one record into the batch.
func (in *Ingester) fill(b *filling, where event.Range, rec *stream.Record) {
	if b.records == 0 {
		b.first = rec.Offset
	}
	b.records++
	b.last, b.next, b.bytes = rec.Offset, rec.Offset+1, b.bytes+len(rec.Value)
	origin := event.Origin{Topic: where.Topic, Partition: where.Partition, Offset: rec.Offset}
	in.decoder.Decode(in.gatewayOf(where.Topic, rec), origin, rec.Value, &b.Decoded)
}

// gatewayOf is the source type of a record: its header, else its topic's
// configuration, else "" for sniffing.
func (in *Ingester) gatewayOf(topic string, rec *stream.Record) string {
	for _, h := range rec.Headers {
		if h.Key == GatewayHeader {
			return string(h.Value)
		}
	}
	return in.cfg.Gateways[topic]
}
