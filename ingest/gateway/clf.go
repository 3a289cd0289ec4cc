package gateway

import (
	"strings"

	"gatehouse/ingest/event"
)

// decodeCLF reads the lines that NGINX, Apache httpd, Traefik and most other
// servers write unless told otherwise: common and combined log format, with or
// without a virtual host in front.
//
//	[vhost[:port]] client ident user [02/Jan/2006:15:04:05 -0700] "GET /p?q HTTP/1.1" 200 512 ["referer" "agent" …]
//
// The clock is httpd's, which reads when the request began; NGINX reads when it
// was over (use the nginx decoder for its lines). Resolution is a second, and no
// duration is logged. Bytes are those of the body; "-" is absent. The client is
// the direct peer as the server sees it. Behind the agent NGINX's stock format
// has X-Forwarded-For and Traefik its router, service and duration; anything
// else there is ignored and noted.
func decodeCLF(_ *memory, record []byte, raw *event.Raw) *event.DecodeError {
	raw.Gateway = "clf"
	m, n, err := readCLF(raw, view(record))
	if err != nil {
		return err
	}
	setTime(raw, m, &n)
	raw.Quality = n.appendTo(raw.Quality[:0])
	return nil
}

// readCLF reads everything but the time, which the caller sets: what the clock
// means differs by server.
func readCLF(raw *event.Raw, line string) (moment, notes, *event.DecodeError) {
	prefix, stamp, rest := cutStamp(line)
	if stamp == "" {
		return moment{}, 0, notCLF(line)
	}
	m := parseTime(stamp)
	if !m.usable {
		return m, 0, event.Reject(event.ReasonBadTime, "time", "02/Jan/2006:15:04:05 -0700")
	}
	request, rest, ok := cutRequest(rest)
	if !ok {
		return m, 0, event.Reject(event.ReasonSyntax, "request", "a quoted request followed by a status")
	}
	n := setPrefix(raw, prefix)
	n |= setRequest(raw, request)
	word, rest := cutWord(rest)
	raw.Status, _ = parseStatus(word) // cutRequest has looked at it
	n |= setTrailer(raw, rest)
	if raw.Host == "" {
		n |= noteHostMissing
	}
	return m, n, nil
}

// setRequest reads the request line. Of a malformed one nothing is kept, so that
// its text was invalid does not matter.
func setRequest(raw *event.Raw, request string) notes {
	var text notes
	n := setRequestLine(raw, unescapeCLF(request, &text))
	if raw.Method == "" {
		return n
	}
	return n | text
}

// maxStamp bounds the text between the brackets of a time.
const maxStamp = 48

// cutStamp finds the time in brackets that a quoted request follows. A user name
// in front may hold brackets and even a time, but not a bare quote: servers
// escape it.
func cutStamp(line string) (prefix, stamp, rest string) {
	for from := 0; ; {
		open := strings.IndexByte(line[from:], '[')
		if open < 0 {
			return "", "", ""
		}
		open += from
		from = open + 1
		end := strings.IndexByte(line[from:min(len(line), from+maxStamp)], ']')
		if end < 19 || open == 0 || line[from+2] != '/' && line[from+4] != '-' {
			continue
		}
		stamp, rest = line[from:from+end], trimSpace(line[from+end+1:])
		if rest != "" && rest[0] == '"' {
			return trimSpace(line[:open]), stamp, rest
		}
	}
}

// notCLF says why a line without time and request is refused.
func notCLF(line string) *event.DecodeError {
	if isErrorLog(line) {
		return event.Reject(event.ReasonNotAccess, "", "an access log line, not an error log's")
	}
	return event.Reject(event.ReasonSyntax, "", "a common or combined log line")
}

// isErrorLog recognises the error logs of NGINX (2006/01/02 15:04:05 [error]),
// httpd ([Mon Jan 02 …) and Traefik (time="…" level=…), and comments.
func isErrorLog(line string) bool {
	switch {
	case strings.HasPrefix(line, "#"), strings.HasPrefix(line, `time="`):
		return true
	case len(line) < 21:
		return false
	case line[0] == '[':
		return line[4] == ' ' && monthNamed(line[5:8]) > 0
	}
	return line[4] == '/' && line[7] == '/' && line[10] == ' ' && line[13] == ':' && line[19:21] == " ["
}

// cutRequest takes the quoted request off. Its end is the first quote that a
// status follows: not every server escapes quotes inside.
func cutRequest(v string) (request, rest string, ok bool) {
	for _, escapes := range [...]bool{true, false} {
		for i := 1; i < len(v); i++ {
			switch {
			case v[i] == '\\' && escapes:
				i++
			case v[i] == '"' && isStatusNext(v[i+1:]):
				return v[1:i], v[i+2:], true
			}
		}
	}
	return "", "", false
}

// isStatusNext tells that v goes on with a space and a status or "-".
func isStatusNext(v string) bool {
	if len(v) < 2 || v[0] != ' ' {
		return false
	}
	word, _ := cutWord(v[1:])
	_, ok := parseStatus(word)
	return ok && word != ""
}

