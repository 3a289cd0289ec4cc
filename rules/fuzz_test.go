package rules

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"testing"

	"gatehouse/ingest/event"
)

// Whatever a rule file holds, it is refused with an Error that names the file,
// or gives a rule that can be evaluated.
func FuzzParse(f *testing.F) {
	f.Add([]byte(minimal))
	err := fs.WalkDir(catalog, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(name, ".yaml") {
			data, rerr := fs.ReadFile(catalog, name)
			if rerr != nil {
				return rerr
			}
			f.Add(data)
		}
		return err
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Parse("fuzz.yaml", data)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.File != "fuzz.yaml" || e.Msg == "" {
				t.Fatalf("error without place: %v", err)
			}
			return
		}
		m := NewMachine(Only(r), 1)
		for _, ev := range sampleEvents() {
			m.Load(&ev)
			_, _ = m.Test(&r.When)
		}
	})
}

// No expression that compiles makes evaluation panic, run away, or return
// something else than a truth.
func FuzzExpression(f *testing.F) {
	for _, s := range []string{
		`status >= 400 and path startsWith "/admin"`, `client_asn ?? client_net`, `any(xff, # == client_ip)`,
		`headers["x-a"] == "b" or len(objects) > 2`, `path matches "^/v[0-9]+/"`, `not (kind in ["authn", "authz"])`,
		`status in [401, 403] ? path == "" : host != ""`, `objects[0].ref`, `(client_asn ?? 0) > 5`, `max(status, 3) > 2`,
	} {
		f.Add(s)
	}
	events := sampleEvents()
	f.Fuzz(func(t *testing.T, src string) {
		p, err := compilePredicate(src)
		if err != nil {
			return
		}
		m := NewMachine(Only(&Rule{need: p.need}), 1)
		for i := range events {
			m.Load(&events[i])
			compareWithReference(t, m, p)
		}
	})
}

// compareWithReference checks the closure of p, where it has one, against the
// virtual machine.
func compareWithReference(t *testing.T, m *Machine, p *Predicate) {
	t.Helper()
	reference := &Predicate{program: p.program}
	want, err := m.Test(reference)
	if p.fast == nil {
		return
	}
	if err != nil {
		t.Fatalf("%s: the machine fails where the closure does not: %v", p.source, err)
	}
	if got, _ := m.Test(p); got != want {
		t.Fatalf("%s: closure %v, machine %v, on %s", p.source, got, want, m.ev.AppendJSON(nil))
	}
}

// Expressions made from what the closures cover, on random choices.
func FuzzClosuresAgree(f *testing.F) {
	for i := range 32 {
		f.Add([]byte(fmt.Sprintf("%d seed of choices %d", i*i*7919, i)))
	}
	events := sampleEvents()
	f.Fuzz(func(t *testing.T, choices []byte) {
		g := generator{choices: choices}
		src := g.truth(3)
		p, err := compilePredicate(src)
		if err != nil {
			t.Fatalf("%s: %v", src, err)
		}
		if p.fast == nil {
			t.Fatalf("%s: not covered by closures", src)
		}
		m := NewMachine(Only(&Rule{need: p.need}), 1)
		for i := range events {
			m.Load(&events[i])
			compareWithReference(t, m, p)
		}
	})
}

type generator struct {
	choices []byte
	n       int
}

func (g *generator) pick(of int) int {
	if g.n >= len(g.choices) {
		return 0
	}
	g.n++
	return int(g.choices[g.n-1]) % of
}

func (g *generator) one(of ...string) string { return of[g.pick(len(of))] }

