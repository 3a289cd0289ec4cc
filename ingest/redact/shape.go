package redact

import "strings"

// shape is what a value looks like.
type shape uint8

// The shapes. From shapeEmail on a value is replaced by its placeholder
// wherever it stands.
const (
	shapeEmpty shape = iota
	shapeWord        // letters, digits and "_-.~" with the look of words
	shapeText        // anything else that holds nothing to hide
	shapeInt         // up to 19 digits
	shapeUUID
	shapeULID
	shapeDate
	shapeEmail
	shapePAN    // a payment card number
	shapeToken  // a JWT or a token of a known family
	shapeSecret // named as a secret by what stands before it
	shapeOpaque // looks random: may be an id, may be a secret
)

// placeholders are what is written instead of a value of each shape.
var placeholders = [...]string{
	shapeEmpty: "", shapeWord: "{word}", shapeText: "{text}", shapeInt: "{int}", shapeUUID: "{uuid}",
	shapeULID: "{ulid}", shapeDate: "{date}", shapeEmail: "{email}", shapePAN: "{pan}",
	shapeToken: "{token}", shapeSecret: "{secret}", shapeOpaque: "{opaque}",
}

func (s shape) placeholder() string { return placeholders[s] }

// hidden says that a value of this shape is never stored.
func (s shape) hidden() bool { return s >= shapeEmail }

// note is what hiding a value of this shape is called.
func (s shape) note() notes {
	switch s {
	case shapeEmail:
		return noteEmail
	case shapePAN:
		return notePAN
	case shapeToken, shapeSecret:
		return noteToken
	case shapeOpaque:
		return noteOpaque
	}
	return 0
}

// maxInt is the most digits of a number that is kept. Longer ones are opaque.
const maxInt = 19

// shapeOf classifies a whole value.
func shapeOf(s string) shape {
	if s == "" {
		return shapeEmpty
	}
	if allOf(s, classDigit) {
		switch {
		case isPAN(s):
			return shapePAN
		case len(s) > maxInt:
			return shapeOpaque
		}
		return shapeInt
	}
	switch {
	case isUUID(s):
		return shapeUUID
	case isULID(s):
		return shapeULID
	case isDate(s):
		return shapeDate
	}
	if hit := find(s, 0); hit.end > 0 {
		return hit.shape
	}
	if allOf(s, classWord) {
		return shapeWord
	}
	return shapeText
}

func isWordByte(c byte) bool { return classes[c]&classWord != 0 }

// isUUID says whether s is 8-4-4-4-12 hex digits.
func isUUID(s string) bool {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return false
	}
	return allOf(s[:8], classHex) && allOf(s[9:13], classHex) && allOf(s[14:18], classHex) && allOf(s[19:23], classHex) && allOf(s[24:], classHex)
}

// isULID says whether s is 26 digits of Crockford's base 32, all in one case,
// whose time is before the year 4000: half of all random strings of the length
// and alphabet would otherwise pass.
func isULID(s string) bool {
	if len(s) != 26 || s[0] != '0' || s[1] > '1' {
		return false
	}
	up, low := false, false
	for i := range len(s) {
		c := s[i]
		up, low = up || isUpper(c), low || isLower(c)
		if !isAlnum(c) || strings.IndexByte("ilou", c|0x20) >= 0 {
			return false
		}
	}
	return up != low
}

// isDate says whether s is YYYY-MM-DD, alone or followed by T and a time.
func isDate(s string) bool {
	const date, longest = len("2006-01-02"), len("2006-01-02T15:04:05.000000000+00:00")
	if len(s) < date || len(s) > longest || s[4] != '-' || s[7] != '-' {
		return false
	}
	if !allOf(s[:4], classDigit) || !allOf(s[5:7], classDigit) || !allOf(s[8:date], classDigit) {
		return false
	}
	rest := s[date:]
	return rest == "" || rest[0] == 'T' && all(rest[1:], func(c byte) bool {
		return isDigit(c) || strings.IndexByte(":.+-Z", c) >= 0
	})
}

// Digits of a payment card number.
const (
	minPAN = 13
	maxPAN = 19
)

// isPAN says whether digits are a payment card number: its issuer range, its
// length and its check digit.
func isPAN(digits string) bool {
	if len(digits) < minPAN || len(digits) > maxPAN || !issued(digits) {
		return false
	}
	sum := 0
	for i := range len(digits) {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

// issued says whether the first digits are of a range given to card schemes
// (ISO/IEC 7812 majors 3 to 6 and Mastercard's 2221–2720).
func issued(digits string) bool {
	switch digits[0] {
	case '3', '4', '5', '6':
		return true
	case '2':
		return "2221" <= digits[:4] && digits[:4] <= "2720"
	}
	return false
}
