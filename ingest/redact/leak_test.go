package redact

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"gatehouse/ingest/event"
)

const alphanumerics = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

func randomString(rng *rand.Rand, alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[rng.IntN(len(alphabet))]
	}
	return string(b)
}

func (c *charset) alphabet() string {
	var b []byte
	for i := range 256 {
		if c.has(byte(i)) {
			b = append(b, byte(i))
		}
	}
	return string(b)
}

// sample is a secret and the part of it that nobody can know: without the
// published start of its family.
type sample struct{ text, secret string }

// samples draws one secret per family, a JWT, and some of no family. None has a
// slash in it: in a path that is a boundary unless the family is known, for
// which TestPath has cases.
func samples(rng *rand.Rand) map[string]sample {
	out := map[string]sample{}
	for name, s := range map[string]string{
		"jwt":    jwt(`{"alg":"HS256","typ":"JWT"}`, `{"sub":"`+randomString(rng, alphanumerics, 12)+`"}`),
		"base62": randomString(rng, alphanumerics, 40),
		"base64": base64.StdEncoding.EncodeToString([]byte(randomString(rng, alphanumerics, 48))),
		"hex":    randomString(rng, "0123456789abcdef", 40),
	} {
		out[name] = sample{s, s}
	}
	for _, f := range families {
		tail := randomString(rng, strings.ReplaceAll(f.tail.alphabet(), "/", ""), max(f.min, 24))
		out[f.prefix] = sample{f.prefix + tail, tail}
	}
	return out
}

