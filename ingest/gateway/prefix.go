package gateway

import "bytes"

// cutPrefix takes what a container runtime or a syslog daemon put in front of a
// line off it.
func cutPrefix(line []byte) (rest []byte, ok bool) {
	if len(line) < 16 {
		return nil, false
	}
	switch {
	case line[0] == '<':
		return cutSyslog(line)
	case line[4] == '-' && line[7] == '-' && line[10] == 'T':
		if rest, ok = cutCRI(line); ok {
			return rest, true
		}
		_, rest, _ = bytes.Cut(line, space)
		return cutTag(rest)
	case line[3] == ' ' && monthNamed(string(line[:3])) > 0:
		return cutTag3164(line)
	}
	return nil, false
}

var space = []byte(" ")

// cutCRI takes off "<time> stdout F ", the container runtime interface's prefix.
func cutCRI(line []byte) ([]byte, bool) {
	_, rest, _ := bytes.Cut(line, space)
	stream, rest, _ := bytes.Cut(rest, space)
	tag, rest, ok := bytes.Cut(rest, space)
	if s := string(stream); !ok || s != "stdout" && s != "stderr" || len(tag) == 0 || tag[0] != 'F' && tag[0] != 'P' {
		return nil, false
	}
	return rest, true
}

// maxPriority is the length of the longest syslog priority, <191>.
const maxPriority = 5

// cutSyslog takes off an RFC 5424 header, "<pri>1 time host app proc msg data ",
// or an RFC 3164 one, "<pri>Mmm dd hh:mm:ss host tag: ".
func cutSyslog(line []byte) ([]byte, bool) {
	end := bytes.IndexByte(line[:maxPriority], '>')
	if end < 2 {
		return nil, false
	}
	rest := line[end+1:]
	if bytes.HasPrefix(rest, []byte("1 ")) {
		return cut5424(rest[2:])
	}
	if len(rest) > 10 && rest[4] == '-' && rest[10] == 'T' {
		_, rest, _ = bytes.Cut(rest, space)
		return cutTag(rest)
	}
	return cutTag3164(rest)
}

// cut5424 takes off the five fields behind the version, the structured data and
// a byte-order mark.
func cut5424(rest []byte) ([]byte, bool) {
	for range 5 {
		var ok bool
		if _, rest, ok = bytes.Cut(rest, space); !ok {
			return nil, false
		}
	}
	if len(rest) > 0 && rest[0] == '-' {
		return rest[1:], true
	}
	for len(rest) > 0 && rest[0] == '[' {
		end := structuredEnd(rest)
		if end < 0 {
			return nil, false
		}
		rest = rest[end+1:]
	}
	return rest, true
}

// structuredEnd finds the bracket that closes one element of structured data,
// which may be inside neither quotes nor an escape.
func structuredEnd(v []byte) int {
	quoted := false
	for i := 1; i < len(v); i++ {
		switch v[i] {
		case '\\':
			i++
		case '"':
			quoted = !quoted
		case ']':
			if !quoted {
				return i
			}
		}
	}
	return -1
}

// stamp3164 is the form of the time in RFC 3164.
const stamp3164 = "Jan  2 15:04:05 "

// cutTag3164 takes off time, host and tag.
func cutTag3164(rest []byte) ([]byte, bool) {
	if len(rest) < len(stamp3164) || monthNamed(string(rest[:3])) == 0 || rest[9] != ':' || rest[15] != ' ' {
		return nil, false
	}
	return cutTag(rest[len(stamp3164):])
}

// cutTag takes off "host tag[pid]: ", or "tag[pid]: " where the host is left out.
func cutTag(rest []byte) ([]byte, bool) {
	for range 2 {
		word, after, ok := bytes.Cut(rest, space)
		if !ok {
			return nil, false
		}
		if rest = after; bytes.HasSuffix(word, []byte(":")) {
			return rest, true
		}
	}
	return nil, false
}
