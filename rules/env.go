package rules

import (
	"strings"

	"gatehouse/ingest/event"
)

// Env is what an expression sees: one field per name of the language. It is
// filled once per event and handed to the virtual machine by pointer; by value
// it would be copied and boxed for every expression.
type Env struct {
	Kind      string `expr:"kind"`
	TS        int    `expr:"ts"`
	TSSrc     string `expr:"ts_src"`
	Gateway   string `expr:"gateway"`
	GatewayID string `expr:"gateway_id"`
	Tenant    string `expr:"tenant"`
	RequestID string `expr:"request_id"`
	TraceID   string `expr:"trace_id"`

	Method      string   `expr:"method"`
	Scheme      string   `expr:"scheme"`
	HTTPVersion string   `expr:"http_version"`
	Host        string   `expr:"host"`
	Path        string   `expr:"path"`
	Query       string   `expr:"query"`
	Route       string   `expr:"route"`
	RouteSrc    string   `expr:"route_src"`
	RouteID     string   `expr:"route_id"`
	Service     string   `expr:"service"`
	APIVersion  string   `expr:"api_version"`
	DataClass   string   `expr:"data_class"`
	Objects     []Object `expr:"objects"`

	Status            int    `expr:"status"`
	UpstreamStatus    int    `expr:"upstream_status"`
	Outcome           string `expr:"outcome"`
	ErrorReason       string `expr:"error_reason"`
	ReqBytes          int    `expr:"req_bytes"`
	RespBytes         int    `expr:"resp_bytes"`
	BytesScope        string `expr:"bytes_scope"`
	LatencyUS         int    `expr:"latency_us"`
	UpstreamLatencyUS int    `expr:"upstream_latency_us"`

	ClientIP      string   `expr:"client_ip"`
	ClientHost    string   `expr:"client_host"`
	ClientNet     string   `expr:"client_net"`
	ClientASN     any      `expr:"client_asn"` // int, or nil when unknown, so that ?? works
	ClientASOrg   string   `expr:"client_as_org"`
	ClientCountry string   `expr:"client_country"`
	PeerIP        string   `expr:"peer_ip"`
	XFF           []string `expr:"xff"`
	UserAgent     string   `expr:"user_agent"`
	UAFamily      string   `expr:"ua_family"`
	Referer       string   `expr:"referer"`

	AuthType      string `expr:"auth_type"`
	Principal     string `expr:"principal"`
	ClientID      string `expr:"client_id"`
	CredentialID  string `expr:"credential_id"`
	TokenFP       string `expr:"token_fp"`
	SessionFP     string `expr:"session_fp"`
	FPKeyID       string `expr:"fp_key_id"`
	TokenAlg      string `expr:"token_alg"`
	TokenKid      string `expr:"token_kid"`
	TokenIss      string `expr:"token_iss"`
	TokenAud      string `expr:"token_aud"`
	TokenExpState string `expr:"token_exp_state"`
	TokenBound    string `expr:"token_bound"`

	TLSVersion  string            `expr:"tls_version"`
	TLSFP       string            `expr:"tls_fp"`
	MTLSSubject string            `expr:"mtls_subject"`
	Upstream    string            `expr:"upstream"`
	Headers     map[string]string `expr:"headers"`
	Labels      map[string]string `expr:"labels"`
	Redactions  []string          `expr:"redactions"`
	Quality     []string          `expr:"quality"`
	Actor       string            `expr:"actor"`
	Credential  string            `expr:"credential"`

	// Derived here, from the fields above.
	Endpoint  string `expr:"endpoint"`
	Object    string `expr:"object"`
	UAClass   string `expr:"ua_class"`
	IPVersion int    `expr:"ip_version"`
	Hour      int    `expr:"hour"`
	Weekday   int    `expr:"weekday"`
}

// Object is one element of the objects field.
type Object struct {
	Name string `expr:"name"`
	Ref  string `expr:"ref"`
}

// needs is the set of fields whose filling costs an allocation or a scan; they
// are filled only when some expression names them.
type needs uint16

const (
	needClientIP needs = 1 << iota
	needPeerIP
	needXFF
	needObjects
	needHeaders
	needLabels
	needUAClass
)

