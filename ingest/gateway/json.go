package gateway

import (
	"encoding/binary"
	"math/bits"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"

	"gatehouse/ingest/event"
)

// maxJSONDepth is how deep objects and arrays may nest.
const maxJSONDepth = 64

// scanner reads one JSON text (RFC 8259) in a single pass. The reader asks for
// what it expects and skips the rest; every byte is checked either way:
//
//	for key, ok := s.enter(); ok; key, ok = s.next() {
//		switch key {
//		case "status":
//			status = s.text()
//		default:
//			s.skip()
//		}
//	}
//	err := s.end()
//
// Between enter or next and the following next exactly one value is taken. The
// first error sticks: from then on every call gives nothing, so it is enough to
// ask end. A member that occurs twice is seen twice, and the last one wins where
// the reader assigns.
//
// Strings without escapes share the memory of the text.
type scanner struct {
	b     []byte
	s     string // the same bytes
	i     int
	depth int
	err   *event.DecodeError
	notes notes

	name   string // of the member at hand, where its table does not know it
	memory *memory
}

func newScanner(m *memory, text []byte) scanner {
	return scanner{b: text, s: view(text), memory: m}
}

// view is text as a string that shares its memory, which must never change then.
func view(text []byte) string { return unsafe.String(unsafe.SliceData(text), len(text)) }

// fail remembers the first error and ends the scan.
func (s *scanner) fail(want string) {
	if s.err == nil {
		s.err = event.Reject(event.ReasonSyntax, "", want)
	}
	s.i = len(s.b)
}

// end checks that nothing but white space follows, and gives the first error.
func (s *scanner) end() *event.DecodeError {
	if s.peek(); s.i < len(s.b) {
		s.fail("one JSON value")
	}
	return s.err
}

// peek skips white space and gives the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if s.i < len(s.b) && s.b[s.i] > ' ' {
		return s.b[s.i]
	}
	return s.peekFar()
}

func (s *scanner) peekFar() byte {
	for ; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// enter goes into the object at hand and gives its first key. Any other value is
// skipped and, unless it is null, noted as ignored.
func (s *scanner) enter() (key string, ok bool) {
	if !s.start('{', '}') {
		return "", false
	}
	return s.key()
}

// next gives the key after the value just taken; not ok at the end of the object.
func (s *scanner) next() (key string, ok bool) {
	if !s.another('}') {
		return "", false
	}
	return s.key()
}

// array goes into the array at hand; ok tells that there is an element. Any
// other value is skipped and, unless it is null, noted as ignored.
func (s *scanner) array() (ok bool) { return s.start('[', ']') }

// more tells whether an element follows the one just taken.
func (s *scanner) more() (ok bool) { return s.another(']') }

// start goes into what open begins and tells whether anything is inside.
func (s *scanner) start(open, closer byte) bool {
	if c := s.peek(); c != open {
		if c != 'n' {
			s.notes |= noteFieldIgnored
		}
		s.skip()
		return false
	}
	if s.depth++; s.depth > maxJSONDepth {
		s.fail("nesting of at most 64")
		return false
	}
	s.i++
	if s.peek() != closer {
		return true
	}
	s.close()
	return false
}

// another tells whether a comma follows, and goes past it or past the closer.
func (s *scanner) another(closer byte) bool {
	switch s.peek() {
	case ',':
		s.i++
		return true
	case closer:
		s.close()
	default:
		s.fail("comma or closing bracket")
	}
	return false
}

func (s *scanner) close() {
	s.i++
	s.depth--
}

func (s *scanner) key() (key string, ok bool) {
	if s.peek() != '"' {
		s.fail("member name in quotes")
		return "", false
	}
	key = s.string()
	return key, s.colon()
}

func (s *scanner) skipKey() {
	if s.peek() != '"' {
		s.fail("member name in quotes")
		return
	}
	s.scanString()
	s.colon()
}

func (s *scanner) colon() bool {
	if s.peek() != ':' {
		s.fail("colon after a member name")
		return false
	}
	s.i++
	return true
}

// text takes a value as text: a string's content, a number or a boolean as
// written. null and "-" are "". An object or array is skipped and noted.
func (s *scanner) text() string {
	if end := s.plainEnd(); end > 0 {
		v := s.s[s.i+1 : end]
		s.i = end + 1
		return absent(v)
	}
	switch c := s.peek(); c {
	case '"':
		if v := s.string(); v != "-" {
			return v
		}
	case 'n':
		s.literal("null")
	case '{', '[':
		s.notes |= noteFieldIgnored
		s.skip()
	default:
		start := s.i
		s.skip()
		if s.err == nil {
			return s.s[start:s.i]
		}
	}
	return ""
}

// skip takes a value and checks it.
func (s *scanner) skip() {
	switch c := s.peek(); c {
	case '"':
		s.scanString()
	case '{':
		for ok := s.start('{', '}'); ok; ok = s.another('}') {
			s.skipKey()
			s.skip()
		}
	case '[':
		for ok := s.array(); ok; ok = s.more() {
			s.skip()
		}
	case 't':
		s.literal("true")
	case 'f':
		s.literal("false")
	case 'n':
		s.literal("null")
	default:
		s.number()
	}
}

func (s *scanner) literal(word string) {
	if !strings.HasPrefix(s.s[s.i:], word) {
		s.fail("true, false or null")
		return
	}
	s.i += len(word)
}

// number passes over a number and checks its grammar.
func (s *scanner) number() {
	if s.i < len(s.b) && s.b[s.i] == '-' {
		s.i++
	}
	first := s.i
	if n := s.digits(); n == 0 || n > 1 && s.b[first] == '0' {
		s.fail("a JSON value")
		return
	}
	if s.i < len(s.b) && s.b[s.i] == '.' {
		s.i++
		if s.digits() == 0 {
			s.fail("digits after the decimal point")
			return
		}
	}
	if s.i < len(s.b) && s.b[s.i]|0x20 == 'e' {
		s.i++
		if s.i < len(s.b) && (s.b[s.i] == '+' || s.b[s.i] == '-') {
			s.i++
		}
		if s.digits() == 0 {
			s.fail("digits in the exponent")
		}
	}
}

func (s *scanner) digits() int {
	start := s.i
	for s.i < len(s.b) && s.b[s.i]-'0' <= 9 {
		s.i++
	}
	return s.i - start
}

// string takes the string at hand, unescaped and valid UTF-8.
func (s *scanner) string() string {
	start, end, plain := s.scanString()
	switch {
	case s.err != nil:
		return ""
	case plain:
		return s.s[start:end]
	}
	return s.clean(s.s[start:end])
}

// Words of eight bytes for scanning strings.
const (
	everyByte = 0x0101010101010101
	topBits   = 0x8080808080808080
)

// plainEnd is where the string at hand ends, if that can be told by words of eight
// bytes alone: it has neither escapes nor bytes outside ASCII, as most have. Else
// it is 0, and nothing is said about the string.
func (s *scanner) plainEnd() int {
	b, i := s.b, s.i+1
	if i > len(b) || b[i-1] != '"' {
		return 0
	}
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		if stop := stops(w); stop != 0 {
			if i += bits.TrailingZeros64(stop) / 8; b[i] == '"' {
				return i
			}
			return 0
		}
	}
	return 0
}

