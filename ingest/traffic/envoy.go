package traffic

import (
	"strconv"
	"strings"

	"gatehouse/ingest/event"
)

// envoyLine writes Istio's default JSON access log. Durations are ms; the
// upstream's is a string. It names nobody: the recipe adds the credential.
func envoyLine(l *line, r *event.Raw, o Option) {
	l.open("")
	l.str("authority", r.Host)
	l.num("bytes_received", bodyBytes(r, r.ReqBytes))
	l.num("bytes_sent", bodyBytes(r, r.RespBytes))
	l.raw("connection_termination_details", "null")
	l.raw("downstream_local_address", `"10.42.0.77:8443"`)
	l.text("downstream_remote_address", bracketed(r.Client), ":", clientPort(r))
	l.num("duration", r.LatencyUS/1000)
	l.str("method", r.Method)
	l.uri("path", r)
	l.str("protocol", strings.TrimSuffix(protocol(r), ".0"))
	l.orNull("request_id", r.RequestID)
	l.str("requested_server_name", r.Host)
	l.num("response_code", int64(r.Status))
	envoyUpstream(l, r)
	l.raw("route_name", `"default"`)
	l.time("start_time", r.TS, "2006-01-02T15:04:05.000Z07:00")
	l.raw("upstream_transport_failure_reason", "null")
	l.orNull("user_agent", r.UserAgent)
	l.orNull("x_forwarded_for", orDefault(strings.Join(r.XFF, ","), r.Client))
	if o == WithCredential {
		l.opt("authorization", r.Authorization)
		l.opt("x_api_key", r.APIKey)
		l.opt("cookie", r.Cookie)
	}
	l.close()
}

func envoyUpstream(l *line, r *event.Raw) {
	if r.UpstreamStatus == 0 {
		l.raw("response_code_details", `"direct_response"`)
		l.raw("response_flags", `"-"`)
		l.raw("upstream_cluster", "null")
		l.raw("upstream_host", "null")
		l.raw("upstream_local_address", "null")
		l.raw("upstream_service_time", "null")
		return
	}
	l.raw("response_code_details", `"via_upstream"`)
	l.raw("response_flags", `"-"`)
	l.text("upstream_cluster", "outbound|8080||", r.Service, ".shop.svc.cluster.local")
	l.str("upstream_host", r.Upstream)
	l.raw("upstream_local_address", `"10.42.0.77:51216"`)
	l.text("upstream_service_time", strconv.FormatInt(r.UpstreamLatencyUS/1000, 10))
}
