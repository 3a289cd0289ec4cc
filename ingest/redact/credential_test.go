package redact

import (
	"encoding/base64"
	"strings"
	"testing"

	"gatehouse/ingest/event"

	"github.com/google/go-cmp/cmp"
)

func fp(class Class, value string) string {
	return sumOf(newFingerprinter(testKey().Active()), "", class, value)
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestCredentials(t *testing.T) {
	const opaque = "8f7a6s5d4f3g2h1j0k9l8m7n6b5v4c3x"
	r := fixedRedactor(t)
	type facts struct {
		Auth                                  event.AuthType
		Principal, Credential, Token, Session string
	}
	for _, c := range []struct {
		name string
		raw  event.Raw
		want facts
	}{
		{"nothing", event.Raw{}, facts{}},
		{"opaque bearer", event.Raw{Authorization: "Bearer " + opaque}, facts{Auth: "oauth2", Token: fp(ClassToken, opaque)}},
		{"jwt bearer", event.Raw{Authorization: "bearer " + benchJWT}, facts{Auth: "jwt", Token: fp(ClassToken, benchJWT)}},
		{"bare token", event.Raw{Authorization: opaque}, facts{Auth: "oauth2", Token: fp(ClassToken, opaque)}},
		{"unknown scheme", event.Raw{Authorization: "Negotiate " + opaque}, facts{Auth: "unknown", Token: fp(ClassToken, opaque)}},
		{"basic", event.Raw{Authorization: basic("alice", "hunter2")}, facts{Auth: "basic", Principal: "alice"}},
		{"basic beside the gateway's user", event.Raw{Authorization: basic("alice", "x"), Principal: "Alice"}, facts{Auth: "basic", Principal: "Alice"}},
		{"basic with an e-mail", event.Raw{Authorization: basic("Jo@x.org", "x")}, facts{Auth: "basic", Principal: "email:" + fp(ClassPrincipal, "jo@x.org")[:16]}},
		{"basic with a key as user", event.Raw{Authorization: basic("sk_live_0123456789abcdef", "")}, facts{Auth: "basic", Token: fp(ClassAPIKey, "sk_live_0123456789abcdef")}},
		{"broken basic", event.Raw{Authorization: "Basic %%%"}, facts{Auth: "basic"}},
		{"aws signature", event.Raw{Authorization: "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261124/eu-west-1/s3/aws4_request, SignedHeaders=host, Signature=" + strings.Repeat("0f", 32)},
			facts{Auth: "hmac", Credential: "fp:" + fp(ClassAPIKey, "AKIAIOSFODNN7EXAMPLE")[:16]}},
		{"digest", event.Raw{Authorization: `Digest username="alice", realm="x", response="0123456789abcdef0123456789abcdef"`}, facts{Auth: "hmac", Credential: "alice"}},
		{"api key", event.Raw{APIKey: opaque}, facts{Auth: "api_key", Token: fp(ClassAPIKey, opaque)}},
		{"api key beside a token", event.Raw{APIKey: "k2", Authorization: "Bearer " + opaque}, facts{Auth: "oauth2", Token: fp(ClassToken, opaque), Credential: "fp:" + fp(ClassAPIKey, "k2")[:16]}},
		{"session", event.Raw{Cookie: `theme=dark; JSESSIONID="A1.node1"; x=y`}, facts{Auth: "session", Session: fp(ClassSession, "A1.node1")}},
		{"session of a framework", event.Raw{Cookie: "__Host-shop_session=abc"}, facts{Auth: "session", Session: fp(ClassSession, "abc")}},
		{"masked by the gateway", event.Raw{Authorization: "Bearer [REDACTED]", APIKey: "****", Cookie: "sid=xxxx"}, facts{}},
		{"masked whole", event.Raw{Authorization: "REDACTED"}, facts{}},
		{"no session", event.Raw{Cookie: "theme=dark; _ga=GA1.2.3"}, facts{}},
		{"token and session", event.Raw{Authorization: "Bearer " + opaque, Cookie: "sid=abc"}, facts{Auth: "oauth2", Token: fp(ClassToken, opaque), Session: fp(ClassSession, "abc")}},
		{"jwt in a cookie", event.Raw{Cookie: "auth=" + benchJWT}, facts{Auth: "jwt", Token: fp(ClassToken, benchJWT)}},
		{"key in the query", event.Raw{Query: "api_key=abc123"}, facts{Auth: "api_key", Token: fp(ClassAPIKey, "abc123")}},
		{"header before query", event.Raw{Query: "access_token=abc123", Authorization: "Bearer " + opaque}, facts{Auth: "oauth2", Token: fp(ClassToken, opaque)}},
		{"session in the path", event.Raw{Path: "/a;jsessionid=abc123"}, facts{Auth: "session", Session: fp(ClassSession, "abc123")}},
		{"password in the query", event.Raw{Query: "password=hunter2"}, facts{}},
		{"the gateway's word", event.Raw{AuthType: "mtls", Authorization: "Bearer " + opaque}, facts{Auth: "mtls", Token: fp(ClassToken, opaque)}},
		{"not a hash", event.Raw{TokenHash: "abc"}, facts{}},
		{"an edge's fingerprint", event.Raw{TokenFP: strings.Repeat("0f", 16), FPKeyID: "k9"}, facts{Auth: "unknown", Token: strings.Repeat("0f", 16)}},
		{"an edge's secret", event.Raw{TokenFP: opaque, FPKeyID: "k9"}, facts{}},
		{"credential that is a key", event.Raw{CredentialID: opaque}, facts{Credential: "fp:" + fp(ClassAPIKey, opaque)[:16]}},
		{"credential id", event.Raw{CredentialID: uuidInURL}, facts{Credential: uuidInURL}},
	} {
		e := redactOne(t, r, c.raw)
		got := facts{e.AuthType, e.Principal, e.CredentialID, e.TokenFP, e.SessionFP}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		if made := strings.Contains(e.TokenFP+e.SessionFP+e.CredentialID+e.Principal, "fp:") || e.TokenFP+e.SessionFP != ""; made && e.FPKeyID == "" {
			t.Errorf("%s: a fingerprint without a key id", c.name)
		}
	}
}

// An event names one key; an edge's fingerprint beside one of ours is left out.
func TestEdgeFingerprintBesideOurs(t *testing.T) {
	raw := event.Raw{Authorization: "Bearer abc", SessionFP: strings.Repeat("0f", 16), FPKeyID: "k9"}
	e := redactOne(t, fixedRedactor(t), raw)
	if e.SessionFP != "" || e.FPKeyID != "k1" || len(e.Quality) != 1 || e.Quality[0] != "edge_fingerprint" {
		t.Errorf("session %q, key %q, quality %v", e.SessionFP, e.FPKeyID, e.Quality)
	}
}

func jwt(header, payload string) string {
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(header)) + "." + enc([]byte(payload)) + "." + enc([]byte("signature"))
}

