package redact

import (
	"regexp"
	"strings"
	"testing"

	"gatehouse/ingest/event"

	"github.com/google/go-cmp/cmp"
)

const (
	jwtInPath = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqbyJ9.c2lnbmF0dXJl"
	uuidInURL = "550e8400-e29b-41d4-a716-446655440000"
	ulidInURL = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
)

// ref is the reference that stands for an opaque id of the empty tenant.
func ref(value string) string {
	return "fp:" + sumOf(newFingerprinter(testKey().Active()), "", ClassObject, value)[:shortHex]
}

// Each line tells what becomes of a path: as stored, as a route, and which
// objects it names ("name=ref").
func TestPath(t *testing.T) {
	r := fixedRedactor(t)
	for _, c := range []struct{ in, path, route, objects string }{
		// What people put into paths stays.
		{"/", "/", "/", ""},
		{"*", "*", "*", ""},
		{"/presentations/logstash-monitorama-2013/images/kibana-dashboard3.png", "/presentations/logstash-monitorama-2013/images/kibana-dashboard3.png", "/presentations/logstash-monitorama-2013/images/kibana-dashboard3.png", ""},
		{"/lib/jquery-1.9.1.min.js", "/lib/jquery-1.9.1.min.js", "/lib/jquery-1.9.1.min.js", ""},
		{"/how-we-moved-41-services-to-kubernetes-without-anyone-noticing-it", "/how-we-moved-41-services-to-kubernetes-without-anyone-noticing-it", "/how-we-moved-41-services-to-kubernetes-without-anyone-noticing-it", ""},
		{"/img/icon@2x.png", "/img/icon@2x.png", "/img/icon@2x.png", ""},
		{"/npm/react@18.2.0/umd/react.js", "/npm/react@18.2.0/umd/react.js", "/npm/react@18.2.0/umd/react.js", ""},
		{"/static/main.3f2a9c1d8e7b6a5f4e3d2c1b.js", "/static/main.3f2a9c1d8e7b6a5f4e3d2c1b.js", "/static/main.3f2a9c1d8e7b6a5f4e3d2c1b.js", ""},
		{"/api/SearchResponseBuilderFactory", "/api/SearchResponseBuilderFactory", "/api/SearchResponseBuilderFactory", ""},
		{"/caf%C3%A9/menü", "/caf%C3%A9/menü", "/caf%C3%A9/menü", ""},
		{"/%2e%2e/%2e%2e/etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", ""},
		// Ids stay in the path and become names in the route.
		{"/users/42/orders/7", "/users/42/orders/7", "/users/{user_id}/orders/{order_id}", "user_id=42 order_id=7"},
		{"/v1/companies/3/addresses/9", "/v1/companies/3/addresses/9", "/v1/companies/{company_id}/addresses/{address_id}", "company_id=3 address_id=9"},
		{"/v2/7", "/v2/7", "/v2/{id}", "id=7"},
		{"/user-accounts/" + uuidInURL, "/user-accounts/" + uuidInURL, "/user-accounts/{user_account_id}", "user_account_id=" + uuidInURL},
		{"/Jobs/" + ulidInURL + "/log", "/Jobs/" + ulidInURL + "/log", "/Jobs/{job_id}/log", "job_id=" + ulidInURL},
		{"/invoices/2041.pdf", "/invoices/2041.pdf", "/invoices/{invoice_id}.pdf", "invoice_id=2041"},
		{"/blog/184.html", "/blog/184.html", "/blog/184.html", ""},
		{"/tweets/1790637656616943991", "/tweets/1790637656616943991", "/tweets/{tweet_id}", "tweet_id=1790637656616943991"},
		{"/list/page/3", "/list/page/3", "/list/page/{page_id}", ""},
		// Dates are no objects.
		{"/blog/2007/Jan/27", "/blog/2007/Jan/27", "/blog/{date}/{date}/{date}", ""},
		{"/reports/2026-11-24", "/reports/2026-11-24", "/reports/{date}", ""},
		{"/files/20081105/a.png", "/files/20081105/a.png", "/files/{date}/a.png", ""},
		// Secrets and personal data become placeholders.
		{"/pay/4111111111111111", "/pay/{pan}", "/pay/{pan}", ""},
		{"/pay/4111-1111-1111-1111", "/pay/{pan}", "/pay/{pan}", ""},
		{"/users/jo.doe%40example.org/mail", "/users/{email}/mail", "/users/{user_id}/mail", "user_id=" + ref("jo.doe@example.org")},
		{"/users/Jo.Doe@Example.org/mail", "/users/{email}/mail", "/users/{user_id}/mail", "user_id=" + ref("jo.doe@example.org")},
		{"/s/" + jwtInPath, "/s/{token}", "/s/{token}", ""},
		{"/s/%65yJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqbyJ9.c2ln", "/s/{token}", "/s/{token}", ""},
		{"/s/%2565yJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqbyJ9.c2ln", "/s/{token}", "/s/{token}", ""},
		{"/s/%25252568ello", "/s/{text}", "/s/{text}", ""},
		{"/bot110201543:AAHdqTcvCH1vGWJxfSe1ofSAs0K5PALDsaw/sendMessage", "/{token}/sendMessage", "/{token}/sendMessage", ""},
		{"/fwd/https://hooks.slack.com/services/T00000000/B00000000/abcdEFGH1234ijklMNOP5678", "/fwd/https://{token}", "/fwd/https://{token}", ""},
		{"/s/ATATT3xFfGF0/q8Zr2K/x0Vt7Lm4Wd9Hs1q8Zr2Kx0Vt7L", "/s/{token}", "/s/{token}", ""},
		{"/password=hunter2", "/{secret}", "/{secret}", ""},
		{"/reset-password/x7Gq2", "/reset-password/{token}", "/reset-password/{token}", ""},
		{"/verify/" + uuidInURL, "/verify/{token}", "/verify/{token}", ""},
		{"/verify/email", "/verify/email", "/verify/email", ""},
		{"/docs/q8Zr2Kx0Vt7Lm4Wd9Hs1", "/docs/{opaque}", "/docs/{doc_id}", "doc_id=" + ref("q8Zr2Kx0Vt7Lm4Wd9Hs1")},
		{"/docs/9f86d081884c7d659a2feaa0c55ad015.json", "/docs/{opaque}.json", "/docs/{doc_id}.json", "doc_id=" + ref("9f86d081884c7d659a2feaa0c55ad015")},
		{"/shop;jsessionid=0A1B2C3D4E5F6071/cart", "/shop/cart", "/shop/cart", ""},
		{"/a/" + strings.Repeat("word ", 60), "/a/{text}", "/a/{text}", ""},
		// Placeholders cannot be forged, and nothing hides in them.
		{"/x/{token}", "/x/%7Btoken%7D", "/x/%7Btoken%7D", ""},
		{"/x/%7Btoken%7D", "/x/%7Btoken%7D", "/x/%7Btoken%7D", ""},
		{"/x/a\x00b\u202e\xffc", "/x/a%00b%E2%80%AE%FFc", "/x/a%00b%E2%80%AE%FFc", ""},
		{"/x/ghp_\u200b0123456789abcdefghijABCDEFGHIJ", "/x/{token}", "/x/{token}", ""},
		{"/x/ghp_%000123456789abcdefghijABCDEFGHIJ", "/x/{token}", "/x/{token}", ""},
	} {
		raw := event.NewRaw("kong")
		raw.Path = c.in
		e := redactOne(t, r, raw)
		var objects []string
		for _, o := range e.Objects {
			objects = append(objects, o.Name+"="+o.Ref)
		}
		got := []string{e.Path, e.Route, strings.Join(objects, " ")}
		if diff := cmp.Diff([]string{c.path, c.route, c.objects}, got); diff != "" {
			t.Errorf("path %q (-want +got):\n%s", c.in, diff)
		}
	}
}

