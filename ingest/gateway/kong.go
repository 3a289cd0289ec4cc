package gateway

import (
	"strings"

	"gatehouse/ingest/event"
)

// decodeKong reads what Kong's log plugins write (kafka-log, http-log, file-log,
// tcp-log: one serializer).
//
// started_at is when the request began, in ms; latencies are ms, proxy being the
// wait for the upstream and -1 when none was asked. Sizes count headers too.
// client_ip is the client by Kong's own trusted_ips rule. Kong blanks
// Authorization ("REDACTED"), but API keys, cookies and query tokens arrive in
// clear. upstream_status is a string with one status per attempt. A route's paths
// are prefixes, no templates, so they are not Route.
func decodeKong(m *memory, record []byte, raw *event.Raw) *event.DecodeError {
	raw.Gateway = "kong"
	k := &m.kong
	k.scanner = newScanner(m, record)
	err := k.decode(raw)
	*k = kong{}
	return err
}

func (k *kong) decode(raw *event.Raw) *event.DecodeError {
	raw.BytesScope = event.BytesTotal
	kongMembers.read(&k.scanner, &k.memory.kongNext, k, raw)
	if err := k.end(); err != nil {
		return err
	}
	switch {
	case !k.started:
		return event.Reject(event.ReasonMissingField, "started_at", "ms since the epoch")
	case !k.answered:
		return event.Reject(event.ReasonMissingField, "response.status", "a status")
	case !k.at.usable:
		return event.Reject(event.ReasonBadTime, "started_at", "ms since the epoch")
	}
	k.finish(raw)
	return nil
}

// kong is the state of reading one record.
type kong struct {
	scanner
	at                moment
	started, answered bool
	method            string
	uri, url          string
	source            string
	routeID, service  string // used where there is no name
	customID          string
	entity            entity // the last one read
}

// entity is a Kong entity, as far as it is wanted.
type entity struct{ name, id, host string }

// kongMembers are the members of a record.
var kongMembers = newMembers(
	(*kong).other,
	[]member[kong]{
		{"started_at", func(k *kong, _ *event.Raw) {
			us, ok := fixed(k.text(), fromMillis)
			k.started, k.at = true, momentAt(us, true)
			k.at.usable = k.at.usable && ok
		}},
		{"client_ip", func(k *kong, raw *event.Raw) { raw.Client = hostOf(k.text()) }},
		{"request", func(k *kong, raw *event.Raw) {
			kongRequest.read(&k.scanner, &k.memory.kongRequestNext, k, raw)
		}},
		{"response", (*kong).response},
		{"latencies", (*kong).latencies},
		{"upstream_status", func(k *kong, raw *event.Raw) { raw.UpstreamStatus = k.statusList() }},
		{"source", func(k *kong, _ *event.Raw) { k.source = k.text() }},
		{"route", func(k *kong, raw *event.Raw) {
			k.read(&k.memory.kongRouteNext)
			raw.RouteID, k.routeID = k.entity.name, k.entity.id
		}},
		{"service", func(k *kong, raw *event.Raw) {
			k.read(&k.memory.kongServiceNext)
			raw.Service, k.service = k.entity.name, k.entity.host
		}},
		{"tries", (*kong).tries},
		{"consumer", (*kong).consumer},
		{"authenticated_entity", func(k *kong, raw *event.Raw) {
			k.read(&k.memory.kongEntityNext)
			raw.CredentialID = k.entity.id
		}},
		{"workspace_name", func(k *kong, raw *event.Raw) { raw.Tenant = k.text() }},
		{"trace_id", (*kong).trace},
	},
)

// kongRequest are the members of request.
var kongRequest = newMembers(
	(*kong).other,
	[]member[kong]{
		{"id", func(k *kong, raw *event.Raw) { raw.RequestID = k.text() }},
		{"method", func(k *kong, _ *event.Raw) { k.method = k.text() }},
		{"uri", func(k *kong, _ *event.Raw) { k.uri = k.text() }},
		{"url", func(k *kong, _ *event.Raw) { k.url = k.text() }},
		{"size", func(k *kong, raw *event.Raw) { raw.ReqBytes = k.quantity(asIs) }},
		{"headers", (*kong).headers},
		{"tls", (*kong).tls},
	},
)

func (k *kong) other(*event.Raw) { k.skip() }

func (k *kong) headers(raw *event.Raw) {
	for name, ok := k.enter(); ok; name, ok = k.next() {
		setHeader(raw, k.memory.lower(name), k.joined())
	}
}

