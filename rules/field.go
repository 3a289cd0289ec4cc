package rules

import (
	"slices"
	"strconv"

	"gatehouse/ingest/event"
)

// Field is one name of the expression language.
type Field struct {
	Name string
	Type string // text, number, list, map, objects
	Doc  string
	// SQL is the expression over audit.events that gives the same value. Absent
	// numbers are NULL there, except that an unknown client_asn is 0.
	SQL string
	// Column says that SQL is a column of its own.
	Column bool

	text   func(*event.Event) string // nil unless the field can be a group key
	number func(*event.Event) int64  // of fields of Type number
}

// Text is the field's value as text, "" when it is absent. It panics for fields
// that are lists or maps; [Field.Key] says which are not.
func (f *Field) Text(ev *event.Event) string { return f.text(ev) }

// Key says whether the field has a single value, and so can be in group_by.
func (f *Field) Key() bool { return f.text != nil }

// Fields lists the names of the language in the order of the event.
func Fields() []Field { return slices.Clone(fields) }

func fieldByName(name string) (*Field, bool) {
	i := slices.IndexFunc(fields, func(f Field) bool { return f.Name == name })
	if i < 0 {
		return nil, false
	}
	return &fields[i], true
}

func fieldNames() []string {
	names := make([]string, len(fields))
	for i := range fields {
		names[i] = fields[i].Name
	}
	return names
}

