package gateway

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// walk reads a text with the scanner into the values that encoding/json makes of
// it, except that numbers stay as written.
func walk(s *scanner) any {
	switch s.peek() {
	case '{':
		object := map[string]any{}
		for key, ok := s.enter(); ok; key, ok = s.next() {
			object[key] = walk(s)
		}
		return object
	case '[':
		list := []any{}
		for ok := s.array(); ok; ok = s.more() {
			list = append(list, walk(s))
		}
		return list
	case '"':
		return s.string()
	case 'n':
		s.skip()
		return nil
	case 't', 'f':
		return s.text() == "true"
	}
	return json.Number(s.text())
}

var jsonTexts = []string{
	`{}`, `[]`, `""`, `0`, `-0`, `1.5e+10`, `true`, `false`, `null`, ` { "a" : [ 1 , 2 , { } ] } `,
	`{"a":1,"a":2}`, `{"a":{"b":{"c":[[],[[]]]}}}`, `"\"\\\/\b\f\n\r\t"`, `"\u0041\u00e9\u20ac\ud83d\ude00"`, `"\ud800"`, `"\ud800\u0041"`, `"\udc00\ud800"`,
	`"eight888"`, `"seven77"`, `"nine99999"`, `"fifteen chars 15\n"`, `"straße 東京 😀"`, "\"bad \xff utf8 \xc0\xaf\"", "\"cut \xe2\x82\"",
	``, ` `, `{`, `}`, `[`, `]`, `[1,]`, `{"a":1,}`, `{"a"}`, `{"a":}`, `{a:1}`, `{'a':1}`, `01`, `-`, `1.`, `.1`, `1e`, `+1`, `0x1`, `NaN`, `tru`, `nul`, `truex`,
	`"`, `"\`, `"\x"`, `"\u12"`, `"\u12g4"`, "\"a\nb\"", "\"\x00\"", "{}\x00", `{} {}`, `[1 2]`, `{"a":1 "b":2}`, `"abc\"`, "\xef\xbb\xbf{}", `{"":""}`, `1 `,
	strings.Repeat("[", 64) + strings.Repeat("]", 64), "\x7f", `"` + "\x7f" + `"`,
}

func TestScannerAgreesWithTheLibrary(t *testing.T) {
	for _, text := range jsonTexts {
		compareJSON(t, []byte(text))
	}
}

func compareJSON(t *testing.T, text []byte) {
	t.Helper()
	s := newScanner(new(memory), text)
	got := walk(&s)
	err := s.end()
	if want := json.Valid(text); (err == nil) != want {
		t.Fatalf("%q: error %v, valid is %v", text, err, want)
	}
	skipped := newScanner(new(memory), text)
	skipped.skip()
	if skipErr := skipped.end(); (skipErr == nil) != (err == nil) {
		t.Fatalf("%q: reading says %v, skipping says %v", text, err, skipErr)
	}
	if err != nil {
		return
	}
	gotJSON, err1 := json.Marshal(got)
	var library any
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	err2 := d.Decode(&library)
	wantJSON, err3 := json.Marshal(library)
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatalf("%q: %v, %v, %v", text, err1, err2, err3)
	}
	// Of several invalid bytes in a row we make one U+FFFD, the library one each.
	if utf8.Valid(text) && string(gotJSON) != string(wantJSON) {
		t.Fatalf("%q: got %s, want %s", text, gotJSON, wantJSON)
	}
}

func TestScannerNotesInvalidText(t *testing.T) {
	for text, want := range map[string]notes{
		`{"a":"b"}`: 0, `{"a":"é😀\ud83d\ude00"}`: 0, `{"a":"\ud83d"}`: noteInvalidText, "{\"\xff\":1}": noteInvalidText,
	} {
		s := newScanner(new(memory), []byte(text))
		walk(&s)
		if err := s.end(); err != nil || s.notes != want {
			t.Errorf("%q: notes %b, error %v; want %b", text, s.notes, err, want)
		}
	}
}

func TestScannerCapsDepth(t *testing.T) {
	for depth, ok := range map[int]bool{maxJSONDepth: true, maxJSONDepth + 1: false, 100_000: false} {
		s := newScanner(new(memory), []byte(strings.Repeat("[", depth)+strings.Repeat("]", depth)))
		s.skip()
		if err := s.end(); (err == nil) != ok {
			t.Errorf("depth %d: error %v", depth, err)
		}
	}
}

func FuzzScanner(f *testing.F) {
	for _, text := range jsonTexts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s := newScanner(new(memory), text)
		s.skip()
		if err := s.end(); err != nil && strings.Contains(err.Want, "nesting") {
			return // our cap, not the library's
		}
		compareJSON(t, text)
	})
}
