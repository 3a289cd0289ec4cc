package traffic

import (
	"strconv"
	"strings"

	"gatehouse/ingest/event"
)

// traefikLine writes Traefik's access log in JSON. Durations are ns, sizes are
// of bodies. Headers are dropped by default; the recipe keeps the user agent and
// the credential. The demo's Traefik keeps the user agent always, as most do.
func traefikLine(l *line, r *event.Raw, o Option) {
	port := clientPort(r)
	l.open("")
	l.text("ClientAddr", bracketed(r.Client), ":", port)
	l.str("ClientHost", r.Client)
	l.str("ClientPort", port)
	l.str("ClientUsername", orDefault(basicUser(r), "-"))
	l.num("DownstreamContentSize", bodyBytes(r, r.RespBytes))
	l.num("DownstreamStatus", int64(r.Status))
	l.num("Duration", r.LatencyUS*1000)
	traefikOrigin(l, r)
	l.str("RequestAddr", r.Host)
	l.num("RequestContentSize", bodyBytes(r, r.ReqBytes))
	l.num("RequestCount", r.TS/1e6%100_000)
	l.str("RequestHost", r.Host)
	l.str("RequestMethod", r.Method)
	l.uri("RequestPath", r)
	l.raw("RequestPort", `"-"`)
	l.str("RequestProtocol", protocol(r))
	l.str("RequestScheme", r.Scheme)
	l.raw("RetryAttempts", "0")
	l.text("RouterName", r.Service, "@kubernetes")
	l.text("ServiceName", r.Service, "@kubernetes")
	l.time("StartLocal", r.TS, traefikTime)
	l.time("StartUTC", r.TS, traefikTime)
	l.opt("TLSVersion", strings.TrimPrefix(r.TLSVersion, "TLSv"))
	l.raw("entryPointName", `"websecure"`)
	l.raw("level", `"info"`)
	l.raw("msg", `""`)
	traefikHeaders(l, r, o)
	l.time("time", r.TS+r.LatencyUS, "2006-01-02T15:04:05Z07:00")
	l.close()
}

const traefikTime = "2006-01-02T15:04:05.999999999Z07:00"

// traefikOrigin writes what only calls have that reached a service.
func traefikOrigin(l *line, r *event.Raw) {
	if r.UpstreamStatus == 0 {
		l.num("Overhead", r.LatencyUS*1000)
		return
	}
	l.num("OriginContentSize", bodyBytes(r, r.RespBytes))
	l.num("OriginDuration", r.UpstreamLatencyUS*1000)
	l.num("OriginStatus", int64(r.UpstreamStatus))
	l.num("Overhead", (r.LatencyUS-r.UpstreamLatencyUS)*1000)
	l.str("ServiceAddr", r.Upstream)
	l.text("ServiceURL", "http://", r.Upstream)
}

func traefikHeaders(l *line, r *event.Raw, o Option) {
	l.opt("request_User-Agent", r.UserAgent)
	l.opt("request_Referer", r.Referer)
	if len(r.XFF) > 0 {
		l.str("request_X-Forwarded-For", strings.Join(r.XFF, ", "))
	}
	if o == WithCredential {
		l.opt("request_Authorization", r.Authorization)
		l.opt("request_X-Api-Key", r.APIKey)
		l.opt("request_Cookie", r.Cookie)
	}
}

// basicUser is the user of HTTP basic authentication: proxies that check no
// tokens know no other.
func basicUser(r *event.Raw) string {
	if r.AuthType == event.AuthBasic {
		return r.Principal
	}
	return ""
}

// clientPort is a port that the client might have called from.
func clientPort(r *event.Raw) string { return strconv.Itoa(32768 + int(mix(uint64(r.TS))%28000)) }

// bracketed puts an IPv6 address into brackets.
func bracketed(address string) string {
	if strings.IndexByte(address, ':') >= 0 {
		return "[" + address + "]"
	}
	return address
}
