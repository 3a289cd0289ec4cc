package redact

import (
	"net/netip"
	"strings"
	"testing"

	"gatehouse/ingest/event"

	"github.com/google/go-cmp/cmp"
)

// Text that others wrote stays, without what is secret in it.
func TestText(t *testing.T) {
	r := fixedRedactor(t)
	for _, c := range []struct{ in, out string }{
		{"", ""},
		{"upstream connect error or disconnect/reset before headers. reset reason: connection failure", "upstream connect error or disconnect/reset before headers. reset reason: connection failure"},
		{"token: expired, code: 401, key: missing", "token: expired, code: 401, key: missing"},
		{"Bearer token is missing", "Bearer token is missing"},
		{"order 550e8400-e29b-41d4-a716-446655440000 at 2026-11-24", "order 550e8400-e29b-41d4-a716-446655440000 at 2026-11-24"},
		{"bad header Authorization: Bearer 8f7a6s5d4f3g2h1j", "bad header Authorization: {secret}"},
		{"got bearer 8f7a6s5d4f3g2h1j instead", "got bearer {secret} instead"},
		{"login jo.doe+x@mail.example.org failed", "login {email} failed"},
		{"card 4111 1111 1111 1111 declined", "card {pan} declined"},
		{"amount 4111.1111 and 0.4111111111111111", "amount 4111.1111 and 0.4111111111111111"},
		{"jwt " + jwtInPath + " expired", "jwt {token} expired"},
		{"push to https://u:p4ss@git.example.org/x.git failed", "push to {secret} failed"},
		{"https://hooks.slack.com/services/T00000000/B00000000/abcdEFGH1234ijklMNOP5678: 404", "{token}: 404"},
		{`{"password":"hunter 2","user":"x"}`, `("password":"{secret}","user":"x")`},
		{"PASSWORD=hunter2", "PASSWORD={secret}"},
		{"-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- was sent", "{secret} was sent"},
		{"hash $2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy", "hash {token}"},
		{"id q8Zr2Kx0Vt7Lm4Wd9Hs1 unknown", "id {opaque} unknown"},
		{"{token} is forged", "(token) is forged"},
		{"a\x1b[31mb\u202ec\u0000d\xff", "a[31mbcd"},
		{"hidden gh\u200bp_0123456789abcdefghijABCDEFGHIJ", "hidden {token}"},
	} {
		raw := event.NewRaw("kong")
		raw.ErrorReason = c.in
		if e := redactOne(t, r, raw); e.ErrorReason != c.out {
			t.Errorf("text %q\n got %q\nwant %q", c.in, e.ErrorReason, c.out)
		}
	}
}

func TestTextLimits(t *testing.T) {
	raw := event.NewRaw("kong")
	raw.UserAgent = strings.Repeat("word ", event.MaxUserAgent) + jwtInPath
	raw.ErrorReason = strings.Repeat("é", event.MaxReason)
	e := redactOne(t, fixedRedactor(t), raw)
	if len(e.UserAgent) > event.MaxUserAgent || len(e.UserAgent) < event.MaxUserAgent/2 || e.ErrorReason != "{text}" {
		t.Errorf("agent has %d bytes, reason %q", len(e.UserAgent), e.ErrorReason)
	}
	if diff := cmp.Diff([]string{"text_cut"}, e.Quality); diff != "" {
		t.Errorf("quality (-want +got):\n%s", diff)
	}
}

func TestNames(t *testing.T) {
	r := fixedRedactor(t)
	for _, c := range []struct{ in, out string }{
		{"alice", "alice"},
		{"auth0|5f7c8ec7c33c6c004bbafe82", "auth0|5f7c8ec7c33c6c004bbafe82"},
		{"CN=alice,O=Example", "CN=alice,O=Example"},
		{" Jo.Doe@Example.org ", "email:" + fp(ClassPrincipal, "jo.doe@example.org")[:16]},
		{"jo@localhost", "email:" + fp(ClassPrincipal, "jo@localhost")[:16]},
		{"4111111111111111", "pan:" + fp(ClassPrincipal, "4111111111111111")[:16]},
		{"ghp_0123456789abcdefghijABCDEFGHIJ", "fp:" + fp(ClassPrincipal, "ghp_0123456789abcdefghijABCDEFGHIJ")[:16]},
	} {
		raw := event.NewRaw("kong")
		raw.Principal = c.in
		if e := redactOne(t, r, raw); e.Principal != c.out {
			t.Errorf("principal %q became %q, want %q", c.in, e.Principal, c.out)
		}
	}
}

