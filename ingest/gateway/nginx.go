package gateway

import (
	"strings"

	"gatehouse/ingest/event"
)

// decodeNGINX reads a log_format with escape=json whose members are named after
// NGINX's variables (also those of ingress-nginx and the usual aliases), numbers
// quoted or not; and NGINX's combined lines.
//
// NGINX writes when a request is over: the start is that time less $request_time
// where it is logged. Durations are seconds. $request_length and $bytes_sent
// count headers, $body_bytes_sent does not. $upstream_* hold one value per
// attempt; the times of all count, the status and address of the last. The
// client is $remote_addr, into which the realip module has put the address that
// its trusted proxies name.
func decodeNGINX(m *memory, record []byte, raw *event.Raw) *event.DecodeError {
	raw.Gateway = "nginx"
	if len(record) > 0 && record[0] != '{' {
		m, n, err := readCLF(raw, view(record))
		if err == nil {
			if raw.Principal != "" {
				raw.AuthType = event.AuthBasic
			}
			setEndTime(raw, m, &n)
			raw.Quality = n.appendTo(raw.Quality[:0])
		}
		return err
	}
	x := &m.nginx
	x.scanner = newScanner(m, record)
	err := x.decode(raw)
	*x = nginx{}
	return err
}

func (x *nginx) decode(raw *event.Raw) *event.DecodeError {
	x.total, x.body = event.Absent, event.Absent
	nginxMembers.read(&x.scanner, &x.memory.nginxNext, x, raw)
	if err := x.end(); err != nil {
		return err
	}
	return x.finish(raw)
}

// nginx is the state of reading one record.
type nginx struct {
	scanner
	stamp            string // the best time so far
	rank             int    // how good it is
	answered         bool
	line             string // $request
	method           string
	target, uri      string // $request_uri as sent; $uri after rewriting
	args             string
	server, protocol string // $server_name, used where no host is logged
	total, body      int64  // bytes of the response
	upstreamAsked    bool
}

// Ranks of times: the finer one counts.
const (
	rankAny = iota + 1
	rankISO
	rankMsec
)

func (x *nginx) time(rank int) {
	if v := x.text(); v != "" && rank >= x.rank {
		x.stamp, x.rank = v, rank
	}
}

// nginxMembers are named after NGINX's variables, with the usual aliases; others
// may be headers.
var nginxMembers = newMembers(
	(*nginx).header,
	[]member[nginx]{
		{"msec", func(x *nginx, _ *event.Raw) { x.time(rankMsec) }},
		{"time_iso8601", func(x *nginx, _ *event.Raw) { x.time(rankISO) }},
		{"time_local time timestamp @timestamp ts", func(x *nginx, _ *event.Raw) { x.time(rankAny) }},
		{"request", func(x *nginx, _ *event.Raw) { x.line = x.text() }},
		{"request_method method", func(x *nginx, _ *event.Raw) { x.method = x.text() }},
		{"request_uri", func(x *nginx, _ *event.Raw) { x.target = x.text() }},
		{"uri path url", func(x *nginx, _ *event.Raw) { x.uri = x.text() }},
		{"args query_string", func(x *nginx, _ *event.Raw) { x.args = x.text() }},
		{"server_protocol protocol", func(x *nginx, _ *event.Raw) { x.protocol = x.text() }},
		{"status", func(x *nginx, raw *event.Raw) { raw.Status, x.answered = x.status("status"), true }},
		{"response", func(x *nginx, raw *event.Raw) { raw.Status, x.answered = x.status("response"), true }},
		{"remote_addr remote_ip client_ip client", func(x *nginx, raw *event.Raw) { raw.Client = hostOf(x.text()) }},
		{"realip_remote_addr", func(x *nginx, raw *event.Raw) { raw.Peer = hostOf(x.text()) }},
		{"body_bytes_sent bytes size", func(x *nginx, _ *event.Raw) { x.body = x.quantity(asIs) }},
		{"bytes_sent", func(x *nginx, _ *event.Raw) { x.total = x.quantity(asIs) }},
		{"request_length", func(x *nginx, raw *event.Raw) { raw.ReqBytes = x.quantity(asIs) }},
		{"request_time response_time", func(x *nginx, raw *event.Raw) { raw.LatencyUS = x.quantity(fromSeconds) }},
		{"upstream_response_time", func(x *nginx, raw *event.Raw) { raw.UpstreamLatencyUS = x.sum() }},
		{"upstream_status", func(x *nginx, raw *event.Raw) { raw.UpstreamStatus, x.upstreamAsked = x.statusList(), true }},
		{"upstream_addr", func(x *nginx, raw *event.Raw) { raw.Upstream = x.lastOf(x.text()) }},
		{"host", func(x *nginx, raw *event.Raw) { raw.Host = hostName(x.text()) }},
		{"server_name vhost", func(x *nginx, _ *event.Raw) { x.server = x.text() }},
		{"scheme", func(x *nginx, raw *event.Raw) { raw.Scheme = lower(x.text()) }},
		{"remote_user user", func(x *nginx, raw *event.Raw) {
			if raw.Principal = x.text(); raw.Principal != "" {
				raw.AuthType = event.AuthBasic
			}
		}},
		{"jwt_claim_sub", func(x *nginx, raw *event.Raw) {
			if v := x.text(); v != "" {
				raw.Principal, raw.AuthType = v, event.AuthJWT
			}
		}},
		{"request_id req_id", func(x *nginx, raw *event.Raw) { raw.RequestID = x.text() }},
		{"proxy_upstream_name", func(x *nginx, raw *event.Raw) {
			if v := x.text(); raw.Service == "" {
				raw.Service = v
			}
		}},
		{"service_name", func(x *nginx, raw *event.Raw) { raw.Service = x.text() }},
		{"ingress_name", func(x *nginx, raw *event.Raw) { raw.RouteID = x.text() }},
		{"hostname", func(x *nginx, raw *event.Raw) { raw.GatewayID = x.text() }},
		{"limit_req_status", func(x *nginx, raw *event.Raw) {
			if x.text() == "REJECTED" {
				raw.Outcome = event.OutcomeRateLimited
			}
		}},
		{"ssl_protocol", func(x *nginx, raw *event.Raw) { raw.TLSVersion = x.text() }},
		{"ssl_client_s_dn", func(x *nginx, raw *event.Raw) { raw.MTLSSubject = x.text() }},
		{"ssl_client_verify", func(x *nginx, raw *event.Raw) {
			if x.text() == "SUCCESS" {
				raw.AuthType = event.AuthMTLS
			}
		}},
		{"ssl_ja3 ssl_ja3_hash http_ssl_ja3 http_ssl_ja3_hash", func(x *nginx, raw *event.Raw) { raw.TLSFP = x.text() }},
		{"user_agent agent", func(x *nginx, raw *event.Raw) { raw.UserAgent = x.text() }},
		{"referer referrer http_referrer", func(x *nginx, raw *event.Raw) { raw.Referer = x.text() }},
		{"x_forwarded_for", func(x *nginx, raw *event.Raw) { raw.XFF = forwarded(raw.XFF[:0], x.text()) }},
	},
)

