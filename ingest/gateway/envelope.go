package gateway

import (
	"bytes"

	"gatehouse/ingest/event"
)

// maxEnvelopes is how many envelopes may lie in one another: a collector's batch
// around a shipper's event around a container runtime's line.
const maxEnvelopes = 4

// peeler takes a record apart into elements and sees each to its end.
type peeler struct {
	Raw    *event.Raw // the element at hand
	memory *memory
	decode decode // nil = recognise each element
	emit   func(int32, *event.Raw)
	reject func(int32, *event.DecodeError, int)
	count  int  // elements so far
	full   bool // MaxElements reached and said so
}

func (p *peeler) accept() {
	p.emit(int32(p.count), p.Raw)
	p.Raw.Reset("") // at once: it may hold secrets
	p.count++
}

func (p *peeler) refuse(err *event.DecodeError, size int) {
	p.reject(int32(p.count), err, size)
	p.count++
}

// peel sees one text to its end: an array element by element, anything else as
// one element. depth counts the envelopes around it.
func (p *peeler) peel(text []byte, depth int) {
	text = trim(text)
	switch {
	case len(text) == 0:
		p.refuse(event.Reject(event.ReasonEmpty, "", "an event"), 0)
	case isArray(text):
		p.peelArray(text, depth)
	case text[0] == '{':
		p.peelObject(text, depth)
	case text[0] == '"':
		p.peelQuoted(text, depth)
	default:
		p.peelLine(text, depth)
	}
}

// peelArray hands on each element. Elements are cut by matching brackets only,
// so that one that is no JSON inside does not lose the others. What follows the
// array, and the lost end of one that breaks off, is a rejected element too.
func (p *peeler) peelArray(text []byte, depth int) {
	if depth >= maxEnvelopes {
		p.refuse(event.Reject(event.ReasonSyntax, "", "at most 4 envelopes in one another"), len(text))
		return
	}
	element, rest, end := cutElement(text[1:], ']')
	if end == ']' && len(element) == 0 {
		p.refuse(event.Reject(event.ReasonEmpty, "", "at least one event in the array"), len(text))
	}
	for ; len(element) > 0 || end == ','; element, rest, end = cutElement(rest, ']') {
		if p.full {
			return
		}
		if p.count >= event.MaxElements {
			p.full = true
			p.refuse(event.Reject(event.ReasonTooMany, "", "at most 10000 events in one record"), len(element)+len(rest))
			return
		}
		p.peel(element, depth+1)
		if end != ',' {
			break
		}
	}
	if end != ']' || len(rest) > 0 {
		p.refuse(event.Reject(event.ReasonSyntax, "", "an array that ends with its bracket"), len(rest))
	}
}

// peelObject decodes an object. Only if its decoder cannot, it is looked at as
// an envelope: that order makes envelopes cost nothing where there are none.
func (p *peeler) peelObject(text []byte, depth int) {
	err := p.decodeObject(text)
	if err == nil {
		p.accept()
		return
	}
	p.Raw.Reset("")
	if err.Reason != event.ReasonNotAccess && depth < maxEnvelopes {
		if inner, ok := openEnvelope(text); ok {
			p.peel(inner, depth+1)
			return
		}
	}
	p.refuse(err, len(text))
}

func (p *peeler) decodeObject(text []byte) *event.DecodeError {
	d := p.decode
	if d == nil {
		var err *event.DecodeError
		if d, err = sniffObject(p.memory, text); err != nil {
			return err
		}
	}
	return d(p.memory, text, p.Raw)
}

// peelQuoted unwraps a JSON string, or takes off the extra pair of double quotes
// that some exports put around each line without escaping those inside.
func (p *peeler) peelQuoted(text []byte, depth int) {
	if depth >= maxEnvelopes || len(text) < 2 || text[len(text)-1] != '"' {
		p.peelLine(text, depth)
		return
	}
	s := newScanner(p.memory, text)
	line := s.text()
	if s.end() == nil && s.notes == 0 {
		p.peel([]byte(line), depth+1)
		return
	}
	p.peel(undoubleQuotes(text[1:len(text)-1]), depth+1)
}

