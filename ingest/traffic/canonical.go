package traffic

import "gatehouse/ingest/event"

// canonicalLine writes the canonical format: the members of the event's JSON
// form, with the credentials before redaction beside them.
func canonicalLine(l *line, r *event.Raw, _ Option) {
	l.open("")
	l.raw("v", "1")
	l.time("ts", r.TS, event.TimeLayout)
	l.opt("ts_src", string(r.TSSrc))
	l.opt("gateway_id", r.GatewayID)
	l.opt("tenant", r.Tenant)
	l.opt("request_id", r.RequestID)
	canonicalRequest(l, r)
	canonicalResult(l, r)
	canonicalClient(l, r)
	l.close()
}

func canonicalRequest(l *line, r *event.Raw) {
	l.str("method", r.Method)
	l.opt("scheme", r.Scheme)
	l.opt("http_version", r.HTTPVersion)
	l.str("host", r.Host)
	l.str("path", r.Path)
	l.opt("query", r.Query)
	l.opt("route", r.Route)
	l.opt("route_id", r.RouteID)
	l.opt("service", r.Service)
}

func canonicalResult(l *line, r *event.Raw) {
	l.num("status", int64(r.Status))
	if r.UpstreamStatus != 0 {
		l.num("upstream_status", int64(r.UpstreamStatus))
	}
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"req_bytes", r.ReqBytes}, {"resp_bytes", r.RespBytes},
		{"latency_us", r.LatencyUS}, {"upstream_latency_us", r.UpstreamLatencyUS},
	} {
		if n.value != event.Absent {
			l.num(n.name, n.value)
		}
	}
	l.opt("bytes_scope", string(r.BytesScope))
}

func canonicalClient(l *line, r *event.Raw) {
	l.str("client_ip", r.Client)
	l.opt("peer_ip", r.Peer)
	l.opt("user_agent", r.UserAgent)
	l.opt("referer", r.Referer)
	l.opt("auth_type", string(r.AuthType))
	l.opt("principal", r.Principal)
	l.opt("client_id", r.ClientID)
	l.opt("credential_id", r.CredentialID)
	l.opt("authorization", r.Authorization)
	l.opt("api_key", r.APIKey)
	l.opt("cookie", r.Cookie)
	l.opt("tls_version", r.TLSVersion)
	l.opt("upstream", r.Upstream)
}
