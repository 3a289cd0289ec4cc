package gateway

import (
	"math"

	"gatehouse/ingest/event"
)

// Powers of ten that turn a source's unit into ours: microseconds or bytes.
const (
	fromSeconds = 6
	fromMillis  = 3
	fromMicros  = 0
	fromNanos   = -3
	asIs        = 0
)

// quantity takes a value that counts something and scales it by a power of ten.
// Absent: null, "-", "" and anything negative, which is how gateways write that
// they do not know. What is no number is noted and absent.
func (s *scanner) quantity(scale int) int64 {
	if n, ok := s.count(scale); ok {
		return n
	}
	v := s.text()
	if v == "" {
		return event.Absent
	}
	n, ok := fixed(v, scale)
	if !ok {
		s.notes |= noteFieldIgnored
		return event.Absent
	}
	return max(n, event.Absent)
}

// count takes a plain number of a few digits, as most are, in one pass.
func (s *scanner) count(scale int) (n int64, ok bool) {
	const most = 15 // digits, so that scaling cannot overflow
	s.peek()
	i, b := s.i, s.b
	for i < len(b) && b[i]-'0' <= 9 {
		n = n*10 + int64(b[i]-'0')
		i++
	}
	digits := i - s.i
	if digits == 0 || digits > most || digits > 1 && b[s.i] == '0' || i == len(b) || b[i] != ',' && b[i] != '}' || scale < 0 || scale > fromMillis {
		return 0, false
	}
	for ; scale > 0; scale-- {
		n *= 10
	}
	s.i = i
	return n, true
}

// status takes an HTTP status. null, "-", "" and 0 are 0: no response was sent.
func (s *scanner) status(field string) int {
	if i := s.i; i+3 < len(s.b) && s.b[i]-'1' < 9 && s.b[i+1]-'0' <= 9 && s.b[i+2]-'0' <= 9 && (s.b[i+3] == ',' || s.b[i+3] == '}') {
		s.i += 3
		return int(s.b[i]-'0')*100 + int(s.b[i+1]-'0')*10 + int(s.b[i+2]-'0')
	}
	v := s.text()
	n, ok := parseStatus(v)
	if !ok && s.err == nil {
		s.err = event.Reject(event.ReasonBadField, field, "a status from 0 to 999")
	}
	return n
}

func parseStatus(v string) (int, bool) {
	if v == "" || v == "-" {
		return 0, true
	}
	if len(v) > 3 {
		return 0, false
	}
	n := 0
	for i := range len(v) {
		if v[i]-'0' > 9 {
			return 0, false
		}
		n = n*10 + int(v[i]-'0')
	}
	return n, true
}

// statusList takes an upstream status: one, or one per attempt as in "502, 200"
// and "502 : 200", of which the last counts. What is no status is noted.
func (s *scanner) statusList() int {
	v := s.lastOf(s.text())
	n, ok := parseStatus(v)
	if !ok {
		s.notes |= noteFieldIgnored
	}
	return n
}

// lastOf is the last item of a list with one item per attempt, separated by
// commas or colons between spaces.
func (s *scanner) lastOf(list string) string {
	for i := len(list) - 2; i >= 0; i-- {
		if list[i+1] == ' ' && (list[i] == ',' || list[i] == ':') {
			s.notes |= noteSeveralUpstreams
			return absent(trimSpace(list[i+2:]))
		}
	}
	return absent(list)
}

// absent turns "-" into "".
func absent(v string) string {
	if v == "-" {
		return ""
	}
	return v
}

func trimSpace(v string) string {
	for len(v) > 0 && v[0] <= ' ' {
		v = v[1:]
	}
	for len(v) > 0 && v[len(v)-1] <= ' ' {
		v = v[:len(v)-1]
	}
	return v
}

// maxDigits is how many significant digits fixed keeps; any 18 fit an int64.
const maxDigits = 18

// fixed reads a decimal number times 10^scale, cut towards zero, exactly: 0.001
// seconds are 1000 microseconds, which floating point does not promise.
func fixed(v string, scale int) (int64, bool) {
	negative := len(v) > 0 && v[0] == '-'
	if negative {
		v = v[1:]
	}
	n, digits, point, i := int64(0), 0, false, 0
	for ; i < len(v); i++ {
		c := v[i]
		if c == '.' && !point {
			point = true
			continue
		}
		if c-'0' > 9 {
			break
		}
		switch {
		case digits < maxDigits:
			n = n*10 + int64(c-'0')
			if n > 0 {
				digits++
			}
			if point {
				scale--
			}
		case !point:
			scale++
		}
	}
	if i == 0 || v[:i] == "." {
		return 0, false
	}
	if i < len(v) {
		exponent, ok := exponentOf(v[i:])
		if !ok {
			return 0, false
		}
		scale += exponent
	}
	n, ok := shift(n, scale)
	if negative {
		n = -n
	}
	return n, ok
}

// exponentOf reads e+12, E-3 and the like.
func exponentOf(v string) (int, bool) {
	if v[0]|0x20 != 'e' {
		return 0, false
	}
	v = v[1:]
	negative := len(v) > 0 && v[0] == '-'
	if negative || len(v) > 0 && v[0] == '+' {
		v = v[1:]
	}
	if len(v) == 0 || len(v) > 3 {
		return 0, false
	}
	n, ok := parseStatus(v) // up to three digits, as it happens
	if negative {
		n = -n
	}
	return n, ok
}

// shift multiplies by 10^scale, cut towards zero; not ok when it does not fit.
func shift(n int64, scale int) (int64, bool) {
	for ; scale < 0 && n != 0; scale++ {
		n /= 10
	}
	for ; scale > 0 && n != 0; scale-- {
		if n > math.MaxInt64/10 {
			return 0, false
		}
		n *= 10
	}
	return n, true
}
