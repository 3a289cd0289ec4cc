package gateway

import (
	"strings"

	"gatehouse/ingest/event"
)

// decodeTraefik reads Traefik's access log, JSON or common log format.
//
// StartUTC is when the request began; durations are nanoseconds (in the text
// form, ms). Sizes are those of bodies. The client is ClientHost: the direct
// peer, unless the entry point trusts forwarding headers; where it then is a list
// the last hop, the one that the trusted proxy saw, counts. Headers are there
// only if the configuration keeps them, as request_<Name>. OriginStatus 0 means
// that no service was asked.
func decodeTraefik(m *memory, record []byte, raw *event.Raw) *event.DecodeError {
	raw.Gateway = "traefik"
	if len(record) > 0 && record[0] != '{' {
		m, n, err := readCLF(raw, view(record))
		if err == nil {
			setTime(raw, m, &n)
			raw.Quality = n.appendTo(raw.Quality[:0])
		}
		return err
	}
	t := &m.traefik
	t.scanner = newScanner(m, record)
	err := t.decode(raw)
	*t = traefik{}
	return err
}

func (t *traefik) decode(raw *event.Raw) *event.DecodeError {
	raw.BytesScope = event.BytesBody
	traefikMembers.read(&t.scanner, &t.memory.traefikNext, t, raw)
	if err := t.end(); err != nil {
		return err
	}
	switch {
	case !t.asked && !t.answered && t.level:
		return event.Reject(event.ReasonNotAccess, "", "an access log record, not an application log's")
	case t.start == "":
		return event.Reject(event.ReasonMissingField, "StartUTC", "RFC 3339 time")
	case !t.answered:
		return event.Reject(event.ReasonMissingField, "DownstreamStatus", "a status")
	}
	return t.finish(raw)
}

// traefik is the state of reading one record.
type traefik struct {
	scanner
	start                  string
	asked, answered, level bool
	method, target         string
	addr                   string
	url                    string
}

// traefikMembers are the members of Traefik's JSON; others may be headers.
var traefikMembers = newMembers(
	(*traefik).header,
	[]member[traefik]{
		{"StartUTC", func(t *traefik, _ *event.Raw) { t.start = t.text() }},
		{"StartLocal", func(t *traefik, raw *event.Raw) {
			if v := t.text(); t.start == "" {
				t.start = v
			}
		}},
		{"RequestMethod", func(t *traefik, _ *event.Raw) { t.method, t.asked = t.text(), true }},
		{"RequestPath", func(t *traefik, _ *event.Raw) { t.target = t.text() }},
		{"RequestHost", func(t *traefik, raw *event.Raw) { raw.Host = hostName(t.text()) }},
		{"RequestAddr", func(t *traefik, _ *event.Raw) { t.addr = t.text() }},
		{"RequestProtocol", func(t *traefik, raw *event.Raw) { raw.HTTPVersion = httpVersion(t.text()) }},
		{"RequestScheme", func(t *traefik, raw *event.Raw) { raw.Scheme = lower(t.text()) }},
		{"DownstreamStatus", func(t *traefik, raw *event.Raw) { raw.Status, t.answered = t.status("DownstreamStatus"), true }},
		{"OriginStatus", func(t *traefik, raw *event.Raw) { raw.UpstreamStatus = t.statusList() }},
		{"level", func(t *traefik, _ *event.Raw) { t.level = t.text() != "" }},
		{"RequestContentSize", func(t *traefik, raw *event.Raw) { raw.ReqBytes = t.quantity(asIs) }},
		{"DownstreamContentSize", func(t *traefik, raw *event.Raw) { raw.RespBytes = t.quantity(asIs) }},
		{"Duration", func(t *traefik, raw *event.Raw) { raw.LatencyUS = t.quantity(fromNanos) }},
		{"OriginDuration", func(t *traefik, raw *event.Raw) { raw.UpstreamLatencyUS = t.quantity(fromNanos) }},
		{"ClientHost", func(t *traefik, raw *event.Raw) { raw.Client = hostOf(lastHop(t.text())) }},
		{"ClientAddr", func(t *traefik, raw *event.Raw) { raw.Peer = hostOf(t.text()) }},
		{"ClientUsername", func(t *traefik, raw *event.Raw) {
			if raw.Principal = t.text(); raw.Principal != "" {
				raw.AuthType = event.AuthBasic
			}
		}},
		{"RouterName", func(t *traefik, raw *event.Raw) { raw.RouteID = t.text() }},
		{"ServiceName", func(t *traefik, raw *event.Raw) { raw.Service = t.text() }},
		{"ServiceAddr", func(t *traefik, raw *event.Raw) { raw.Upstream = t.text() }},
		{"ServiceURL", func(t *traefik, _ *event.Raw) { t.serviceURL() }},
		{"TLSVersion", func(t *traefik, raw *event.Raw) { raw.TLSVersion = t.text() }},
		{"TLSClientSubject", func(t *traefik, raw *event.Raw) {
			if raw.MTLSSubject = t.text(); raw.MTLSSubject != "" {
				raw.AuthType = event.AuthMTLS
			}
		}},
		{"TraceId", func(t *traefik, raw *event.Raw) { raw.TraceID = traceID(t.text()) }},
	},
)

// serviceURL takes the URL of the server, a string or an object by version.
func (t *traefik) serviceURL() {
	if t.peek() != '{' {
		t.url = t.text()
		return
	}
	for key, ok := t.enter(); ok; key, ok = t.next() {
		if key == "Host" {
			t.url = t.text()
		} else {
			t.skip()
		}
	}
}

// header takes a member that is none of Traefik's own: a header, if it is named
// like one.
func (t *traefik) header(raw *event.Raw) {
	name, ok := strings.CutPrefix(t.name, "request_")
	if !ok {
		t.skip()
		return
	}
	setHeader(raw, t.memory.lower(name), t.text())
}

// lastHop is the last item of a comma-separated list.
func lastHop(list string) string {
	return trimSpace(list[strings.LastIndexByte(list, ',')+1:])
}

// finish sets what depends on several members.
func (t *traefik) finish(raw *event.Raw) *event.DecodeError {
	m := parseTime(t.start)
	if !m.usable {
		return event.Reject(event.ReasonBadTime, "StartUTC", "RFC 3339 time")
	}
	setMethod(raw, t.method, &t.notes)
	t.notes |= setTarget(raw, t.target)
	if raw.Host == "" {
		raw.Host = hostName(t.addr)
	}
	if raw.Host == "" {
		t.notes |= noteHostMissing
	}
	if raw.Upstream == "" {
		raw.Upstream = t.url
	}
	if raw.Status >= 500 && raw.UpstreamStatus == 0 {
		raw.Outcome = event.OutcomeUpstreamError
	}
	setTime(raw, m, &t.notes)
	raw.Quality = t.notes.appendTo(raw.Quality[:0])
	return nil
}

// setTraefikTrailer reads what Traefik's common log format has behind the agent,
// and tells whether it was that:
//
//	<requests so far> "<router>" "<server URL>" <duration>ms
func setTraefikTrailer(raw *event.Raw, v string) bool {
	count, rest := cutWord(v)
	if _, ok := number(count); !ok {
		return false
	}
	router, rest, ok1 := cutQuoted(rest)
	server, rest, ok2 := cutQuoted(rest)
	ms, isMillis := strings.CutSuffix(rest, "ms")
	latency, ok3 := fixed(ms, fromMillis)
	if !ok1 || !ok2 || !ok3 || !isMillis || latency < 0 {
		return false
	}
	raw.RouteID, raw.Upstream, raw.LatencyUS = absent(router), absent(server), latency
	return true
}