func TestRequestAndTraceID(t *testing.T) {
	r := fixedRedactor(t)
	for _, c := range []struct{ request, trace, wantRequest, wantTrace string }{
		{"6d6e08ba-02a3-4a26-968a-2183aa33a56d", "0AF7651916CD43DD8448EB211C80319C", "6d6e08ba-02a3-4a26-968a-2183aa33a56d", "0af7651916cd43dd8448eb211c80319c"},
		{"JKJaXmPLvHcESHA=", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "JKJaXmPLvHcESHA=", "0af7651916cd43dd8448eb211c80319c"},
		{"ghp_0123456789abcdefghijABCDEFGHIJ", "00000000000000000000000000000000", "", ""},
		{"<script>", "xyz", "", ""},
	} {
		raw := event.NewRaw("kong")
		raw.RequestID, raw.TraceID = c.request, c.trace
		if e := redactOne(t, r, raw); e.RequestID != c.wantRequest || e.TraceID != c.wantTrace {
			t.Errorf("%q and %q became %q and %q", c.request, c.trace, e.RequestID, e.TraceID)
		}
	}
}

func TestReferrer(t *testing.T) {
	r := fixedRedactor(t)
	for _, c := range []struct{ in, out string }{
		{"https://Shop.example.org:8443/users/7?token=abc#x", "https://shop.example.org:8443/users/7"},
		{"http://u:p@example.org/a", "http://example.org/a"},
		{"https://example.org", "https://example.org"},
		{"https://example.org/s/" + jwtInPath, "https://example.org/s/{token}"},
		{"/cart;jsessionid=1", "/cart"},
		{"javascript:alert(1)", ""},
		{"https://a b/x", ""},
	} {
		raw := event.NewRaw("kong")
		raw.Referer = c.in
		e := redactOne(t, r, raw)
		if e.Referer != c.out || e.TokenFP != "" || e.SessionFP != "" || len(e.Objects) != 0 {
			t.Errorf("referrer %q became %q, token %q, session %q, objects %v", c.in, e.Referer, e.TokenFP, e.SessionFP, e.Objects)
		}
	}
}

func TestClient(t *testing.T) {
	r := fixedRedactor(t)
	for _, c := range []struct{ in, ip, host, quality string }{
		{"203.0.113.9", "203.0.113.9", "", ""},
		{"203.0.113.9:1234", "203.0.113.9", "", ""},
		{"[2001:db8::1]:443", "2001:db8::1", "", ""},
		{"fe80::1%eth0", "fe80::1", "", ""},
		{"::ffff:203.0.113.9", "203.0.113.9", "", ""},
		{"Gate-7.Example.org.", "invalid IP", "gate-7.example.org", ""},
		{"<script>", "invalid IP", "", "client_invalid"},
		{"", "invalid IP", "", ""},
	} {
		raw := event.NewRaw("kong")
		raw.Client = c.in
		e := redactOne(t, r, raw)
		if e.ClientIP.String() != c.ip || e.ClientHost != c.host || strings.Join(e.Quality, " ") != c.quality {
			t.Errorf("client %q: ip %v, host %q, quality %v", c.in, e.ClientIP, e.ClientHost, e.Quality)
		}
	}
}

func TestForwardedFor(t *testing.T) {
	raw := event.NewRaw("kong")
	raw.XFF = append([]string{"203.0.113.9", "unknown", "[2001:db8::1]:1"}, make([]string, event.MaxXFF)...)
	e := redactOne(t, fixedRedactor(t), raw)
	want := []netip.Addr{netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("2001:db8::1")}
	if diff := cmp.Diff(want, e.XFF, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("hops (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"list_cut", "xff_invalid"}, e.Quality); diff != "" {
		t.Errorf("quality (-want +got):\n%s", diff)
	}
}

func TestHeaders(t *testing.T) {
	raw := event.NewRaw("kong")
	raw.Headers = []event.Label{
		{Name: "X-Requested-With", Value: "XMLHttpRequest"},
		{Name: "content-type", Value: "Application/JSON; charset=utf-8"},
		{Name: "origin", Value: "https://Shop.example.org"},
		{Name: "x-request-id", Value: "q8Zr2Kx0Vt7Lm4Wd9Hs1"},
		{Name: "accept", Value: "text/html,application/xhtml+xml,*/*;q=0.8"},
		{Name: "x-forwarded-proto", Value: "https"},
		{Name: "x-api-version", Value: "q8Zr2Kx0Vt7L"},
		{Name: "x-internal-note", Value: "hello"},
	}
	e := redactOne(t, fixedRedactor(t), raw)
	want := []event.Label{
		{Name: "accept", Value: "text/html,application/xhtml+xml,*/*;q=0.8"}, {Name: "content-type", Value: "application/json"},
		{Name: "origin", Value: "https://shop.example.org"}, {Name: "x-forwarded-proto", Value: "https"}, {Name: "x-requested-with", Value: "XMLHttpRequest"},
	}
	if diff := cmp.Diff(want, e.Headers); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"header_dropped"}, e.Redactions); diff != "" {
		t.Errorf("redactions (-want +got):\n%s", diff)
	}
}

