package redact

import (
	"strings"
	"unicode/utf8"

	"gatehouse/ingest/event"
)

// maxSegment is the longest path segment that is kept, in bytes after decoding.
// Longer ones are documents, not names.
const maxSegment = 256

// pathWalk is the state between the segments of one path.
type pathWalk struct {
	s        *scratch
	previous string    // the last segment that is a word, "" behind an id
	facts    wordFacts // of previous
	secret   bool      // the segment before announces a secret
	dated    bool      // the segments before are a year
	foreign  bool      // of another request: no objects, and no credential of this one
	coded    bool      // the path has bytes that mean something or must be escaped
}

// wordFacts are what a segment that is a word tells of the next one.
type wordFacts struct {
	secret  bool // it is a secret
	counter bool // numbers count something
	size    uint8
	name    [longestName]byte // of the id, in the route
}

// longestName is the longest name of an id in a route: a word of 48 bytes, with
// "y" and "_id" behind it.
const longestName = 52

func factsOf(word string) (f wordFacts) {
	f.secret, f.counter = announcesSecret(word), isCounter(word)
	f.size = uint8(len(appendIDName(f.name[:0], word)))
	return f
}

// walk is a path as it is stored. It leaves the learned template in route, and
// unless the path is of another request, adds objects and remembers tokens.
func (s *scratch) walk(raw string, foreign bool) string {
	raw = s.clip(raw, event.MaxPath, '/', notePathCut)
	s.buf, s.route = s.buf[:0], s.route[:0]
	w := pathWalk{s: s, foreign: foreign, coded: anyOf(raw)&classCoded != 0}
	for start := 0; start <= len(raw); {
		end := start
		for end < len(raw) && raw[end] != '/' {
			end++
		}
		// Some tokens have slashes in them, which few clients escape.
		if token := tokenAt(raw, start); token > end {
			w.hide(shapeToken, raw[start:token], "")
			if start = token; start == len(raw) {
				break
			}
			continue
		}
		w.segment(raw[start:end], raw[min(end+1, len(raw)):])
		if end == len(raw) {
			break
		}
		s.buf, s.route = append(s.buf, '/'), append(s.route, '/')
		start = end + 1
	}
	if len(s.buf) > event.MaxPath { // escapes and placeholders can make it longer
		s.buf = s.buf[:event.MaxPath]
		s.notes |= notePathCut
	}
	return s.written(raw)
}

// clip cuts a value that is over its limit, back to the last separator: the
// piece of a secret that a cut leaves is not known as one.
func (s *scratch) clip(v string, limit int, separator byte, n notes) string {
	if len(v) <= limit {
		return v
	}
	s.notes |= n
	return v[:strings.LastIndexByte(v[:limit], separator)+1]
}

// segment writes one segment; rest is what follows it.
func (w *pathWalk) segment(raw, rest string) {
	s := w.s
	if w.coded {
		if i := strings.IndexByte(raw, ';'); i >= 0 {
			w.matrix(raw[i+1:])
			raw = raw[:i]
		}
	}
	if raw == "" || !w.secret && w.usual(raw, rest) {
		return
	}
	value, readable := raw, true
	if w.coded {
		value, readable = decode(raw)
	}
	stem, ext := splitFileType(value)
	kind := shapeOf(stem)
	if ext != "" && (kind == shapeWord || kind == shapeText) {
		kind, stem, ext = shapeOf(value), value, ""
	}
	if kind == shapeOpaque && isAsset(ext) { // a content hash
		kind, stem, ext = shapeWord, value, ""
	}
	secret := w.secret
	w.secret = false
	switch {
	case secret && !isHarmless(value):
		w.hide(shapeToken, value, ext)
	case kind.hidden():
		w.hide(kind, stem, ext)
	case !readable || len(value) > maxSegment:
		s.notes |= noteText
		s.write("{text}")
		w.previous = ""
	case kind >= shapeInt:
		w.identity(kind, raw, stem, ext, rest)
	default:
		facts := factsOf(value)
		w.word(raw, value, &facts)
		if kind == shapeWord && raw == value {
			s.words.put(raw, facts)
		}
	}
}

