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
func decodeNGINX(record []byte, raw *event.Raw) *event.DecodeError {
	raw.Reset("nginx")
	if len(record) > 0 && record[0] != '{' {
		m, n, err := readCLF(raw, view(record))
		if err == nil {
			if raw.Principal != "" {
				raw.AuthType = event.AuthBasic
			}
			setEndTime(raw, m, &n)
			raw.Quality = n.list()
		}
		return err
	}
	x := nginx{scanner: newScanner(record), total: event.Absent, body: event.Absent}
	x.read(raw)
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

func (x *nginx) read(raw *event.Raw) {
	for key, ok := x.enter(); ok; key, ok = x.next() {
		switch key {
		case "msec":
			x.time(rankMsec)
		case "time_iso8601":
			x.time(rankISO)
		case "time_local", "time", "timestamp", "@timestamp", "ts":
			x.time(rankAny)
		case "request":
			x.line = x.text()
		case "request_method", "method":
			x.method = x.text()
		case "request_uri":
			x.target = x.text()
		case "uri", "path", "url":
			x.uri = x.text()
		case "args", "query_string":
			x.args = x.text()
		case "server_protocol", "protocol":
			x.protocol = x.text()
		case "status", "response":
			raw.Status, x.answered = x.status(key), true
		case "remote_addr", "remote_ip", "client_ip", "client":
			raw.Client = hostOf(x.text())
		case "realip_remote_addr":
			raw.Peer = hostOf(x.text())
		default:
			x.sizes(raw, key)
		}
	}
}

func (x *nginx) sizes(raw *event.Raw, key string) {
	switch key {
	case "body_bytes_sent", "bytes", "size":
		x.body = x.quantity(asIs)
	case "bytes_sent":
		x.total = x.quantity(asIs)
	case "request_length":
		raw.ReqBytes = x.quantity(asIs)
	case "request_time", "response_time":
		raw.LatencyUS = x.quantity(fromSeconds)
	case "upstream_response_time":
		raw.UpstreamLatencyUS = x.sum()
	case "upstream_status":
		raw.UpstreamStatus, x.upstreamAsked = x.statusList(), true
	case "upstream_addr":
		raw.Upstream = x.lastOf(x.text())
	default:
		x.names(raw, key)
	}
}

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

func (x *nginx) names(raw *event.Raw, key string) {
	switch key {
	case "host":
		raw.Host = hostName(x.text())
	case "server_name", "vhost":
		x.server = x.text()
	case "scheme":
		raw.Scheme = strings.ToLower(x.text())
	case "remote_user", "user":
		if raw.Principal = x.text(); raw.Principal != "" {
			raw.AuthType = event.AuthBasic
		}
	case "jwt_claim_sub":
		if v := x.text(); v != "" {
			raw.Principal, raw.AuthType = v, event.AuthJWT
		}
	case "request_id", "req_id":
		raw.RequestID = x.text()
	case "proxy_upstream_name":
		if v := x.text(); raw.Service == "" {
			raw.Service = v
		}
	case "service_name":
		raw.Service = x.text()
	case "ingress_name":
		raw.RouteID = x.text()
	case "hostname":
		raw.GatewayID = x.text()
	case "limit_req_status":
		if x.text() == "REJECTED" {
			raw.Outcome = event.OutcomeRateLimited
		}
	default:
		x.tls(raw, key)
	}
}

func (x *nginx) tls(raw *event.Raw, key string) {
	switch key {
	case "ssl_protocol":
		raw.TLSVersion = x.text()
	case "ssl_client_s_dn":
		raw.MTLSSubject = x.text()
	case "ssl_client_verify":
		if x.text() == "SUCCESS" {
			raw.AuthType = event.AuthMTLS
		}
	case "ssl_ja3", "ssl_ja3_hash", "http_ssl_ja3", "http_ssl_ja3_hash":
		raw.TLSFP = x.text()
	case "user_agent", "agent":
		raw.UserAgent = x.text()
	case "referer", "referrer", "http_referrer":
		raw.Referer = x.text()
	case "x_forwarded_for":
		raw.XFF = forwarded(x.text())
	default:
		x.header(raw, key)
	}
}

// header takes $http_<name>; every other member is skipped.
func (x *nginx) header(raw *event.Raw, key string) {
	name, ok := strings.CutPrefix(key, "http_")
	if !ok {
		x.skip()
		return
	}
	switch name { // the usual ones, without making a new string
	case "user_agent":
		name = "user-agent"
	case "x_forwarded_for":
		name = "x-forwarded-for"
	case "x_api_key":
		name = "x-api-key"
	default:
		name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
	}
	setHeader(raw, name, x.text())
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
	raw.Quality = x.notes.list()
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
