package store

import (
	"encoding/binary"

	"github.com/ClickHouse/ch-go/proto"
)

// wireStrings are strings as ClickHouse's native format has them: each with its
// length in front. ch-go's own column keeps two numbers of eight bytes for every
// value besides, more than most of our strings are long, and half of a block's
// memory would be that.
type wireStrings struct {
	buf  []byte
	rows int
}

func (s *wireStrings) append(v string) {
	s.buf = append(binary.AppendUvarint(s.buf, uint64(len(v))), v...)
	s.rows++
}

// pad fills up with empty strings.
func (s *wireStrings) pad(rows int) {
	if s.rows < rows {
		s.buf = append(s.buf, make([]byte, rows-s.rows)...)
		s.rows = rows
	}
}

func (s *wireStrings) reset() { s.buf, s.rows = s.buf[:0], 0 }

// Type, Rows, EncodeColumn and WriteColumn implement proto.ColInput.
func (s *wireStrings) Type() proto.ColumnType       { return proto.ColumnTypeString }
func (s *wireStrings) Rows() int                    { return s.rows }
func (s *wireStrings) EncodeColumn(b *proto.Buffer) { b.PutRaw(s.buf) }
func (s *wireStrings) WriteColumn(w *proto.Writer)  { w.ChainWrite(s.buf) }

// wireLists are lists of one or two strings in each element: Array(String), or
// Map(String, String) when there are second ones.
type wireLists struct {
	ends   proto.ColUInt64 // of each row, in elements
	first  wireStrings
	second *wireStrings
}

// end closes the list of row. Rows before it that nothing was said of are empty.
func (l *wireLists) end(row int) {
	var before uint64
	if n := len(l.ends); n > 0 {
		before = l.ends[n-1]
	}
	l.ends = append(pad(l.ends, row, before), uint64(l.first.rows))
}

func (l *wireLists) pad(rows int) { l.ends = pad(l.ends, rows, uint64(l.first.rows)) }

func (l *wireLists) size() int {
	n := 8*len(l.ends) + len(l.first.buf)
	if l.second != nil {
		n += len(l.second.buf)
	}
	return n
}

func (l *wireLists) reset() {
	l.ends = l.ends[:0]
	l.first.reset()
	if l.second != nil {
		l.second.reset()
	}
}

// Type, Rows, EncodeColumn and WriteColumn implement proto.ColInput.
func (l *wireLists) Type() proto.ColumnType {
	if l.second != nil {
		return "Map(String, String)"
	}
	return "Array(String)"
}

// Rows implements proto.ColInput.
func (l *wireLists) Rows() int { return len(l.ends) }

// EncodeColumn implements proto.ColInput.
func (l *wireLists) EncodeColumn(b *proto.Buffer) {
	l.ends.EncodeColumn(b)
	l.first.EncodeColumn(b)
	if l.second != nil {
		l.second.EncodeColumn(b)
	}
}

// WriteColumn implements proto.ColInput.
func (l *wireLists) WriteColumn(w *proto.Writer) {
	w.ChainBuffer(l.EncodeColumn)
}

// wireKeys are numbers of dictionary entries, in as few bytes as the largest of
// them needs.
type wireKeys struct {
	buf   []byte
	width int // bytes of a number: 1, 2 or 4
	rows  int
}

// append adds a number below entries.
func (k *wireKeys) append(key uint32, entries int) {
	if entries > 1<<(8*k.width) {
		k.widen()
	}
	switch k.width {
	case 1:
		k.buf = append(k.buf, byte(key))
	case 2:
		k.buf = binary.LittleEndian.AppendUint16(k.buf, uint16(key))
	default:
		k.buf = binary.LittleEndian.AppendUint32(k.buf, key)
	}
	k.rows++
}

// widen doubles the width of what is there.
func (k *wireKeys) widen() {
	wide := make([]byte, 0, 2*cap(k.buf))
	for i := 0; i < len(k.buf); i += k.width {
		wide = append(wide, k.buf[i:i+k.width]...)
		wide = append(wide, make([]byte, k.width)...)
	}
	k.buf, k.width = wide, 2*k.width
}

func (k *wireKeys) pad(rows int) {
	if k.rows < rows {
		k.buf = append(k.buf, make([]byte, (rows-k.rows)*k.width)...)
		k.rows = rows
	}
}

func (k *wireKeys) reset() { k.buf, k.width, k.rows = k.buf[:0], 1, 0 }

// wireWords are LowCardinality(String): a dictionary and keys into it.
type wireWords struct {
	dict wireStrings
	keys wireKeys
}

// Of the native format of LowCardinality: the version of the keys, and in front
// of each block's keys the flags that it brings its own dictionary, with the
// width of keys in the low byte.
// Source: ClickHouse src/DataTypes/Serializations/SerializationLowCardinality.cpp.
const (
	wordsVersion       = 1
	wordsOwnDictionary = 1<<9 | 1<<10
)

// Type implements proto.ColInput.
func (w *wireWords) Type() proto.ColumnType { return "LowCardinality(String)" }

// Rows implements proto.ColInput.
func (w *wireWords) Rows() int { return w.keys.rows }

// EncodeState implements proto.StateEncoder.
func (w *wireWords) EncodeState(b *proto.Buffer) { b.PutInt64(wordsVersion) }

// EncodeColumn implements proto.ColInput.
func (w *wireWords) EncodeColumn(b *proto.Buffer) {
	b.PutInt64(wordsOwnDictionary | int64(w.keys.width/2)) // UInt8, UInt16, UInt32: 0, 1, 2
	b.PutInt64(int64(w.dict.rows))
	w.dict.EncodeColumn(b)
	b.PutInt64(int64(w.keys.rows))
	b.PutRaw(w.keys.buf)
}

// WriteColumn implements proto.ColInput.
func (w *wireWords) WriteColumn(out *proto.Writer) { out.ChainBuffer(w.EncodeColumn) }
