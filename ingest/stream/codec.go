package stream

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/segmentio/kafka-go/compress"
)

// errTooLarge ends the unpacking of a batch over the limit.
var errTooLarge = errors.New("decompressed batch exceeds the limit")

// codecs guards the one change that this package makes to kafka-go's codec
// table. kafka-go unpacks every batch whole and without a limit, and the table
// is its only handle on that.
var codecs sync.Once

// limitCodecs wraps kafka-go's codecs so that no batch unpacks to more than limit
// bytes. It happens once per process, before the first connection; a different
// limit later is refused, since the table is shared.
func limitCodecs(limit int) error {
	codecs.Do(func() {
		for i, codec := range compress.Codecs {
			if codec != nil {
				compress.Codecs[i] = limitedCodec{codec, int64(limit)}
			}
		}
	})
	set, _ := compress.Codecs[compress.Gzip].(limitedCodec)
	if set.limit != int64(limit) {
		return fmt.Errorf("check kafka.max_decompressed: %d: this process already runs with %d; use one value", limit, set.limit)
	}
	return nil
}

type limitedCodec struct {
	compress.Codec
	limit int64
}

// NewReader unpacks at most limit bytes.
func (c limitedCodec) NewReader(r io.Reader) io.ReadCloser {
	return &limitedReader{c.Codec.NewReader(r), c.limit}
}

type limitedReader struct {
	io.ReadCloser
	left int64
}

func (r *limitedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if r.left -= int64(n); r.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}
