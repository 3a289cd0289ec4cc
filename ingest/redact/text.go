package redact

import (
	"net/url"
	"strings"

	"gatehouse/ingest/event"
)

// name is text that an administrator or a gateway chose: such names often look
// random, so only secrets of known kinds are hidden.
func (s *scratch) name(v string) string {
	v = plain(v)
	if h := findKnown(v); h.end > 0 {
		s.notes |= h.shape.note()
		return h.shape.placeholder()
	}
	if len(v) > event.MaxName {
		s.notes |= noteTextCut
	}
	return cut(v, event.MaxName)
}

// text is a value that others wrote, without secrets, hidden runes and what is
// over limit bytes.
func (s *scratch) text(v string, limit int) string {
	v = plain(v)
	if len(v) > limit {
		s.notes |= noteTextCut
		end := strings.LastIndexAny(v[:limit], " \t,;\"'")
		if end < 0 {
			s.notes |= noteText
			return "{text}"
		}
		v = v[:end]
	}
	h := find(v, 0)
	if h.end == 0 && strings.IndexByte(v, '{') < 0 {
		return v
	}
	s.buf = s.buf[:0]
	from := 0
	for h.end > 0 {
		s.notes |= h.shape.note() | noteSecretInText
		s.buf = appendUnbraced(s.buf, v[from:h.start])
		s.buf = append(s.buf, h.shape.placeholder()...)
		from = h.end
		h = find(v, from)
	}
	s.buf = appendUnbraced(s.buf, v[from:])
	return cut(s.written(v), limit)
}

// appendUnbraced appends text in which nothing can be taken for a placeholder:
// braces become parentheses.
func appendUnbraced(dst []byte, text string) []byte {
	for i := range len(text) {
		switch c := text[i]; c {
		case '{':
			dst = append(dst, '(')
		case '}':
			dst = append(dst, ')')
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// identity is a name of a user or an application. E-mail addresses, card numbers
// and tokens become references, by which equal ones stay equal.
func (s *scratch) identity(v string, class Class) string {
	v = plain(strings.TrimSpace(v))
	if v == "" {
		return ""
	}
	h := findKnown(v)
	switch {
	case strings.IndexByte(v, '@') >= 0:
		s.notes |= noteEmail
		return s.reference("email:", class, lower(v))
	case h.shape == shapePAN:
		s.notes |= notePAN
		return s.reference("pan:", class, v)
	case h.end > 0 || len(v) > event.MaxName:
		s.notes |= noteIdentity
		return s.reference("fp:", class, v)
	}
	return v
}

// credentialID is the gateway's id of a credential. What looks random and is no
// id of a known form may be the credential itself.
func (s *scratch) credentialID(v string) string {
	if shapeOf(strings.TrimSpace(v)) == shapeOpaque {
		s.notes |= noteIdentity
		return s.reference("fp:", ClassAPIKey, strings.TrimSpace(v))
	}
	return s.identity(v, ClassAPIKey)
}

// requestID is the id of a request: random by nature, so only its bytes, its
// length and known kinds of secrets decide.
func (s *scratch) requestID(v string) string {
	if v == "" {
		return ""
	}
	const longest = 128
	safe := func(c byte) bool { return isAlnum(c) || strings.IndexByte("-._~:/=+@,;|", c) >= 0 }
	if len(v) > longest || !all(v, safe) || findKnown(v).end > 0 {
		s.notes |= noteFieldInvalid
		return ""
	}
	return v
}

// traceID is a W3C trace id, also out of a traceparent.
func (s *scratch) traceID(v string) string {
	const size = 32
	if len(v) == len("00-")+size+len("-0123456789abcdef-01") && v[2] == '-' && v[3+size] == '-' {
		v = v[3 : 3+size]
	}
	switch {
	case v == "":
	case len(v) != size || !all(v, isHex):
		s.notes |= noteFieldInvalid
	case strings.Trim(v, "0") != "":
		return lower(v)
	}
	return ""
}

// referrer is origin and path of the page before; its query is dropped, and what
// is no URL too.
func (s *scratch) referrer(v string) string {
	if v == "" {
		return ""
	}
	v, query, asked := strings.Cut(v, "?")
	v, _, _ = strings.Cut(v, "#")
	if asked && query != "" {
		s.notes |= noteReferrerQuery
	}
	origin, path := "", v
	if scheme, rest, ok := strings.Cut(v, "://"); ok {
		host, _, _ := strings.Cut(rest, "/")
		path = rest[len(host):]
		if at := strings.LastIndexByte(host, '@'); at >= 0 {
			s.notes |= noteToken | noteSecretInText
			host = host[at+1:]
		}
		if origin = originOf(scheme, host); origin == "" {
			s.notes |= noteFieldInvalid
			return ""
		}
	} else if !strings.HasPrefix(v, "/") {
		s.notes |= noteFieldInvalid
		return ""
	}
	return origin + s.walk(path, true)
}

// originOf is scheme://host[:port] where both are well formed, else "".
func originOf(scheme, host string) string {
	name, port := splitPort(host)
	if len(scheme) > 16 || !all(scheme, func(c byte) bool { return isLower(c|0x20) || c == '-' || isDigit(c) }) || !isHost(name) {
		return ""
	}
	u := url.URL{Scheme: lower(scheme), Host: lower(name)}
	if port != "" {
		u.Host += ":" + port
	}
	return u.String()
}