// A gateway's own template is kept, and objects are still found in the path.
func TestRouteOfTheGateway(t *testing.T) {
	raw := event.NewRaw("kong")
	raw.Path, raw.Route = "/users/42", "/users/{userId}"
	e := redactOne(t, fixedRedactor(t), raw)
	if e.Route != "/users/{userId}" || e.RouteSrc != event.RouteGateway {
		t.Errorf("route %q from %q", e.Route, e.RouteSrc)
	}
	if diff := cmp.Diff([]event.Object{{Name: "user_id", Ref: "42"}}, e.Objects); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
}

func TestPathLimits(t *testing.T) {
	r := fixedRedactor(t)
	raw := event.NewRaw("kong")
	raw.Path = "/" + strings.Repeat("orders/7/", event.MaxPath)
	e := redactOne(t, r, raw)
	if len(e.Path) > event.MaxPath || len(e.Route) > event.MaxRoute || len(e.Objects) != event.MaxObjects {
		t.Errorf("path %d bytes, route %d bytes, %d objects", len(e.Path), len(e.Route), len(e.Objects))
	}
	if diff := cmp.Diff([]string{"list_cut", "path_cut", "text_cut"}, e.Quality); diff != "" {
		t.Errorf("quality (-want +got):\n%s", diff)
	}
	raw.Path = "/a/" + jwtInPath + strings.Repeat("x", event.MaxPath)
	if e := redactOne(t, r, raw); e.Path != "/a/" {
		t.Errorf("a token over the limit leaves %d bytes of path", len(e.Path))
	}
}

var (
	anyBraces    = regexp.MustCompile(`[{}][^{}]*[{}]?`)
	placeholder  = regexp.MustCompile(`^\{(pan|email|token|secret|opaque|text)\}$`)
	escapedBrace = strings.NewReplacer("%7B", "{", "%7D", "}")
)

// Whatever the path: every brace belongs to a placeholder of the closed set, no
// control character survives, and a second pass changes nothing but that it
// escapes the placeholders of the first as it would a forger's.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{
		"/users/42", "/x/{token}", "/a;b=c/d", "/%7B%257B%25257B", "/reset/%7b", "//a//", "/jo@x.org", "/a\x00\xff{", "/%", "/a/%u0041",
		"/2007/Jan/27", "/docs/q8Zr2Kx0Vt7Lm4Wd9Hs1.png", "/a=b:c@d", "/-----BEGIN PRIVATE KEY-----/x", "/bearer abcdefgh1/",
	} {
		f.Add(seed)
	}
	r := fixedRedactor(f)
	f.Fuzz(func(t *testing.T, path string) {
		if len(path) > event.MaxPath/8 || strings.ContainsAny(path, "?#") {
			return
		}
		raw := event.NewRaw("kong")
		raw.Path = path
		once := redactOne(t, r, raw).Path
		for _, m := range anyBraces.FindAllString(once, -1) {
			if !placeholder.MatchString(m) {
				t.Fatalf("path %q became %q: %q is no placeholder", path, once, m)
			}
		}
		if plain(once) != once {
			t.Fatalf("path %q became %q, which hides runes", path, once)
		}
		raw.Path = once
		twice := redactOne(t, r, raw).Path
		if escapedBrace.Replace(twice) != escapedBrace.Replace(once) {
			t.Fatalf("path %q became %q and that %q", path, once, twice)
		}
	})
}
