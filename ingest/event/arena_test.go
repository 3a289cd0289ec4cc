package event

import (
	"fmt"
	"strings"
	"testing"
)

// Strings of an arena stay what they were, over the ends of chunks, and do not
// depend on the text that they were made of.
func TestArenaStringsStay(t *testing.T) {
	var a Arena
	var got, want []string
	var text []byte
	for i := range 20_000 {
		text = fmt.Appendf(text[:0], "%d-%s", i, strings.Repeat("x", i%97))
		got, want = append(got, a.String(text)), append(want, string(text))
	}
	for _, size := range []int{0, arenaChunk / 8, arenaChunk/8 + 1, 3 * arenaChunk} {
		text = []byte(strings.Repeat("y", size))
		got, want = append(got, a.String(text)), append(want, string(text))
	}
	for i := range text {
		text[i] = '#'
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("string %d is %q, want %q", i, got[i], want[i])
		}
	}
}

func TestArenaSharesAllocations(t *testing.T) {
	var a Arena
	text := []byte("0123456789abcdef0123456789abcdef")
	if n := testing.AllocsPerRun(1000, func() { a.String(text) }); n > 0.1 {
		t.Errorf("%v allocations per string, want one for some hundred", n)
	}
}
