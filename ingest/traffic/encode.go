package traffic

import (
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"gatehouse/ingest/event"
)

// Option changes what Encode logs.
type Option uint8

// WithCredential logs what a gateway logs once Gatehouse's recipe for it is in
// place: the credential that it leaves out or masks by default.
const WithCredential Option = 1

// encoders by the name of their gateway.
var encoders = map[string]func(l *line, r *event.Raw, o Option){
	"canonical": canonicalLine,
	"clf":       clfLine,
	"envoy":     envoyLine,
	"kong":      kongLine,
	"nginx":     nginxLine,
	"traefik":   traefikLine,
}

// Gateways lists the formats that Encode writes, sorted.
func Gateways() []string {
	return []string{"canonical", "clf", "envoy", "kong", "nginx", "traefik"}
}

// Encode is the line that the gateway would have logged for the call, without a
// line end: its field names, its units and only what it logs, so most formats
// lose a part of raw. The error says which gateways there are.
func Encode(gateway string, raw *event.Raw, options ...Option) ([]byte, error) {
	return Append(make([]byte, 0, 1536), gateway, raw, options...)
}

// Append is Encode into a buffer that the caller reuses.
func Append(dst []byte, gateway string, raw *event.Raw, options ...Option) ([]byte, error) {
	encode, ok := encoders[gateway]
	if !ok {
		return dst, fmt.Errorf("encode call: gateway %q: want one of %v", gateway, Gateways())
	}
	var o Option
	if slices.Contains(options, WithCredential) {
		o = WithCredential
	}
	l := line{b: dst}
	encode(&l, raw, o)
	return l.b, nil
}

// line builds one line of JSON. It places commas itself.
type line struct{ b []byte }

func (l *line) comma() {
	if n := len(l.b); n > 0 && l.b[n-1] != '{' && l.b[n-1] != '[' && l.b[n-1] != ':' {
		l.b = append(l.b, ',')
	}
}

func (l *line) key(name string) {
	l.comma()
	l.b = append(l.b, '"')
	l.b = append(l.b, name...)
	l.b = append(l.b, '"', ':')
}

// open begins the object under a key; "" is an object without one.
func (l *line) open(name string) {
	if name != "" {
		l.key(name)
	} else {
		l.comma()
	}
	l.b = append(l.b, '{')
}

func (l *line) close() { l.b = append(l.b, '}') }

func (l *line) str(name, v string) {
	l.key(name)
	l.quote(v)
}

// opt writes a string, or nothing when there is none.
func (l *line) opt(name, v string) {
	if v != "" {
		l.str(name, v)
	}
}

// orNull writes a string, or null when there is none.
func (l *line) orNull(name, v string) {
	if v == "" {
		l.raw(name, "null")
		return
	}
	l.str(name, v)
}

func (l *line) num(name string, v int64) {
	l.key(name)
	l.b = strconv.AppendInt(l.b, v, 10)
}

// text writes pieces of a string value that needs no escaping but quotes.
func (l *line) text(name string, pieces ...string) {
	l.key(name)
	l.b = append(l.b, '"')
	for _, p := range pieces {
		l.escape(p)
	}
	l.b = append(l.b, '"')
}

// raw writes a value that is JSON already.
func (l *line) raw(name, json string) {
	l.key(name)
	l.b = append(l.b, json...)
}

// time writes a time in UTC.
func (l *line) time(name string, us int64, layout string) {
	l.key(name)
	l.b = append(l.b, '"')
	l.b = time.UnixMicro(us).UTC().AppendFormat(l.b, layout)
	l.b = append(l.b, '"')
}

// seconds writes µs as a decimal number of seconds with three digits.
func (l *line) seconds(us int64) {
	l.b = strconv.AppendInt(l.b, us/1e6, 10)
	thousandths := us / 1000 % 1000
	l.b = append(l.b, '.', byte('0'+thousandths/100), byte('0'+thousandths/10%10), byte('0'+thousandths%10))
}

func (l *line) quote(s string) {
	l.b = append(l.b, '"')
	l.escape(s)
	l.b = append(l.b, '"')
}

// escape appends s as the inside of a JSON string; invalid UTF-8 becomes U+FFFD.
func (l *line) escape(s string) {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			l.escapeSlow(s)
			return
		}
	}
	l.b = append(l.b, s...)
}

func (l *line) escapeSlow(s string) {
	const digits = "0123456789abcdef"
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			l.b = append(l.b, '\\', byte(c))
		case c < ' ':
			l.b = append(l.b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		default:
			l.b = utf8.AppendRune(l.b, c)
		}
	}
}

// uri is the path with its query.
func (l *line) uri(name string, r *event.Raw) {
	if r.Query == "" {
		l.str(name, r.Path)
		return
	}
	l.text(name, r.Path, "?", r.Query)
}

// protocol is the protocol as HTTP servers write it.
func protocol(r *event.Raw) string {
	switch r.HTTPVersion {
	case "1.0":
		return "HTTP/1.0"
	case "2":
		return "HTTP/2.0"
	case "3":
		return "HTTP/3.0"
	}
	return "HTTP/1.1"
}

// headerSize is about what headers take of a total: gateways that log the size
// of the body alone log that much less.
const headerSize = 140

// bodyBytes is the size of the body when raw counts headers too.
func bodyBytes(r *event.Raw, total int64) int64 {
	if r.BytesScope != event.BytesTotal {
		return total
	}
	return max(total-headerSize, 0)
}