// maxValues bounds how many values of one header are joined.
const maxValues = 16

// joined takes a header's value: a string, or an array when it was sent more
// than once.
func (s *scanner) joined() string {
	if s.peek() != '[' {
		return s.text()
	}
	joined, values := "", 0
	for ok := s.array(); ok; ok = s.more() {
		switch v := s.text(); {
		case values == 0:
			joined = v
		case values < maxValues:
			joined += ", " + v
		}
		values++
	}
	return joined
}

func (k *kong) tls(raw *event.Raw) {
	for key, ok := k.enter(); ok; key, ok = k.next() {
		switch key {
		case "version":
			raw.TLSVersion = k.text()
		case "client_verify":
			if k.text() == "SUCCESS" {
				raw.AuthType = event.AuthMTLS
			}
		default:
			k.skip()
		}
	}
}

func (k *kong) response(raw *event.Raw) {
	for key, ok := k.enter(); ok; key, ok = k.next() {
		switch key {
		case "status":
			raw.Status, k.answered = k.status("response.status"), true
		case "size":
			raw.RespBytes = k.quantity(asIs)
		default:
			k.skip()
		}
	}
}

func (k *kong) latencies(raw *event.Raw) {
	for key, ok := k.enter(); ok; key, ok = k.next() {
		switch key {
		case "request":
			raw.LatencyUS = k.quantity(fromMillis)
		case "proxy":
			raw.UpstreamLatencyUS = k.quantity(fromMillis)
		default:
			k.skip()
		}
	}
}

// kongEntity are the members of a route, a service or a credential.
var kongEntity = newMembers(
	(*kong).other,
	[]member[kong]{
		{"name", func(k *kong, _ *event.Raw) { k.entity.name = k.text() }},
		{"id", func(k *kong, _ *event.Raw) { k.entity.id = k.text() }},
		{"host", func(k *kong, _ *event.Raw) { k.entity.host = k.text() }},
	},
)

// read takes an entity.
func (k *kong) read(g *guide) {
	k.entity = entity{}
	kongEntity.read(&k.scanner, g, k, nil)
}

func (k *kong) consumer(raw *event.Raw) {
	for key, ok := k.enter(); ok; key, ok = k.next() {
		switch key {
		case "username":
			raw.Principal = k.text()
		case "custom_id":
			k.customID = k.text()
		case "id":
			raw.ClientID = k.text()
		default:
			k.skip()
		}
	}
}

// tries takes the balancer's attempts; the last one is who answered.
func (k *kong) tries(raw *event.Raw) {
	if k.peek() == '{' {
		k.skip() // how Kong's encoder writes an empty list
		return
	}
	attempts := 0
	for ok := k.array(); ok; ok = k.more() {
		ip, port := "", ""
		for key, ok := k.enter(); ok; key, ok = k.next() {
			switch key {
			case "ip":
				ip = k.text()
			case "port":
				port = k.text()
			default:
				k.skip()
			}
		}
		if raw.Upstream = ip; ip != "" && port != "" {
			raw.Upstream = k.memory.joined(ip, ":", port)
		}
		attempts++
	}
	if attempts > 1 {
		k.notes |= noteSeveralUpstreams
	}
}

func (k *kong) trace(raw *event.Raw) {
	for key, ok := k.enter(); ok; key, ok = k.next() {
		if key == "w3c" {
			raw.TraceID = traceID(k.text())
		} else {
			k.skip()
		}
	}
}

// finish sets what depends on several members.
func (k *kong) finish(raw *event.Raw) {
	setMethod(raw, k.method, &k.notes)
	if scheme, _, ok := strings.Cut(k.url, "://"); ok {
		raw.Scheme = scheme
	}
	if k.uri == "" {
		k.uri = k.url
	}
	k.notes |= setTarget(raw, k.uri)
	if raw.Host == "" {
		k.notes |= noteHostMissing
	}
	if raw.RouteID == "" {
		raw.RouteID = k.routeID
	}
	if raw.Service == "" {
		raw.Service = k.service
	}
	if raw.Principal == "" {
		raw.Principal = k.customID
	}
	if raw.CredentialID != "" && raw.AuthType == "" {
		raw.AuthType = event.AuthUnknown
	}
	if raw.Status >= 500 && k.source == "kong" {
		raw.Outcome = event.OutcomeUpstreamError
	}
	setTime(raw, k.at, &k.notes)
	raw.Quality = k.notes.appendTo(raw.Quality[:0])
}
