package stream

import (
	"encoding/binary"

	"github.com/pierrec/lz4/v4"
)

// Parts of an LZ4 frame (lz4_Frame_format.md, version 1.6.x). Numbers are
// little-endian.
const (
	frameMagic       = 0x184D2204
	frameVersion     = 1 << 6
	frameVersionMask = 3 << 6
	frameIndependent = 1 << 5
	frameBlockSum    = 1 << 4
	frameContentSize = 1 << 3
	frameContentSum  = 1 << 2
	frameDictionary  = 1

	frameHeaderSize = 7 // without the size of the content
	blockPlain      = 1 << 31
	blockSmallest   = 64 << 10 // the smallest limit of a block's content
)

// unframe appends the content of one LZ4 frame to out, as the producers of Kafka
// write them: one frame of independent blocks. It reads the blocks in place and
// leaves out the frame's checksums, because the batch has one of its own that
// covers them; together that is most of what the library's reader costs. For
// anything unusual, and for anything wrong, it says no: then the library's reader
// has the word.
func unframe(packed, out []byte, limit int) ([]byte, bool) {
	packed, flags, most, ok := frameHeader(packed)
	for ok && len(packed) >= 4 {
		size := binary.LittleEndian.Uint32(packed)
		packed = packed[4:]
		if size == 0 {
			return out, len(packed) == trailer(flags)
		}
		plain := size&blockPlain != 0
		size &^= blockPlain
		if uint64(size)+uint64(blockTrailer(flags)) > uint64(len(packed)) {
			return nil, false
		}
		out, ok = appendBlock(out, packed[:size], plain, min(most, limit-len(out)), limit)
		packed = packed[int(size)+blockTrailer(flags):]
	}
	return nil, false
}

// frameHeader returns what follows the header, the frame's flags and the most that
// a block may hold.
func frameHeader(packed []byte) (rest []byte, flags byte, most int, ok bool) {
	if len(packed) < frameHeaderSize || binary.LittleEndian.Uint32(packed) != frameMagic {
		return nil, 0, 0, false
	}
	flags = packed[4]
	size := frameHeaderSize
	if flags&frameContentSize != 0 {
		size += 8
	}
	code := packed[5] >> 4 & 7 // 4 to 7: 64 KiB, 256 KiB, 1 MiB, 4 MiB
	if flags&frameVersionMask != frameVersion || flags&frameIndependent == 0 || flags&frameDictionary != 0 ||
		code < 4 || len(packed) < size {
		return nil, 0, 0, false
	}
	return packed[size:], flags, blockSmallest << (2 * (code - 4)), true
}

func trailer(flags byte) int {
	if flags&frameContentSum != 0 {
		return 4
	}
	return 0
}

func blockTrailer(flags byte) int {
	if flags&frameBlockSum != 0 {
		return 4
	}
	return 0
}

// appendBlock appends the content of one block, at most most bytes. It tries with
// the room that out has before it makes more.
func appendBlock(out, block []byte, plain bool, most, limit int) ([]byte, bool) {
	if plain {
		if len(block) > most {
			return nil, false
		}
		return append(out, block...), true
	}
	for {
		room := min(cap(out)-len(out), most)
		n, err := lz4.UncompressBlock(block, out[len(out):len(out)+room])
		if err == nil {
			return out[:len(out)+n], true
		}
		if room == most || cap(out) > limit {
			return nil, false
		}
		out = grown(out, limit)
	}
}