// cutWord cuts at the first space.
func cutWord(v string) (word, rest string) {
	word, rest, _ = strings.Cut(v, " ")
	return word, trimSpace(rest)
}

// cutQuoted takes a quoted field off. Its end is the first quote that a space or
// the end of the line follows.
func cutQuoted(v string) (field, rest string, ok bool) {
	if v == "" || v[0] != '"' {
		return "", v, false
	}
	for _, escapes := range [...]bool{true, false} {
		for i := 1; i < len(v); i++ {
			switch {
			case v[i] == '\\' && escapes:
				i++
			case v[i] == '"' && (i+1 == len(v) || v[i+1] == ' '):
				return v[1:i], trimSpace(v[i+1:]), true
			}
		}
	}
	return "", v, false
}

// setPrefix reads what stands before the time.
func setPrefix(raw *event.Raw, prefix string) (n notes) {
	first, rest := cutWord(prefix)
	if strings.IndexByte(first, ',') > 0 {
		first, rest = setForwardedPrefix(raw, prefix)
	}
	if second, tail := cutWord(rest); isVirtualHost(first, second, tail) {
		raw.Host = hostName(first)
		first, rest = second, tail
	}
	raw.Client = hostOf(first)
	ident, user := cutWord(rest)
	if user == "" {
		ident, user = "-", ident // the field that some formats leave out is ident
	}
	if ident != "-" {
		n |= notePrefixIgnored
	}
	if id, after, several := strings.Cut(user, " "); several && isHex32(id) {
		raw.RequestID, user = id, after
	}
	if strings.HasSuffix(user, " -") {
		user = ""
		n |= notePrefixIgnored
	}
	if user != "-" && user != `""` {
		raw.Principal = unescapeCLF(user, &n)
	}
	return n
}

// isVirtualHost tells whether the first word is a virtual host and the second
// the client: the second is an address, or what is behind it starts as ident and
// user do. Both may be names, as in "www.example.org client.example.net - -".
func isVirtualHost(first, second, tail string) bool {
	if !isVisible(first) || strings.ContainsAny(first, `"\/@`) {
		return false
	}
	if isAddress(second) {
		return true
	}
	return second != "-" && second != "" && first != "-" && strings.HasPrefix(tail, "- ")
}

// setForwardedPrefix reads a list of forwarding hops in front of the client, and
// gives the client and what is behind it.
func setForwardedPrefix(raw *event.Raw, prefix string) (client, rest string) {
	end := 0
	for more := true; more && end < len(prefix); {
		word, _, _ := strings.Cut(prefix[end:], " ")
		more = strings.HasSuffix(word, ",")
		end = min(end+len(word)+1, len(prefix))
	}
	raw.XFF = forwarded(raw.XFF[:0], prefix[:end])
	return cutWord(trimSpace(prefix[end:]))
}

// setTrailer reads what stands behind the status: bytes, referer, agent and what
// servers add.
func setTrailer(raw *event.Raw, v string) (n notes) {
	word, rest := cutWord(v)
	raw.BytesScope = event.BytesBody
	switch size, ok := fixed(word, asIs); {
	case ok && size >= 0:
		raw.RespBytes = size
	case word != "-" && word != "":
		n |= noteFieldIgnored
	}
	referer, rest, ok := cutQuoted(rest)
	if ok {
		raw.Referer = absent(unescapeCLF(referer, &n))
		agent, after, _ := cutQuoted(rest)
		raw.UserAgent = absent(unescapeCLF(agent, &n))
		rest = after
	}
	if rest == "" {
		return n
	}
	if hops, after, ok := cutQuoted(rest); ok && after == "" && (hops == "-" || allAddresses(hops)) {
		raw.XFF = forwarded(raw.XFF[:0], hops)
		return n
	}
	if setTraefikTrailer(raw, rest) {
		return n
	}
	return n | noteExtraFields
}

// unescapeCLF undoes the escapes of httpd (\" \\ \xhh) and NGINX (\xHH), except
// those of control characters, and replaces what is not UTF-8.
func unescapeCLF(v string, n *notes) string {
	if i := strings.IndexByte(v, '\\'); i >= 0 {
		out := append(make([]byte, 0, len(v)), v[:i]...)
		for ; i < len(v); i++ {
			c, length := escapedCLF(v[i:])
			out = append(out, c)
			i += length - 1
		}
		v = string(out)
	}
	return validText(v, n)
}

// escapedCLF reads one byte of text and tells how long its spelling is.
func escapedCLF(v string) (c byte, length int) {
	if v[0] != '\\' || len(v) < 2 {
		return v[0], 1
	}
	if v[1] == '"' || v[1] == '\\' {
		return v[1], 2
	}
	if v[1] == 'x' && len(v) >= 4 {
		if r := hexRune(v[2:4]); r >= ' ' && r != 0x7f {
			return byte(r), 4
		}
	}
	return '\\', 1
}
