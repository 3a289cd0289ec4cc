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
func decodeTraefik(record []byte, raw *event.Raw) *event.DecodeError {
	raw.Reset("traefik")
	if len(record) > 0 && record[0] != '{' {
		m, n, err := readCLF(raw, view(record))
		if err == nil {
			setTime(raw, m, &n)
			raw.Quality = n.list()
		}
		return err
	}
	t := traefik{scanner: newScanner(record)}
	t.read(raw)
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

func (t *traefik) read(raw *event.Raw) {
	raw.BytesScope = event.BytesBody
	for key, ok := t.enter(); ok; key, ok = t.next() {
		switch key {
		case "StartUTC":
			t.start = t.text()
		case "StartLocal":
			if v := t.text(); t.start == "" {
				t.start = v
			}
		case "RequestMethod":
			t.method, t.asked = t.text(), true
		case "RequestPath":
			t.target = t.text()
		case "RequestHost":
			raw.Host = hostName(t.text())
		case "RequestAddr":
			t.addr = t.text()
		case "RequestProtocol":
			raw.HTTPVersion = httpVersion(t.text())
		case "RequestScheme":
			raw.Scheme = strings.ToLower(t.text())
		case "DownstreamStatus":
			raw.Status, t.answered = t.status("DownstreamStatus"), true
		case "OriginStatus":
			raw.UpstreamStatus = t.statusList()
		case "level":
			t.level = t.text() != ""
		default:
			t.sizes(raw, key)
		}
	}
}

func (t *traefik) sizes(raw *event.Raw, key string) {
	switch key {
	case "RequestContentSize":
		raw.ReqBytes = t.quantity(asIs)
	case "DownstreamContentSize":
		raw.RespBytes = t.quantity(asIs)
	case "Duration":
		raw.LatencyUS = t.quantity(fromNanos)
	case "OriginDuration":
		raw.UpstreamLatencyUS = t.quantity(fromNanos)
	default:
		t.parties(raw, key)
	}
}

func (t *traefik) parties(raw *event.Raw, key string) {
	switch key {
	case "ClientHost":
		raw.Client = hostOf(lastHop(t.text()))
	case "ClientAddr":
		raw.Peer = hostOf(t.text())
	case "ClientUsername":
		if raw.Principal = t.text(); raw.Principal != "" {
			raw.AuthType = event.AuthBasic
		}
	case "RouterName":
		raw.RouteID = t.text()
	case "ServiceName":
		raw.Service = t.text()
	case "ServiceAddr":
		raw.Upstream = t.text()
	case "ServiceURL":
		t.serviceURL()
	case "TLSVersion":
		raw.TLSVersion = t.text()
	case "TLSClientSubject":
		if raw.MTLSSubject = t.text(); raw.MTLSSubject != "" {
			raw.AuthType = event.AuthMTLS
		}
	case "TraceId":
		raw.TraceID = traceID(t.text())
	default:
		t.header(raw, key)
	}
}

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

func (t *traefik) header(raw *event.Raw, key string) {
	name, ok := strings.CutPrefix(key, "request_")
	if !ok {
		t.skip()
		return
	}
	setHeader(raw, strings.ToLower(name), t.text())
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
	raw.Quality = t.notes.list()
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