func needOf(name string) needs {
	switch name {
	case "client_ip":
		return needClientIP
	case "peer_ip":
		return needPeerIP
	case "xff":
		return needXFF
	case "objects":
		return needObjects
	case "headers":
		return needHeaders
	case "labels":
		return needLabels
	case "ua_class":
		return needUAClass
	}
	return 0
}

// fill sets every field from ev, the costly ones as far as they are needed.
func (e *Env) fill(ev *event.Event, need needs) {
	e.fillRequest(ev)
	e.fillClient(ev, need)
	e.fillIdentity(ev)
	e.TLSVersion, e.TLSFP, e.MTLSSubject, e.Upstream = ev.TLSVersion, ev.TLSFP, ev.MTLSSubject, ev.Upstream
	e.Redactions, e.Quality = ev.Redactions, ev.Quality
	e.Actor, e.Credential = ev.Actor, ev.Credential
	if need&needObjects != 0 {
		e.Objects = e.Objects[:0]
		for _, o := range ev.Objects {
			e.Objects = append(e.Objects, Object(o))
		}
	}
	if need&needHeaders != 0 {
		e.Headers = labelMap(ev.Headers)
	}
	if need&needLabels != 0 {
		e.Labels = labelMap(ev.Labels)
	}
}

func (e *Env) fillRequest(ev *event.Event) {
	e.Kind, e.TS, e.TSSrc = string(ev.Kind), int(ev.TS), string(ev.TSSrc)
	e.Gateway, e.GatewayID, e.Tenant, e.RequestID, e.TraceID = ev.Gateway, ev.GatewayID, ev.Tenant, ev.RequestID, ev.TraceID
	e.Method, e.Scheme, e.HTTPVersion, e.Host = ev.Method, ev.Scheme, ev.HTTPVersion, ev.Host
	e.Path, e.Query, e.Route, e.RouteSrc = ev.Path, ev.Query, ev.Route, string(ev.RouteSrc)
	e.RouteID, e.Service, e.APIVersion, e.DataClass = ev.RouteID, ev.Service, ev.APIVersion, string(ev.DataClass)
	e.Status, e.UpstreamStatus, e.Outcome, e.ErrorReason = ev.Status, ev.UpstreamStatus, string(ev.Outcome), ev.ErrorReason
	e.ReqBytes, e.RespBytes, e.BytesScope = int(ev.ReqBytes), int(ev.RespBytes), string(ev.BytesScope)
	e.LatencyUS, e.UpstreamLatencyUS = int(ev.LatencyUS), int(ev.UpstreamLatencyUS)
	e.Endpoint, e.Object = endpoint(ev), object(ev)
	e.Hour, e.Weekday = hour(ev), weekday(ev)
}

func (e *Env) fillClient(ev *event.Event, need needs) {
	e.ClientHost, e.ClientNet = ev.ClientHost, ev.ClientNet
	e.setASN(ev.ClientASN)
	e.ClientASOrg, e.ClientCountry = ev.ClientASOrg, ev.ClientCountry
	e.UserAgent, e.UAFamily, e.Referer = ev.UserAgent, ev.UAFamily, ev.Referer
	e.IPVersion = ipVersion(ev)
	if need&needClientIP != 0 {
		e.ClientIP = clientIP(ev)
	}
	if need&needPeerIP != 0 {
		e.PeerIP = peerIP(ev)
	}
	if need&needXFF != 0 {
		e.XFF = e.XFF[:0]
		for _, ip := range ev.XFF {
			e.XFF = append(e.XFF, ip.String())
		}
	}
	if need&needUAClass != 0 {
		e.UAClass = uaClass(ev)
	}
}

func (e *Env) fillIdentity(ev *event.Event) {
	e.AuthType, e.Principal, e.ClientID, e.CredentialID = string(ev.AuthType), ev.Principal, ev.ClientID, ev.CredentialID
	e.TokenFP, e.SessionFP, e.FPKeyID = ev.TokenFP, ev.SessionFP, ev.FPKeyID
	e.TokenAlg, e.TokenKid, e.TokenIss, e.TokenAud = ev.TokenAlg, ev.TokenKid, ev.TokenIss, ev.TokenAud
	e.TokenExpState, e.TokenBound = ev.TokenExpState, ev.TokenBound
}

