package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gatehouse/ingest/event"
	"gatehouse/ingest/gateway"
	"gatehouse/ingest/stream"
)

// GatewayHeader is the Kafka record header that names the source type.
const GatewayHeader = "gatehouse-gateway"

// filling is a batch in the making.
type filling struct {
	first, last int64 // offsets of its first and last record
	next        int64 // where to go on, past control records too
	records     int
	bytes       int
	events      []event.Event
	rejected    []event.Rejection
}

// filler reads, decodes and redacts, and offers batches. While the batch before
// is being stored the next one keeps growing up to its limits, so blocks grow
// under load and stay small without.
type filler struct {
	in      *Ingester
	src     Source
	batches chan *filling // unbuffered: one batch is stored while one fills
	fetched chan fetched
	last    int // events of the batch before: how much room the next one gets
}

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
		in, out := f.gates(b, due)
		select {
		case got := <-in:
			if got.err != nil {
				return got.err
			}
			if b == nil || b.records == 0 {
				b, due = f.open(), len(got.records) == 0
				age.Reset(f.in.cfg.FlushInterval)
			}
			f.in.fill(b, f.src.Range(0, 0), got)
		case out <- b:
			f.last, b = len(b.events), nil
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
	return &filling{events: make([]event.Event, 0, f.last)}
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
	return len(b.events)+len(b.rejected) >= f.in.cfg.BatchEvents || b.bytes >= f.in.cfg.BatchBytes
}

// read passes on what the partition holds, stepping over offsets that are gone.
func (f *filler) read(ctx context.Context) {
	for {
		records, next, err := f.src.Next(ctx)
		if err != nil {
			if _, err = f.in.stepOver(ctx, f.src, err); err == nil {
				continue
			}
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

// fill decodes and redacts records into the batch. Every record ends as events,
// as rejections, or as both.
func (in *Ingester) fill(b *filling, where event.Range, got fetched) {
	if b.records == 0 && len(got.records) > 0 {
		b.first = got.records[0].Offset
	}
	b.records += len(got.records)
	for i := range got.records {
		in.fillRecord(b, where, &got.records[i])
	}
	b.next = got.next
}

func (in *Ingester) fillRecord(b *filling, where event.Range, rec *stream.Record) {
	b.last, b.bytes = rec.Offset, b.bytes+len(rec.Value)
	name := in.gatewayOf(where.Topic, rec)
	origin := event.Origin{Topic: where.Topic, Partition: where.Partition, Offset: rec.Offset}
	reject := func(index int32, err *event.DecodeError, size int) {
		origin.Index = index
		b.rejected = append(b.rejected, event.Rejection{
			Origin: origin, At: in.cfg.Clock().UnixMicro(), Gateway: known(name), Reason: err.Reason, Size: size,
		})
	}
	emit := func(index int32, raw event.Raw) {
		origin.Index = index
		e, err := in.cfg.Redactor.Redact(&raw, origin)
		if err != nil {
			reject(index, asDecodeError(err), len(rec.Value))
			return
		}
		b.events = append(b.events, e)
	}
	gateway.Decode(name, rec.Value, emit, reject)
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

// resume settles what the owner before left: a declared batch is replayed with
// exactly its range, which stores it or finds it stored.
func (in *Ingester) resume(ctx context.Context, src Source) error {
	offset, metadata := src.Position()
	declared, found, err := parseIntent(metadata)
	if err != nil {
		return fmt.Errorf("resume at offset %d: %w", offset, err)
	}
	if !found {
		return nil
	}
	r := src.Range(declared.first, declared.last)
	if declared.topicID == r.TopicID {
		return in.replay(ctx, src, r)
	}
	// The topic was deleted and made again: the declared range belongs to the one
	// that is gone.
	_, err = in.stepOver(ctx, src, &stream.RecreatedError{
		Topic: r.Topic, Partition: r.Partition, Was: declared.topicID, Is: r.TopicID, Committed: declared.first,
	})
	return err
}

func (in *Ingester) replay(ctx context.Context, src Source, r event.Range) error {
	in.cfg.Log.InfoContext(ctx, "declared batch replayed", "batch", r.String())
	src.Seek(r.First)
	b := &filling{first: r.First, last: r.Last, next: r.First}
	for b.next <= r.Last {
		records, next, err := src.Next(ctx)
		if err != nil {
			if next, err = in.stepOver(ctx, src, err); err != nil {
				return fmt.Errorf("replay batch %s: %w", r, err)
			}
		}
		in.fill(b, r, fetched{records: upTo(records, r.Last), next: next})
	}
	if err := in.append(ctx, event.Batch{Range: r, Events: b.events, Rejected: b.rejected}); err != nil {
		return err
	}
	src.Seek(r.Last + 1)
	if err := src.Commit(ctx, r.Last+1, ""); err != nil {
		return fmt.Errorf("acknowledge batch %s: %w", r, err)
	}
	in.metrics.replays.Inc()
	return nil
}

// upTo is the records whose offsets do not pass last.
func upTo(records []stream.Record, last int64) []stream.Record {
	for i := range records {
		if records[i].Offset > last {
			return records[:i]
		}
	}
	return records
}
