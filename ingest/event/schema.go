package event

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Field describes one member of the JSON form, which is also a column of
// audit.events and a name in rule expressions. OCSF is the path in OCSF 1.8 HTTP
// Activity (4002) and API Activity (6003), OTel the attribute of the HTTP server
// semantic conventions 1.44; "" where the standard has no such field.
type Field struct {
	Name     string
	Type     string // string, integer, time, ip, ip list, string list, map, objects
	Required bool
	Values   []string // the closed set, nil if open
	Max      int      // longest string in bytes, largest number of items; 0 = no own limit
	Doc      string
	OCSF     string
	OTel     string
}

// Fields lists the members of the JSON form in their order.
func Fields() []Field { return slices.Clone(fields) }

var fields = []Field{
	{Name: "v", Type: "integer", Required: true, Doc: "schema version, always 1", OCSF: "metadata.version"},
	{Name: "kind", Type: "string", Required: true, Values: []string{"access", "authn", "authz"}, Doc: "a gateway call, an identity provider's event, a policy decision", OCSF: "class_uid"},
	{Name: "ts", Type: "time", Required: true, Doc: "start of the request, UTC, microseconds", OCSF: "time", OTel: "Timestamp"},
	{Name: "ts_src", Type: "string", Values: []string{"start", "end"}, Doc: "which clock reading ts is; end = only the completion time was known"},
	{Name: "origin", Type: "string", Required: true, Doc: "topic/partition/offset[.index]: where the event came from, and its identity", OCSF: "metadata.uid"},

	{Name: "gateway", Type: "string", Required: true, Max: MaxName, Doc: "product that wrote the record", OCSF: "metadata.product.name", OTel: "service.name"},
	{Name: "gateway_id", Type: "string", Max: MaxName, Doc: "instance or cluster", OCSF: "metadata.product.uid", OTel: "service.instance.id"},
	{Name: "tenant", Type: "string", Max: MaxName, Doc: "tenant or workspace", OCSF: "cloud.org.uid", OTel: "service.namespace"},
	{Name: "request_id", Type: "string", Max: MaxName, Doc: "the gateway's id of the request", OCSF: "http_request.uid"},
	{Name: "trace_id", Type: "string", Max: 32, Doc: "W3C trace id, 32 hex digits", OCSF: "trace.uid", OTel: "TraceId"},

	{Name: "method", Type: "string", Max: 32, Doc: "as sent, upper case", OCSF: "http_request.http_method", OTel: "http.request.method"},
	{Name: "scheme", Type: "string", Max: 16, Doc: "http, https, ws, wss, grpc", OCSF: "http_request.url.scheme", OTel: "url.scheme"},
	{Name: "http_version", Type: "string", Max: 8, Doc: "0.9, 1.0, 1.1, 2, 3", OCSF: "http_request.version", OTel: "network.protocol.version"},
	{Name: "host", Type: "string", Max: MaxHost, Doc: "lower case, without port", OCSF: "http_request.url.hostname", OTel: "server.address"},
	{Name: "path", Type: "string", Max: MaxPath, Doc: "without query; secrets, e-mails and card numbers are placeholders", OCSF: "http_request.url.path", OTel: "url.path"},
	{Name: "query", Type: "string", Max: MaxQuery, Doc: "names kept, values only where allow-listed", OCSF: "http_request.url.query_string", OTel: "url.query"},
	{Name: "route", Type: "string", Max: MaxRoute, Doc: "template such as /pets/{petId}", OCSF: "api.operation", OTel: "http.route"},
	{Name: "route_src", Type: "string", Values: []string{"gateway", "openapi", "learned"}, Doc: "where route came from; learned = derived from the path"},
	{Name: "route_id", Type: "string", Max: MaxName, Doc: "the gateway's name of the route"},
	{Name: "service", Type: "string", Max: MaxName, Doc: "API or upstream service", OCSF: "api.service.name", OTel: "service.name"},
	{Name: "api_version", Type: "string", Max: 64, Doc: "version of the API", OCSF: "api.version"},
	{Name: "data_class", Type: "string", Values: []string{"none", "pii", "payment", "health", "secret"}, Doc: "what the call exposes, from a route file"},
	{Name: "objects", Type: "objects", Max: MaxObjects, Doc: "things the call named: {name, ref}; ref is an integer, UUID or ULID, else fp: and a keyed fingerprint", OCSF: "resources[].uid"},

	{Name: "status", Type: "integer", Required: true, Doc: "0 to 999; 0 = no response was sent", OCSF: "http_response.code", OTel: "http.response.status_code"},
	{Name: "upstream_status", Type: "integer", Doc: "status of the upstream"},
	{Name: "outcome", Type: "string", Required: true, Values: outcomes, Doc: "the result in one word", OCSF: "status_id"},
	{Name: "error_reason", Type: "string", Max: MaxReason, Doc: "the gateway's reason, scanned for secrets", OCSF: "status_detail", OTel: "error.type"},
	{Name: "req_bytes", Type: "integer", Doc: "bytes received from the client", OCSF: "traffic.bytes_in", OTel: "http.request.size"},
	{Name: "resp_bytes", Type: "integer", Doc: "bytes sent to the client", OCSF: "traffic.bytes_out", OTel: "http.response.size"},
	{Name: "bytes_scope", Type: "string", Values: []string{"total", "body"}, Doc: "whether the byte counts include headers"},
	{Name: "latency_us", Type: "integer", Doc: "µs from the first byte in to the last byte out", OCSF: "http_response.latency", OTel: "http.server.request.duration"},
	{Name: "upstream_latency_us", Type: "integer", Doc: "µs spent waiting for the upstream"},

	{Name: "client_ip", Type: "ip", Doc: "client by the source's trusted-hop rule", OCSF: "src_endpoint.ip", OTel: "client.address"},
	{Name: "client_host", Type: "string", Max: MaxHost, Doc: "the client's name, where the source logs names", OCSF: "src_endpoint.hostname", OTel: "client.address"},
	{Name: "client_net", Type: "string", Max: 64, Doc: "the /16 or /32 around client_ip, standing in for the autonomous system"},
	{Name: "client_asn", Type: "integer", Doc: "autonomous system number, where an MMDB is given", OCSF: "src_endpoint.autonomous_system.number"},
	{Name: "client_as_org", Type: "string", Max: MaxName, Doc: "its organisation", OCSF: "src_endpoint.autonomous_system.name"},
	{Name: "client_country", Type: "string", Max: 2, Doc: "ISO 3166-1 alpha-2", OCSF: "src_endpoint.location.country"},
	{Name: "peer_ip", Type: "ip", Doc: "the direct peer", OCSF: "proxy_endpoint.ip", OTel: "network.peer.address"},
	{Name: "xff", Type: "ip list", Max: MaxXFF, Doc: "X-Forwarded-For, left to right", OCSF: "src_endpoint.intermediate_ips"},
	{Name: "user_agent", Type: "string", Max: MaxUserAgent, Doc: "scanned for secrets", OCSF: "http_request.user_agent", OTel: "user_agent.original"},
	{Name: "ua_family", Type: "string", Max: 64, Doc: "browser, library or bot without its version", OTel: "user_agent.name"},
	{Name: "referer", Type: "string", Max: MaxPath, Doc: "origin and path, without query", OCSF: "http_request.referrer"},

	{Name: "auth_type", Type: "string", Values: []string{"none", "api_key", "jwt", "oauth2", "basic", "mtls", "session", "hmac", "unknown"}, Doc: "how the caller authenticated"},
	{Name: "principal", Type: "string", Max: MaxName, Doc: "user, subject or consumer; e-mails as a fingerprint", OCSF: "actor.user.uid", OTel: "enduser.id"},
	{Name: "client_id", Type: "string", Max: MaxName, Doc: "application", OCSF: "actor.app_uid"},
	{Name: "credential_id", Type: "string", Max: MaxName, Doc: "the gateway's own id of the credential", OCSF: "actor.session.credential_uid"},
	{Name: "token_fp", Type: "string", Max: 32, Doc: "keyed fingerprint of the token, 32 hex digits", OCSF: "actor.session.uid", OTel: "enduser.pseudo.id"},
	{Name: "session_fp", Type: "string", Max: 32, Doc: "keyed fingerprint of the session cookie", OCSF: "actor.session.uid"},
	{Name: "fp_key_id", Type: "string", Max: 16, Doc: "id of the key behind this event's fingerprints"},
	{Name: "token_alg", Type: "string", Max: 16, Doc: "JWT header alg"},
	{Name: "token_kid", Type: "string", Max: 128, Doc: "JWT header kid"},
	{Name: "token_iss", Type: "string", Max: MaxName, Doc: "JWT issuer", OCSF: "actor.session.issuer"},
	{Name: "token_aud", Type: "string", Max: MaxName, Doc: "JWT audience"},
	{Name: "token_exp_state", Type: "string", Values: []string{"ok", "expired", "none", "unknown"}, Doc: "expiry of the token at ts"},
	{Name: "token_bound", Type: "string", Values: []string{"bearer", "dpop", "mtls"}, Doc: "what the token is bound to"},

	{Name: "tls_version", Type: "string", Max: 16, Doc: "as the gateway writes it", OCSF: "tls.version", OTel: "tls.protocol.version"},
	{Name: "tls_fp", Type: "string", Max: 64, Doc: "JA3 or JA4", OCSF: "tls.ja3_hash.value", OTel: "tls.client.ja3"},
	{Name: "mtls_subject", Type: "string", Max: MaxReason, Doc: "subject of the client certificate", OCSF: "tls.certificate.subject", OTel: "tls.client.subject"},
	{Name: "upstream", Type: "string", Max: MaxName, Doc: "chosen backend", OCSF: "dst_endpoint.name", OTel: "server.address"},

	{Name: "headers", Type: "map", Max: MaxHeaders, Doc: "allow-listed request headers", OCSF: "http_request.http_headers", OTel: "http.request.header.<key>"},
	{Name: "labels", Type: "map", Max: MaxLabels, Doc: "attributes that a decoder keeps", OCSF: "metadata.labels"},
	{Name: "redactions", Type: "string list", Doc: "which redactors fired"},
	{Name: "quality", Type: "string list", Doc: "what the decoder had to assume"},
	{Name: "actor", Type: "string", Max: MaxName, Doc: "who acted: first of principal, client_id, credential_id, token_fp, session_fp, client_ip, client_host"},
	{Name: "credential", Type: "string", Max: MaxName, Doc: "what was presented: first of token_fp, session_fp, credential_id, client_id, principal"},
}