func TestLabels(t *testing.T) {
	raw := event.NewRaw("kong")
	raw.Labels = []event.Label{{Name: "zone", Value: "eu-1"}, {Name: "flags", Value: "UF,URX"}, {Name: "api_key", Value: "abc"}, {Name: "zone", Value: "eu-2"}}
	e := redactOne(t, fixedRedactor(t), raw)
	if diff := cmp.Diff([]event.Label{{Name: "flags", Value: "UF,URX"}, {Name: "zone", Value: "eu-1"}}, e.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
}

func TestAgentFamily(t *testing.T) {
	for agent, want := range map[string]string{
		"":                       "",
		benchAgent:               "Chrome",
		benchAgent + " Edg/1.0":  "Edge",
		"curl/8.5.0":             "curl",
		"Go-http-client/2.0":     "Go-http-client",
		"python-requests/2.31.0": "python-requests",
		"okhttp/4.12.0":          "okhttp",
		"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)":        "Googlebot",
		"Mozilla/5.0 (X11; Linux x86_64; rv:27.0) Gecko/20100101 Firefox/27.0":            "Firefox",
		"Mozilla/5.0 (compatible; MSIE 9.0; Windows NT 6.1; Trident/5.0)":                 "Internet Explorer",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 6_0 like Mac OS X) Version/6.0 Safari/8536.2": "Safari",
		"MyCompanyApp/3.2 (build 17)":                                                     "MyCompanyApp",
		"q8Zr2Kx0Vt7Lm4Wd9Hs1":                                                            "other",
		"() { :; }; /bin/id":                                                              "other",
	} {
		if got := agentFamily(agent); got != want {
			t.Errorf("agent %q is %q, want %q", agent, got, want)
		}
	}
}

// Values of the wrong type are left out and noted, not stored.
func TestTypedFields(t *testing.T) {
	raw := event.NewRaw("kong")
	raw.Kind, raw.Method, raw.Scheme, raw.HTTPVersion = "secret", "get", "gopher", "HTTP/2.0"
	raw.Host, raw.Status, raw.Outcome, raw.TLSVersion, raw.TLSFP = "API.example.org:8443", 2000, "secret", "TLSv1.3", "t13d1516h2_8daaf6152771_b186095e22b6"
	raw.ReqBytes, raw.LatencyUS = -7, 1500
	e := redactOne(t, fixedRedactor(t), raw)
	got := []any{e.Kind, e.Method, e.Scheme, e.HTTPVersion, e.Host, e.Status, e.Outcome, e.TLSVersion, e.TLSFP, e.ReqBytes, e.LatencyUS}
	want := []any{event.KindAccess, "GET", "", "2", "api.example.org", 0, event.OutcomeAborted, "TLSv1.3", "t13d1516h2_8daaf6152771_b186095e22b6", int64(-1), int64(1500)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"field_invalid"}, e.Quality); diff != "" {
		t.Errorf("quality (-want +got):\n%s", diff)
	}
}

func TestNoteNames(t *testing.T) {
	var n notes = 1<<len(noteNames) - 1
	red, quality := n.lists([]string{"ts_tz_assumed", "Not A Name", "client_invalid"})
	for _, list := range [][]string{red, quality} {
		for i := 1; i < len(list); i++ {
			if list[i-1] >= list[i] {
				t.Errorf("%q stands before %q", list[i-1], list[i])
			}
		}
	}
	if diff := cmp.Diff(Redactions(), red); diff != "" {
		t.Errorf("redactions (-want +got):\n%s", diff)
	}
	if n := len(red) + len(quality); n != len(noteNames)+1 {
		t.Errorf("%d notes, want %d", n, len(noteNames)+1)
	}
}
