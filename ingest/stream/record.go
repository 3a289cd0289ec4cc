package stream

import (
	"io"
	"time"

	"github.com/segmentio/kafka-go/protocol"
)

// Record is one record of a partition. Key and Value belong to the receiver.
type Record struct {
	Offset  int64
	Time    time.Time // as its producer says, even on a LogAppendTime topic: not to be trusted
	Key     []byte
	Value   []byte
	Headers []Header
}

// Header is one name and value of a record.
type Header struct {
	Key   string
	Value []byte
}

// arenaSize is the least memory that keys and values are cut from at once.
const arenaSize = 64 << 10

// arena hands out memory for keys and values in large pieces.
type arena struct{ free []byte }

func (a *arena) take(n int) []byte {
	if n > len(a.free) {
		a.free = make([]byte, max(n, arenaSize))
	}
	p := a.free[:n:n]
	a.free = a.free[n:]
	return p
}

// copyOf copies b out of kafka-go's pages and gives them back.
func (a *arena) copyOf(b protocol.Bytes) ([]byte, error) {
	if b == nil {
		return nil, nil
	}
	p := a.take(b.Len())
	if _, err := io.ReadFull(b, p); err != nil {
		return nil, err
	}
	return p, b.Close()
}

// record copies in out of kafka-go's pages.
func (a *arena) record(in *protocol.Record) (Record, error) {
	out := Record{Offset: in.Offset, Time: in.Time}
	var err error
	if out.Key, err = a.copyOf(in.Key); err != nil {
		return out, err
	}
	if out.Value, err = a.copyOf(in.Value); err != nil {
		return out, err
	}
	if len(in.Headers) > 0 {
		out.Headers = make([]Header, len(in.Headers))
		for i, h := range in.Headers {
			out.Headers[i] = Header(h)
		}
	}
	return out, nil
}

// release gives the pages of a record that is not wanted back.
func release(in *protocol.Record) {
	if in.Key != nil {
		_ = in.Key.Close() // a page reference; never fails
	}
	if in.Value != nil {
		_ = in.Value.Close()
	}
}
