package gateway

import (
	"slices"

	"gatehouse/ingest/event"
)

// sniffLine recognises the format of a line.
func sniffLine(line []byte) decode {
	if isEnvoyText(string(line[:min(len(line), 24)])) {
		return decodeEnvoy
	}
	return decodeCLF
}

// marks are members by which an object is recognised; a format is the first
// here whose marks are all there.
var marks = []struct {
	decode  decode
	members []string
}{
	{decodeKong, []string{"latencies", "request", "started_at"}},
	{decodeTraefik, []string{"DownstreamStatus", "RequestMethod"}},
	{decodeEnvoy, []string{"response_flags", "start_time"}},
	{decodeEnvoy, []string{"response_code", "start_time"}},
	{decodeCanonical, []string{"ts", "method", "path", "status"}},
	{decodeNGINX, []string{"remote_addr", "status"}},
	{decodeNGINX, []string{"remote_addr", "request"}},
	{decodeNGINX, []string{"remote_ip", "response"}},
	{decodeNGINX, []string{"request_uri", "status"}},
}

// markNames are all the members of marks, each of which has a bit in sniffing.
var markNames = []string{
	"latencies", "request", "started_at", "DownstreamStatus", "RequestMethod", "response_flags", "start_time",
	"response_code", "ts", "method", "path", "status", "remote_addr", "remote_ip", "response", "request_uri",
}

// sniffObject recognises the format of a JSON object by its members.
func sniffObject(m *memory, text []byte) (decode, *event.DecodeError) {
	var seen uint32
	s := newScanner(m, text)
	for key, ok := s.enter(); ok; key, ok = s.next() {
		if i := slices.Index(markNames, key); i >= 0 {
			seen |= 1 << i
		}
		s.skip()
	}
	if err := s.end(); err != nil {
		return nil, err
	}
	for _, mark := range marks {
		if hasAll(seen, mark.members) {
			return mark.decode, nil
		}
	}
	return nil, event.Reject(event.ReasonUnknownGateway, "", "a recognisable object, or the source type by configuration")
}

func hasAll(seen uint32, members []string) bool {
	for _, member := range members {
		if seen&(1<<slices.Index(markNames, member)) == 0 {
			return false
		}
	}
	return true
}
