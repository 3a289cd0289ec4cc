package gateway

import (
	"strings"

	"gatehouse/ingest/event"
)

// decodeCanonical reads Gatehouse's own input format: one JSON object with the
// members of the event schema (`gatehouse schema`), for gateways and
// applications that can choose what they write. ts, method, path and status are
// required. ts is RFC 3339, or an integer of µs since the epoch; both are the
// start of the request unless ts_src says end.
//
// Four members are for input only: authorization, api_key and cookie, the values
// as sent, and token_hash, a SHA-256 of the token in hex. Members that the schema
// does not have are ignored and noted once as unknown_fields; so are members that
// only redaction and enrichment set, as fields_not_carried.
func decodeCanonical(m *memory, record []byte, raw *event.Raw) *event.DecodeError {
	raw.Gateway = "canonical"
	c := &m.canonical
	c.scanner = newScanner(m, record)
	err := c.decode(raw)
	*c = canonical{}
	return err
}

func (c *canonical) decode(raw *event.Raw) *event.DecodeError {
	canonicalMembers.read(&c.scanner, &c.memory.canonicalNext, c, raw)
	if err := c.end(); err != nil {
		return err
	}
	return c.finish(raw)
}

// canonical is the state of reading one record.
type canonical struct {
	scanner
	stamp        string
	version      string
	integer      bool // stamp was a JSON number
	method, path string
	query        string
	clientHost   string
	answered     bool
}

