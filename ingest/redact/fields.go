package redact

import (
	"strings"

	"gatehouse/ingest/event"
)

// typed writes the fields whose values are numbers or of closed sets.
func (s *scratch) typed(raw *event.Raw) {
	e := s.e
	e.TS = raw.TS
	e.Kind, e.TSSrc, e.BytesScope = event.KindAccess, event.TimeStart, ""
	if raw.Kind == event.KindAuthn || raw.Kind == event.KindAuthz {
		e.Kind = raw.Kind
	}
	if raw.TSSrc == event.TimeEnd {
		e.TSSrc = event.TimeEnd
	}
	if raw.BytesScope == event.BytesTotal || raw.BytesScope == event.BytesBody {
		e.BytesScope = raw.BytesScope
	}
	e.ReqBytes, e.RespBytes = max(raw.ReqBytes, event.Absent), max(raw.RespBytes, event.Absent)
	e.LatencyUS, e.UpstreamLatencyUS = max(raw.LatencyUS, event.Absent), max(raw.UpstreamLatencyUS, event.Absent)
	e.Method = s.method(raw.Method)
	e.Scheme = s.scheme(raw.Scheme)
	e.HTTPVersion = httpVersion(raw.HTTPVersion)
	e.TLSVersion = s.tlsVersion(raw.TLSVersion)
	e.TLSFP = s.tlsFingerprint(raw.TLSFP)
}

// result writes status, outcome and the gateway's reason.
func (s *scratch) result(raw *event.Raw) {
	e := s.e
	e.Status, e.UpstreamStatus = s.status(raw.Status), s.status(raw.UpstreamStatus)
	switch raw.Outcome {
	case event.OutcomeOK, event.OutcomeClientError, event.OutcomeAuthFailed, event.OutcomeForbidden, event.OutcomeRateLimited,
		event.OutcomeBlocked, event.OutcomeServerError, event.OutcomeUpstreamError, event.OutcomeAborted:
		e.Outcome = raw.Outcome
	case "":
	default:
		s.notes |= noteFieldInvalid
	}
	e.ErrorReason = s.text(raw.ErrorReason, event.MaxReason)
}

func (s *scratch) status(v int) int {
	const highest = 999
	if v < 0 || v > highest {
		s.notes |= noteFieldInvalid
		return 0
	}
	return v
}

// target writes what was called: host, path, query, route, service.
func (s *scratch) target(raw *event.Raw) {
	e := s.e
	e.Host = s.host(raw.Host)
	path, query := raw.Path, raw.Query
	if strings.IndexByte(path, '?') >= 0 || strings.IndexByte(path, '#') >= 0 {
		path, query = splitTarget(path, query)
	}
	e.Path = s.walk(path, false)
	s.routes(raw)
	s.query(query)
	s.writeObjects()
	e.RouteID = s.name(raw.RouteID)
	e.Service = s.name(raw.Service)
	e.Upstream = s.name(raw.Upstream)
	e.APIVersion = cut(s.name(raw.APIVersion), 64)
}

// splitTarget takes query and fragment off a path whose decoder did not.
func splitTarget(path, query string) (string, string) {
	i := strings.IndexAny(path, "?#")
	if query == "" && path[i] == '?' {
		query = path[i+1:]
	}
	return path[:i], query
}

// routes writes Route: the gateway's own, else the one learned from the path.
func (s *scratch) routes(raw *event.Raw) {
	e := s.e
	if raw.Route != "" {
		e.Route, e.RouteSrc = s.givenRoute(raw.Route), event.RouteGateway
		if raw.RouteSrc == event.RouteOpenAPI {
			e.RouteSrc = event.RouteOpenAPI
		}
		return
	}
	if e.Path == "" {
		return
	}
	e.RouteSrc = event.RouteLearned
	switch {
	case len(s.route) > event.MaxRoute:
		s.notes |= noteTextCut
		e.Route = s.made.String(s.route[:event.MaxRoute])
	case string(s.route) == e.Path:
		e.Route = e.Path
	default:
		e.Route = s.made.String(s.route)
	}
}

// givenRoute is a template that the gateway was configured with. It may hold
// braces and regular expressions, so only secrets of known kinds are hidden.
func (s *scratch) givenRoute(v string) string {
	if s.clean.has(v) {
		return v
	}
	raw := v
	v = cut(plain(v), event.MaxRoute)
	if h := findKnown(v); h.end > 0 {
		s.notes |= h.shape.note()
		return h.shape.placeholder()
	}
	if v == raw {
		s.clean.add(v)
	}
	return v
}

// writeObjects gives objects found in the path their names out of the route.
func (s *scratch) writeObjects() {
	if s.found == 0 {
		return
	}
	s.e.Objects = s.things.take(s.found)
	for i, o := range s.objects[:s.found] {
		switch {
		case o.name != "":
		case s.e.RouteSrc != event.RouteLearned:
			o.name = s.made.String(s.route[o.start:o.end])
		case o.end <= len(s.e.Route): // which may have been cut
			o.name = s.e.Route[o.start:o.end]
		}
		s.e.Objects[i] = event.Object{Name: o.name, Ref: o.ref}
	}
}

// method is a request method in upper case. Scanners send words of their own;
// those are kept while they are words.
func (s *scratch) method(v string) string {
	switch v {
	case "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "":
		return v // almost all
	}
	const longest = 32
	up := strings.ToUpper(v)
	if len(up) > longest || !allOf(up, classMethod) || shapeOf(up).hidden() {
		s.notes |= noteFieldInvalid
		return ""
	}
	return up
}

func (s *scratch) scheme(v string) string {
	switch v = lower(v); v {
	case "", "https", "http", "ws", "wss", "grpc", "grpcs", "tcp":
		return v
	}
	s.notes |= noteFieldInvalid
	return ""
}

// httpVersion is "1.0", "1.1", "2", "3" or "0.9" out of the ways to write them.
func httpVersion(v string) string {
	const prefix = "http/"
	switch v {
	case "", "1.1", "2":
		return v // as decoders give it
	case "HTTP/1.1":
		return "1.1"
	}
	if v = lower(v); strings.HasPrefix(v, prefix) {
		v = v[len(prefix):]
	}
	switch v {
	case "0.9", "1.0", "1.1", "2", "3":
		return v
	case "2.0", "h2", "h2c":
		return "2"
	case "3.0", "h3":
		return "3"
	}
	return ""
}

func (s *scratch) tlsVersion(v string) string {
	const longest = 16
	if v == "" || len(v) <= longest && all(v, func(c byte) bool { return isAlnum(c) || c == '.' || c == ' ' || c == '_' || c == '-' }) {
		return v
	}
	s.notes |= noteFieldInvalid
	return ""
}

// tlsFingerprint is a JA3 (32 hex digits) or a JA4 such as
// t13d1516h2_8daaf6152771_b186095e22b6.
func (s *scratch) tlsFingerprint(v string) string {
	const ja3, ja4, facts = 32, 36, 10
	v = lower(v)
	switch {
	case v == "":
		return ""
	case len(v) == ja3 && allOf(v, classHex):
		return v
	case len(v) == ja4 && all(v[:facts], isAlnum) && v[facts] == '_' && v[23] == '_' && allOf(v[11:23], classHex) && allOf(v[24:], classHex):
		return v
	}
	s.notes |= noteFieldInvalid
	return ""
}
