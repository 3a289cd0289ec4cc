package traffic

import (
	"strconv"
	"strings"

	"gatehouse/ingest/event"
)

// nginxLine writes a log_format with escape=json whose members are named like
// the variables. $msec is when the line is written, at the end of the request.
// Times are seconds. The recipe adds the credential's headers.
func nginxLine(l *line, r *event.Raw, o Option) {
	l.open("")
	l.key("msec")
	l.seconds(r.TS + r.LatencyUS)
	l.time("time_iso8601", r.TS+r.LatencyUS, "2006-01-02T15:04:05-07:00")
	l.str("request_id", r.RequestID)
	l.str("remote_addr", r.Client)
	l.str("remote_user", basicUser(r))
	l.str("request_method", r.Method)
	l.str("scheme", r.Scheme)
	l.str("host", r.Host)
	l.uri("request_uri", r)
	l.str("server_protocol", protocol(r))
	l.text("status", strconv.Itoa(r.Status))
	l.text("request_length", strconv.FormatInt(r.ReqBytes, 10))
	l.text("bytes_sent", strconv.FormatInt(r.RespBytes, 10))
	l.text("body_bytes_sent", strconv.FormatInt(bodyBytes(r, r.RespBytes), 10))
	nginxSeconds(l, "request_time", r.LatencyUS)
	l.str("proxy_upstream_name", r.Service)
	l.str("upstream_addr", r.Upstream)
	if r.UpstreamStatus != 0 {
		l.text("upstream_status", strconv.Itoa(r.UpstreamStatus))
		nginxSeconds(l, "upstream_response_time", r.UpstreamLatencyUS)
	} else {
		l.raw("upstream_status", `""`)
		l.raw("upstream_response_time", `""`)
	}
	l.str("ssl_protocol", r.TLSVersion)
	l.str("http_referer", r.Referer)
	l.str("http_user_agent", r.UserAgent)
	l.str("http_x_forwarded_for", strings.Join(r.XFF, ", "))
	if o == WithCredential {
		l.str("http_authorization", r.Authorization)
		l.str("http_x_api_key", r.APIKey)
		l.str("http_cookie", r.Cookie)
	}
	l.close()
}

// nginxSeconds writes a variable that is a time, quoted as escape=json formats are.
func nginxSeconds(l *line, name string, us int64) {
	l.key(name)
	l.b = append(l.b, '"')
	l.seconds(us)
	l.b = append(l.b, '"')
}