// canonicalMembers are the members of the event schema, and those for input only.
var canonicalMembers = newMembers(
	(*canonical).unknown,
	[]member[canonical]{
		{"ts", func(c *canonical, raw *event.Raw) {
			c.integer = c.peek() != '"'
			c.stamp = c.text()
		}},
		{"v", func(c *canonical, _ *event.Raw) { c.version = c.text() }},
		{"kind", func(c *canonical, raw *event.Raw) { raw.Kind = event.Kind(c.text()) }},
		{"ts_src", func(c *canonical, raw *event.Raw) { raw.TSSrc = event.TimeSource(c.text()) }},
		{"method", func(c *canonical, _ *event.Raw) { c.method = c.text() }},
		{"path", func(c *canonical, _ *event.Raw) { c.path = c.text() }},
		{"query", func(c *canonical, _ *event.Raw) { c.query = c.text() }},
		{"status", func(c *canonical, raw *event.Raw) {
			c.answered = c.peek() != 'n'
			raw.Status = c.status("status")
		}},
		{"upstream_status", func(c *canonical, raw *event.Raw) { raw.UpstreamStatus = c.statusList() }},
		{"outcome", func(c *canonical, raw *event.Raw) { raw.Outcome = event.Outcome(c.text()) }},
		{"error_reason", func(c *canonical, raw *event.Raw) { raw.ErrorReason = c.text() }},
		{"gateway", func(c *canonical, raw *event.Raw) {
			if v := c.text(); v != "" {
				raw.Gateway = v
			}
		}},
		{"gateway_id", func(c *canonical, raw *event.Raw) { raw.GatewayID = c.text() }},
		{"tenant", func(c *canonical, raw *event.Raw) { raw.Tenant = c.text() }},
		{"request_id", func(c *canonical, raw *event.Raw) { raw.RequestID = c.text() }},
		{"trace_id", func(c *canonical, raw *event.Raw) { raw.TraceID = traceID(c.text()) }},
		{"scheme", func(c *canonical, raw *event.Raw) { raw.Scheme = lower(c.text()) }},
		{"http_version", func(c *canonical, raw *event.Raw) { raw.HTTPVersion = httpVersion(c.text()) }},
		{"host", func(c *canonical, raw *event.Raw) { raw.Host = hostName(c.text()) }},
		{"route", func(c *canonical, raw *event.Raw) { raw.Route = c.text() }},
		{"route_src", func(c *canonical, raw *event.Raw) { raw.RouteSrc = event.RouteSource(c.text()) }},
		{"route_id", func(c *canonical, raw *event.Raw) { raw.RouteID = c.text() }},
		{"service", func(c *canonical, raw *event.Raw) { raw.Service = c.text() }},
		{"api_version", func(c *canonical, raw *event.Raw) { raw.APIVersion = c.text() }},
		{"req_bytes", func(c *canonical, raw *event.Raw) { raw.ReqBytes = c.quantity(asIs) }},
		{"resp_bytes", func(c *canonical, raw *event.Raw) { raw.RespBytes = c.quantity(asIs) }},
		{"bytes_scope", func(c *canonical, raw *event.Raw) { raw.BytesScope = event.BytesScope(c.text()) }},
		{"latency_us", func(c *canonical, raw *event.Raw) { raw.LatencyUS = c.quantity(fromMicros) }},
		{"upstream_latency_us", func(c *canonical, raw *event.Raw) { raw.UpstreamLatencyUS = c.quantity(fromMicros) }},
		{"client_ip", func(c *canonical, raw *event.Raw) { raw.Client = hostOf(c.text()) }},
		{"client_host", func(c *canonical, _ *event.Raw) { c.clientHost = c.text() }},
		{"peer_ip", func(c *canonical, raw *event.Raw) { raw.Peer = hostOf(c.text()) }},
		{"xff", func(c *canonical, raw *event.Raw) { raw.XFF = c.hops(raw.XFF[:0]) }},
		{"user_agent", func(c *canonical, raw *event.Raw) { raw.UserAgent = c.text() }},
		{"referer", func(c *canonical, raw *event.Raw) { raw.Referer = c.text() }},
		{"auth_type", func(c *canonical, raw *event.Raw) { raw.AuthType = event.AuthType(c.text()) }},
		{"principal", func(c *canonical, raw *event.Raw) { raw.Principal = c.text() }},
		{"client_id", func(c *canonical, raw *event.Raw) { raw.ClientID = c.text() }},
		{"credential_id", func(c *canonical, raw *event.Raw) { raw.CredentialID = c.text() }},
		{"authorization", func(c *canonical, raw *event.Raw) { setAuthorization(raw, c.text()) }},
		{"api_key", func(c *canonical, raw *event.Raw) { raw.APIKey = secret(c.text()) }},
		{"cookie", func(c *canonical, raw *event.Raw) { raw.Cookie = secret(c.text()) }},
		{"token_hash", func(c *canonical, raw *event.Raw) { raw.TokenHash = lower(c.text()) }},
		{"token_fp", func(c *canonical, raw *event.Raw) { raw.TokenFP = c.text() }},
		{"session_fp", func(c *canonical, raw *event.Raw) { raw.SessionFP = c.text() }},
		{"fp_key_id", func(c *canonical, raw *event.Raw) { raw.FPKeyID = c.text() }},
		{"tls_version", func(c *canonical, raw *event.Raw) { raw.TLSVersion = c.text() }},
		{"tls_fp", func(c *canonical, raw *event.Raw) { raw.TLSFP = c.text() }},
		{"mtls_subject", func(c *canonical, raw *event.Raw) { raw.MTLSSubject = c.text() }},
		{"upstream", func(c *canonical, raw *event.Raw) { raw.Upstream = c.text() }},
		{"headers", func(c *canonical, raw *event.Raw) {
			for name, ok := c.enter(); ok; name, ok = c.next() {
				setHeader(raw, c.memory.lower(name), c.joined())
			}
		}},
		{"labels", func(c *canonical, raw *event.Raw) { c.labels(raw) }},
		{"origin data_class objects client_net client_asn client_as_org client_country ua_family token_alg token_kid " +
			"token_iss token_aud token_exp_state token_bound redactions quality actor credential", (*canonical).notCarried},
	},
)

// notCarried passes over a member that only redaction and enrichment set.
func (c *canonical) notCarried(*event.Raw) {
	c.notes |= noteFieldsNotCarried
	c.skip()
}

func (c *canonical) unknown(*event.Raw) {
	c.notes |= noteUnknownFields
	c.skip()
}

