package traffic

import (
	"strconv"
	"strings"

	"gatehouse/ingest/event"
)

// kongLine writes what the http-log, file-log and kafka-log plugins send.
// Times are ms. Kong itself masks Authorization; the recipe puts it back through
// custom_fields_by_lua.
func kongLine(l *line, r *event.Raw, o Option) {
	l.open("")
	kongResponse(l, r)
	kongRoute(l, r)
	l.raw("workspace", `"f381e34e-5c25-4e65-b91b-3c0a86cfc393"`)
	l.str("workspace_name", orDefault(r.Tenant, "default"))
	kongTries(l, r)
	l.str("client_ip", r.Client)
	kongRequest(l, r, o)
	l.uri("upstream_uri", r)
	l.num("started_at", r.TS/1000)
	l.str("source", kongSource(r))
	if r.UpstreamStatus != 0 {
		l.text("upstream_status", strconv.Itoa(r.UpstreamStatus))
	}
	kongLatencies(l, r)
	kongService(l, r)
	kongConsumer(l, r)
	l.close()
}

func kongResponse(l *line, r *event.Raw) {
	l.open("response")
	l.num("size", r.RespBytes)
	l.open("headers")
	l.raw("content-type", `"application/json; charset=utf-8"`)
	l.raw("connection", `"keep-alive"`)
	l.raw("via", `"1.1 kong/3.11.0"`)
	l.str("x-kong-request-id", r.RequestID)
	l.close()
	l.num("status", int64(r.Status))
	l.close()
}

func kongRoute(l *line, r *event.Raw) {
	l.open("route")
	l.text("id", kongID("route", r.Service))
	l.str("name", r.Service)
	l.raw("protocols", `["http","https"]`)
	l.key("paths")
	l.b = append(l.b, '[')
	l.quote(prefix(r.Path))
	l.b = append(l.b, ']')
	l.raw("strip_path", "false")
	l.raw("preserve_host", "false")
	l.raw("regex_priority", "0")
	l.raw("path_handling", `"v0"`)
	l.raw("ws_id", `"f381e34e-5c25-4e65-b91b-3c0a86cfc393"`)
	l.open("service")
	l.text("id", kongID("service", r.Service))
	l.close()
	l.close()
}

// prefix is the path of the route: Kong's routes match by prefix, so this is no
// template.
func prefix(path string) string {
	if !strings.HasPrefix(path, "/v1/") {
		if end := strings.IndexByte(path[min(1, len(path)):], '/'); end >= 0 {
			return path[:1+end]
		}
		return path
	}
	if end := strings.IndexByte(path[len("/v1/"):], '/'); end >= 0 {
		return path[:len("/v1/")+end]
	}
	return path
}

// kongID is a fixed UUID for a service or its route.
func kongID(kind, name string) string {
	h := uint64(len(kind))
	for i := range len(name) {
		h = mix(h + uint64(name[i]))
	}
	id := requestID(h)
	return id[:8] + "-" + id[8:12] + "-4" + id[13:16] + "-a" + id[17:20] + "-" + id[20:]
}

func kongTries(l *line, r *event.Raw) {
	l.key("tries")
	l.b = append(l.b, '[')
	if host, port, ok := strings.Cut(r.Upstream, ":"); ok {
		l.open("")
		l.num("balancer_start", r.TS/1000+1)
		l.raw("balancer_latency", "0")
		l.str("ip", host)
		l.raw("port", port)
		l.close()
	}
	l.b = append(l.b, ']')
}

func kongRequest(l *line, r *event.Raw, o Option) {
	l.open("request")
	l.opt("id", r.RequestID)
	l.open("headers")
	l.raw("accept", `"*/*"`)
	l.str("host", r.Host)
	l.opt("user-agent", r.UserAgent)
	l.opt("referer", r.Referer)
	if len(r.XFF) > 0 {
		l.text("x-forwarded-for", strings.Join(r.XFF, ", "))
	}
	switch {
	case r.Authorization == "":
	case o == WithCredential:
		l.str("authorization", r.Authorization)
	default:
		l.raw("authorization", `"REDACTED"`)
	}
	l.opt("x-api-key", r.APIKey)
	l.opt("cookie", r.Cookie)
	l.close()
	l.uri("uri", r)
	l.num("size", r.ReqBytes)
	l.str("method", r.Method)
	kongQuery(l, r.Query)
	l.text("url", r.Scheme, "://", r.Host, ":8443", r.Path)
	if r.TLSVersion != "" {
		l.open("tls")
		l.str("version", r.TLSVersion)
		l.raw("cipher", `"TLS_AES_256_GCM_SHA384"`)
		l.raw("client_verify", `"NONE"`)
		l.close()
	}
	l.close()
}

// kongQuery writes the decoded parameters of the query.
func kongQuery(l *line, query string) {
	l.open("querystring")
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		name, value, _ := strings.Cut(pair, "=")
		l.comma()
		l.quote(unescape(name))
		l.b = append(l.b, ':')
		l.quote(unescape(value))
	}
	l.close()
}

// kongSource says who made the response.
func kongSource(r *event.Raw) string {
	if r.UpstreamStatus == 0 {
		return "kong"
	}
	return "upstream"
}

func kongLatencies(l *line, r *event.Raw) {
	total := r.LatencyUS / 1000
	proxy := int64(-1)
	if r.UpstreamLatencyUS != event.Absent {
		proxy = r.UpstreamLatencyUS / 1000
	}
	l.open("latencies")
	l.num("kong", total-max(proxy, 0))
	l.num("proxy", proxy)
	l.num("request", total)
	l.raw("receive", "0")
	l.close()
}

func kongService(l *line, r *event.Raw) {
	l.open("service")
	l.text("id", kongID("service", r.Service))
	l.str("name", r.Service)
	l.text("host", r.Service, ".internal")
	l.raw("port", "8080")
	l.raw("protocol", `"http"`)
	l.raw("enabled", "true")
	l.raw("retries", "5")
	l.raw("connect_timeout", "60000")
	l.raw("read_timeout", "60000")
	l.raw("write_timeout", "60000")
	l.raw("ws_id", `"f381e34e-5c25-4e65-b91b-3c0a86cfc393"`)
	l.close()
}

func kongConsumer(l *line, r *event.Raw) {
	if r.Principal == "" {
		return
	}
	l.open("consumer")
	l.opt("id", r.ClientID)
	l.str("username", r.Principal)
	l.close()
	if r.CredentialID != "" {
		l.open("authenticated_entity")
		l.str("id", r.CredentialID)
		l.opt("consumer_id", r.ClientID)
		l.close()
	}
}

func orDefault(v, otherwise string) string {
	if v == "" {
		return otherwise
	}
	return v
}