func (g *generator) truth(depth int) string {
	if depth > 0 {
		switch g.pick(5) {
		case 0:
			return "(" + g.truth(depth-1) + " and " + g.truth(depth-1) + ")"
		case 1:
			return "(" + g.truth(depth-1) + " or " + g.truth(depth-1) + ")"
		case 2:
			return "not (" + g.truth(depth-1) + ")"
		}
	}
	switch g.pick(6) {
	case 0:
		return g.number() + g.one(" == ", " != ", " < ", " <= ", " > ", " >= ") + g.number()
	case 1:
		return g.text() + g.one(" == ", " != ", " contains ", " startsWith ", " endsWith ") + g.text()
	case 2:
		return g.number() + " in [" + g.one("200, 404", "0", "401, 403, 410, 500") + "]"
	case 3:
		return g.text() + " in [" + g.one(`"GET"`, `"", "POST"`, `"a", "b", "c", "d", "e", "f", "g", "h", "i", "browser"`) + "]"
	case 4:
		return g.text() + ` matches "` + g.one("^/v1", "[0-9]+$", "") + `"`
	}
	return g.one("true", "false")
}

func (g *generator) number() string {
	return g.one("status", "upstream_status", "req_bytes", "resp_bytes", "latency_us", "ip_version", "hour", "weekday", "ts", "0", "200", "404")
}

func (g *generator) text() string {
	return g.one("method", "path", "route", "endpoint", "object", "ua_class", "ua_family", "actor", "credential", "client_net", "client_ip",
		"host", "kind", "outcome", `""`, `"GET"`, `"/v1/orders"`, `"browser"`)
}

func sampleEvents() []event.Event {
	events := []event.Event{
		{},
		{Kind: event.KindAccess, Method: "GET", Path: "/v1/orders/7", Route: "/v1/orders/{id}", Status: 200, Host: "api.example.com",
			ClientIP: netip.MustParseAddr("192.0.2.1"), Principal: "alice", UserAgent: "Mozilla/5.0 Chrome/141.0", UAFamily: "Chrome",
			Objects: []event.Object{{Name: "id", Ref: "7"}}, ReqBytes: -1, RespBytes: 900, LatencyUS: 1200, TS: 1_767_571_200_000_000},
		{Kind: event.KindAuthn, Method: "POST", Path: "/login", Status: 401, ClientIP: netip.MustParseAddr("2001:db8::1"), TokenFP: "ab",
			UserAgent: "curl/8.1", ClientASN: 64500, TS: -5_000_000, RespBytes: -1, Headers: []event.Label{{Name: "x-a", Value: "b"}},
			XFF: []netip.Addr{netip.MustParseAddr("192.0.2.9")}},
	}
	for i := range events {
		events[i].Complete()
	}
	return events
}

func TestUAClass(t *testing.T) {
	for ua, want := range map[string]string{
		"": "",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36":   "browser",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 Version/18.6 Mobile/15E148 Safari/604": "mobile",
		"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)":                                          "bot",
		"curl/8.10.1": "tool", "python-requests/2.32.3": "tool", "Go-http-client/2.0": "tool", "PostmanRuntime/7.43": "tool",
		"ShopApp/7.14.0 (Android 15; Pixel 9) okhttp/4.12.0": "mobile", "Dyson": "other",
		"Mozilla/5.0 (Linux; Android 10; CUBOT NOTE 20) AppleWebKit/537.36 Chrome/141.0 Mobile Safari/537.36": "mobile",
	} {
		ev := event.Event{UserAgent: ua}
		if got := uaClass(&ev); got != want {
			t.Errorf("%q: %q, want %q", ua, got, want)
		}
	}
}

func BenchmarkPredicate(b *testing.B) {
	const src = `kind == "access" and object != "" and status > 0 and (credential != "" or ua_class != "bot")`
	p, err := compilePredicate(src)
	if err != nil {
		b.Fatal(err)
	}
	ev := sampleEvents()[1]
	for name, p := range map[string]*Predicate{"closure": p, "machine": {program: p.program}} {
		b.Run(name, func(b *testing.B) {
			m := NewMachine(Only(&Rule{need: p.need}), 1)
			b.ReportAllocs()
			for b.Loop() {
				m.Load(&ev)
				if ok, err := m.Test(p); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}
