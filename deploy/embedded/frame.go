package embedded

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/go-faster/city"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// The engine's compressed framing: blocks of
//
//	16 bytes  CityHash128 of everything that follows in the block
//	 1 byte   method
//	 4 bytes  size of the compressed data plus these 9 bytes, little endian
//	 4 bytes  size of the data
//	          compressed data
const (
	frameChecksum = 16
	frameHeader   = 9
	methodNone    = 0x02
	methodLZ4     = 0x82
	methodZSTD    = 0x90
	// maxFrameBytes bounds one block, compressed or not; clients send 1 MiB.
	maxFrameBytes = 128 << 20
	// frameBytes is how much data goes into a block that is written here.
	frameBytes = 1 << 20
)

// frameReader undoes the framing. Checksums and sizes are verified before
// anything is decompressed.
type frameReader struct {
	src  io.Reader
	raw  []byte // current block as received
	buf  []byte // room for its data
	data []byte // what of that is still to be read
}

func newFrameReader(src io.Reader) *frameReader { return &frameReader{src: src} }

// Read implements io.Reader.
func (f *frameReader) Read(p []byte) (int, error) {
	for len(f.data) == 0 {
		if err := f.nextBlock(); err != nil {
			return 0, err
		}
	}
	n := copy(p, f.data)
	f.data = f.data[n:]
	return n, nil
}

// nextBlock returns io.EOF at a block boundary only.
func (f *frameReader) nextBlock() error {
	var head [frameChecksum + frameHeader]byte
	if _, err := io.ReadFull(f.src, head[:]); err != nil {
		return err
	}
	size := int(binary.LittleEndian.Uint32(head[frameChecksum+1:]))
	plain := int(binary.LittleEndian.Uint32(head[frameChecksum+5:]))
	if size < frameHeader || size > maxFrameBytes || plain > maxFrameBytes {
		return fmt.Errorf("read compressed block: sizes %d and %d: want at most %d: send smaller batches", size, plain, maxFrameBytes)
	}
	f.raw = append(slices.Grow(f.raw[:0], size), head[frameChecksum:]...)[:size]
	if _, err := io.ReadFull(f.src, f.raw[frameHeader:]); err != nil {
		return fmt.Errorf("read compressed block: %w", io.ErrUnexpectedEOF)
	}
	sum := city.CH128(f.raw)
	if sum.Low != binary.LittleEndian.Uint64(head[:]) || sum.High != binary.LittleEndian.Uint64(head[8:]) {
		return fmt.Errorf("read compressed block: checksum does not match")
	}
	return f.decompress(f.raw[0], f.raw[frameHeader:], plain)
}

func (f *frameReader) decompress(method byte, src []byte, size int) error {
	f.buf = slices.Grow(f.buf[:0], size)[:size]
	buf := f.buf
	var n int
	var err error
	switch method {
	case methodNone:
		n = copy(buf, src)
	case methodLZ4:
		n, err = lz4.UncompressBlock(src, buf)
	case methodZSTD:
		buf, err = unzstd(src, buf)
		n = len(buf)
	default:
		return fmt.Errorf("read compressed block: unknown method 0x%02x", method)
	}
	if err != nil {
		return fmt.Errorf("read compressed block: %w", err)
	}
	if n != size {
		return fmt.Errorf("read compressed block: %d bytes of data, header says %d", n, size)
	}
	f.data = buf
	return nil
}

func unzstd(src, buf []byte) ([]byte, error) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxFrameBytes))
	if err != nil {
		return nil, err
	}
	defer dec.Close()
	return dec.DecodeAll(src, buf[:0])
}

// frameWriter writes data in the framing, LZ4 compressed. Each Write makes
// whole blocks.
type frameWriter struct {
	out io.Writer
	buf []byte
	lz  lz4.Compressor
}

// Write implements io.Writer.
func (f *frameWriter) Write(p []byte) (int, error) {
	for done := 0; done < len(p); {
		n := min(len(p)-done, frameBytes)
		if err := f.block(p[done : done+n]); err != nil {
			return done, err
		}
		done += n
	}
	return len(p), nil
}

func (f *frameWriter) block(p []byte) error {
	const head = frameChecksum + frameHeader
	if need := head + lz4.CompressBlockBound(len(p)); len(f.buf) < need {
		f.buf = make([]byte, need)
	}
	n, err := f.lz.CompressBlock(p, f.buf[head:])
	if err != nil {
		return fmt.Errorf("compress block: %w", err)
	}
	f.buf[frameChecksum] = methodLZ4
	if n == 0 { // not compressible
		f.buf[frameChecksum] = methodNone
		n = copy(f.buf[head:], p)
	}
	binary.LittleEndian.PutUint32(f.buf[frameChecksum+1:], uint32(n+frameHeader))
	binary.LittleEndian.PutUint32(f.buf[frameChecksum+5:], uint32(len(p)))
	sum := city.CH128(f.buf[frameChecksum : head+n])
	binary.LittleEndian.PutUint64(f.buf, sum.Low)
	binary.LittleEndian.PutUint64(f.buf[8:], sum.High)
	_, err = f.out.Write(f.buf[:head+n])
	return err
}