// Of a JWT the header's facts, issuer, audience and expiry are kept, as claims of
// the caller; the rest of the payload is not.
func TestJWT(t *testing.T) {
	type facts struct{ Alg, Kid, Iss, Aud, Exp, Quality string }
	const at = 1_800_000_000
	for _, c := range []struct {
		name, header, payload string
		want                  facts
	}{
		{"usual", `{"alg":"RS256","kid":"2026-01","typ":"JWT"}`, `{"iss":"https://idp.example/","aud":"orders","exp":1800000001,"sub":"jo"}`,
			facts{Alg: "RS256", Kid: "2026-01", Iss: "https://idp.example/", Aud: "orders", Exp: "ok"}},
		{"expired, several audiences", `{"alg":"ES256"}`, `{"aud":["a","b"],"exp":1800000000}`, facts{Alg: "ES256", Aud: "a", Exp: "expired"}},
		{"no expiry, no signature", `{"alg":"none","x":"12345678"}`, `{"sub":"jo"}`, facts{Alg: "none", Exp: "none"}},
		{"payload is no JSON", `{"alg":"HS256"}`, `jo`, facts{Alg: "HS256", Exp: "unknown", Quality: "token_malformed"}},
		{"kid is an attack", `{"alg":"HS256","kid":"../../dev/null' OR 1"}`, `{}`, facts{Alg: "HS256", Exp: "none", Quality: "field_invalid"}},
		{"kid is a secret", `{"alg":"HS256","kid":"ghp_0123456789abcdefghijABCDEFGHIJ"}`, `{}`, facts{Alg: "HS256", Exp: "none", Quality: "field_invalid"}},
		{"aud is an e-mail", `{"alg":"HS256"}`, `{"aud":"jo@x.org"}`, facts{Alg: "HS256", Exp: "none", Quality: "field_invalid"}},
		{"wrong types", `{"alg":"HS256"}`, `{"aud":7}`, facts{Alg: "HS256", Exp: "unknown", Quality: "token_malformed"}},
	} {
		raw := event.Raw{TS: at * 1_000_000, Authorization: "Bearer " + jwt(c.header, c.payload)}
		e := redactOne(t, fixedRedactor(t), raw)
		got := facts{e.TokenAlg, e.TokenKid, e.TokenIss, e.TokenAud, e.TokenExpState, strings.Join(e.Quality, " ")}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		if e.AuthType != event.AuthJWT || e.Principal != "" {
			t.Errorf("%s: auth %q, principal %q", c.name, e.AuthType, e.Principal)
		}
	}
}

func TestEncryptedJWT(t *testing.T) {
	raw := event.Raw{Authorization: "Bearer " + jwt(`{"alg":"RSA-OAEP","enc":"A256GCM"}`, "x") + ".a.b"}
	e := redactOne(t, fixedRedactor(t), raw)
	if e.AuthType != event.AuthJWT || e.TokenAlg != "RSA-OAEP" || e.TokenExpState != "unknown" || e.Quality != nil {
		t.Errorf("auth %q, alg %q, expiry %q, quality %v", e.AuthType, e.TokenAlg, e.TokenExpState, e.Quality)
	}
}
