package ingest

import (
	"context"
	"time"
	"unsafe"

	"gatehouse/ingest/event"
	"gatehouse/ingest/stream"
)

// GatewayHeader is the Kafka record header that names the source type.
const GatewayHeader = "gatehouse-gateway"

// filling is a batch in the making: the same events in a block for each sink.
type filling struct {
	blocks   []event.Block // nil once its sink has it
	rejected []event.Rejection
	count    int   // events
	newest   int64 // µs, of the request times
	day      int64 // of the last event
	days     map[int64]bool
	opened   time.Time
	at       time.Time // when ownership was last proven

	first, last int64 // offsets of its first and last record
	next        int64 // where to go on, past control records too
	records     int
	reserved    int64 // bytes of the ingester's memory
	size        int64 // bytes in use when last looked at
	unseen      int   // bytes of records since
	waited      int   // flush intervals
}

// Take implements Receiver.
func (b *filling) Take(e *event.Event) {
	if day := e.TS / microsPerDay; day != b.day && !b.touch(day) {
		b.Reject(event.Rejection{Origin: e.Origin, At: b.opened.UnixMicro(), Gateway: known(e.Gateway), Reason: event.ReasonBadTime})
		return
	}
	for _, block := range b.blocks {
		block.Add(e)
	}
	b.count++
	b.newest = max(b.newest, e.TS)
}

// touch makes day the batch's current one. It refuses when there are too many:
// ClickHouse makes a part of each, and one record of ten thousand elements with
// wild times must not make it thousands.
func (b *filling) touch(day int64) bool {
	if !b.days[day] {
		if len(b.days) == maxDays {
			return false
		}
		b.days[day] = true
	}
	b.day = day
	return true
}

// A batch closes at fullDays different days; the record that it closes with may
// bring it to maxDays.
const (
	fullDays     = 50
	maxDays      = 100
	microsPerDay = 24 * 60 * 60 * 1_000_000
)

// Reject implements Receiver.
func (b *filling) Reject(r event.Rejection) { b.rejected = append(b.rejected, r) }

// measure looks at how much memory the batch has in use.
func (b *filling) measure() {
	b.unseen = 0
	b.size = int64(len(b.rejected)) * int64(unsafe.Sizeof(event.Rejection{}))
	for _, block := range b.blocks {
		b.size += int64(block.Size())
	}
}

// filler reads, decodes and redacts, and offers batches. While the batch before
// is being stored the next one keeps growing up to its limits, so blocks grow
// under load and stay small without.
type filler struct {
	in      *Ingester
	src     Source
	decoder *Decoder
	batches chan *filling // unbuffered: one batch is stored while one fills
	fetched chan fetched
	rest    fetched // of the last fetch, what did not fit into the batch
	room    int64   // bytes of memory that the next batch asks for at least
	// perRecord is how many bytes a record of the batch before took.
	perRecord int64
}

// fetched is what one look at the partition brought.
type fetched struct {
	records []stream.Record
	next    int64
	err     error
}

func (in *Ingester) newFiller(src Source) *filler {
	return &filler{
		in: in, src: src, decoder: NewDecoder(in.cfg.Redactor, in.cfg.Clock),
		batches: make(chan *filling), fetched: make(chan fetched),
		room: min(firstRoom, int64(in.cfg.BatchBytes)), perRecord: firstPerRecord,
	}
}

// A partition's first batch asks for firstRoom, or for firstPerRecord for each
// record that waits.
const (
	firstRoom      = 2 << 20
	firstPerRecord = 400
)