var outcomes = []string{
	"ok", "client_error", "auth_failed", "forbidden", "rate_limited", "blocked", "server_error", "upstream_error", "aborted",
}

// JSONSchema is the JSON Schema (draft 2020-12) of the JSON form, indented.
func JSONSchema() []byte {
	properties := make([]member, 0, len(fields))
	var required []string
	for _, f := range fields {
		properties = append(properties, member{f.Name, f.schema()})
		if f.Required {
			required = append(required, f.Name)
		}
	}
	out, err := json.MarshalIndent(object{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"$id", "urn:gatehouse:event:1"},
		{"title", "Gatehouse event"},
		{"type", "object"},
		{"additionalProperties", false},
		{"required", required},
		{"properties", object(properties)},
	}, "", "  ")
	if err != nil {
		panic("BUG: event schema: " + err.Error())
	}
	return append(out, '\n')
}

func (f Field) schema() object {
	s := object{{"description", f.Doc}}
	text := object{{"type", "string"}}
	switch f.Type {
	case "string":
		s = append(s, member{"type", "string"})
		if f.Values != nil {
			s = append(s, member{"enum", f.Values})
		}
		if f.Max > 0 {
			s = append(s, member{"maxLength", f.Max})
		}
	case "integer":
		s = append(s, member{"type", "integer"}, member{"minimum", 0})
	case "time":
		s = append(s, member{"type", "string"}, member{"format", "date-time"})
	case "ip":
		s = append(s, member{"type", "string"}, member{"maxLength", 64})
	case "ip list", "string list":
		s = append(s, member{"type", "array"}, member{"items", text})
		if f.Max > 0 {
			s = append(s, member{"maxItems", f.Max})
		}
	case "map":
		s = append(s, member{"type", "object"}, member{"additionalProperties", text}, member{"maxProperties", f.Max})
	case "objects":
		s = append(s, member{"type", "array"}, member{"maxItems", f.Max}, member{"items", object{
			{"type", "object"}, {"required", []string{"name", "ref"}}, {"additionalProperties", false},
			{"properties", object{{"name", text}, {"ref", text}}},
		}})
	default:
		panic(fmt.Sprintf("BUG: field %s: unknown type %q", f.Name, f.Type))
	}
	return s
}

// object is a JSON object that keeps its members in order.
type object []member

type member struct {
	name  string
	value any
}

// MarshalJSON implements json.Marshaler.
func (o object) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		v, err := json.Marshal(m.value)
		if err != nil {
			return nil, fmt.Errorf("encode member %s: %w", m.name, err)
		}
		b = append(appendString(b, m.name), ':')
		b = append(b, v...)
	}
	return append(b, '}'), nil
}
