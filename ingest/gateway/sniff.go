package gateway

// sniffLine recognises the format of a line.
func sniffLine(line []byte) decode {
	if isEnvoyText(string(line[:min(len(line), 24)])) {
		return decodeEnvoy
	}
	return decodeCLF
}

// marks are members by which an object is recognised; a format is whose marks
// are all there, the first in this order.
var marks = []struct {
	members []string
	decode  decode
}{
	{[]string{"latencies", "request", "started_at"}, decodeKong},
	{[]string{"DownstreamStatus", "RequestMethod"}, decodeTraefik},
	{[]string{"response_flags", "start_time"}, decodeEnvoy},
	{[]string{"response_code", "start_time"}, decodeEnvoy},
	{[]string{"ts", "method", "path", "status"}, decodeCanonical},
	{[]string{"remote_addr", "status"}, decodeNGINX},
	{[]string{"remote_addr", "request"}, decodeNGINX},
	{[]string{"remote_ip", "response"}, decodeNGINX},
	{[]string{"request_uri", "status"}, decodeNGINX},
}

// sniffObject recognises the format of a JSON object, nil if it cannot.
func sniffObject(text []byte) decode {
	seen := make(map[string]bool)
	s := newScanner(text)
	for key, ok := s.enter(); ok; key, ok = s.next() {
		seen[key] = true
		s.skip()
	}
	if s.end() != nil {
		return nil
	}
	for _, m := range marks {
		all := true
		for _, member := range m.members {
			all = all && seen[member]
		}
		if all {
			return m.decode
		}
	}
	return nil
}
