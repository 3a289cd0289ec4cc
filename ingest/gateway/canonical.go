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
func decodeCanonical(record []byte, raw *event.Raw) *event.DecodeError {
	raw.Reset("canonical")
	c := canonical{scanner: newScanner(record)}
	c.read(raw)
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

func (c *canonical) read(raw *event.Raw) {
	for key, ok := c.enter(); ok; key, ok = c.next() {
		switch key {
		case "ts":
			c.integer = c.peek() != '"'
			c.stamp = c.text()
		case "v":
			c.version = c.text()
		case "kind":
			raw.Kind = event.Kind(c.text())
		case "ts_src":
			raw.TSSrc = event.TimeSource(c.text())
		case "method":
			c.method = c.text()
		case "path":
			c.path = c.text()
		case "query":
			c.query = c.text()
		case "status":
			c.answered = c.peek() != 'n'
			raw.Status = c.status("status")
		case "upstream_status":
			raw.UpstreamStatus = c.statusList()
		case "outcome":
			raw.Outcome = event.Outcome(c.text())
		case "error_reason":
			raw.ErrorReason = c.text()
		default:
			c.source(raw, key)
		}
	}
}

func (c *canonical) source(raw *event.Raw, key string) {
	switch key {
	case "gateway":
		if v := c.text(); v != "" {
			raw.Gateway = v
		}
	case "gateway_id":
		raw.GatewayID = c.text()
	case "tenant":
		raw.Tenant = c.text()
	case "request_id":
		raw.RequestID = c.text()
	case "trace_id":
		raw.TraceID = traceID(c.text())
	case "scheme":
		raw.Scheme = strings.ToLower(c.text())
	case "http_version":
		raw.HTTPVersion = httpVersion(c.text())
	case "host":
		raw.Host = hostName(c.text())
	case "route":
		raw.Route = c.text()
	case "route_src":
		raw.RouteSrc = event.RouteSource(c.text())
	case "route_id":
		raw.RouteID = c.text()
	case "service":
		raw.Service = c.text()
	case "api_version":
		raw.APIVersion = c.text()
	default:
		c.result(raw, key)
	}
}

func (c *canonical) result(raw *event.Raw, key string) {
	switch key {
	case "req_bytes":
		raw.ReqBytes = c.quantity(asIs)
	case "resp_bytes":
		raw.RespBytes = c.quantity(asIs)
	case "bytes_scope":
		raw.BytesScope = event.BytesScope(c.text())
	case "latency_us":
		raw.LatencyUS = c.quantity(fromMicros)
	case "upstream_latency_us":
		raw.UpstreamLatencyUS = c.quantity(fromMicros)
	case "client_ip":
		raw.Client = hostOf(c.text())
	case "client_host":
		c.clientHost = c.text()
	case "peer_ip":
		raw.Peer = hostOf(c.text())
	case "xff":
		raw.XFF = c.hops()
	case "user_agent":
		raw.UserAgent = c.text()
	case "referer":
		raw.Referer = c.text()
	default:
		c.identity(raw, key)
	}
}

func (c *canonical) identity(raw *event.Raw, key string) {
	switch key {
	case "auth_type":
		raw.AuthType = event.AuthType(c.text())
	case "principal":
		raw.Principal = c.text()
	case "client_id":
		raw.ClientID = c.text()
	case "credential_id":
		raw.CredentialID = c.text()
	case "authorization":
		setAuthorization(raw, c.text())
	case "api_key":
		raw.APIKey = secret(c.text())
	case "cookie":
		raw.Cookie = secret(c.text())
	case "token_hash":
		raw.TokenHash = strings.ToLower(c.text())
	case "token_fp":
		raw.TokenFP = c.text()
	case "session_fp":
		raw.SessionFP = c.text()
	case "fp_key_id":
		raw.FPKeyID = c.text()
	default:
		c.rest(raw, key)
	}
}

func (c *canonical) rest(raw *event.Raw, key string) {
	switch key {
	case "tls_version":
		raw.TLSVersion = c.text()
	case "tls_fp":
		raw.TLSFP = c.text()
	case "mtls_subject":
		raw.MTLSSubject = c.text()
	case "upstream":
		raw.Upstream = c.text()
	case "headers":
		for name, ok := c.enter(); ok; name, ok = c.next() {
			setHeader(raw, strings.ToLower(name), c.joined())
		}
	case "labels":
		c.labels(raw)
	case "origin", "data_class", "objects", "client_net", "client_asn", "client_as_org", "client_country", "ua_family",
		"token_alg", "token_kid", "token_iss", "token_aud", "token_exp_state", "token_bound",
		"redactions", "quality", "actor", "credential":
		c.notes |= noteFieldsNotCarried
		c.skip()
	default:
		c.notes |= noteUnknownFields
		c.skip()
	}
}

// hops takes X-Forwarded-For, an array or the header's text.
func (c *canonical) hops() []string {
	if c.peek() != '[' {
		return forwarded(c.text())
	}
	var hops []string
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
	raw.Quality = c.notes.list()
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
