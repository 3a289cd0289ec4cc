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
	ratio int // content to packed size, of the batch before
}

// unpack returns the content of a batch. One that is not packed is its own.
func (u *unpacker) unpack(batch *storedBatch) ([]byte, error) {
	packed := batch.records
	kind := compress.Compression(batch.attributes & attrCodec)
	if kind == compress.None {
		return packed, nil
	}
	codec := kind.Codec()
	if codec == nil {
		return nil, fmt.Errorf("unknown compression %d", kind)
	}
	in := codec.NewReader(bytes.NewReader(packed))
	defer in.Close()
	out := make([]byte, 0, min((max(u.ratio, usualRatio)+1)*len(packed), u.limit)+bytes.MinRead)
	out, err := readAll(in, out, u.limit)
	if err != nil {
		return nil, err
	}
	u.ratio = len(out) / max(len(packed), 1)
	return out, nil
}

// readAll appends what is in r to out, up to limit bytes.
func readAll(r io.Reader, out []byte, limit int) ([]byte, error) {
	for {
		if len(out) == cap(out) {
			more := make([]byte, len(out), min(2*cap(out), limit+bytes.MinRead))
			copy(more, out)
			out = more
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
