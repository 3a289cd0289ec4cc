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

	// What values of some kinds are made of, for allOf.
	classHex
	classWord   // shapeWord: letters, digits and "-_.~"
	classHost   // host names
	classID     // request ids
	classList   // Accept headers
	classMethod // request methods
	classURL    // stands in a path as it is: printable ASCII but for braces
	classShown  // printable ASCII
	classNote   // names of notes
	classMask   // what a masked value is surrounded by
	classJWT    // what JWTs are made of, dots and padding too
	classCoded  // changes a path: "%", ";", "?", "#", and what may not stand in one
)

const (
	classAlpha = classLower | classUpper
	classAlnum = classAlpha | classDigit
)

// classes are the classes of every byte.
var classes = classify()

func classify() [256]uint32 {
	var t [256]uint32
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
	for _, add := range []struct {
		class uint32
		bytes string // that have it too
		of    uint32 // classes of which all bytes have it
	}{
		{classMark, "-_+", 0},
		{classTrigger, "@:=-$~", 0},
		{classHex, "abcdefABCDEF", classDigit},
		{classWord, "-_.~", classAlnum},
		{classHost, "-._", classAlnum},
		{classID, "-._~:/=+@,;|", classAlnum},
		{classList, "-_.~*/+;=, ", classAlnum},
		{classMethod, "-_", classUpper},
		{classNote, "_", classLower | classDigit},
		{classMask, "[]<>(){}*#.-xX", 0},
		{classJWT, "-_.=", classAlnum},
		{classCoded, "%;?#", 0},
	} {
		for c := range t {
			if t[c]&add.of != 0 || strings.IndexByte(add.bytes, byte(c)) >= 0 {
				t[c] |= add.class
			}
		}
	}
	for c := ' '; c < 0x7f; c++ {
		t[c] |= classShown
		if c != ' ' && c != '{' && c != '}' {
			t[c] |= classURL
		}
	}
	for c := range t {
		if t[c]&classURL == 0 {
			t[c] |= classCoded
		}
	}
	return t
}

// allOf says whether s is not empty and every byte of it has the class, which is
// one bit. It has no branch to mispredict; values are short.
func allOf(s string, class uint32) bool {
	all := class
	for i := range len(s) {
		all &= classes[s[i]]
	}
	return all != 0 && s != ""
}

// anyOf gives all classes of which s has a byte.
func anyOf(s string) (any uint32) {
	for i := range len(s) {
		any |= classes[s[i]]
	}
	return any
}

// cutByte is strings.Cut at one byte, without the detours.
func cutByte(s string, sep byte) (before, after string, found bool) {
	if i := strings.IndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

func isDigit(c byte) bool { return classes[c]&classDigit != 0 }
func isLower(c byte) bool { return classes[c]&classLower != 0 }
func isUpper(c byte) bool { return classes[c]&classUpper != 0 }
func isAlpha(c byte) bool { return classes[c]&classAlpha != 0 }
func isAlnum(c byte) bool { return classes[c]&classAlnum != 0 }

func isHex(c byte) bool { return classes[c]&classHex != 0 }

// hexValues are the values of hexadecimal digits.
var hexValues = valueHex()

func valueHex() (t [256]uint8) {
	for v, c := range []byte("0123456789abcdef") {
		t[c] = uint8(v)
		if isLower(c) {
			t[c&^0x20] = uint8(v)
		}
	}
	return t
}

func unhex(c byte) byte { return hexValues[c] }

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
func isPrintable(s string) bool { return s == "" || allOf(s, classShown) }

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
	if anyOf(s)&classUpper == 0 {
		return s
	}
	return strings.ToLower(s)
}

// equalFold compares with an ASCII lower-case word, ignoring case.
func equalFold(s, word string) bool {
	return len(s) == len(word) && strings.EqualFold(s, word)
}