// places are where clients and gateways put secrets. Each puts s into a record.
var places = map[string]func(raw *event.Raw, s string){
	"bearer":         func(raw *event.Raw, s string) { raw.Authorization = "Bearer " + s },
	"scheme":         func(raw *event.Raw, s string) { raw.Authorization = "Custom " + s },
	"bare":           func(raw *event.Raw, s string) { raw.Authorization = s },
	"basic user":     func(raw *event.Raw, s string) { raw.Authorization = basic(s, "x") },
	"basic password": func(raw *event.Raw, s string) { raw.Authorization = basic("alice", s) },
	"digest":         func(raw *event.Raw, s string) { raw.Authorization = `Digest username="alice", response="` + s + `"` },
	"api key":        func(raw *event.Raw, s string) { raw.APIKey = s },
	"session cookie": func(raw *event.Raw, s string) { raw.Cookie = "a=b; sid=" + s },
	"other cookie":   func(raw *event.Raw, s string) { raw.Cookie = "whatever=" + s },
	"token hash":     func(raw *event.Raw, s string) { raw.TokenHash = s },
	"edge token":     func(raw *event.Raw, s string) { raw.TokenFP, raw.FPKeyID = s, "k1" },
	"key id":         func(raw *event.Raw, s string) { raw.TokenFP, raw.FPKeyID = strings.Repeat("0", 32), s },
	"query token":    func(raw *event.Raw, s string) { raw.Query = "access_token=" + s },
	"query value":    func(raw *event.Raw, s string) { raw.Query = "whatever=" + s + "&a=b" },
	"query page":     func(raw *event.Raw, s string) { raw.Query = "page=" + s },
	"query sort":     func(raw *event.Raw, s string) { raw.Query = "sort=" + s + "&lang=" + s + "&fields=a," + s },
	"query id":       func(raw *event.Raw, s string) { raw.Query = "order_id=" + s },
	"query name":     func(raw *event.Raw, s string) { raw.Query = s + "=1&" + s },
	"query escaped":  func(raw *event.Raw, s string) { raw.Query = "v=" + escapeAll(s) },
	"path":           func(raw *event.Raw, s string) { raw.Path = "/a/" + s + "/b" },
	"path last":      func(raw *event.Raw, s string) { raw.Path = "/a/b/" + s },
	"path escaped":   func(raw *event.Raw, s string) { raw.Path = "/a/" + escapeAll(s) },
	"path twice":     func(raw *event.Raw, s string) { raw.Path = "/a/" + escapeAll(escapeAll(s)) },
	"path thrice":    func(raw *event.Raw, s string) { raw.Path = "/a/" + escapeAll(escapeAll(escapeAll(s))) },
	"path assigned":  func(raw *event.Raw, s string) { raw.Path = "/a/key=" + s },
	"path matrix":    func(raw *event.Raw, s string) { raw.Path = "/a;jsessionid=" + s + "/b;x=" + s },
	"path query":     func(raw *event.Raw, s string) { raw.Path = "/a?k=" + s + "#" + s },
	"path NUL":       func(raw *event.Raw, s string) { raw.Path = "/a/" + s[:5] + "%00" + s[5:] },
	"path json":      func(raw *event.Raw, s string) { raw.Path = "/a/" + s + ".json" },
	"method":         func(raw *event.Raw, s string) { raw.Method = s },
	"scheme field":   func(raw *event.Raw, s string) { raw.Scheme, raw.HTTPVersion, raw.TLSVersion, raw.TLSFP = s, s, s, s },
	"enums": func(raw *event.Raw, s string) {
		raw.Kind, raw.TSSrc, raw.BytesScope = event.Kind(s), event.TimeSource(s), event.BytesScope(s)
	},
	"more enums": func(raw *event.Raw, s string) {
		raw.Outcome, raw.AuthType, raw.RouteSrc = event.Outcome(s), event.AuthType(s), event.RouteSource(s)
	},
	"client":         func(raw *event.Raw, s string) { raw.Client, raw.Peer, raw.XFF = s+"!", s, []string{s} },
	"trace":          func(raw *event.Raw, s string) { raw.TraceID = s },
	"referrer query": func(raw *event.Raw, s string) { raw.Referer = "https://x.org/a?t=" + s + "#" + s },
	"referrer path":  func(raw *event.Raw, s string) { raw.Referer = "https://x.org/a/" + s },
	"referrer user":  func(raw *event.Raw, s string) { raw.Referer = "https://u:" + s + "@x.org/a" },
	"agent":          func(raw *event.Raw, s string) { raw.UserAgent = "app/1.0 (" + s + ")" },
	"agent alone":    func(raw *event.Raw, s string) { raw.UserAgent = s },
	"reason":         func(raw *event.Raw, s string) { raw.ErrorReason = "invalid token " + s + " in header" },
	"reason bearer":  func(raw *event.Raw, s string) { raw.ErrorReason = "Authorization: Bearer " + s },
	"reason json":    func(raw *event.Raw, s string) { raw.ErrorReason = `{"msg":"no","api_key":"` + s + `"}` },
	"reason url":     func(raw *event.Raw, s string) { raw.ErrorReason = "dial https://u:" + s + "@x.org/a: refused" },
	"subject":        func(raw *event.Raw, s string) { raw.MTLSSubject = "CN=" + s },
	"label": func(raw *event.Raw, s string) {
		raw.Labels = []event.Label{{Name: "note", Value: s}, {Name: s, Value: "x"}}
	},
	"quality":       func(raw *event.Raw, s string) { raw.Quality = []string{"X" + s} },
	"credential id": func(raw *event.Raw, s string) { raw.CredentialID = s },
	"unknown header": func(raw *event.Raw, s string) {
		raw.Headers = []event.Label{{Name: "x-whatever", Value: s}, {Name: s, Value: "x"}}
	},
	"known headers": knownHeaders,
}

// knownHeaders puts s into every header that the policy keeps.
func knownHeaders(raw *event.Raw, s string) {
	for name := range DefaultPolicy().Headers {
		if name != "origin" && name != "x-forwarded-host" { // host names look random in clouds: README
			raw.Headers = append(raw.Headers, event.Label{Name: name, Value: s})
		}
	}
}

func escapeAll(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02x", s[i])
	}
	return b.String()
}

// eachString calls do with every string anywhere in v.
func eachString(v reflect.Value, name string, do func(field, s string)) {
	switch v.Kind() {
	case reflect.String:
		do(name, v.String())
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				eachString(v.Field(i), name+"."+v.Type().Field(i).Name, do)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			eachString(v.Index(i), fmt.Sprintf("%s[%d]", name, i), do)
		}
	}
}

// leaks gives the field that holds 8 or more bytes of a secret, raw or in an
// encoding that undoes itself, and "" if none does.
func leaks(e *event.Event, secret string) string {
	const piece = 8
	found := ""
	eachString(reflect.ValueOf(*e), "", func(field, s string) {
		decoded := unescape(unescape(unescape(s)))
		for i := 0; i+piece <= len(secret); i++ {
			if strings.Contains(s, secret[i:i+piece]) || strings.Contains(decoded, secret[i:i+piece]) {
				found = field + " = " + s
			}
		}
	})
	return found
}

