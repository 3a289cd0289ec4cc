package event

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Origin is where one event came from, and with that its identity: a record of
// a Kafka partition and, when the record held several events, the position
// inside it. Redelivery of the record gives the same Origin.
//
// For events read from a file, Topic is the file's name, Partition 0 and Offset
// the 1-based line number.
type Origin struct {
	Topic     string
	Partition int32
	Offset    int64
	Index     int32 // position inside the record, 0 for the first or only event
}

// String is the written form "topic/partition/offset", with ".index" behind it
// for the second and later events of one record.
func (o Origin) String() string {
	b := make([]byte, 0, len(o.Topic)+24)
	b = append(b, o.Topic...)
	b = append(b, '/')
	b = strconv.AppendInt(b, int64(o.Partition), 10)
	b = append(b, '/')
	b = strconv.AppendInt(b, o.Offset, 10)
	if o.Index != 0 {
		b = append(b, '.')
		b = strconv.AppendInt(b, int64(o.Index), 10)
	}
	return string(b)
}

// ParseOrigin reads what [Origin.String] writes. A topic may itself contain
// slashes (a file's path does), so the numbers are taken from the end.
func ParseOrigin(s string) (Origin, error) {
	bad := func() (Origin, error) {
		return Origin{}, fmt.Errorf("parse origin %q: want topic/partition/offset[.index]", s)
	}
	last := strings.LastIndexByte(s, '/')
	if last < 1 {
		return bad()
	}
	mid := strings.LastIndexByte(s[:last], '/')
	if mid < 1 {
		return bad()
	}
	offset, index, indexed := strings.Cut(s[last+1:], ".")
	p, err := strconv.ParseInt(s[mid+1:last], 10, 32)
	if err != nil {
		return bad()
	}
	off, err := strconv.ParseInt(offset, 10, 64)
	if err != nil {
		return bad()
	}
	o := Origin{Topic: s[:mid], Partition: int32(p), Offset: off}
	if indexed {
		i, err := strconv.ParseInt(index, 10, 32)
		if err != nil {
			return bad()
		}
		o.Index = int32(i)
	}
	return o, nil
}

// MarshalText implements encoding.TextMarshaler with the written form.
func (o Origin) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (o *Origin) UnmarshalText(text []byte) error {
	got, err := ParseOrigin(string(text))
	if err != nil {
		return err
	}
	*o = got
	return nil
}

// Compare orders origins of one partition: by offset, then index. Origins of
// different partitions have no order; callers compare within a partition.
func (o Origin) Compare(p Origin) int {
	switch {
	case o.Offset != p.Offset:
		return sign(o.Offset - p.Offset)
	default:
		return sign(int64(o.Index) - int64(p.Index))
	}
}

func sign(d int64) int {
	switch {
	case d < 0:
		return -1
	case d > 0:
		return 1
	}
	return 0
}

// Range is the exact span of offsets that one batch covers, both ends included,
// in one incarnation of a topic. TopicID tells a topic from its re-created
// namesake, whose offsets start again at 0.
type Range struct {
	Cluster     string // Kafka cluster id
	Topic       string
	TopicID     string // 32 hex digits
	Partition   int32
	First, Last int64
}

// Token names the batch to ClickHouse (insert_deduplication_token): 32 hex
// digits, equal exactly when cluster, topic id, partition and both offsets are.
func (r Range) Token() string {
	h := sha256.New()
	for _, s := range []string{"gatehouse/batch/1", r.Cluster, r.TopicID} {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	var n [20]byte
	binary.BigEndian.PutUint32(n[:4], uint32(r.Partition))
	binary.BigEndian.PutUint64(n[4:12], uint64(r.First))
	binary.BigEndian.PutUint64(n[12:], uint64(r.Last))
	h.Write(n[:])
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// String is the written form "topic/partition/first-last".
func (r Range) String() string {
	return fmt.Sprintf("%s/%d/%d-%d", r.Topic, r.Partition, r.First, r.Last)
}
