package event

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"
)

// TimeLayout is how times are written in the JSON form: RFC 3339, UTC, always
// six digits of a second.
const TimeLayout = "2006-01-02T15:04:05.000000Z07:00"

// AppendJSON appends the JSON form of e to dst: one object in the field order of
// the schema, absent fields left out. It is valid UTF-8 whatever e holds.
func (e *Event) AppendJSON(dst []byte) []byte {
	w := writer{b: append(dst, `{"v":1`...)}
	w.str("kind", string(e.Kind))
	w.key("ts")
	w.b = append(w.b, '"')
	w.b = e.Time().AppendFormat(w.b, TimeLayout)
	w.b = append(w.b, '"')
	w.str("ts_src", string(e.TSSrc))
	w.str("origin", e.Origin.String())
	e.appendSource(&w)
	e.appendRequest(&w)
	e.appendResult(&w)
	e.appendClient(&w)
	e.appendIdentity(&w)
	e.appendRest(&w)
	return append(w.b, '}')
}

// MarshalJSON implements json.Marshaler with [Event.AppendJSON].
func (e *Event) MarshalJSON() ([]byte, error) { return e.AppendJSON(nil), nil }

func (e *Event) appendSource(w *writer) {
	w.str("gateway", e.Gateway)
	w.str("gateway_id", e.GatewayID)
	w.str("tenant", e.Tenant)
	w.str("request_id", e.RequestID)
	w.str("trace_id", e.TraceID)
}

func (e *Event) appendRequest(w *writer) {
	w.str("method", e.Method)
	w.str("scheme", e.Scheme)
	w.str("http_version", e.HTTPVersion)
	w.str("host", e.Host)
	w.str("path", e.Path)
	w.str("query", e.Query)
	w.str("route", e.Route)
	w.str("route_src", string(e.RouteSrc))
	w.str("route_id", e.RouteID)
	w.str("service", e.Service)
	w.str("api_version", e.APIVersion)
	w.str("data_class", string(e.DataClass))
	w.objects("objects", e.Objects)
}

func (e *Event) appendResult(w *writer) {
	w.num("status", int64(e.Status))
	if e.UpstreamStatus != 0 {
		w.num("upstream_status", int64(e.UpstreamStatus))
	}
	w.str("outcome", string(e.Outcome))
	w.str("error_reason", e.ErrorReason)
	w.num("req_bytes", e.ReqBytes)
	w.num("resp_bytes", e.RespBytes)
	w.str("bytes_scope", string(e.BytesScope))
	w.num("latency_us", e.LatencyUS)
	w.num("upstream_latency_us", e.UpstreamLatencyUS)
}

func (e *Event) appendClient(w *writer) {
	w.addr("client_ip", e.ClientIP)
	w.str("client_host", e.ClientHost)
	w.str("client_net", e.ClientNet)
	if e.ClientASN != 0 {
		w.num("client_asn", int64(e.ClientASN))
	}
	w.str("client_as_org", e.ClientASOrg)
	w.str("client_country", e.ClientCountry)
	w.addr("peer_ip", e.PeerIP)
	if len(e.XFF) > 0 {
		w.key("xff")
		w.b = append(w.b, '[')
		for i, ip := range e.XFF {
			w.comma(i)
			w.b = strconv.AppendQuote(w.b, ip.String())
		}
		w.b = append(w.b, ']')
	}
	w.str("user_agent", e.UserAgent)
	w.str("ua_family", e.UAFamily)
	w.str("referer", e.Referer)
}

func (e *Event) appendIdentity(w *writer) {
	w.str("auth_type", string(e.AuthType))
	w.str("principal", e.Principal)
	w.str("client_id", e.ClientID)
	w.str("credential_id", e.CredentialID)
	w.str("token_fp", e.TokenFP)
	w.str("session_fp", e.SessionFP)
	w.str("fp_key_id", e.FPKeyID)
	w.str("token_alg", e.TokenAlg)
	w.str("token_kid", e.TokenKid)
	w.str("token_iss", e.TokenIss)
	w.str("token_aud", e.TokenAud)
	w.str("token_exp_state", e.TokenExpState)
	w.str("token_bound", e.TokenBound)
}

