package stream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pierrec/lz4/v4"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// stamp gives a changed batch its right checksum again.
func stamp(raw []byte) []byte {
	binary.BigEndian.PutUint32(raw[batchCRCAt:], crc32.Checksum(raw[batchChecked:], castagnoli))
	return raw
}

func TestCutBatch(t *testing.T) {
	x := transactions{pid: 7, epoch: 1}
	whole := x.batch([]string{"a", "b", "c"})
	with := func(change func(b []byte) []byte) []byte { return change(bytes.Clone(whole)) }
	for name, c := range map[string]struct {
		raw         []byte
		err         error
		first, last int64
	}{
		"whole":              {whole, nil, 0, 2},
		"two":                {append(bytes.Clone(whole), whole...), nil, 0, 2},
		"changed":            {with(func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), errChecksum, 0, 2},
		"cut in the records": {whole[:len(whole)-1], io.ErrUnexpectedEOF, 0, 0},
		"cut in the header":  {whole[:10], io.ErrUnexpectedEOF, 0, 0},
		"old format":         {with(func(b []byte) []byte { b[batchMagicAt] = 1; b[7] = 9; return b }), errOldFormat, 9, 9},
		"no length":          {with(func(b []byte) []byte { clear(b[batchLengthAt:batchLengthEnd]); return b }), errAnswer, 0, 0},
		"negative span":      {with(func(b []byte) []byte { b[batchLastDeltaAt] = 0xff; return b }), errAnswer, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, rest, err := cutBatch(c.raw)
			if !errors.Is(err, c.err) || (c.err == nil) != (err == nil) {
				t.Fatalf("got %v: want %v", err, c.err)
			}
			if (err == nil || errors.Is(err, errChecksum) || errors.Is(err, errOldFormat)) && (got.first != c.first || got.last != c.last) {
				t.Errorf("got offsets %d to %d: want %d to %d", got.first, got.last, c.first, c.last)
			}
			if name == "two" && !bytes.Equal(rest, whole) {
				t.Error("the second batch is not what is left")
			}
		})
	}
}

// encode writes records the way franz-go does: somebody else's idea of the format.
func encode(base int64, attributes int16, records ...Record) []byte {
	b := kmsg.RecordBatch{
		FirstOffset: base, PartitionLeaderEpoch: -1, Magic: 2, Attributes: attributes, LastOffsetDelta: int32(len(records) - 1),
		FirstTimestamp: 1_767_225_600_000, MaxTimestamp: 1_767_225_700_000, ProducerID: -1, NumRecords: int32(len(records)),
	}
	for i, in := range records {
		r := kmsg.Record{OffsetDelta: int32(i), TimestampDelta64: in.Time.UnixMilli() - b.FirstTimestamp, Key: in.Key, Value: in.Value}
		for _, h := range in.Headers {
			r.Headers = append(r.Headers, kmsg.Header(h))
		}
		body := r.AppendTo(nil)
		r.Length = int32(len(body) - 1) // behind the length, which is one byte while it is zero
		b.Records = r.AppendTo(b.Records)
	}
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[batchLengthAt:], uint32(len(raw)-batchLengthEnd))
	return stamp(raw)
}

func readBatch(raw []byte, limit int) (out []Record, err error) {
	batch, _, err := cutBatch(raw)
	if err != nil {
		return nil, err
	}
	u := unpacker{limit: limit}
	data, err := u.unpack(&batch)
	if err != nil {
		return nil, err
	}
	in, err := newReader(&batch, data)
	if err != nil {
		return nil, err
	}
	var r Record
	for in.next(&r) {
		out = append(out, r)
	}
	return out, in.err
}

