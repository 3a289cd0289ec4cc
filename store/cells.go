package store

import (
	"net/netip"
	"unsafe"

	"github.com/ClickHouse/ch-go/proto"

	"gatehouse/ingest/event"
)

// cells are the values of one column in a block.
//
// Only values other than the column's default are put down when they come; the
// gaps before and behind them are filled when the next one comes, or at the end.
// Most sources leave half of the columns empty, and such a column costs a
// comparison per event, and ClickHouse nothing: it is left out of the insert.
type cells interface {
	// add puts down the event's value as that of row, the number of rows so far.
	add(e *event.Event, row int)
	// input is the column with all its rows, or nil when every row has the default.
	input(rows int) proto.ColInput
	// size is the memory in use, in bytes.
	size() int
	reset()
}

// place is where in an event a field of type T lies. A place instead of a
// function: there are 70 fields, and the call is most of what an empty one costs.
type place[T any] struct{ offset uintptr }

func placeOf[T any](field func(*event.Event) *T) place[T] {
	var e event.Event
	return place[T]{uintptr(unsafe.Pointer(field(&e))) - uintptr(unsafe.Pointer(&e))}
}

func (p place[T]) of(e *event.Event) T { return *(*T)(unsafe.Add(unsafe.Pointer(e), p.offset)) }

// pad makes a slice n long with the value given.
func pad[S ~[]T, T any](s S, n int, v T) S {
	for len(s) < n {
		s = append(s, v)
	}
	return s
}

// texts is String.
type texts struct {
	field place[string]
	data  wireStrings
}

func (c *texts) add(e *event.Event, row int) {
	if v := c.field.of(e); v != "" {
		c.data.pad(row)
		c.data.append(v)
	}
}

func (c *texts) input(rows int) proto.ColInput {
	if c.data.rows == 0 {
		return nil
	}
	c.data.pad(rows)
	return &c.data
}

func (c *texts) size() int { return len(c.data.buf) }
func (c *texts) reset()    { c.data.reset() }

// addresses is an IP address as text.
type addresses struct {
	texts
	ip     place[netip.Addr]
	digits []byte
}

func (c *addresses) add(e *event.Event, row int) {
	ip := c.ip.of(e)
	if !ip.IsValid() {
		return
	}
	c.digits = ip.AppendTo(c.digits[:0])
	c.data.pad(row)
	c.data.append(unsafe.String(unsafe.SliceData(c.digits), len(c.digits))) // copied there
}

// numbers is a plain number, 0 by default.
type numbers[T int32 | int64 | uint16 | uint32] struct {
	of   func(*event.Event) T
	data []T
	as   func([]T) proto.ColInput
}

func (c *numbers[T]) add(e *event.Event, row int) {
	if v := c.of(e); v != 0 {
		c.data = append(pad(c.data, row, 0), v)
	}
}

func (c *numbers[T]) input(rows int) proto.ColInput {
	if len(c.data) == 0 {
		return nil
	}
	c.data = pad(c.data, rows, 0)
	return c.as(c.data)
}

func (c *numbers[T]) size() int { return len(c.data) * int(unsafe.Sizeof(T(0))) }
func (c *numbers[T]) reset()    { c.data = c.data[:0] }

// amounts is Nullable(Int64): event.Absent is NULL.
type amounts struct {
	field  place[int64]
	nulls  proto.ColUInt8
	values proto.ColInt64
}

func (c *amounts) add(e *event.Event, row int) {
	if v := c.field.of(e); v != event.Absent {
		c.pad(row)
		c.nulls, c.values = append(c.nulls, 0), append(c.values, v)
	}
}

func (c *amounts) pad(rows int) {
	c.nulls, c.values = pad(c.nulls, rows, 1), pad(c.values, rows, 0)
}

func (c *amounts) input(rows int) proto.ColInput {
	if len(c.nulls) == 0 {
		return nil
	}
	c.pad(rows)
	return &proto.ColNullable[int64]{Nulls: c.nulls, Values: &c.values}
}

func (c *amounts) size() int { return len(c.nulls) + 8*len(c.values) }
func (c *amounts) reset()    { c.nulls, c.values = c.nulls[:0], c.values[:0] }

// lists is Array(String).
type lists struct {
	each func(e *event.Event, add func(string))
	put  func(string) // one function value for all rows
	data wireLists
}

func newLists(each func(*event.Event, func(string))) *lists {
	c := &lists{each: each}
	c.put = c.data.first.append
	return c
}

func (c *lists) add(e *event.Event, row int) {
	before := c.data.first.rows
	if c.each(e, c.put); c.data.first.rows > before {
		c.data.end(row)
	}
}

func (c *lists) input(rows int) proto.ColInput { return inputOf(&c.data, rows) }
func (c *lists) size() int                     { return c.data.size() }
func (c *lists) reset()                        { c.data.reset() }

func inputOf(l *wireLists, rows int) proto.ColInput {
	if len(l.ends) == 0 {
		return nil
	}
	l.pad(rows)
	return l
}

// pairs is Map(String, String), keys in sorted order.
type pairs struct {
	field place[[]event.Label]
	data  wireLists
}

func newPairs(field place[[]event.Label]) *pairs {
	return &pairs{field: field, data: wireLists{second: new(wireStrings)}}
}

func (c *pairs) add(e *event.Event, row int) {
	labels := c.field.of(e)
	if len(labels) == 0 {
		return
	}
	for _, l := range labels {
		c.data.first.append(l.Name)
		c.data.second.append(l.Value)
	}
	c.data.end(row)
}

func (c *pairs) input(rows int) proto.ColInput { return inputOf(&c.data, rows) }
func (c *pairs) size() int                     { return c.data.size() }
func (c *pairs) reset()                        { c.data.reset() }

// same is a column with one value for the whole block, which is known when the
// block is stored.
type same struct{ make func(rows int) proto.ColInput }

func (c *same) add(*event.Event, int)         {}
func (c *same) input(rows int) proto.ColInput { return c.make(rows) }
func (c *same) size() int                     { return 0 }
func (c *same) reset()                        {}
