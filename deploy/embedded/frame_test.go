package embedded

import (
	"bytes"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestFrames(t *testing.T) {
	noise := make([]byte, 3<<20)
	rand.NewChaCha8([32]byte{1}).Read(noise)
	for name, data := range map[string][]byte{"empty": nil, "text": []byte(strings.Repeat("text ", 500_000)), "noise": noise, "one": {7}} {
		var framed bytes.Buffer
		if n, err := (&frameWriter{out: &framed}).Write(data); n != len(data) || err != nil {
			t.Fatalf("%s: wrote %d (%v)", name, n, err)
		}
		got, err := io.ReadAll(newFrameReader(&framed))
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes came back of %d (%v)", name, len(got), len(data), err)
		}
	}
}

func TestFrameRefuses(t *testing.T) {
	var framed bytes.Buffer
	(&frameWriter{out: &framed}).Write([]byte(strings.Repeat("a", 100)))
	good := framed.Bytes()
	change := func(at int, b byte) []byte {
		bad := bytes.Clone(good)
		bad[at] ^= b
		return bad
	}
	for name, bad := range map[string][]byte{
		"cut head": good[:10], "cut body": good[:len(good)-1], "checksum": change(0, 1), "data": change(len(good)-1, 1), "method": change(16, 0x10),
		"size": change(20, 0x80), "plain size": change(24, 0x80),
	} {
		if _, err := io.ReadAll(newFrameReader(bytes.NewReader(bad))); err == nil {
			t.Errorf("%s: a damaged frame was accepted", name)
		}
	}
}

// FuzzFrameReader checks that no input makes the reader panic or hold more
// than the bound.
func FuzzFrameReader(f *testing.F) {
	var framed bytes.Buffer
	(&frameWriter{out: &framed}).Write([]byte(strings.Repeat("abc", 100)))
	f.Add(framed.Bytes())
	empty, _ := hex.DecodeString("00000000000000000000000000000000" + "82" + "09000000" + "00000000")
	f.Add(empty)
	f.Fuzz(func(t *testing.T, data []byte) {
		io.Copy(io.Discard, newFrameReader(bytes.NewReader(data)))
	})
}