// sum adds up a list of seconds, one per attempt.
func (x *nginx) sum() int64 {
	total := int64(event.Absent)
	for list := x.text(); list != ""; {
		end := strings.IndexAny(list, ",:")
		item, rest := list, ""
		if end >= 0 {
			item, rest = list[:end], list[end+1:]
		}
		if us, ok := fixed(trimSpace(item), fromSeconds); ok && us >= 0 {
			total = max(total, 0) + us
		}
		list = rest
	}
	return total
}

// header takes $http_<name>; every other member is skipped.
func (x *nginx) header(raw *event.Raw) {
	name, ok := strings.CutPrefix(x.name, "http_")
	if !ok {
		x.skip()
		return
	}
	setHeader(raw, x.memory.dashed(name), x.text())
}

// finish checks what is required and sets what depends on several members.
func (x *nginx) finish(raw *event.Raw) *event.DecodeError {
	switch {
	case x.stamp == "":
		return event.Reject(event.ReasonMissingField, "msec", "msec, time_iso8601 or time_local")
	case !x.answered:
		return event.Reject(event.ReasonMissingField, "status", "a status")
	case x.line == "" && x.target == "" && x.uri == "":
		return event.Reject(event.ReasonMissingField, "request_uri", "request_uri, request or uri")
	}
	m := parseTime(x.stamp)
	if !m.usable {
		return event.Reject(event.ReasonBadTime, "msec", "seconds since the epoch, or a time in ISO 8601 or the common log format")
	}
	x.setRequest(raw)
	if raw.Host == "" {
		raw.Host = hostName(x.server)
	}
	if raw.Host == "" {
		x.notes |= noteHostMissing
	}
	x.setSizes(raw)
	x.setOutcome(raw)
	setEndTime(raw, m, &x.notes)
	raw.Quality = x.notes.appendTo(raw.Quality[:0])
	return nil
}

// setRequest prefers what was sent: the request line or $request_uri before
// $uri, which NGINX has normalised and rewritten.
func (x *nginx) setRequest(raw *event.Raw) {
	if x.line != "" {
		n := setRequestLine(raw, x.line)
		if x.method == "" {
			x.notes |= n
		}
	}
	if x.method != "" {
		setMethod(raw, x.method, &x.notes)
	}
	if x.protocol != "" {
		raw.HTTPVersion = httpVersion(x.protocol)
	}
	switch {
	case x.target != "":
		x.notes |= setTarget(raw, x.target)
	case raw.Path == "" && x.uri != "":
		x.notes |= setTarget(raw, x.uri)
		if raw.Query == "" {
			raw.Query = x.args
		}
	}
}

func (x *nginx) setSizes(raw *event.Raw) {
	switch {
	case x.total >= 0:
		raw.RespBytes, raw.BytesScope = x.total, event.BytesTotal
	case x.body >= 0:
		raw.RespBytes, raw.BytesScope = x.body, event.BytesBody
		if raw.ReqBytes >= 0 {
			x.notes |= noteBytesScopeMixed
		}
	case raw.ReqBytes >= 0:
		raw.BytesScope = event.BytesTotal
	}
}

// statusClosed is what NGINX logs when it closes the connection without an
// answer because a rule says so.
const statusClosed = 444

func (x *nginx) setOutcome(raw *event.Raw) {
	switch {
	case raw.Outcome != "":
	case raw.Status == statusClosed:
		raw.Outcome = event.OutcomeBlocked
	case raw.Status >= 500 && x.upstreamAsked && raw.UpstreamStatus == 0:
		raw.Outcome = event.OutcomeUpstreamError
	}
}
