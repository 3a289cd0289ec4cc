package redact

import (
	"path/filepath"
	"testing"

	"gatehouse/ingest/event"
)

func newRedactor(t testing.TB) *Redactor {
	t.Helper()
	ring, err := LoadOrCreateKey(filepath.Join(t.TempDir(), "keys", "keys.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(Config{Keys: ring})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSmoke(t *testing.T) {
	raw := event.NewRaw("kong")
	raw.Method, raw.Path, raw.Query = "get", "/v1/users/42/orders/550e8400-e29b-41d4-a716-446655440000", "page=2&access_token=ghp_abc&q=jo@x.org&item_id=7"
	raw.Authorization = "Bearer eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwiZXhwIjoxfQ.c2lnbmF0dXJl"
	raw.Client = "203.0.113.9"
	e, err := newRedactor(t).Redact(&raw, event.Origin{Topic: "t"})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", e.AppendJSON(nil))
}