var fields = []Field{
	text("kind", func(e *event.Event) string { return string(e.Kind) }),
	derived("ts", "start of the request in µs since the Unix epoch", "toUnixTimestamp64Micro(ts)", func(e *event.Event) int64 { return e.TS }),
	text("ts_src", func(e *event.Event) string { return string(e.TSSrc) }),
	text("gateway", func(e *event.Event) string { return e.Gateway }),
	text("gateway_id", func(e *event.Event) string { return e.GatewayID }),
	text("tenant", func(e *event.Event) string { return e.Tenant }),
	text("request_id", func(e *event.Event) string { return e.RequestID }),
	text("trace_id", func(e *event.Event) string { return e.TraceID }),
	text("method", func(e *event.Event) string { return e.Method }),
	text("scheme", func(e *event.Event) string { return e.Scheme }),
	text("http_version", func(e *event.Event) string { return e.HTTPVersion }),
	text("host", func(e *event.Event) string { return e.Host }),
	text("path", func(e *event.Event) string { return e.Path }),
	text("query", func(e *event.Event) string { return e.Query }),
	text("route", func(e *event.Event) string { return e.Route }),
	text("route_src", func(e *event.Event) string { return string(e.RouteSrc) }),
	text("route_id", func(e *event.Event) string { return e.RouteID }),
	text("service", func(e *event.Event) string { return e.Service }),
	text("api_version", func(e *event.Event) string { return e.APIVersion }),
	text("data_class", func(e *event.Event) string { return string(e.DataClass) }),
	many("objects", "objects"),
	number("status", func(e *event.Event) int64 { return int64(e.Status) }),
	number("upstream_status", func(e *event.Event) int64 { return int64(e.UpstreamStatus) }),
	text("outcome", func(e *event.Event) string { return string(e.Outcome) }),
	text("error_reason", func(e *event.Event) string { return e.ErrorReason }),
	number("req_bytes", func(e *event.Event) int64 { return e.ReqBytes }),
	number("resp_bytes", func(e *event.Event) int64 { return e.RespBytes }),
	text("bytes_scope", func(e *event.Event) string { return string(e.BytesScope) }),
	number("latency_us", func(e *event.Event) int64 { return e.LatencyUS }),
	number("upstream_latency_us", func(e *event.Event) int64 { return e.UpstreamLatencyUS }),
	text("client_ip", clientIP),
	text("client_host", func(e *event.Event) string { return e.ClientHost }),
	text("client_net", func(e *event.Event) string { return e.ClientNet }),
	{Name: "client_asn", Type: "number or nil", SQL: "client_asn", Column: true, text: asn},
	text("client_as_org", func(e *event.Event) string { return e.ClientASOrg }),
	text("client_country", func(e *event.Event) string { return e.ClientCountry }),
	text("peer_ip", peerIP),
	many("xff", "list of text"),
	text("user_agent", func(e *event.Event) string { return e.UserAgent }),
	text("ua_family", func(e *event.Event) string { return e.UAFamily }),
	text("referer", func(e *event.Event) string { return e.Referer }),
	text("auth_type", func(e *event.Event) string { return string(e.AuthType) }),
	text("principal", func(e *event.Event) string { return e.Principal }),
	text("client_id", func(e *event.Event) string { return e.ClientID }),
	text("credential_id", func(e *event.Event) string { return e.CredentialID }),
	text("token_fp", func(e *event.Event) string { return e.TokenFP }),
	text("session_fp", func(e *event.Event) string { return e.SessionFP }),
	text("fp_key_id", func(e *event.Event) string { return e.FPKeyID }),
	text("token_alg", func(e *event.Event) string { return e.TokenAlg }),
	text("token_kid", func(e *event.Event) string { return e.TokenKid }),
	text("token_iss", func(e *event.Event) string { return e.TokenIss }),
	text("token_aud", func(e *event.Event) string { return e.TokenAud }),
	text("token_exp_state", func(e *event.Event) string { return e.TokenExpState }),
	text("token_bound", func(e *event.Event) string { return e.TokenBound }),
	text("tls_version", func(e *event.Event) string { return e.TLSVersion }),
	text("tls_fp", func(e *event.Event) string { return e.TLSFP }),
	text("mtls_subject", func(e *event.Event) string { return e.MTLSSubject }),
	text("upstream", func(e *event.Event) string { return e.Upstream }),
	many("headers", "map of text"),
	many("labels", "map of text"),
	many("redactions", "list of text"),
	many("quality", "list of text"),
	text("actor", func(e *event.Event) string { return e.Actor }),
	text("credential", func(e *event.Event) string { return e.Credential }),

	{Name: "endpoint", Type: "text", Doc: "route where one is known, else path", SQL: "if(route != '', route, path)", text: endpoint},
	{Name: "object", Type: "text", Doc: "ref of the last of objects: the innermost thing that the call named", SQL: "`objects.ref`[-1]", text: object},
	{Name: "ua_class", Type: "text", Doc: "bot, tool, mobile, browser or other, from the user agent; \"\" without one", text: uaClass},
	derived("ip_version", "4, 6, or 0 without an address", "multiIf(client_ip = '', 0, position(client_ip, ':') > 0, 6, 4)", func(e *event.Event) int64 { return int64(ipVersion(e)) }),
	derived("hour", "hour of the day, UTC", "toHour(ts)", func(e *event.Event) int64 { return int64(hour(e)) }),
	derived("weekday", "day of the week, UTC, 0 = Sunday", "(toDayOfWeek(ts) % 7)", func(e *event.Event) int64 { return int64(weekday(e)) }),
}

func text(name string, get func(*event.Event) string) Field {
	return Field{Name: name, Type: "text", SQL: name, Column: true, text: get}
}

func number(name string, get func(*event.Event) int64) Field {
	f := derived(name, "", name, get)
	f.Column = true
	return f
}

// derived is a number that is computed from others.
func derived(name, doc, sql string, get func(*event.Event) int64) Field {
	return Field{Name: name, Type: "number", Doc: doc, SQL: sql, number: get, text: func(e *event.Event) string {
		n := get(e)
		if n == event.Absent {
			return ""
		}
		return strconv.FormatInt(n, 10)
	}}
}

func many(name, kind string) Field { return Field{Name: name, Type: kind, SQL: name, Column: true} }

func asn(e *event.Event) string {
	if e.ClientASN == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(e.ClientASN), 10)
}

// Describe is the field's meaning in a few words.
func (f *Field) Describe() string {
	if f.Doc != "" {
		return f.Doc
	}
	for _, ef := range event.Fields() {
		if ef.Name == f.Name {
			return ef.Doc
		}
	}
	return ""
}
