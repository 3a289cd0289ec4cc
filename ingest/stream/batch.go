package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"
)

// Places in the header of a batch (message format 2, which brokers write since
// Kafka 0.11). All numbers are big-endian.
const (
	batchLengthAt    = 8
	batchLengthEnd   = 12 // the length counts from here
	batchMagicAt     = 16
	batchCRCAt       = 17
	batchChecked     = 21 // the checksum covers what follows
	batchLastDeltaAt = 23
	batchFirstTimeAt = 27
	batchMaxTimeAt   = 35
	batchProducerAt  = 43
	batchCountAt     = 57
	batchHeaderSize  = 61
)

// Attributes of a batch.
const (
	attrCodec         = 0x07
	attrAppendTime    = 0x08
	attrTransactional = 0x10
	attrControl       = 0x20
)

// smallestRecord is a record without key, value and headers.
const smallestRecord = 7

var (
	errChecksum  = errors.New("checksum is wrong")
	errOldFormat = errors.New("message format is older than 2")
	errRecord    = errors.New("malformed record")
)

// castagnoli is the polynomial of Kafka's checksums.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// storedBatch is one batch as the broker stores it.
type storedBatch struct {
	first, last        int64 // offsets; compaction may have removed records between them
	attributes         uint16
	firstTime, maxTime int64 // milliseconds since 1970
	producer           int64
	count              int
	records            []byte // packed as the attributes say
}

// cutBatch reads the batch at the start of b. An answer of the broker may end
// within a batch, which is io.ErrUnexpectedEOF. With errOldFormat the offsets are
// known nevertheless; with errChecksum and errAnswer they may be wrong, and so may
// be where rest begins.
func cutBatch(b []byte) (batch storedBatch, rest []byte, err error) {
	if len(b) <= batchMagicAt {
		return batch, nil, io.ErrUnexpectedEOF
	}
	size := int64(int32(binary.BigEndian.Uint32(b[batchLengthAt:])))
	if size <= batchMagicAt-batchLengthEnd {
		return batch, nil, errAnswer
	}
	end := batchLengthEnd + size
	if end > int64(len(b)) {
		return batch, nil, io.ErrUnexpectedEOF
	}
	b, rest = b[:end], b[end:]
	batch.first = int64(binary.BigEndian.Uint64(b))
	batch.last = batch.first // before format 2: of the last message inside
	if b[batchMagicAt] < 2 {
		return batch, rest, errOldFormat
	}
	delta := int64(0)
	if len(b) >= batchHeaderSize {
		delta = int64(int32(binary.BigEndian.Uint32(b[batchLastDeltaAt:])))
	}
	if len(b) < batchHeaderSize || batch.first < 0 || delta < 0 || batch.first+delta < batch.first {
		return batch, rest, errAnswer
	}
	batch.last += delta
	if crc32.Checksum(b[batchChecked:], castagnoli) != binary.BigEndian.Uint32(b[batchCRCAt:]) {
		return batch, rest, errChecksum
	}
	batch.attributes = binary.BigEndian.Uint16(b[batchChecked:])
	batch.firstTime = int64(binary.BigEndian.Uint64(b[batchFirstTimeAt:]))
	batch.maxTime = int64(binary.BigEndian.Uint64(b[batchMaxTimeAt:]))
	batch.producer = int64(binary.BigEndian.Uint64(b[batchProducerAt:]))
	batch.count = int(int32(binary.BigEndian.Uint32(b[batchCountAt:])))
	batch.records = b[batchHeaderSize:]
	return batch, rest, nil
}

// firstOffset is where the batch at the start of b begins, also if b ends within it.
func firstOffset(b []byte) (offset int64, ok bool) {
	if len(b) <= batchMagicAt || b[batchMagicAt] != 2 {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(b)), true
}

// reader reads the records of a batch out of its unpacked bytes.
type reader struct {
	batch *storedBatch
	data  []byte
	left  int
	err   error
	// names are the header keys of the record before: they repeat.
	names []string
	// headers is where the headers of records are cut from.
	headers []Header
}

func newReader(batch *storedBatch, data []byte) (*reader, error) {
	if batch.count < 0 || batch.count > len(data)/smallestRecord {
		return nil, fmt.Errorf("%w: %d of them in %d bytes", errRecord, batch.count, len(data))
	}
	return &reader{batch: batch, data: data, left: batch.count}, nil
}

// next reads the next record into r and says whether there was one. Key and Value
// are parts of the unpacked bytes.
func (d *reader) next(r *Record) bool {
	if d.left == 0 || d.err != nil {
		return false
	}
	d.left--
	body := cursor{left: d.data}
	size := body.length()
	if size < 0 || size > int64(len(body.left)) {
		d.err = errRecord
		return false
	}
	d.data = body.left[size:]
	body.left = body.left[:size]
	body.skip(1) // attributes, of which there are none
	at := d.batch.firstTime + body.varint()
	if d.batch.attributes&attrAppendTime != 0 {
		at = d.batch.maxTime
	}
	*r = Record{Offset: d.batch.first + body.varint(), Time: time.UnixMilli(at)}
	r.Key = body.bytes()
	r.Value = body.bytes()
	if n := body.length(); n > 0 {
		r.Headers = d.readHeaders(&body, n)
	}
	if body.bad {
		d.err = errRecord
	}
	return d.err == nil
}

func (d *reader) readHeaders(body *cursor, n int64) []Header {
	if n > int64(len(body.left)) { // each takes two bytes or more
		body.bad = true
		return nil
	}
	start := len(d.headers)
	for i := range int(n) {
		name := body.bytes()
		if i == len(d.names) {
			d.names = append(d.names, string(name))
		} else if d.names[i] != string(name) {
			d.names[i] = string(name)
		}
		d.headers = append(d.headers, Header{d.names[i], body.bytes()})
	}
	return d.headers[start:len(d.headers):len(d.headers)]
}

// cursor reads the parts of a record. After a mistake it is bad and returns zeros.
type cursor struct {
	left []byte
	bad  bool
}

func (c *cursor) skip(n int) {
	if n > len(c.left) {
		c.bad, c.left = true, nil
		return
	}
	c.left = c.left[n:]
}

func (c *cursor) varint() int64 {
	if len(c.left) > 0 && c.left[0] < 0x80 { // one byte, as most are
		v := c.left[0]
		c.left = c.left[1:]
		return int64(v>>1) ^ -int64(v&1)
	}
	v, n := binary.Varint(c.left)
	if n <= 0 {
		c.bad, c.left = true, nil
		return 0
	}
	c.left = c.left[n:]
	return v
}

// length is a varint that counts; -1 stands for null.
func (c *cursor) length() int64 {
	n := c.varint()
	if n < -1 {
		c.bad, c.left = true, nil
	}
	return n
}

// bytes is a part of the record, with nothing behind it to be appended to; nil for
// null.
func (c *cursor) bytes() []byte {
	n := c.length()
	if n < 0 || c.bad {
		return nil
	}
	if n > int64(len(c.left)) {
		c.bad, c.left = true, nil
		return nil
	}
	p := c.left[:n:n]
	c.left = c.left[n:]
	return p
}
