package gateway

import (
	"strings"

	"gatehouse/ingest/event"
)

// maxMethod is the longest method; anything longer is no method.
const maxMethod = 32

// setRequestLine reads "GET /path?query HTTP/1.1". It is what the client sent,
// so it may be anything: what is no request line leaves method and path empty
// and is noted, for a handshake on the wrong port must not become a path.
func setRequestLine(raw *event.Raw, line string) notes {
	line = trimSpace(line)
	method, rest, spaced := strings.Cut(line, " ")
	if !spaced || !isMethod(method) {
		return noteRequestMalformed
	}
	target, protocol := cutProtocol(trimSpace(rest))
	raw.HTTPVersion = httpVersion(protocol)
	raw.Method = strings.ToUpper(method)
	n := setTarget(raw, target)
	if target == "" || strings.IndexByte(target, ' ') >= 0 {
		n |= noteRequestMalformed
	}
	return n
}

// cutProtocol takes the protocol off a request line; without one it is HTTP/0.9.
func cutProtocol(v string) (target, protocol string) {
	i := strings.LastIndexByte(v, ' ') + 1
	if !strings.HasPrefix(v[i:], "HTTP/") {
		return v, "HTTP/0.9"
	}
	return trimSpace(v[:i]), v[i:]
}

func isMethod(v string) bool {
	if len(v) == 0 || len(v) > maxMethod || !isLetter(v[0]) {
		return false
	}
	for i := range len(v) {
		if c := v[i]; !isLetter(c) && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// setMethod sets a method that the source logs by itself.
func setMethod(raw *event.Raw, method string, n *notes) {
	if method == "GET" || method == "POST" { // as most are
		raw.Method = method
		return
	}
	if method == "" || !isMethod(method) {
		*n |= noteRequestMalformed
		return
	}
	raw.Method = strings.ToUpper(method)
}

// setTarget splits a request target: a path with query, an absolute URI, or the
// host and port of CONNECT.
func setTarget(raw *event.Raw, target string) notes {
	switch {
	case target == "" || target == "*":
		raw.Path, raw.Query = target, ""
		return 0
	case target[0] == '/':
		raw.Path, raw.Query = target, ""
		if i := strings.IndexByte(target, '?'); i >= 0 {
			raw.Path, raw.Query = target[:i], target[i+1:]
		}
		return 0
	case strings.Contains(target, "://"):
		return setAbsolute(raw, target)
	case raw.Method == "CONNECT":
		if raw.Host == "" {
			raw.Host = hostName(target)
		}
		return 0
	case isVisible(target):
		raw.Path, raw.Query, _ = strings.Cut(target, "?")
	}
	return noteRequestMalformed
}

// setAbsolute splits scheme://host/path?query. The host counts only where the
// source does not say which of its hosts answered.
func setAbsolute(raw *event.Raw, target string) (n notes) {
	scheme, rest, _ := strings.Cut(target, "://")
	if !isMethod(scheme) {
		return noteRequestMalformed
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	authority := rest[:end]
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		authority, n = authority[at+1:], noteUserinfoDropped
	}
	if raw.Host == "" {
		raw.Host = hostName(authority)
	}
	raw.Scheme = lower(scheme)
	raw.Path, raw.Query, _ = strings.Cut(rest[end:], "?")
	if raw.Path == "" {
		raw.Path = "/"
	}
	return n
}

// isVisible tells that v has only visible ASCII characters.
func isVisible(v string) bool {
	for i := range len(v) {
		if v[i] <= ' ' || v[i] >= 0x7f {
			return false
		}
	}
	return v != ""
}

// httpVersion reduces a protocol to its version.
func httpVersion(protocol string) string {
	switch strings.TrimPrefix(protocol, "HTTP/") {
	case "1.1":
		return "1.1"
	case "1.0":
		return "1.0"
	case "2", "2.0", "h2", "h2c":
		return "2"
	case "3", "3.0", "h3":
		return "3"
	case "0.9":
		return "0.9"
	}
	return ""
}
