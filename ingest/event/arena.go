package event

import "unsafe"

// arenaChunk is the memory that an Arena takes at once, in bytes: some hundred
// computed strings.
const arenaChunk = 16 << 10

// Arena makes strings out of text that was computed. They lie one behind the
// other in chunks, so that one allocation serves many events; a chunk is never
// written twice, and is free when the last string in it is. The zero value is
// ready. An Arena is not safe for concurrent use.
type Arena struct {
	chunk []byte
}

// String is text as a string that nothing else changes.
func (a *Arena) String(text []byte) string {
	if len(text) == 0 {
		return ""
	}
	if len(text) > cap(a.chunk)-len(a.chunk) {
		if len(text) > arenaChunk/8 {
			return string(text) // rather than lose the rest of a chunk
		}
		a.chunk = make([]byte, 0, arenaChunk)
	}
	start := len(a.chunk)
	a.chunk = append(a.chunk, text...)
	return unsafe.String(unsafe.SliceData(a.chunk[start:]), len(text))
}