// usual writes a segment of which nothing needs to be found out: a number too
// short for a card's, or a word that occurred before.
func (w *pathWalk) usual(raw, rest string) bool {
	if len(raw) < minPAN && allOf(raw, classDigit) {
		w.identity(shapeInt, raw, raw, "", rest)
		return true
	}
	facts := w.s.words.get(raw)
	if facts == nil {
		return false
	}
	w.word(raw, raw, facts)
	return true
}

// word writes a segment that is kept in path and route alike.
func (w *pathWalk) word(raw, value string, facts *wordFacts) {
	start := len(w.s.buf)
	w.escaped(raw)
	if w.dated = w.dated && isMonth(value); w.dated {
		w.s.route = append(w.s.route, "{date}"...)
	} else {
		w.s.route = append(w.s.route, w.s.buf[start:]...)
	}
	w.previous, w.facts = value, *facts
	w.secret = facts.secret
}

// escaped writes a segment to the path.
func (w *pathWalk) escaped(raw string) {
	if w.coded {
		w.s.buf = appendEscaped(w.s.buf, raw)
	} else {
		w.s.buf = append(w.s.buf, raw...)
	}
}

// write appends the same to path and route.
func (s *scratch) write(text string) {
	s.buf, s.route = append(s.buf, text...), append(s.route, text...)
}

// hide writes the placeholder of a segment that is not kept.
func (w *pathWalk) hide(kind shape, value, ext string) {
	s := w.s
	s.notes |= kind.note()
	s.buf = append(append(s.buf, kind.placeholder()...), ext...)
	switch kind {
	case shapeToken, shapeSecret:
		w.keepStray(ClassToken, value)
		fallthrough
	case shapePAN:
		s.route = append(s.route, kind.placeholder()...)
	default:
		start, end := w.templateName()
		if kind == shapeEmail {
			value = lower(value)
		}
		if !w.foreign {
			s.addObject(object{start: start, end: end, ref: s.reference("fp:", ClassObject, value)})
		}
	}
	s.route = append(s.route, ext...)
	w.previous = ""
}

// identity writes a segment that is an id or a date: kept in the path, a name in
// the route. Assets of a page keep theirs in the route too.
func (w *pathWalk) identity(kind shape, raw, stem, ext, rest string) {
	s := w.s
	w.escaped(raw)
	if ext != "" && !fileTypes[lower(ext[1:])] {
		s.route = appendEscaped(s.route, raw)
		w.previous = ""
		return
	}
	if w.dated = kind == shapeDate || kind == shapeInt && w.partOfDate(stem, rest); w.dated {
		s.route = append(append(s.route, "{date}"...), ext...)
		w.previous = ""
		return
	}
	counts := w.previous != "" && w.facts.counter
	start, end := w.templateName()
	s.route = append(s.route, ext...)
	w.previous = ""
	if !counts && !w.foreign {
		s.addObject(object{start: start, end: end, ref: stem})
	}
}

// partOfDate says whether digits are a date such as 20070127, or the year, month
// or day of a path such as /2007/Jan/27 or /2007/01/27.
func (w *pathWalk) partOfDate(digits, rest string) bool {
	if w.dated {
		return len(digits) <= 2
	}
	if len(digits) == len("20070127") && "1970" <= digits && digits < "21" {
		month, day := digits[4:6], digits[6:]
		return "01" <= month && month <= "12" && "01" <= day && day <= "31"
	}
	if len(digits) != 4 || digits < "1970" || digits > "2099" {
		return false
	}
	next, _, _ := strings.Cut(rest, "/")
	return isMonth(next) || len(next) == 2 && allOf(next, classDigit)
}

func isMonth(s string) bool {
	const names = "jan feb mar apr may jun jul aug sep oct nov dec"
	return len(s) == 3 && strings.IndexByte(s, ' ') < 0 && strings.Contains(names, lower(s))
}

// isCounter says that the numbers behind a word count something and name nothing.
func isCounter(word string) bool {
	switch word {
	case "page", "pages", "p", "offset", "limit", "step", "size", "version":
		return true
	}
	return false
}

// announcesSecret says that the segment behind a word is a one-time credential:
// /reset-password/x7Gq.
func announcesSecret(word string) bool {
	const longest = 24
	if len(word) > longest {
		return false
	}
	switch lower(word) {
	case "reset", "reset-password", "password-reset", "resetpassword", "password", "verify", "verify-email", "activate",
		"activation", "magic", "magic-link", "invite", "invitation", "unsubscribe", "token", "secret", "apikey", "api-key":
		return true
	}
	return false
}