// run fills batches until ctx ends or reading fails. It closes batches when it
// returns.
func (f *filler) run(ctx context.Context) (err error) {
	defer close(f.batches)
	go f.read(ctx)
	age := time.NewTimer(f.in.cfg.FlushInterval)
	defer age.Stop()
	var b *filling
	due := false
	defer func() {
		if b != nil {
			f.in.memory.Release(b.reserved)
		}
	}()
	for {
		if b == nil && len(f.rest.records) > 0 {
			if b, err = f.open(ctx); err != nil {
				return err
			}
			due = false
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
				b, due = onlyOffset(got.next), true
			}
		case out <- b:
			f.adapt(b)
			b = nil
		case <-age.C:
			if due = b != nil && !f.waits(b); !due {
				age.Reset(f.in.cfg.FlushInterval)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// onlyOffset is a batch of nothing but an offset to go on from, behind control
// records and what compaction removed. It has no blocks and no memory, so nothing
// is put into it.
func onlyOffset(next int64) *filling { return &filling{next: next} }

// waits says that a batch which is old enough may go on growing, because there is
// more to read than it holds: nobody gains by a small block then, and ClickHouse
// would merge it again and again.
func (f *filler) waits(b *filling) bool {
	b.waited++
	return b.waited < backlogIntervals && f.src.Behind() > int64(b.records)
}

// backlogIntervals is how many flush intervals a batch may grow with a backlog.
const backlogIntervals = 8

// open begins a batch when there is memory for it: for what waits to be read, as
// far as is known. Partitions get theirs in the order in which they ask.
func (f *filler) open(ctx context.Context) (*filling, error) {
	waiting := (f.src.Behind() + int64(len(f.rest.records))) * f.perRecord
	room := min(max(f.room, waiting), int64(f.in.cfg.BatchBytes))
	if err := f.in.memory.Acquire(ctx, room); err != nil {
		return nil, err
	}
	return f.in.newFilling(room), nil
}

func (in *Ingester) newFilling(reserved int64) *filling {
	b := &filling{reserved: reserved, day: -1, days: map[int64]bool{}, opened: in.cfg.Clock()}
	for _, sink := range in.cfg.Sinks {
		b.blocks = append(b.blocks, sink.Open())
	}
	return b
}

// adapt lets the next batch ask for twice the memory when this one was full, and
// for half when it needed less than a quarter.
func (f *filler) adapt(b *filling) {
	if b.records == 0 {
		return
	}
	f.perRecord = max(b.size/int64(b.records), 1)
	switch {
	case f.full(b):
		f.room = min(2*f.room, int64(f.in.cfg.BatchBytes))
	case b.size < b.reserved/4:
		f.room = max(f.room/2, min(firstRoom, int64(f.in.cfg.BatchBytes)))
	}
}

// take moves what was fetched into the batch, as far as there is room.
func (f *filler) take(b *filling) {
	if b == nil {
		return
	}
	where := f.src.Range(0, 0)
	for len(f.rest.records) > 0 && !f.full(b) {
		f.in.fill(f.decoder, b, where, &f.rest.records[0])
		f.rest.records = f.rest.records[1:]
		if b.unseen >= bytesPerLook {
			b.measure()
		}
	}
	if b.measure(); len(f.rest.records) == 0 {
		b.next = max(b.next, f.rest.next)
	}
}

// bytesPerLook is how much of records goes into a batch between looks at its
// memory, of which an event takes about half of its record's size.
const bytesPerLook = 128 << 10

// gates says what may happen next: reading stops while there are records that do
// not fit into the batch, which is offered then, or once it is due.
func (f *filler) gates(b *filling, due bool) (in <-chan fetched, out chan<- *filling) {
	full := len(f.rest.records) > 0
	if !full {
		in = f.fetched
	}
	if full || (b != nil && due) {
		out = f.batches
	}
	return in, out
}

func (f *filler) full(b *filling) bool {
	return b.count+len(b.rejected) >= f.in.cfg.BatchEvents || b.size >= b.reserved || len(b.days) >= fullDays
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
func (in *Ingester) fill(d *Decoder, b *filling, where event.Range, rec *stream.Record) {
	if b.records == 0 {
		b.first = rec.Offset
	}
	b.records++
	b.last, b.next, b.unseen = rec.Offset, rec.Offset+1, b.unseen+len(rec.Value)
	origin := event.Origin{Topic: where.Topic, Partition: where.Partition, Offset: rec.Offset}
	d.Decode(in.gatewayOf(where.Topic, rec), origin, rec.Value, b)
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
