package store

import (
	"io"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/proto"

	"gatehouse/ingest/event"
)

// block is the events of one batch as columns of audit.events. It is reused from
// batch to batch, so that its memory grows once, and is filled by one goroutine.
type block struct {
	columns []column
	// The cells of columns, by kind, so that adding an event is a few loops and
	// not 70 calls through an interface.
	texts []*texts
	words []*words
	other []cells
	rows  int

	topicID    string
	ingestedAt time.Time
	// What a row says besides the event, after a scan.
	scannedTopicID string
	scannedAt      time.Time
}

func newBlock() *block {
	b := &block{}
	b.columns = b.eventColumns()
	for _, c := range b.columns {
		switch cells := c.cells.(type) {
		case *texts:
			b.texts = append(b.texts, cells)
		case *words:
			b.words = append(b.words, cells)
		default:
			b.other = append(b.other, cells)
		}
	}
	return b
}

// Add implements event.Block.
func (b *block) Add(e *event.Event) {
	for _, c := range b.texts {
		c.add(e, b.rows)
	}
	for _, c := range b.words {
		c.add(e, b.rows)
	}
	for _, c := range b.other {
		c.add(e, b.rows)
	}
	b.rows++
}

// Len implements event.Block.
func (b *block) Len() int { return b.rows }

// Size implements event.Block.
func (b *block) Size() int {
	n := 0
	for _, c := range b.columns {
		n += c.cells.size()
	}
	return n
}

func (b *block) reset() {
	for _, c := range b.columns {
		c.cells.reset()
	}
	b.rows = 0
}

// inputs are the columns that have a value, complete.
func (b *block) inputs() []proto.InputColumn {
	var in []proto.InputColumn
	for _, c := range b.columns {
		if data := c.cells.input(b.rows); data != nil {
			in = append(in, proto.InputColumn{Name: c.name, Data: data})
		}
	}
	return in
}

// insertEvents is the statement that inserts these columns.
func insertEvents(in []proto.InputColumn) string {
	names := make([]string, len(in))
	for i := range in {
		names[i] = quoteName(in[i].Name)
	}
	return "INSERT INTO audit.events (" + strings.Join(names, ", ") + ")"
}

// blockRevision is the protocol revision of blocks sent over HTTP: the oldest,
// without custom serialisation, which every ClickHouse reads.
const blockRevision = 0

// blockReader gives columns as one native block, encoding one at a time: the
// whole block would need its memory twice.
type blockReader struct {
	in   []proto.InputColumn // still to be encoded
	buf  proto.Buffer
	read int
}

func newBlockReader(in []proto.InputColumn, rows int) *blockReader {
	r := &blockReader{in: in}
	r.buf.PutInt(len(in))
	r.buf.PutInt(rows)
	return r
}

// Read implements io.Reader.
func (r *blockReader) Read(p []byte) (int, error) {
	for r.read == len(r.buf.Buf) {
		if len(r.in) == 0 {
			return 0, io.EOF
		}
		r.next()
	}
	n := copy(p, r.buf.Buf[r.read:])
	r.read += n
	return n, nil
}

// next encodes one column.
func (r *blockReader) next() {
	c := r.in[0]
	r.in, r.read = r.in[1:], 0
	r.buf.Reset()
	c.EncodeStart(&r.buf, blockRevision)
	if s, ok := c.Data.(proto.StateEncoder); ok {
		s.EncodeState(&r.buf)
	}
	c.Data.EncodeColumn(&r.buf)
}
