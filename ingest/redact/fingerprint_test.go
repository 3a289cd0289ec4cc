package redact

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"testing"

	"gatehouse/ingest/event"
)

// testKey is the key of tests whose output is fixed: 00 01 02 … 1f.
func testKey() Keyring {
	var secret [keySize]byte
	for i := range secret {
		secret[i] = byte(i)
	}
	return Keyring{keys: []Key{newKey("k1", secret)}}
}

func fixedRedactor(t testing.TB) *Redactor {
	t.Helper()
	r, err := New(Config{Keys: testKey()})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func redactOne(t testing.TB, r *Redactor, raw event.Raw) event.Event {
	t.Helper()
	e := event.Event{ErrorReason: "left from before"}
	if err := r.Redact(&raw, event.Origin{Topic: "t", Offset: 1}, &e); err != nil {
		t.Fatal(err)
	}
	return e
}

// sumOf is the fingerprint of a value in hex.
func sumOf(fp *fingerprinter, tenant string, class Class, value string) string {
	out := fp.sumHashed(tenant, class, fp.hash(value))
	return hex.EncodeToString(out[:])
}

// The recipe of the README, step by step.
func TestFingerprintRecipe(t *testing.T) {
	inner := sha256.Sum256([]byte("s3cr3t"))
	secret := testKey().Active().secret()
	mac := hmac.New(sha256.New, secret[:])
	mac.Write([]byte("gh1\x00\x00\x00\x04acme\x00\x00\x00\x05token"))
	mac.Write(inner[:])
	want := hex.EncodeToString(mac.Sum(nil)[:16])

	got := sumOf(newFingerprinter(testKey().Active()), "acme", ClassToken, "s3cr3t")
	if got != want {
		t.Errorf("fingerprint %s, want %s", got, want)
	}
}

func TestFingerprintsAreSeparate(t *testing.T) {
	other := Keyring{keys: []Key{newKey("k2", [keySize]byte{})}}
	seen := map[string]string{}
	for name, c := range map[string]struct {
		ring          Keyring
		tenant, value string
		class         Class
	}{
		"base":           {testKey(), "acme", "x", ClassToken},
		"class":          {testKey(), "acme", "x", ClassSession},
		"tenant":         {testKey(), "acm", "x", ClassToken},
		"value":          {testKey(), "acme", "y", ClassToken},
		"key":            {other, "acme", "x", ClassToken},
		"moved boundary": {testKey(), "acmet", "x", "oken"},
	} {
		fp := sumOf(newFingerprinter(c.ring.Active()), c.tenant, c.class, c.value)
		if before, ok := seen[fp]; ok {
			t.Errorf("%s and %s have one fingerprint", name, before)
		}
		seen[fp] = name
	}
}

// A gateway may hash the token itself: the event is the same as if it had sent
// it.
func TestHashedTokenIsTheToken(t *testing.T) {
	r := fixedRedactor(t)
	sum := sha256.Sum256([]byte("0123456789abcdef-token"))
	for _, c := range []struct {
		name   string
		token  func(*event.Raw)
		hashed event.AuthType
	}{
		{"bearer", func(raw *event.Raw) { raw.Authorization = "Bearer 0123456789abcdef-token" }, event.AuthOAuth2},
		{"api key", func(raw *event.Raw) { raw.APIKey = "0123456789abcdef-token" }, event.AuthAPIKey},
	} {
		clear, hash := event.NewRaw("kong"), event.NewRaw("kong")
		clear.Tenant, hash.Tenant = "acme", "acme"
		c.token(&clear)
		hash.TokenHash, hash.AuthType = hex.EncodeToString(sum[:]), c.hashed
		a, b := redactOne(t, r, clear), redactOne(t, r, hash)
		if a.TokenFP == "" || a.TokenFP != b.TokenFP || a.FPKeyID != "k1" || b.FPKeyID != "k1" {
			t.Errorf("%s: token %q and hash %q differ", c.name, a.TokenFP, b.TokenFP)
		}
	}
}

// One token is one fingerprint, wherever the client put it.
func TestTokenIsComparableAcrossPlaces(t *testing.T) {
	r := fixedRedactor(t)
	const token = "8f7a6s5d4f3g2h1j0k9l8m7n6b5v4c3x"
	places := map[string]func(*event.Raw){
		"header": func(raw *event.Raw) { raw.Authorization = "Bearer " + token },
		"lower":  func(raw *event.Raw) { raw.Authorization = "bearer  " + token },
		"query":  func(raw *event.Raw) { raw.Query = "a=1&access_token=" + token },
		"cookie": func(raw *event.Raw) { raw.Cookie = "access_token=" + token },
		"path":   func(raw *event.Raw) { raw.Path = "/magic-link/" + token },
		"dpop":   func(raw *event.Raw) { raw.Authorization = "DPoP " + token },
	}
	want := sumOf(newFingerprinter(testKey().Active()), "", ClassToken, token)
	for name, put := range places {
		raw := event.NewRaw("kong")
		put(&raw)
		if e := redactOne(t, r, raw); e.TokenFP != want {
			t.Errorf("%s: fingerprint %q, want %q", name, e.TokenFP, want)
		}
	}
}

// The password of Basic credentials changes nothing in the event, so no guess of
// it can be tested against the store.
func TestBasicPasswordIsNotHashed(t *testing.T) {
	r := fixedRedactor(t)
	event1 := func(password string) string {
		raw := event.NewRaw("nginx")
		raw.Authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte("alice:"+password))
		e := redactOne(t, r, raw)
		if e.Principal != "alice" || e.AuthType != event.AuthBasic || e.TokenFP != "" {
			t.Errorf("principal %q, auth %q, token %q", e.Principal, e.AuthType, e.TokenFP)
		}
		return string(e.AppendJSON(nil))
	}
	if a, b := event1("hunter2"), event1("correct horse battery staple"); a != b {
		t.Errorf("events differ by the password:\n%s\n%s", a, b)
	}
}
