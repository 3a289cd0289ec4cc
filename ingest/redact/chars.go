package redact

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// The classes of ASCII bytes, one bit each.
const (
	classDigit = 1 << iota
	classLower
	classUpper
	classMark    // "-", "_" and "+": inside an opaque string
	classTrigger // may begin or mark a secret without being a letter or digit
)

// classes are the classes of every byte.
var classes = classify()

func classify() [256]uint8 {
	var t [256]uint8
	for c := range t {
		switch b := byte(c); {
		case '0' <= b && b <= '9':
			t[c] = classDigit
		case 'a' <= b && b <= 'z':
			t[c] = classLower
		case 'A' <= b && b <= 'Z':
			t[c] = classUpper
		}
	}
	for _, b := range []byte("-_+") {
		t[b] |= classMark
	}
	for _, b := range []byte("@:=-$~") {
		t[b] |= classTrigger
	}
	return t
}

func isDigit(c byte) bool { return classes[c]&classDigit != 0 }
func isLower(c byte) bool { return classes[c]&classLower != 0 }
func isUpper(c byte) bool { return classes[c]&classUpper != 0 }
func isAlpha(c byte) bool { return classes[c]&(classLower|classUpper) != 0 }
func isAlnum(c byte) bool { return classes[c]&(classLower|classUpper|classDigit) != 0 }

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

func unhex(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// all says whether s is not empty and ok holds for every byte of it.
func all(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return s != ""
}

// isPrintable says that s holds printable ASCII only, the case in which nothing
// needs to be done.
func isPrintable(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// isHidden says whether a rune shows nothing or changes how its neighbours show:
// control characters, format characters such as the bidirectional overrides, and
// what was no UTF-8.
func isHidden(r rune) bool {
	return r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// plain is s without hidden runes.
func plain(s string) string {
	if isPrintable(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if isHidden(r) {
			return -1
		}
		return r
	}, s)
}

// cut is the longest start of s that is at most limit bytes and does not split a
// rune.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// lower is strings.ToLower for ASCII; it allocates only when something changes.
func lower(s string) string {
	for i := range len(s) {
		if isUpper(s[i]) {
			return strings.ToLower(s)
		}
	}
	return s
}

// equalFold compares with an ASCII lower-case word, ignoring case.
func equalFold(s, word string) bool {
	return len(s) == len(word) && strings.EqualFold(s, word)
}
