package redact

import (
	"strings"

	"gatehouse/ingest/event"
)

// name is text that an administrator or a gateway chose: such names often look
// random, so only secrets of known kinds are hidden.
func (s *scratch) name(v string) string {
	if s.clean.has(v) {
		return v
	}
	raw := v
	v = plain(v)
	if h := findKnown(v); h.end > 0 {
		s.notes |= h.shape.note()
		return h.shape.placeholder()
	}
	if v == raw && len(v) <= event.MaxName {
		s.clean.add(v)
		return v
	}
	if len(v) > event.MaxName {
		s.notes |= noteTextCut
	}
	return cut(v, event.MaxName)
}

// text is a value that others wrote, without secrets, hidden runes and what is
// over limit bytes.
func (s *scratch) text(v string, limit int) string {
	if v == "" {
		return ""
	}
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
	if v == "" {
		return ""
	}
	if v = plain(strings.TrimSpace(v)); v == "" {
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
	if v == "" {
		return ""
	}
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
	if len(v) > longest || !allOf(v, classID) || findKnown(v).end > 0 {
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
	case len(v) != size || !allOf(v, classHex):
		s.notes |= noteFieldInvalid
	case strings.Trim(v, "0") != "":
		return lower(v)
	}
	return ""
}

// referrer is origin and path of the page before; its query is dropped, and what
// is no URL too.
func (s *scratch) referrer(v string) string {
	if s.pages.has(v) {
		return v
	}
	whole := v
	v, query, asked := cutByte(v, '?')
	v, _, _ = cutByte(v, '#')
	if asked && query != "" {
		s.notes |= noteReferrerQuery
	}
	origin, path := "", v
	if i := strings.Index(v, "://"); i >= 0 {
		end := len(v)
		if slash := strings.IndexByte(v[i+len("://"):], '/'); slash >= 0 {
			end = i + len("://") + slash
		}
		origin, path = v[:end], v[end:]
		if at := strings.LastIndexByte(origin, '@'); at >= 0 {
			s.notes |= noteToken | noteSecretInText
			origin = v[:i+len("://")] + origin[at+1:]
		}
		if origin = s.origin(origin); origin == "" {
			s.notes |= noteFieldInvalid
			return ""
		}
	} else if !strings.HasPrefix(v, "/") {
		s.notes |= noteFieldInvalid
		return ""
	}
	clean := s.walk(path, true)
	if strings.HasPrefix(v, origin) && clean == path { // nothing to build
		if v == whole {
			s.pages.add(v)
		}
		return v
	}
	return origin + clean
}

// origin is scheme://host[:port] in lower case where both are well formed, else
// "".
func (s *scratch) origin(v string) string {
	scheme, host, _ := strings.Cut(v, "://")
	name, _ := splitPort(host)
	const longest = 16
	if scheme == "" || len(scheme) > longest || !isAlpha(scheme[0]) || !all(scheme, isSchemeByte) || !s.isHost(name) {
		return ""
	}
	return lower(v)
}

func isSchemeByte(c byte) bool { return isAlnum(c) || c == '-' || c == '+' || c == '.' }