// hops takes X-Forwarded-For, an array or the header's text.
func (c *canonical) hops(hops []string) []string {
	if c.peek() != '[' {
		return forwarded(hops, c.text())
	}
	for ok := c.array(); ok; ok = c.more() {
		if hop := hostOf(c.text()); hop != "" && len(hops) < maxForwarded {
			hops = append(hops, hop)
		}
	}
	return hops
}

func (c *canonical) labels(raw *event.Raw) {
	for name, ok := c.enter(); ok; name, ok = c.next() {
		if v := c.text(); v != "" && len(raw.Labels) < maxHeaders {
			raw.Labels = append(raw.Labels, event.Label{Name: name, Value: v})
		}
	}
}

// finish checks what is required, and that members with a closed set of values
// hold one of them.
func (c *canonical) finish(raw *event.Raw) *event.DecodeError {
	switch {
	case c.stamp == "":
		return event.Reject(event.ReasonMissingField, "ts", "RFC 3339 time or µs since the epoch")
	case c.method == "":
		return event.Reject(event.ReasonMissingField, "method", "the request's method")
	case c.path == "":
		return event.Reject(event.ReasonMissingField, "path", "the request's path")
	case !c.answered:
		return event.Reject(event.ReasonMissingField, "status", "a status")
	case c.version != "" && c.version != "1":
		return event.Reject(event.ReasonBadField, "v", "schema version 1")
	}
	m := c.time()
	if !m.usable {
		return event.Reject(event.ReasonBadTime, "ts", "RFC 3339 time or µs since the epoch")
	}
	if field := c.wrongMember(raw); field != "" {
		return event.Reject(event.ReasonBadField, field, "a value of its closed set")
	}
	setMethod(raw, c.method, &c.notes)
	c.notes |= setTarget(raw, c.path)
	if c.query != "" {
		raw.Query = strings.TrimPrefix(c.query, "?")
	}
	if raw.Client == "" {
		raw.Client = c.clientHost
	}
	if raw.Host == "" {
		c.notes |= noteHostMissing
	}
	c.setSources(raw, m)
	return nil
}

// setSources sets the time and what says where values came from.
func (c *canonical) setSources(raw *event.Raw, m moment) {
	if raw.TSSrc == event.TimeEnd {
		setEndTime(raw, m, &c.notes)
	} else {
		setTime(raw, m, &c.notes)
	}
	if raw.Route != "" && raw.RouteSrc == "" {
		raw.RouteSrc = event.RouteGateway
	}
	raw.Quality = c.notes.appendTo(raw.Quality[:0])
}

func (c *canonical) time() moment {
	if !c.integer {
		return parseISO(c.stamp)
	}
	us, ok := fixed(c.stamp, fromMicros)
	m := momentAt(us, true)
	m.usable = m.usable && ok
	return m
}

// wrongMember names a member whose value is not of its closed set.
func (c *canonical) wrongMember(raw *event.Raw) string {
	switch raw.Kind {
	case "":
		raw.Kind = event.KindAccess
	case event.KindAccess, event.KindAuthn, event.KindAuthz:
	default:
		return "kind"
	}
	switch raw.TSSrc {
	case "", event.TimeStart, event.TimeEnd:
	default:
		return "ts_src"
	}
	switch raw.RouteSrc {
	case "", event.RouteGateway, event.RouteOpenAPI, event.RouteLearned:
	default:
		return "route_src"
	}
	switch raw.BytesScope {
	case "", event.BytesTotal, event.BytesBody:
	default:
		return "bytes_scope"
	}
	return wrongResult(raw)
}

func wrongResult(raw *event.Raw) string {
	switch raw.Outcome {
	case "", event.OutcomeOK, event.OutcomeClientError, event.OutcomeAuthFailed, event.OutcomeForbidden,
		event.OutcomeRateLimited, event.OutcomeBlocked, event.OutcomeServerError, event.OutcomeUpstreamError, event.OutcomeAborted:
	default:
		return "outcome"
	}
	switch raw.AuthType {
	case "", event.AuthNone, event.AuthAPIKey, event.AuthJWT, event.AuthOAuth2, event.AuthBasic,
		event.AuthMTLS, event.AuthSession, event.AuthHMAC, event.AuthUnknown:
	default:
		return "auth_type"
	}
	return ""
}