// setASN boxes the number only when it differs from the last event's, because
// boxing allocates.
func (e *Env) setASN(asn uint32) {
	if asn == 0 {
		e.ClientASN = nil
		return
	}
	if old, ok := e.ClientASN.(int); !ok || old != int(asn) {
		e.ClientASN = int(asn)
	}
}

func labelMap(ls []event.Label) map[string]string {
	m := make(map[string]string, len(ls))
	for _, l := range ls {
		m[l.Name] = l.Value
	}
	return m
}

// endpoint is the route where one is known, else the path: what "distinct
// endpoints" counts, so that ids inside a known route do not count as many.
func endpoint(ev *event.Event) string {
	if ev.Route != "" {
		return ev.Route
	}
	return ev.Path
}

// object is the id of the innermost thing that the call named.
func object(ev *event.Event) string {
	if n := len(ev.Objects); n > 0 {
		return ev.Objects[n-1].Ref
	}
	return ""
}

func clientIP(ev *event.Event) string {
	if !ev.ClientIP.IsValid() {
		return ""
	}
	return ev.ClientIP.String()
}

func peerIP(ev *event.Event) string {
	if !ev.PeerIP.IsValid() {
		return ""
	}
	return ev.PeerIP.String()
}

func ipVersion(ev *event.Event) int {
	switch {
	case !ev.ClientIP.IsValid():
		return 0
	case ev.ClientIP.Unmap().Is4():
		return 4
	}
	return 6
}

const (
	usPerHour    = 3_600_000_000
	hoursPerDay  = 24
	daysPerWeek  = 7
	epochWeekday = 4 // 1970-01-01 was a Thursday
)

// hour is the hour of the day in UTC. The divisions round down, so that times
// before 1970 are right too.
func hour(ev *event.Event) int { return int(mod(div(ev.TS, usPerHour), hoursPerDay)) }

// weekday is the day of the week in UTC, 0 = Sunday.
func weekday(ev *event.Event) int {
	return int(mod(div(ev.TS, usPerHour*hoursPerDay)+epochWeekday, daysPerWeek))
}

func div(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func mod(a, b int64) int64 { return ((a % b) + b) % b }

// The values of ua_class.
const (
	uaBot     = "bot"     // says that it is a crawler or monitor
	uaTool    = "tool"    // a command-line client or an HTTP library
	uaMobile  = "mobile"  // a browser or app on a phone or tablet
	uaBrowser = "browser" // any other browser
	uaOther   = "other"
)

// Markers of each class, in lower case, looked for in this order: bots and
// tools often carry "Mozilla" too. Not just "bot": there are CUBOT phones.
var uaMarkers = []struct {
	class   string
	markers []string
}{
	{uaBot, []string{"bot/", "bot;", "bot-", "robot", "crawl", "spider", "slurp", "monitor", "pingdom", "uptime", "healthcheck", "kube-probe"}},
	{uaTool, []string{
		"curl", "wget", "python", "go-http-client", "java/", "apache-httpclient", "libwww", "httpie", "aiohttp", "httpx",
		"node-fetch", "axios", "postman", "insomnia", "ruby", "perl", "php", "powershell", "guzzle", "rest-client", "sqlmap", "nikto",
	}},
	{uaMobile, []string{"mobile", "android", "iphone", "ipad", "okhttp", "cfnetwork", "dalvik"}},
	{uaBrowser, []string{"mozilla", "chrome", "safari", "firefox", "opera", "edge", "msie"}},
}

// uaClass sorts the client software roughly. It reads the user agent and, where
// that was not kept, the family.
func uaClass(ev *event.Event) string {
	ua := ev.UserAgent
	if ua == "" {
		ua = ev.UAFamily
	}
	if ua == "" {
		return ""
	}
	for _, c := range uaMarkers {
		for _, m := range c.markers {
			if containsFold(ua, m) {
				return c.class
			}
		}
	}
	return uaOther
}

// containsFold reports whether s contains sub, which is ASCII in lower case,
// without regard to case and without allocating.
func containsFold(s, sub string) bool {
	first, rest := sub[0], len(sub)
	for i := 0; i+rest <= len(s); i++ {
		if s[i]|0x20 == first|0x20 && strings.EqualFold(s[i:i+rest], sub) {
			return true
		}
	}
	return false
}