// Every part of a record comes through as somebody else's encoder wrote it.
func TestReadsRecords(t *testing.T) {
	at := time.UnixMilli(1_767_225_600_123)
	big := bytes.Repeat([]byte("x"), 70_000)
	want := []Record{
		{Offset: 40, Time: at, Value: []byte("v")},
		{Offset: 41, Time: at.Add(-time.Hour), Key: []byte("k"), Value: big},
		{Offset: 42, Time: at, Key: []byte{}, Value: nil, Headers: []Header{{"a", []byte("1")}, {"b", nil}}},
		{Offset: 43, Time: at, Value: []byte{}, Headers: []Header{{"a", []byte{}}, {"c", []byte("3")}, {"d", []byte("4")}}},
	}
	got, err := readBatch(encode(40, 0, want...), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("records differ (-want +got):\n%s", d)
	}
	got, err = readBatch(encode(40, attrAppendTime, want...), 1<<20)
	if err != nil || !got[1].Time.Equal(time.UnixMilli(1_767_225_700_000)) {
		t.Errorf("got %v, %v: want the broker's time where the batch says so", got[1].Time, err)
	}
}

// What is unpacked is never written to again and nothing can be appended behind a
// part of it: parts of records may be kept and shared.
func TestRecordsAreImmutable(t *testing.T) {
	records := []Record{{Key: []byte("k1"), Value: []byte("v1")}, {Key: []byte("k2"), Value: []byte("v2")}}
	got, err := readBatch(encode(0, 0, records...), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range got {
		_ = append(r.Key, "overwritten"...)
		_ = append(r.Value, "overwritten"...)
	}
	if string(got[0].Value) != "v1" || string(got[1].Key) != "k2" || string(got[1].Value) != "v2" {
		t.Errorf("appending to one part changed another: %v", got)
	}
	f := fetcher{link: &link{cfg: Config{MaxDecompressed: 1 << 20, FetchMaxBytes: DefaultFetchMaxBytes}}}
	packed := func(values ...string) []byte { return pack(t, kafka.Lz4, values...) }
	first, second := fetched{}, fetched{}
	if err := f.take(&first, packed("one", "two"), newFilter(nil)); err != nil {
		t.Fatal(err)
	}
	if err := f.take(&second, packed("six", "ten"), newFilter(nil)); err != nil {
		t.Fatal(err)
	}
	if string(first.records[0].Value) != "one" || string(second.records[0].Value) != "six" {
		t.Errorf("the second batch overwrote the first: %v, %v", first.records, second.records)
	}
}

// pack makes a packed batch of values.
func pack(t testing.TB, codec kafka.Compression, values ...string) []byte {
	t.Helper()
	var records []Record
	for _, v := range values {
		records = append(records, Record{Value: []byte(v), Time: time.UnixMilli(1_767_225_600_000)})
	}
	plain := encode(0, int16(codec), records...)
	var packed bytes.Buffer
	w := compress.Compression(codec).Codec().NewWriter(&packed)
	if _, err := w.Write(plain[batchHeaderSize:]); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	raw := append(plain[:batchHeaderSize:batchHeaderSize], packed.Bytes()...)
	binary.BigEndian.PutUint32(raw[batchLengthAt:], uint32(len(raw)-batchLengthEnd))
	return stamp(raw)
}

// The short way through an LZ4 frame gives what the library's reader gives, or
// leaves the frame to it. (The library checks checksums that the short way leaves
// out.)
func FuzzUnframe(f *testing.F) {
	add := func(content []byte, options ...lz4.Option) {
		var packed bytes.Buffer
		w := lz4.NewWriter(&packed)
		if err := w.Apply(options...); err != nil {
			f.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			f.Fatal(err)
		}
		if err := w.Close(); err != nil {
			f.Fatal(err)
		}
		if got, ok := unframe(packed.Bytes(), make([]byte, 0, 16), 1<<20); !ok || !bytes.Equal(got, content) {
			f.Errorf("did not take a frame of %d bytes, options %v", len(content), options)
		}
		f.Add(packed.Bytes())
	}
	text := bytes.Repeat([]byte("the same line again and again\n"), 10_000)
	add(nil)
	add([]byte("short"))
	add(text)
	add(text, lz4.BlockSizeOption(lz4.Block64Kb), lz4.BlockChecksumOption(true), lz4.ChecksumOption(false))
	add(noise(200_000), lz4.BlockSizeOption(lz4.Block64Kb), lz4.SizeOption(200_000))
	f.Fuzz(func(t *testing.T, packed []byte) {
		const limit = 1 << 20
		got, ok := unframe(packed, make([]byte, 0, 16), limit)
		if !ok {
			return
		}
		if len(got) > limit {
			t.Errorf("%d bytes: over the limit", len(got))
		}
		want, err := readAll(lz4.NewReader(bytes.NewReader(packed)), make([]byte, 0, 16), limit)
		if err == nil && !bytes.Equal(want, got) {
			t.Errorf("got %d bytes that differ from the library's %d", len(got), len(want))
		}
	})
}

// A batch behind readable ones does not take them with it, and its error comes with
// its own offsets when reading has come there.
func TestBadBatchBehindGood(t *testing.T) {
	good := encode(0, 0, Record{Value: []byte("a")}, Record{Value: []byte("b")})
	bad := encode(2, 0, Record{Value: []byte("c")}, Record{Value: []byte("d")})
	bad[len(bad)-1] ^= 1
	f := fetcher{link: &link{cfg: Config{MaxDecompressed: 1 << 20, FetchMaxBytes: DefaultFetchMaxBytes}}, topic: "t"}
	got := fetched{end: 4}
	err := f.take(&got, append(good, bad...), newFilter(nil))
	var refused *BatchError
	if !errors.As(err, &refused) || refused.From != 2 || refused.To != 4 || refused.Reason != BatchCorrupt {
		t.Errorf("got %v: want offsets 2 to 3 corrupt", err)
	}
	if len(got.records) != 2 || got.next != 2 {
		t.Errorf("got %d records and next %d: want 2 and 2", len(got.records), got.next)
	}
	// A batch whose content is wrong although its checksum is right.
	lying := encode(0, 0, Record{Value: []byte("a"), Time: time.UnixMilli(1_767_225_600_000)})
	lying[batchHeaderSize+5] = 0x7e // the length of the value: 63
	got = fetched{}
	if err := f.take(&got, stamp(lying), newFilter(nil)); !errors.As(err, &refused) || refused.Reason != BatchCorrupt || len(got.records) != 0 {
		t.Errorf("got %v, %d records: want a corrupt batch", err, len(got.records))
	}
	many := encode(0, 0, Record{Value: []byte("a")})
	binary.BigEndian.PutUint32(many[batchCountAt:], 1<<30)
	if err := f.take(&got, stamp(many), newFilter(nil)); !errors.As(err, &refused) || !errors.Is(err, errRecord) {
		t.Errorf("got %v: want a batch of a billion records refused", err)
	}
}

// Any bytes are records, or a typed error, and no more memory than the limit.
func FuzzReadBatch(f *testing.F) {
	f.Add([]byte{}, false)
	f.Add(encode(3, 0, Record{Key: []byte("k"), Value: []byte("v"), Headers: []Header{{"h", []byte("x")}}}), false)
	for _, codec := range []kafka.Compression{kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd} {
		f.Add(pack(f, codec, "one", "two", "three"), true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, fix bool) {
		if fix && len(raw) > batchHeaderSize { // or hardly anything gets past the checksum
			binary.BigEndian.PutUint32(raw[batchLengthAt:], uint32(len(raw)-batchLengthEnd))
			stamp(raw)
		}
		reader := fetcher{link: &link{cfg: Config{MaxDecompressed: 1 << 20, FetchMaxBytes: DefaultFetchMaxBytes}}}
		got := fetched{}
		err := reader.take(&got, raw, newFilter(nil))
		var refused *BatchError
		if errors.As(err, &refused) && refused.To <= refused.From {
			t.Errorf("refused %d to %d", refused.From, refused.To)
		}
		size := 0
		for _, r := range got.records {
			size += len(r.Key) + len(r.Value)
		}
		if size != got.bytes {
			t.Errorf("counted %d bytes of %d", got.bytes, size)
		}
	})
}