func (e *Event) appendRest(w *writer) {
	w.str("tls_version", e.TLSVersion)
	w.str("tls_fp", e.TLSFP)
	w.str("mtls_subject", e.MTLSSubject)
	w.str("upstream", e.Upstream)
	w.labels("headers", e.Headers)
	w.labels("labels", e.Labels)
	w.list("redactions", e.Redactions)
	w.list("quality", e.Quality)
	w.str("actor", e.Actor)
	w.str("credential", e.Credential)
}

// writer builds one JSON object whose first member is already there.
type writer struct{ b []byte }

func (w *writer) key(name string) {
	w.b = append(w.b, ',', '"')
	w.b = append(w.b, name...)
	w.b = append(w.b, '"', ':')
}

func (w *writer) comma(i int) {
	if i > 0 {
		w.b = append(w.b, ',')
	}
}

func (w *writer) str(name, v string) {
	if v == "" {
		return
	}
	w.key(name)
	w.b = appendString(w.b, v)
}

func (w *writer) num(name string, v int64) {
	if v == Absent {
		return
	}
	w.key(name)
	w.b = strconv.AppendInt(w.b, v, 10)
}

func (w *writer) addr(name string, ip netip.Addr) {
	if ip.IsValid() {
		w.str(name, ip.String())
	}
}

func (w *writer) list(name string, vs []string) {
	if len(vs) == 0 {
		return
	}
	w.key(name)
	w.b = append(w.b, '[')
	for i, v := range vs {
		w.comma(i)
		w.b = appendString(w.b, v)
	}
	w.b = append(w.b, ']')
}

func (w *writer) objects(name string, os []Object) {
	if len(os) == 0 {
		return
	}
	w.key(name)
	w.b = append(w.b, '[')
	for i, o := range os {
		w.comma(i)
		w.b = append(w.b, `{"name":`...)
		w.b = appendString(w.b, o.Name)
		w.b = append(w.b, `,"ref":`...)
		w.b = appendString(w.b, o.Ref)
		w.b = append(w.b, '}')
	}
	w.b = append(w.b, ']')
}

func (w *writer) labels(name string, ls []Label) {
	if len(ls) == 0 {
		return
	}
	w.key(name)
	w.b = append(w.b, '{')
	for i, l := range ls {
		w.comma(i)
		w.b = appendString(w.b, l.Name)
		w.b = append(w.b, ':')
		w.b = appendString(w.b, l.Value)
	}
	w.b = append(w.b, '}')
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. Control characters are escaped and
// invalid UTF-8 becomes U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, s[start:i]...)
			b = append(b, '\\', c)
		case c < ' ' || c == 0x7f:
			b = append(b, s[start:i]...)
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		case c < utf8.RuneSelf:
			i++
			continue
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
			b = append(b, s[start:i]...)
			b = utf8.AppendRune(b, utf8.RuneError)
		}
		i++
		start = i
	}
	return append(append(b, s[start:]...), '"')
}

// UnmarshalJSON reads the JSON form that [Event.AppendJSON] writes, and sets
// every number that is left out to Absent. Unknown members are ignored: the
// schema is additive within a version. It is for events that were redacted
// before; input from gateways goes through the decoders and redaction.
func (e *Event) UnmarshalJSON(data []byte) error {
	in := wire{ReqBytes: Absent, RespBytes: Absent, LatencyUS: Absent, UpstreamLatencyUS: Absent}
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("read event: %w", err)
	}
	if in.V != Version {
		return fmt.Errorf("read event: schema version %d: want %d", in.V, Version)
	}
	ts, err := time.Parse(time.RFC3339Nano, in.TS)
	if err != nil {
		return fmt.Errorf("read event: field ts: want RFC 3339 time")
	}
	origin, err := ParseOrigin(in.Origin)
	if err != nil {
		return fmt.Errorf("read event: field origin: %w", err)
	}
	*e = in.event(origin, ts.UnixMicro())
	return nil
}
