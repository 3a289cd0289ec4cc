package store

import (
	"fmt"
	"io"
	"net/netip"
	"net/url"

	"github.com/ClickHouse/ch-go/compress"
)

// Compression of what is inserted.
const (
	// CompressionAuto is LZ4, but none for a ClickHouse on this machine: there the
	// half CPU second per million events would buy nothing.
	CompressionAuto = ""
	CompressionLZ4  = "lz4"
	CompressionNone = "none"
)

// compresses says whether inserts are compressed.
func (cfg Config) compresses(u *url.URL) (bool, error) {
	switch cfg.Compression {
	case CompressionLZ4:
		return true, nil
	case CompressionNone:
		return false, nil
	case CompressionAuto:
		ip, err := netip.ParseAddr(u.Hostname())
		return u.Hostname() != "localhost" && (err != nil || !ip.IsLoopback()), nil
	}
	return false, fmt.Errorf("open ClickHouse: compression %q: want %s or %s", cfg.Compression, CompressionLZ4, CompressionNone)
}

// frameBytes is how much goes into one compressed frame.
const frameBytes = 1 << 20

// frameReader is a reader's bytes in ClickHouse's own LZ4 frames, each with its
// checksum, which its HTTP interface takes with decompress=1.
type frameReader struct {
	src   io.Reader
	plain []byte
	lz4   *compress.Writer
	read  int // of lz4.Data
}

func newFrameReader(src io.Reader) *frameReader {
	return &frameReader{src: src, plain: make([]byte, frameBytes), lz4: compress.NewWriter(compress.LevelZero, compress.LZ4)}
}

// Read implements io.Reader.
func (f *frameReader) Read(p []byte) (int, error) {
	if f.read == len(f.lz4.Data) {
		n, err := io.ReadFull(f.src, f.plain)
		if err != nil && err != io.ErrUnexpectedEOF { //nolint:errorlint // ReadFull returns it as it is
			return 0, err // EOF, when nothing was left
		}
		if err := f.lz4.Compress(f.plain[:n]); err != nil {
			return 0, fmt.Errorf("compress block: %w", err)
		}
		f.read = 0
	}
	n := copy(p, f.lz4.Data[f.read:])
	f.read += n
	return n, nil
}