// undoubleQuotes undoes the doubling of quotes inside a CSV field; text in which
// any quote stands alone is no such field and stays as it is.
func undoubleQuotes(text []byte) []byte {
	doubled := bytes.ReplaceAll(text, []byte(`""`), nil)
	if len(doubled) == len(text) || bytes.IndexByte(doubled, '"') >= 0 {
		return text
	}
	return bytes.ReplaceAll(text, []byte(`""`), []byte(`"`))
}

// peelLine takes the prefix of a container runtime or of syslog off a line and
// decodes the rest.
func (p *peeler) peelLine(text []byte, depth int) {
	if inner, ok := cutPrefix(text); ok && depth < maxEnvelopes {
		p.peel(inner, depth+1)
		return
	}
	d := p.decode
	if d == nil {
		d = sniffLine(text)
	}
	if err := d(p.memory, text, p.Raw); err != nil {
		p.Raw.Reset("")
		p.refuse(err, len(text))
		return
	}
	p.accept()
}

// openEnvelope finds the payload of a known envelope object: the array of
// {"records":[…]} or {"logEvents":[…]}, or the line or object of {"message":…}
// and {"log":…}. Like an array it is taken apart by its brackets only.
func openEnvelope(text []byte) ([]byte, bool) {
	member, rest, end := cutElement(text[1:], '}')
	for ; len(member) > 0; member, rest, end = cutElement(rest, '}') {
		if key, value, ok := cutKey(member); ok && isPayload(key, value) {
			return value, true
		}
		if end != ',' {
			break
		}
	}
	return nil, false
}

// cutKey splits a member of an object; keys with escapes are left as they are.
func cutKey(member []byte) (key string, value []byte, ok bool) {
	if member[0] != '"' {
		return "", nil, false
	}
	end := stringEnd(member, 0)
	value = trim(member[end+1:])
	if len(value) == 0 || value[0] != ':' {
		return "", nil, false
	}
	return string(member[1:end]), trim(value[1:]), true
}

func isPayload(key string, value []byte) bool {
	if len(value) == 0 {
		return false
	}
	switch key {
	case "records", "logEvents":
		return value[0] == '['
	case "message":
		return value[0] == '"' || value[0] == '{'
	case "log":
		return value[0] == '"'
	}
	return false
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// trim takes off a byte-order mark, white space and trailing NULs.
func trim(text []byte) []byte {
	if len(text) > 0 && text[0] == byteOrderMark[0] {
		text = bytes.TrimPrefix(text, byteOrderMark)
	}
	for len(text) > 0 && text[0] <= ' ' {
		text = text[1:]
	}
	for len(text) > 0 && text[len(text)-1] <= ' ' {
		text = text[:len(text)-1]
	}
	return text
}

// isArray tells a JSON array of records from a line that starts with a time in
// brackets.
func isArray(text []byte) bool {
	if text[0] != '[' {
		return false
	}
	rest := trim(text[1:])
	if len(rest) == 0 {
		return false
	}
	switch rest[0] {
	case '{', '[', '"', ']', ',':
		return true
	}
	return false
}

// cutElement cuts the next element or member off the inside of what closer ends.
// end is the comma or closer that ended it, or 0 when the text breaks off before.
func cutElement(text []byte, closer byte) (element, rest []byte, end byte) {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			i = stringEnd(text, i)
		case c == '{' || c == '[':
			depth++
		case depth == 0 && (c == ',' || c == closer):
			return trim(text[:i]), trim(text[i+1:]), c
		case c == '}' || c == ']':
			depth = max(depth-1, 0)
		}
	}
	return trim(text), nil, 0
}

// stringEnd is the index of the quote that closes the string at text[i], or the
// last index if none does.
func stringEnd(text []byte, i int) int {
	for i++; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return len(text) - 1
}