// stops has a bit set in some bytes of w, the lowest of them in the first one that
// is a quote, a backslash, a control character or outside ASCII; those above may
// be borrow.
func stops(w uint64) uint64 {
	return (((w ^ everyByte*'"') - everyByte) | ((w ^ everyByte*'\\') - everyByte) | (w - everyByte*' ') | w) & topBits
}

// scanString passes over the string at hand and gives the bounds of its content.
// plain tells that it has neither escapes nor bytes outside ASCII.
func (s *scanner) scanString() (start, end int, plain bool) {
	b, i := s.b, s.i+1
	start, plain = i, true
	for {
		for i+8 <= len(b) {
			if stop := stops(binary.LittleEndian.Uint64(b[i:])); stop != 0 {
				i += bits.TrailingZeros64(stop) / 8
				break
			}
			i += 8
		}
		if i >= len(b) {
			s.fail("closing quote")
			return 0, 0, false
		}
		switch c := b[i]; {
		case c == '"':
			s.i = i + 1
			return start, i, plain
		case c == '\\':
			plain = false
			n := escapeLen(b[i:])
			if n == 0 {
				s.fail("a JSON escape")
				return 0, 0, false
			}
			i += n
		case c < ' ':
			s.fail("control characters escaped")
			return 0, 0, false
		default:
			plain = plain && c < utf8.RuneSelf
			i++
		}
	}
}

// escapeLen is the length of the escape sequence that b starts with, 0 if it is
// none.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) >= 6 && hexRune(b[2:6]) >= 0 {
			return 6
		}
	}
	return 0
}

// hexRune reads hex digits, -1 if one is none.
func hexRune[T string | []byte](digits T) rune {
	var r rune
	for i := range len(digits) {
		d := hexValue(digits[i])
		if d < 0 {
			return -1
		}
		r = r<<4 | rune(d)
	}
	return r
}

// hexValue is the value of a hex digit, -1 if c is none.
func hexValue(c byte) int {
	switch {
	case c-'0' <= 9:
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// clean unescapes the content of a string that was checked, and replaces what is
// not Unicode, noting it.
func (s *scanner) clean(v string) string {
	if strings.IndexByte(v, '\\') >= 0 {
		v = s.unescape(v)
	}
	return validText(v, &s.notes)
}

// validText replaces what is not UTF-8, noting it.
func validText(v string, n *notes) string {
	if utf8.ValidString(v) {
		return v
	}
	*n |= noteInvalidText
	return strings.ToValidUTF8(v, string(utf8.RuneError))
}

func (s *scanner) unescape(v string) string {
	out := s.memory.buf[:0]
	for {
		i := strings.IndexByte(v, '\\')
		if i < 0 {
			s.memory.buf = append(out, v...)
			return s.memory.made.String(s.memory.buf)
		}
		out = append(out, v[:i]...)
		c := v[i+1]
		if v = v[i+2:]; c != 'u' {
			out = append(out, unescaped(c))
			continue
		}
		var r rune
		r, v = s.codePoint(v)
		out = utf8.AppendRune(out, r)
	}
}

func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

// codePoint reads the digits behind \u, and the second escape of a surrogate
// pair. A surrogate without its other half becomes U+FFFD.
func (s *scanner) codePoint(v string) (rune, string) {
	r, v := hexRune(v[:4]), v[4:]
	if !utf16.IsSurrogate(r) {
		return r, v
	}
	if strings.HasPrefix(v, `\u`) {
		if pair := utf16.DecodeRune(r, hexRune(v[2:6])); pair != utf8.RuneError {
			return pair, v[6:]
		}
	}
	s.notes |= noteInvalidText
	return utf8.RuneError, v
}
