package stream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Offsets that a damaged batch claims for itself are not believed: it ends where
// the batch behind it begins, or with what can be read.
func TestExtentOfDamagedBatch(t *testing.T) {
	const at, end = 2, 10
	two := []Record{{Value: []byte("c")}, {Value: []byte("d")}}
	behind := encode(4, 0, Record{Value: []byte("e")})
	claims := func(delta int32) []byte { // without its right checksum
		raw := encode(at, 0, two...)
		binary.BigEndian.PutUint32(raw[batchLastDeltaAt:], uint32(delta))
		return raw
	}
	for name, c := range map[string]struct {
		bad, behind []byte
		to          int64 // 0 where it cannot be told
	}{
		"too far":                      {claims(5), behind, 4},
		"too near":                     {claims(0), behind, 4},
		"batch behind is cut":          {claims(5), behind[:batchMagicAt+1], 4},
		"nothing behind":               {claims(5), nil, 8},
		"nothing behind, past the end": {claims(1 << 30), nil, end},
		"behind is past the end":       {claims(5), encode(end+1, 0, two...), 8},
		"behind is before":             {claims(5), encode(at, 0, two...), 8},
		"header":                       {claims(-1), behind, 4},
		"header, nothing behind":       {claims(-1), nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := fetcher{link: &link{cfg: Config{MaxDecompressed: 1 << 20, FetchMaxBytes: DefaultFetchMaxBytes}}}
			got := fetched{next: at, end: end}
			err := f.take(&got, append(bytes.Clone(c.bad), c.behind...), newFilter(nil))
			var refused *BatchError
			switch {
			case !errors.As(err, &refused):
				if c.to != 0 || !errors.Is(err, errAnswer) {
					t.Errorf("got %v: want a refusal up to %d", err, c.to)
				}
			case refused.From != at || refused.To != c.to || refused.Reason != BatchCorrupt:
				t.Errorf("got %v: want a corrupt batch, %d to %d", err, at, c.to)
			}
		})
	}
}

// garbling is a connection on which the next fetch is answered with what change
// makes of an answer, and any other with the end of the connection.
func garbling(t *testing.T, answer *kmsg.FetchResponse, change func(frame []byte)) *rawConn {
	here, there := net.Pipe()
	go func() {
		defer there.Close()
		var size [4]byte
		if _, err := io.ReadFull(there, size[:]); err != nil {
			t.Error(err)
			return
		}
		if _, err := io.CopyN(io.Discard, there, int64(binary.BigEndian.Uint32(size[:]))); err != nil {
			t.Error(err)
			return
		}
		body := answer.AppendTo(make([]byte, 4)) // behind the correlation id
		binary.BigEndian.PutUint32(body, 1)
		change(body)
		frame := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
		if _, err := there.Write(frame); err != nil {
			t.Error(err)
		}
	}()
	return &rawConn{conn: here, format: kmsg.NewRequestFormatter()}
}

// What only the way here has damaged is read on another connection, and nothing is
// declared lost.
func TestFetchesDamageAgain(t *testing.T) {
	k := newCluster(t, backends[0].start(t)).withTopic(1)
	k.write(0, 0, 3)
	f := fetcher{link: k.admin.link, topic: k.topic, life: t.Context()}
	part, err := f.roundTrip(t.Context(), f.request(0, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	answer := kmsg.NewPtrFetchResponse()
	answer.SetVersion(fetchVersion)
	answer.Topics = []kmsg.FetchResponseTopic{{Topic: k.topic, Partitions: []kmsg.FetchResponseTopicPartition{*part}}}
	batchAt := func(frame []byte) int { return bytes.Index(frame, part.RecordBatches) }
	for name, change := range map[string]func(frame []byte){
		"record":         func(b []byte) { b[len(b)-1] ^= 1 },
		"header":         func(b []byte) { b[batchAt(b)+batchLastDeltaAt] ^= 0x80 },
		"length":         func(b []byte) { clear(b[batchAt(b)+batchLengthAt:][:4]) },
		"answer":         func(b []byte) { b[14] = 0x7f }, // says that there are two billion topics
		"correlation id": func(b []byte) { b[0] ^= 1 },
	} {
		t.Run(name, func(t *testing.T) {
			f.drop()
			damaged := garbling(t, answer, change)
			f.conn = damaged
			got, err := f.fetch(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			var values []string
			for _, r := range got.records {
				values = append(values, string(r.Value))
			}
			if d := cmp.Diff([]string{"record 0", "record 1", "record 2"}, values); d != "" {
				t.Errorf("values differ (-want +got):\n%s", d)
			}
			if _, err := damaged.conn.Write(nil); !errors.Is(err, io.ErrClosedPipe) || f.conn == damaged {
				t.Errorf("the connection is still in use (%v)", err)
			}
		})
	}
}