// templateName writes {thing_id} to the route, after the word before, and gives
// the bounds of the name in it.
func (w *pathWalk) templateName() (start, end int) {
	r := append(w.s.route, '{')
	start = len(r)
	if w.previous == "" {
		r = append(r, "id"...)
	} else {
		r = append(r, w.facts.name[:w.facts.size]...)
	}
	end = len(r)
	w.s.route = append(r, '}')
	return start, end
}

// appendIDName appends the name of an id behind a word: order_id behind orders.
func appendIDName(dst []byte, word string) []byte {
	const longest = 48
	if len(word) <= longest && !isVersion(word) && allOf(word, classWord) {
		return append(appendSingular(dst, word), "_id"...)
	}
	return append(dst, "id"...)
}

// isVersion says whether a word is v1, v2.3 and so on.
func isVersion(word string) bool {
	return len(word) > 1 && word[0]|0x20 == 'v' && all(word[1:], func(c byte) bool { return isDigit(c) || c == '.' })
}

// appendSingular appends an English plural without its ending, in lower case and
// with "_" for what is no letter or digit.
func appendSingular(dst []byte, word string) []byte {
	tail := ""
	switch low := lower(word); {
	case len(low) > 4 && strings.HasSuffix(low, "ies"):
		word, tail = word[:len(word)-3], "y"
	case strings.HasSuffix(low, "sses"), strings.HasSuffix(low, "xes"), strings.HasSuffix(low, "ches"), strings.HasSuffix(low, "shes"):
		word = word[:len(word)-2]
	case len(low) > 3 && strings.HasSuffix(low, "s") && !strings.HasSuffix(low, "ss") && !strings.HasSuffix(low, "us") && !strings.HasSuffix(low, "is"):
		word = word[:len(word)-1]
	}
	for i := range len(word) {
		c := word[i]
		switch {
		case isUpper(c):
			c |= 0x20
		case !isAlnum(c):
			c = '_'
		}
		dst = append(dst, c)
	}
	return append(dst, tail...)
}

// matrix drops what stands behind ";" in a segment; a session id is a credential.
func (w *pathWalk) matrix(params string) {
	w.s.notes |= noteMatrixDropped
	for params != "" {
		var param string
		param, params, _ = strings.Cut(params, ";")
		name, value, _ := strings.Cut(param, "=")
		if value != "" && w.s.policy.isSession(name) {
			w.keepStray(ClassSession, value)
		}
	}
}

func (w *pathWalk) keepStray(class Class, token string) {
	if !w.foreign {
		w.s.keepStray(class, token)
	}
}

// decode undoes percent-encoding, once or twice, and removes what does not show.
// readable is false where the result is still encoded.
func decode(s string) (value string, readable bool) {
	const rounds = 2
	for range rounds {
		s = unescape(s)
	}
	s = plain(s)
	return s, !isEscaped(s)
}

// isEscaped says whether percent-encoding is left in s.
func isEscaped(s string) bool {
	i := strings.IndexByte(s, '%')
	if i < 0 {
		return false
	}
	for ; i+2 < len(s); i++ {
		if s[i] == '%' && isHex(s[i+1]) && isHex(s[i+2]) {
			return true
		}
	}
	return false
}

// unescape undoes percent-encoding once; a lone "%" stays.
func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 || !isEscaped(s) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]) {
			b = append(b, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
			continue
		}
		b = append(b, s[i])
	}
	return string(b)
}

func isURLByte(c byte) bool { return classes[c]&classURL != 0 }

// appendEscaped appends s with everything percent-encoded that could be taken
// for a placeholder, hides itself or is no UTF-8.
func appendEscaped(dst []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	i := 0
	for i < len(s) && isURLByte(s[i]) {
		i++
	}
	dst = append(dst, s[:i]...) // mostly all of it
	for i < len(s) {
		c, size := s[i], 1
		keep := isURLByte(c)
		if c >= utf8.RuneSelf {
			var r rune
			r, size = utf8.DecodeRuneInString(s[i:])
			keep = !isHidden(r)
		}
		if keep {
			dst = append(dst, s[i:i+size]...)
			i += size
			continue
		}
		for ; size > 0; size-- {
			dst = append(dst, '%', digits[s[i]>>4], digits[s[i]&15])
			i++
		}
	}
	return dst
}
