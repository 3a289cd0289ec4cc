package stream

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/segmentio/kafka-go/compress"
)

// errTooLarge ends the unpacking of a batch over the limit.
var errTooLarge = errors.New("decompressed batch exceeds the limit")

// usualRatio is how much smaller than its content a packed batch is taken to be
// before one has been seen.
const usualRatio = 4

// unpacker unpacks batches, each into memory of its own, which nothing touches
// afterwards: records are parts of it.
type unpacker struct {
	limit int
	// packed and content are the sizes of the batch before.
	packed, content int
}

// unpack returns the content of a batch. One that is not packed is its own.
func (u *unpacker) unpack(batch *storedBatch) ([]byte, error) {
	kind := compress.Compression(batch.attributes & attrCodec)
	if kind == compress.None {
		return batch.records, nil
	}
	out, err := u.open(kind, batch.records)
	if err != nil {
		return nil, err
	}
	u.packed, u.content = len(batch.records), len(out)
	return out, nil
}

func (u *unpacker) open(kind compress.Compression, packed []byte) ([]byte, error) {
	room := make([]byte, 0, u.room(len(packed)))
	if kind == compress.Lz4 {
		if out, ok := unframe(packed, room, u.limit); ok {
			return out, nil
		}
	}
	codec := kind.Codec()
	if codec == nil {
		return nil, fmt.Errorf("unknown compression %d", kind)
	}
	in := codec.NewReader(bytes.NewReader(packed))
	defer in.Close()
	return readAll(in, room, u.limit)
}

// room is how much memory a batch will probably take, going by the one before, and
// a little more.
func (u *unpacker) room(packed int) int {
	content := packed * usualRatio
	if u.packed > 0 {
		content = int(int64(packed) * int64(u.content) / int64(u.packed))
	}
	return min(content+content/16, u.limit) + bytes.MinRead
}

// readAll appends what is in r to out, up to limit bytes.
func readAll(r io.Reader, out []byte, limit int) ([]byte, error) {
	for {
		if len(out) == cap(out) {
			out = grown(out, limit)
		}
		n, err := r.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		switch {
		case len(out) > limit:
			return nil, errTooLarge
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, err
		}
	}
}

// grown is out with twice the room, but little more than limit.
func grown(out []byte, limit int) []byte {
	more := make([]byte, len(out), min(max(2*cap(out), bytes.MinRead), limit+bytes.MinRead))
	copy(more, out)
	return more
}