// No eight bytes of a secret, of whatever family, survive in any field, wherever
// it was put.
func TestNoSecretSurvives(t *testing.T) {
	r := fixedRedactor(t)
	rng := rand.New(rand.NewPCG(1, 2))
	tried := 0
	for range 4 {
		for family, s := range samples(rng) {
			for place, put := range places {
				raw := event.NewRaw("kong")
				put(&raw, s.text)
				e := redactOne(t, r, raw)
				if field := leaks(&e, s.secret); field != "" {
					t.Errorf("%s in %s: %q survives in %s", family, place, s.text, field)
				}
				tried++
			}
		}
	}
	t.Logf("%d secrets placed", tried)
}

// The search above finds what it looks for.
func TestLeaksAreFound(t *testing.T) {
	const secret = "0123456789"
	for _, e := range []event.Event{
		{Path: "/x/12345678/y"},
		{Headers: []event.Label{{Name: "a", Value: "23456789"}}},
		{Objects: []event.Object{{Ref: "0123456789"}}},
		{Quality: []string{"", "a01234567"}},
		{Query: "a=%30%31%32%33%34%35%36%37"},
	} {
		if leaks(&e, secret) == "" {
			t.Errorf("the secret in %s is not found", e.AppendJSON(nil))
		}
	}
}

// Any bytes in any field: no error, no panic, the same event every time, within
// the limits, and no piece of the credential in it.
func FuzzRedact(f *testing.F) {
	f.Add("/a/{x}", "a=b&token=c", "Bearer abc", "sid=1", "curl/8", "https://x/y?z", "1.2.3.4")
	f.Add("/users/%7b/jo@x.org;a=b", "%%%&==&a[=1", basic("a", "b"), ";;=;", "\x00\xff", "://", "[::1]:x")
	f.Add("//", strings.Repeat("&", 200), "Digest username=", "a", strings.Repeat("(", 50), "/", "")
	r := fixedRedactor(f)
	f.Fuzz(func(t *testing.T, path, query, authorization, cookie, agent, referrer, client string) {
		rng := rand.New(rand.NewPCG(uint64(len(path)), uint64(len(query))))
		secret := randomString(rng, alphanumerics, 40)
		raw := event.Raw{
			Path: path, Query: query, Authorization: authorization + secret, Cookie: cookie, UserAgent: agent, Referer: referrer, Client: client,
			Host: client, ErrorReason: agent, Principal: cookie, Method: agent, Route: referrer, RequestID: query,
			Labels: []event.Label{{Name: client, Value: agent}}, Headers: []event.Label{{Name: "accept", Value: agent}, {Name: agent, Value: path}},
		}
		e := redactOne(t, r, raw)
		if again := redactOne(t, r, raw); !reflect.DeepEqual(e, again) {
			t.Fatalf("two events of one record:\n%s\n%s", e.AppendJSON(nil), again.AppendJSON(nil))
		}
		if field := leaks(&e, secret); field != "" {
			t.Fatalf("%q survives in %s", secret, field)
		}
		checkLimits(t, &e)
	})
}

func checkLimits(t *testing.T, e *event.Event) {
	t.Helper()
	for name, c := range map[string]struct {
		value string
		limit int
	}{
		"path": {e.Path, event.MaxPath}, "query": {e.Query, event.MaxQuery}, "route": {e.Route, event.MaxRoute}, "host": {e.Host, event.MaxHost},
		"agent": {e.UserAgent, event.MaxUserAgent}, "referer": {e.Referer, event.MaxPath}, "reason": {e.ErrorReason, event.MaxReason},
		"principal": {e.Principal, event.MaxName}, "request": {e.RequestID, event.MaxName}, "family": {e.UAFamily, 64},
	} {
		if len(c.value) > c.limit {
			t.Errorf("%s has %d bytes, more than %d", name, len(c.value), c.limit)
		}
		if plain(c.value) != c.value {
			t.Errorf("%s hides runes: %q", name, c.value)
		}
	}
	if len(e.Objects) > event.MaxObjects || len(e.Headers) > event.MaxHeaders || len(e.Labels) > event.MaxLabels {
		t.Errorf("%d objects, %d headers, %d labels", len(e.Objects), len(e.Headers), len(e.Labels))
	}
}
